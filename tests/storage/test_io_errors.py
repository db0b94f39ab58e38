"""Every error of the disk ends a real node within a second, says why and what to do, and nothing acknowledged is lost."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """A rule from `call path error`."""
    call, path, error = case.split()
    return Rule(call, f"*/data/{path}", error=getattr(errno, error))  # type: ignore[arg-type]


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
    check_end(node, disk, case.rsplit(maxsplit=1)[-1], names)
    if HOLDS_BACK.match(case):
        assert node.acknowledged_s < hit_s


AT_START = [
    ("open identity.json EIO", "identity.json"),
    ("read identity.json EIO", "identity.json"),
    ("open LOCK EACCES", "LOCK"),
    ("open wal/*.wal EIO", "wal/"),
    ("read wal/*.wal EIO", "wal/"),
    ("write wal/*.wal EIO", "wal/"),
    ("sync wal/*.wal EIO", "wal/"),
    ("open watermark EIO", "watermark"),
    ("read watermark EIO", "watermark"),
    ("write watermark EIO", "watermark"),
    ("read peers.json EIO", "peers.json"),
    ("open snapshots/*.snap EIO", "snapshots/"),
    ("read snapshots/*.snap EIO", "snapshots/"),
]


@pytest.mark.parametrize(("case", "names"), AT_START)
def test_an_error_at_the_start_ends_it_and_loses_nothing(
    node: LoneNode, disk: FaultDisk, case: str, names: str
) -> None:
    if not node.acknowledged:
        node.start()
    node.stop()
    disk.set(rule(case))
    node.launch()
    check_end(node, disk, case.rsplit(maxsplit=1)[-1], names)


def test_after_all_errors_everything_acknowledged_is_there(node: LoneNode) -> None:
    node.stop()
    node.start()
    assert node.lost() == []


FIRST_START = [
    ("open identity.json.tmp ENOSPC", "identity.json"),
    ("sync identity.json.tmp EIO", "identity.json"),
    ("rename identity.json EIO", "identity.json"),
    ("open watermark.tmp ENOSPC", "watermark"),
    ("reserve wal/*.tmp ENOSPC", "wal/"),
    ("open peers.json.tmp ENOSPC", "peers.json"),
]


@pytest.mark.parametrize(("case", "names"), FIRST_START)
def test_an_error_at_the_very_first_start_ends_it_and_the_next_start_begins_anew(
    disk: FaultDisk, tmp_path: Path, case: str, names: str
) -> None:
    with lone_node(tmp_path / "data", disk.environ) as node:
        disk.set(rule(case))
        node.launch()
        check_end(node, disk, case.rsplit(maxsplit=1)[-1], names)
        node.start()


def test_a_map_that_cannot_be_saved_is_no_reason_to_end(disk: FaultDisk, tmp_path: Path) -> None:
    with lone_node(tmp_path / "data", disk.environ) as node:
        disk.set(Rule("open", "*/data/map.new", error=errno.ENOSPC))
        node.start()
        assert disk.hits() > 0
        assert "the cluster map could not be saved" in node.errors
