"""The shim does to a process what its rules say, and nothing else."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faultdisk.control import Call, FaultDisk, Rule, require_faultdisk

# Everything that raft.disk.OsDisk does, one call after another; prints the errors.
SCRIPT = """
import errno, fcntl, sys, time
from pathlib import Path
from raft.disk import OsDisk

disk = OsDisk(Path(sys.argv[1]))

def tell(doing, work):
    began = time.monotonic()
    try:
        work()
        said = "done"
    except OSError as error:
        said = errno.errorcode[error.errno]
    print(doing, said, "slow" if time.monotonic() - began > 0.1 else "fast")

disk.makedirs("d")
old = disk.create("d/old")
old.pwrite(0, [b"old"])
tell("mkdir", lambda: disk.makedirs("d/below"))
tell("open", lambda: disk.open("d/old").close())
tell("reserve", lambda: disk.create("d/new", 4096).close())
tell("write", lambda: old.pwrite(0, [b"a", b"b"]))
tell("read", lambda: old.read(0, 2))
tell("sync", old.sync)
tell("sync-directory", lambda: disk.sync_dir("d"))
tell("truncate", lambda: old.truncate(1))
tell("lock", lambda: fcntl.flock(old._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))
tell("rename", lambda: disk.rename("d/old", "d/renamed"))
tell("unlink", lambda: disk.unlink("d/new"))
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultDisk]:
    require_faultdisk()
    disk = FaultDisk(tmp_path_factory.mktemp("shim"))
    yield disk
    disk.close()


def errors(disk: FaultDisk, data: Path) -> dict[str, str]:
    """What each call of the script came to, unless it was well and fast."""
    words = [sys.executable, "-c", SCRIPT, str(data)]
    done = subprocess.run(words, env={**os.environ, **disk.environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 11
    return {doing: f"{said} {speed}" for doing, said, speed in lines if (said, speed) != ("done", "fast")}


def test_without_rules_nothing_is_different(disk: FaultDisk, tmp_path: Path) -> None:
    disk.clear()
    assert errors(disk, tmp_path / "data") == {}


@pytest.mark.parametrize(
    ("call", "pattern", "hit"),
    [
        ("mkdir", "*/below", "mkdir"),
        ("open", "*/d/old", "open"),
        ("reserve", "*/d/new", "reserve"),
        ("write", "*/d/old", "write"),
        ("read", "*/d/old", "read"),
        ("sync", "*/d/old", "sync"),
        ("sync", "*/d", "sync-directory"),
        ("truncate", "*/d/*", "truncate"),
        ("rename", "*/d/renamed", "rename"),
        ("unlink", "*/d/new", "unlink"),
        ("lock", "*/d/old", "lock"),
    ],
)
def test_each_call_fails_on_the_path_that_is_meant_and_on_no_other(
    disk: FaultDisk, tmp_path: Path, call: Call, pattern: str, hit: str
) -> None:
    spared = 1 if (call, hit) in {("write", "write"), ("open", "open"), ("sync", "sync-directory")} else 0
    disk.set(Rule(call, pattern, error=errno.EIO, skip=spared), Rule(call, "/nowhere/*", error=errno.EPERM))
    assert errors(disk, tmp_path / "data") == {hit: "EIO fast"}
    assert disk.hits(0) == 1
    assert disk.hits(1) == 0


def test_a_delay_makes_the_call_slow_but_lets_it_succeed(disk: FaultDisk, tmp_path: Path) -> None:
    disk.set(Rule("sync", "*/d/old", delay_ms=150), Rule("read", "*/d/old", delay_ms=150, error=errno.EIO))
    assert errors(disk, tmp_path / "data") == {"sync": "done slow", "read": "EIO slow"}


def test_only_as_many_calls_are_hit_as_was_said(disk: FaultDisk, tmp_path: Path) -> None:
    disk.set(Rule("write", "*", error=errno.ENOSPC, skip=1, limit=1))
    assert errors(disk, tmp_path / "data") == {"write": "ENOSPC fast"}
    disk.set(Rule("write", "*", error=errno.ENOSPC, skip=0, limit=0))
    disk.clear()
    assert errors(disk, tmp_path / "data") == {}
    assert disk.hits() == 0
