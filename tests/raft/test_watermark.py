"""The watermark says how far the log was durable: never more, and after a power cut no less than the newest segment."""

from random import Random

import pytest

from raft.storage_errors import CorruptLogError, ForeignDataError
from raft.wal import Durability
from raft.wal_format import fingerprint
from raft.wal_writer import WriteFailedError
from raft.watermark import WATERMARK_FILE, Watermark
from tests.raft.storage import Log
from tests.simulation.simdisk import SimDisk

OWNER = fingerprint(b"cluster/node-1")
SLOT_BYTES = 4096


def mark(disk: SimDisk) -> int:
    return Watermark(disk, OWNER).number


def test_it_follows_every_batch_and_not_before_its_sync() -> None:
    disk = SimDisk()
    log = Log(disk)
    assert mark(disk) == 0
    for number in (1, 2, 3):
        log.append(1, number, number)
        assert mark(disk) == number
    log.wal.append(1, 4, 1, b"x")
    log.wal.flush()
    disk.fail("sync", 1, 5)
    log.steps.settle()
    assert log.fatal
    assert mark(disk) == 3


@pytest.mark.parametrize("slot", [0, 1])
def test_one_damaged_mark_leaves_the_other(slot: int) -> None:
    disk = SimDisk()
    Log(disk).append(1, 1, 4)
    disk.corrupt(WATERMARK_FILE, slot * SLOT_BYTES + 25, 1)
    assert mark(disk) == (3 if slot == 0 else 4)
    assert Log(disk).wal.recovered()[1].last_index == 4


def test_two_damaged_marks_are_refused() -> None:
    disk = SimDisk()
    Log(disk).append(1, 1, 4)
    disk.corrupt(WATERMARK_FILE, 0, 1)
    disk.corrupt(WATERMARK_FILE, SLOT_BYTES, 1)
    with pytest.raises(CorruptLogError, match="neither of its marks is whole"):
        Log(disk)


def test_another_nodes_mark_is_refused() -> None:
    disk = SimDisk()
    Watermark(disk, fingerprint(b"cluster/node-2")).begin(sync=True)
    with pytest.raises(ForeignDataError, match="own data directory"):
        Log(disk)


def test_another_history_of_the_same_length_is_refused() -> None:
    one, other = SimDisk(), SimDisk()
    Log(one).append(1, 1, 4)
    Log(other).append(1, 1, 4, term=2)
    one.replace(WATERMARK_FILE, other.content(WATERMARK_FILE))
    with pytest.raises(CorruptLogError, match="another batch 4 than the one that was durable"):
        Log(one)


def test_an_empty_log_is_refused_when_something_was_durable() -> None:
    disk = SimDisk()
    Log(disk).append(1, 1, 4)
    for name in disk.listdir("wal"):
        disk.remove(f"wal/{name}")
    with pytest.raises(CorruptLogError, match="is empty, but 4 batches were durable"):
        Log(disk)


@pytest.mark.parametrize("seed", range(30))
def test_after_a_power_cut_it_is_never_ahead_and_never_before_the_newest_segment(seed: int) -> None:
    disk = SimDisk()
    log = Log(disk)
    begun = 0
    for index in range(1, 41):
        segments = log.wal._space._active
        log.append(1, index, index)
        if log.wal._space._active != segments:
            begun = index
    assert 1 < begun < 40
    disk.power_cut(Random(seed))
    assert begun <= mark(disk) <= 40
    assert Log(disk).wal.recovered()[1].last_index == 40


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "sync_dir"])
def test_a_power_cut_while_it_is_made_leaves_a_directory_that_starts(operation: str) -> None:
    for seed in range(10):
        disk = SimDisk()
        disk.die(operation, 1)
        with pytest.raises(WriteFailedError, match="DeadProcessError"):
            Log(disk)
        disk.power_cut(Random(seed))
        log = Log(disk)
        log.append(1, 1, 2)
        assert mark(disk) == 2


def test_without_fsync_it_is_written_but_never_synced() -> None:
    disk = SimDisk()
    Log(disk, durability=Durability.OS).append(1, 1, 3)
    assert mark(disk) == 3
    assert "sync" not in disk.operations
