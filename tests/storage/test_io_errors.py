"""Every error of the disk ends a real node within a second, says why and what to do, and nothing acknowledged is lost."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from raft.wal_format import SECTOR_BYTES
from tests.faultdisk.control import FaultDisk, Rule, require_faultdisk
from tests.storage.lone_node import LoneNode, lone_node

LIMIT_S = 1.0
WRITES_MAX = 400
ADVICE = re.compile(r"make room|check it and the kernel's log|Mend the cause")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultDisk]:
    require_faultdisk()
    disk = FaultDisk(tmp_path_factory.mktemp("shim"))
    yield disk
    disk.close()


@pytest.fixture(scope="module")
def node(disk: FaultDisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneNode]:
    with lone_node(tmp_path_factory.mktemp("node") / "data", disk.environ) as node:
        yield node


def rule(case: str) -> Rule:
    """A rule from `call path error`, or `call path error skip`; the path `.` is the data directory itself."""
    call, path, error, *skip = case.split()
    pattern = f"*/data/{path}".removesuffix("/.")
    return Rule(call, pattern, error=getattr(errno, error), skip=int(*skip))  # type: ignore[arg-type]


def error_of(case: str) -> str:
    """The name of the error in a case."""
    return case.split()[2]


def check_end(node: LoneNode, disk: FaultDisk, error: str, names: str) -> None:
    """It ended in time, with a status and with words that help."""
    assert node.wait() != 0
    assert node.ended_s - disk.first_hit_s() < LIMIT_S
    disk.clear()
    last = node.errors.strip().splitlines()[-1]
    assert last.startswith(("concord: fatal: ", "concord node: ")), node.errors
    assert error in last
    assert names in last
    assert ADVICE.search(last), last


WHILE_RUNNING = [
    ("write wal/*.wal EIO", "wal/"),
    ("write wal/*.wal ENOSPC", "wal/"),
    ("sync wal/*.wal EIO", "wal/"),
    ("sync wal/*.wal ENOSPC", "wal/"),
    ("write watermark EIO", "watermark"),
    ("sync watermark EIO", "watermark"),
    ("open wal/*.tmp EIO", "wal/"),
    ("open wal/*.tmp ENOSPC", "wal/"),
    ("reserve wal/*.tmp ENOSPC", "wal/"),
    ("reserve wal/*.tmp EIO", "wal/"),
    ("write wal/*.tmp ENOSPC", "wal/"),
    ("sync wal/*.tmp EIO", "wal/"),
    ("rename wal/*.wal EIO", "wal/"),
    ("sync wal EIO", "wal/"),
    ("unlink wal/*.wal EIO", "wal/"),
    ("open snapshots/*.tmp ENOSPC", "snapshots/"),
    ("write snapshots/*.tmp ENOSPC", "snapshots/"),
    ("sync snapshots/*.tmp EIO", "snapshots/"),
    ("read snapshots/*.tmp EIO", "snapshots/"),
    ("rename snapshots/*.snap EIO", "snapshots/"),
    ("sync snapshots/1 EIO", "snapshots/"),
    ("unlink snapshots/*.snap EIO", "snapshots"),
]
# The batch that is being written when one of these strikes must not be acknowledged.
HOLDS_BACK = re.compile(r"(write|sync) (wal/\*\.wal|watermark) ")


@pytest.mark.parametrize(("case", "names"), WHILE_RUNNING)
def test_an_error_while_it_runs_ends_the_node_and_loses_nothing(
    node: LoneNode, disk: FaultDisk, case: str, names: str
) -> None:
    if not node.running:
        node.start()
    assert node.lost() == []
    disk.set(rule(case))
    for _ in range(WRITES_MAX):
        node.write()
        if not node.running:
            break
    hit_s = disk.first_hit_s()
    check_end(node, disk, error_of(case), names)
    if HOLDS_BACK.match(case):
        assert node.acknowledged_s < hit_s


AT_START = [
    ("open identity.json EIO", "identity.json"),
    ("read identity.json EIO", "identity.json"),
    ("open LOCK EACCES", "LOCK"),
    ("lock LOCK ENOLCK", "data directory"),
    ("truncate LOCK EIO", "data directory"),
    ("write LOCK ENOSPC", "data directory"),
    ("open wal/*.wal EIO", "wal/"),
    ("read wal/*.wal EIO", "wal/"),
    ("write wal/*.wal EIO", "wal/"),
    ("sync wal/*.wal EIO", "wal/"),
    ("sync wal EIO", "wal"),
    ("open wal EIO", "wal"),
    ("open watermark EIO", "watermark"),
    ("read watermark EIO", "watermark"),
    ("write watermark EIO", "watermark"),
    ("sync watermark EIO", "watermark"),
    ("open peers.json EIO", "peers.json"),
    ("read peers.json EIO", "peers.json"),
    ("open snapshots/*.snap EIO", "snapshots/"),
    ("read snapshots/*.snap EIO", "snapshots/"),
]
# What a start does only with what an earlier end left behind: the case, the leftover, what is named.
LEFT_BEHIND = [
    ("unlink wal/*.tmp EIO", "wal/00000000000fffff.tmp", "wal/"),
    ("unlink snapshots/1/*.tmp EIO", "snapshots/1/0000000000000001-0000000000000001.snap.tmp", "snapshots/"),
    ("open fenced-1.json EIO", "fenced-1.json", "fenced-1.json"),
    ("read fenced-1.json EIO", "fenced-1.json", "fenced-1.json"),
]
TRUSTED = b'{"index": 1, "reason": "a test", "trusted": true}'


@pytest.mark.parametrize(("case", "names"), AT_START)
def test_an_error_at_the_start_ends_it_and_loses_nothing(
    node: LoneNode, disk: FaultDisk, case: str, names: str
) -> None:
    if not node.acknowledged:
        node.start()
    node.stop()
    disk.set(rule(case))
    node.launch()
    check_end(node, disk, error_of(case), names)


@pytest.mark.parametrize(("case", "left", "names"), LEFT_BEHIND)
def test_an_error_with_what_was_left_behind_ends_it_and_loses_nothing(
    node: LoneNode, disk: FaultDisk, case: str, left: str, names: str
) -> None:
    if not node.acknowledged:
        node.start()
    node.stop()
    leftover = node.data_dir / left
    leftover.write_bytes(TRUSTED)
    disk.set(rule(case))
    node.launch()
    check_end(node, disk, error_of(case), names)
    node.start()
    assert node.lost() == []
    assert leftover.exists() is left.startswith("fenced")
    node.stop()
    leftover.unlink(missing_ok=True)


def test_an_error_in_finishing_a_deletion_ends_it_and_loses_nothing(node: LoneNode, disk: FaultDisk) -> None:
    if not node.running:
        node.start()
    disk.set(rule("unlink wal/*.wal EIO"))
    while node.running:
        node.write()
    check_end(node, disk, "EIO", "wal/")
    disk.set(rule("unlink wal/*.wal EIO"))
    node.launch()
    check_end(node, disk, "EIO", "wal/")
    node.start()
    assert node.lost() == []


def test_an_error_in_cutting_a_torn_end_ends_it_and_loses_nothing(node: LoneNode, disk: FaultDisk) -> None:
    if not node.running:
        node.start()
    disk.set(rule("sync wal/*.wal EIO"))
    while node.running:
        node.write()
    check_end(node, disk, "EIO", "wal/")
    tear(max(path for path in node.data_dir.glob("wal/*.wal") if last_byte(path) >= SECTOR_BYTES))
    disk.set(rule("truncate wal/*.wal EIO"))
    node.launch()
    check_end(node, disk, "EIO", "wal/")
    node.start()
    assert node.lost() == []


def last_byte(path: Path) -> int:
    """Where a segment's last byte is that is not zero."""
    return len(path.read_bytes().rstrip(b"\0")) - 1


def tear(path: Path) -> None:
    """Take the last sector of the last batch away, as a power cut does with what was not synced."""
    with path.open("r+b") as file:
        file.seek(last_byte(path) // SECTOR_BYTES * SECTOR_BYTES)
        file.write(bytes(SECTOR_BYTES))


def test_after_all_errors_everything_acknowledged_is_there(node: LoneNode) -> None:
    node.stop()
    node.start()
    assert node.lost() == []


FIRST_START = [
    ("mkdir . ENOSPC", "data"),
    ("open LOCK ENOSPC", "LOCK"),
    ("open identity.json.tmp ENOSPC", "identity.json"),
    ("write identity.json.tmp ENOSPC", "identity.json"),
    ("sync identity.json.tmp EIO", "identity.json"),
    ("rename identity.json EIO", "identity.json"),
    ("sync . EIO", "data"),
    ("mkdir wal ENOSPC", "wal"),
    ("open watermark.tmp ENOSPC", "watermark"),
    ("reserve watermark.tmp ENOSPC", "watermark"),
    ("write watermark.tmp EIO", "watermark"),
    ("sync watermark.tmp EIO", "watermark"),
    ("rename watermark EIO", "watermark"),
    ("open wal/*.tmp ENOSPC", "wal/"),
    ("reserve wal/*.tmp ENOSPC", "wal/"),
    ("write wal/*.tmp EIO", "wal/"),
    ("sync wal/*.tmp EIO", "wal/"),
    ("rename wal/*.wal EIO", "wal/"),
    ("sync wal EIO", "wal/"),
    ("mkdir snapshots ENOSPC", "snapshots"),
    ("open peers.json.tmp ENOSPC", "peers.json"),
    ("sync peers.json.tmp EIO", "peers.json"),
    ("rename peers.json EIO", "peers.json"),
    ("open identity.json.tmp ENOSPC 1", "identity.json"),
    ("rename identity.json EIO 1", "identity.json"),
]


@pytest.mark.parametrize(("case", "names"), FIRST_START)
def test_an_error_at_the_very_first_start_ends_it_and_the_next_start_begins_anew(
    disk: FaultDisk, tmp_path: Path, case: str, names: str
) -> None:
    with lone_node(tmp_path / "data", disk.environ) as node:
        disk.set(rule(case))
        node.launch()
        check_end(node, disk, error_of(case), names)
        node.start()


def test_a_map_that_cannot_be_read_is_asked_for_again(node: LoneNode, disk: FaultDisk) -> None:
    node.stop()
    disk.set(rule("open map.msgpack EIO"))
    node.start()
    disk.clear()
    assert "the saved cluster map cannot be read and is ignored" in node.errors
    assert node.lost() == []


def test_a_map_that_cannot_be_saved_is_no_reason_to_end(disk: FaultDisk, tmp_path: Path) -> None:
    with lone_node(tmp_path / "data", disk.environ) as node:
        disk.set(Rule("open", "*/data/map.new", error=errno.ENOSPC))
        node.start()
        assert disk.hits() > 0
        assert "the cluster map could not be saved" in node.errors
