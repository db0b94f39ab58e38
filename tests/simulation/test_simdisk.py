"""The simulated disk loses exactly what a disk may lose."""

import errno
from random import Random

import pytest

from tests.simulation.simdisk import DeadProcessError, SimDisk


def outcomes(prepare: str) -> set[bytes | None]:
    """What is left of a file after power cuts at the end of a script of operations."""
    found: set[bytes | None] = set()
    for seed in range(200):
        disk = SimDisk()
        file = disk.create("f")
        for step in prepare.split():
            if step == "sync":
                file.sync()
            elif step == "dir":
                disk.sync_dir("")
            elif step == "rename":
                disk.rename("f", "g")
            else:
                file.pwrite(file.size(), [step.encode()])
        disk.power_cut(Random(seed))
        name = "g" if disk.exists("g") else "f"
        found.add(disk.content(name) if disk.exists(name) else None)
        assert len(disk.listdir("")) <= 1
    return found


def test_synced_content_under_a_synced_name_survives() -> None:
    assert outcomes("ab sync dir") == {b"ab"}


def test_a_name_that_was_not_synced_may_be_lost() -> None:
    assert outcomes("ab sync") == {b"ab", None}


def test_of_writes_since_the_sync_a_prefix_survives_and_the_next_may_be_torn() -> None:
    assert outcomes("ab sync dir cd ef") == {b"ab", b"abc", b"abcd", b"abcde", b"abcdef"}


def test_a_rename_is_atomic() -> None:
    assert outcomes("ab sync dir rename") == {b"ab"}


def test_sectors_of_a_torn_write_may_arrive_in_any_order() -> None:
    kept = set()
    for seed in range(200):
        disk = SimDisk()
        file = disk.create("f", 2048)
        file.sync()
        disk.sync_dir("")
        file.pwrite(0, [b"x" * 2048])
        disk.power_cut(Random(seed))
        content = disk.content("f")
        kept.add(tuple(bool(content[at]) for at in range(0, 2048, 512)))
    assert (False, True, False, True) in kept
    assert len(kept) == 16


def test_a_crash_of_the_process_loses_nothing_that_was_written() -> None:
    disk = SimDisk()
    disk.create("f").pwrite(0, [b"ab"])
    disk.crash()
    assert disk.open("f").read(0, 9) == b"ab"


def test_after_a_failed_sync_the_data_is_never_written_back() -> None:
    disk = SimDisk()
    file = disk.create("f")
    disk.sync_dir("")
    file.pwrite(0, [b"ab"])
    disk.fail("sync", 1, errno.EIO)
    with pytest.raises(OSError, match="error"):
        file.sync()
    file.sync()
    assert file.read(0, 2) == b"ab"
    disk.power_cut(Random(1))
    assert disk.content("f") == b""


def test_a_full_disk_says_so() -> None:
    disk = SimDisk(capacity_bytes=10)
    disk.create("f", 8)
    with pytest.raises(OSError, match="No space"):
        disk.create("g", 3)


def test_a_process_dies_where_it_was_told_to() -> None:
    disk = SimDisk()
    file = disk.create("f")
    disk.die("write", 2)
    file.pwrite(0, [b"a"])
    with pytest.raises(DeadProcessError):
        file.pwrite(1, [b"b"])
    with pytest.raises(DeadProcessError):
        file.read(0, 1)


def test_equal_seeds_give_equal_disks() -> None:
    def run(seed: int) -> bytes:
        disk = SimDisk()
        file = disk.create("f")
        disk.sync_dir("")
        for number in range(20):
            file.pwrite(number * 700, [bytes([number + 1]) * 700])
        disk.power_cut(Random(seed))
        return disk.content("f")

    assert run(7) == run(7)
    assert len({run(seed) for seed in range(20)}) > 5
