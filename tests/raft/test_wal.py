"""The write-ahead log: what it gives back, when it calls something durable, and how it frees its space."""

import errno
from random import Random

import pytest

from raft.storage_errors import DataDirectoryError
from raft.wal import Durability, Wal
from raft.wal_replay import Recovered
from raft.wal_space import PINNED_AT_ONCE, Limits
from raft.wal_writer import WriteFailedError
from tests.raft.storage import Log, command
from tests.simulation.simdisk import SimDisk


def entries(group: int, first: int, last: int, term: int = 1) -> list[tuple[bytes, int, int]]:
    return [(command(group, index, term), index, term) for index in range(first, last + 1)]


def test_everything_durable_is_there_after_a_reopen() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.wal.hard_state(1, 3, "node-2")
    log.append(1, 1, 4, term=3)
    log.append(7, 1, 2)
    log.wal.hard_state(7, 2, "")
    log.sync()
    disk.crash()
    assert Log(disk).wal.recovered() == {
        1: Recovered(0, 0, 3, "node-2", entries(1, 1, 4, 3)),
        7: Recovered(0, 0, 2, "", entries(7, 1, 2)),
    }


def test_what_was_recovered_is_handed_over_once() -> None:
    disk = SimDisk()
    Log(disk).append(1, 1, 1)
    log = Log(disk)
    assert log.wal.recovered()
    assert log.wal.recovered() == {}


def test_an_append_below_the_end_replaces_the_rest() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 5)
    log.wal.append(1, 3, 2, b"new")
    log.sync()
    assert Log(disk).wal.recovered()[1].entries == [*entries(1, 1, 2), (b"new", 3, 2)]


def test_truncated_entries_do_not_come_back() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 5)
    log.wal.truncate(1, 4)
    log.wal.truncate(1, 9)
    log.sync()
    assert Log(disk).wal.recovered()[1].entries == entries(1, 1, 3)


def test_compaction_keeps_the_suffix_the_term_and_the_vote() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 5)
    log.wal.hard_state(1, 4, "node-3")
    log.wal.compact(1, 3, 1)
    log.sync()
    assert Log(disk).wal.recovered() == {1: Recovered(3, 1, 4, "node-3", entries(1, 4, 5))}


def test_a_reset_drops_all_entries_and_keeps_term_and_vote() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.wal.hard_state(1, 4, "node-3")
    log.append(1, 1, 5)
    log.wal.reset(1, 100, 3)
    log.wal.append(1, 101, 4, b"x")
    log.sync()
    assert Log(disk).wal.recovered() == {1: Recovered(100, 3, 4, "node-3", [(b"x", 101, 4)])}


def test_a_rewrite_changes_nothing_but_the_place() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.wal.hard_state(1, 4, "node-3")
    log.append(1, 1, 5)
    log.wal.compact(1, 2, 1)
    log.wal.rewrite(1, 2, 1, entries(1, 3, 5))
    log.sync()
    assert Log(disk).wal.recovered() == {1: Recovered(2, 1, 4, "node-3", entries(1, 3, 5))}


def test_a_rewrite_with_other_entries_is_refused_and_writes_nothing() -> None:
    log = Log(SimDisk())
    log.append(1, 1, 5)
    written = log.wal.written
    with pytest.raises(ValueError, match="what is rewritten"):
        log.wal.rewrite(1, 0, 0, entries(1, 1, 4))
    assert log.wal.written == written


def test_a_dropped_group_is_forgotten_and_may_begin_again() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 5)
    log.append(2, 1, 1)
    log.wal.drop(1)
    log.wal.drop(2)
    log.wal.append(2, 1, 7, b"again")
    log.sync()
    assert Log(disk).wal.recovered() == {2: Recovered(entries=[(b"again", 1, 7)])}


@pytest.mark.parametrize("index", [0, 2, 7])
def test_a_gap_or_a_compacted_index_is_refused(index: int) -> None:
    log = Log(SimDisk())
    log.append(1, 1, 5)
    log.wal.compact(1, 2, 1)
    with pytest.raises(ValueError, match="does not fit"):
        log.wal.append(1, index, 1, b"")


def test_other_steps_that_would_make_the_log_unreadable_are_refused() -> None:
    log = Log(SimDisk())
    log.append(1, 1, 5)
    log.wal.compact(1, 2, 1)
    log.wal.hard_state(1, 3, "")
    with pytest.raises(ValueError, match="term 2 after 3"):
        log.wal.hard_state(1, 2, "")
    with pytest.raises(ValueError, match="cannot truncate"):
        log.wal.truncate(1, 2)
    for index in (1, 6):
        with pytest.raises(ValueError, match="cannot compact"):
            log.wal.compact(1, index, 1)


def test_nothing_is_durable_before_the_sync_that_covers_it() -> None:
    disk = SimDisk()
    log = Log(disk)
    first = log.wal.append(1, 1, 1, b"a")
    assert (log.durable, log.wal.durable) == ([], 0)
    log.wal.flush()
    second = log.wal.append(1, 2, 1, b"b")
    log.wal.flush()
    syncs = disk.operations["sync"]
    log.steps.work()
    assert disk.operations["sync"] == syncs + 2  # of the segment, and of the watermark with a segment's first batch
    assert log.durable == []
    log.steps.turn()
    assert (log.durable, log.wal.durable) == ([first], first)
    log.steps.settle()
    assert (log.durable, log.wal.durable, log.wal.written) == ([first, second], second, second)


def test_records_that_gather_during_a_sync_share_the_next_one() -> None:
    disk = SimDisk()
    log = Log(disk)
    for index in range(1, 101):
        log.wal.append(1, index, 1, b"x")
        log.wal.flush()
    log.steps.settle()
    assert log.wal.syncs == 2
    assert log.durable == [1, 100]


def test_an_idle_flush_does_nothing() -> None:
    disk = SimDisk()
    log = Log(disk)
    before = dict(disk.operations)
    log.sync()
    assert disk.operations == before


def test_each_batch_is_one_write() -> None:
    disk = SimDisk()
    log = Log(disk)
    writes = disk.operations["write"]
    for group in range(50):
        log.wal.append(group, 1, 1, b"x" * 10)
    log.sync()
    assert disk.operations["write"] == writes + 2  # and the watermark


def test_segments_are_deleted_once_no_group_needs_them() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 60)
    log.append(2, 1, 60)
    many = log.wal.segments
    log.wal.compact(1, 60, 1)
    log.sync()
    assert many > log.wal.segments > 2
    log.wal.compact(2, 60, 1)
    log.sync()
    assert log.wal.segments <= 2
    assert len(disk.listdir("wal")) == log.wal.segments
    assert log.wal.size_bytes == sum(len(disk.content(f"wal/{name}")) for name in disk.listdir("wal"))
    assert {group: found.last_index for group, found in Log(disk).wal.recovered().items()} == {1: 60, 2: 60}


def test_a_term_recorded_long_ago_is_not_deleted_with_its_segment() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.wal.hard_state(9, 5, "node-2")
    for round_ in range(5):
        log.append(1, round_ * 20 + 1, round_ * 20 + 20)
        log.wal.compact(1, round_ * 20 + 20, 1)
        log.sync()
    assert Log(disk).wal.recovered()[9] == Recovered(term=5, voted_for="node-2")


def test_the_term_and_the_vote_of_a_busy_group_move_forward_with_its_log() -> None:
    """Else a term that lasts for months would keep the segment in which it began, and all after it."""
    disk = SimDisk()
    log = Log(disk)
    log.wal.hard_state(1, 5, "node-2")
    log.append(1, 1, 60)
    assert log.wal.segments > 3
    log.wal.compact(1, 60, 1)
    log.sync()
    assert log.wal.segments <= 2
    assert Log(disk).wal.recovered()[1] == Recovered(60, 1, 5, "node-2")


def test_a_quiet_group_is_asked_once_and_frees_the_log_by_writing_itself_forward() -> None:
    disk = SimDisk()
    log = Log(disk, Limits(segment_bytes=8192, max_bytes=3 * 8192))
    log.append(9, 1, 2)
    for index in range(1, 100):
        log.append(1, index, index)
        log.wal.compact(1, index, 1)
        log.sync()
    assert log.pinned == [9]
    assert log.wal.size_bytes > 3 * 8192
    log.wal.rewrite(9, 0, 0, entries(9, 1, 2))
    log.sync()
    assert log.wal.size_bytes <= 3 * 8192
    for index in range(100, 200):
        log.append(1, index, index)
        log.wal.compact(1, index, 1)
        log.sync()
    assert log.pinned == [9, 9]
    assert Log(disk).wal.recovered()[9].entries == entries(9, 1, 2)


def test_only_a_few_groups_are_asked_at_the_same_time() -> None:
    log = Log(SimDisk(), Limits(segment_bytes=8192, max_segments=2))
    for group in range(2, 12):
        log.wal.append(group, 1, 1, b"quiet")
    for index in range(1, 60):
        log.append(1, index, index)
        log.wal.compact(1, index, 1)
        log.sync()
    assert log.pinned == [2, 3, 4, 5]
    assert len(log.pinned) == PINNED_AT_ONCE
    for group in (2, 3):
        log.wal.compact(group, 1, 1)
    log.sync()
    assert log.pinned == [2, 3, 4, 5, 6, 7]


def test_a_batch_larger_than_a_segment_gets_one_of_its_own() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 14)
    big = b"x" * 100_000
    log.wal.append(1, 15, 1, big)
    log.sync()
    log.append(1, 16, 40)
    assert [entry[1] for entry in Log(disk).wal.recovered()[1].entries] == list(range(1, 41))
    assert Log(disk).wal.recovered()[1].entries[14][0] == big


def test_the_next_segment_is_ready_before_it_is_needed() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 8)
    assert len(disk.listdir("wal")) == 2
    log.append(1, 9, 15)
    assert len(disk.listdir("wal")) == 2


def test_the_log_goes_on_where_it_ended() -> None:
    disk = SimDisk()
    for round_ in range(20):
        log = Log(disk)
        log.append(1, round_ * 3 + 1, round_ * 3 + 3)
        disk.crash()
    assert Log(disk).wal.recovered()[1].entries == entries(1, 1, 60)


@pytest.mark.parametrize(
    ("operation", "nth", "error", "says"),
    [
        ("write", 1, errno.ENOSPC, "ENOSPC"),
        ("write", 1, errno.EIO, "EIO"),
        ("sync", 1, errno.EIO, "check it"),
        ("create", 1, errno.ENOSPC, "make room"),
        ("rename", 1, errno.EROFS, "EROFS"),
        ("sync_dir", 1, errno.EIO, "creating wal/"),
        ("unlink", 1, errno.EACCES, "deleting wal/"),
    ],
)
def test_any_error_of_the_disk_is_fatal_and_nothing_is_tried_again(
    operation: str, nth: int, error: int, says: str
) -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 5)
    disk.fail(operation, nth, error)
    for index in range(6, 60):
        log.append(1, index, index)
        log.wal.compact(1, index, 1)
        log.sync()
        if log.fatal:
            break
    (message,) = log.fatal
    assert says in message
    before = dict(disk.operations)
    log.append(1, index + 1, index + 10)
    assert disk.operations == before
    assert len(log.fatal) == 1


def test_a_failed_sync_never_counts_as_durable() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 1)
    disk.fail("sync", 1, errno.EIO)
    log.append(1, 2, 2)
    assert (log.wal.durable, log.durable) == (1, [1])


def test_a_restart_after_a_failed_sync_makes_what_it_reads_durable() -> None:
    """The system then holds clean pages that never reached the disk; a sync alone would do nothing."""
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 1)
    disk.fail("sync", 1, errno.EIO)
    log.append(1, 2, 2)
    disk.crash()
    assert Log(disk).wal.recovered()[1].entries == entries(1, 1, 2)
    disk.power_cut(Random(1))
    assert Log(disk).wal.recovered()[1].entries == entries(1, 1, 2)


def test_a_restart_makes_the_names_of_segments_durable_before_it_writes_to_them() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 4)
    disk.fail("sync_dir", 1, errno.EIO)
    log.append(1, 5, 9)
    assert "creating wal/0000000000000002.wal" in log.fatal[0]
    disk.crash()
    log = Log(disk)
    last = log.wal.recovered()[1].last_index
    log.append(1, last + 1, last + 1)
    disk.power_cut(Random(1))
    assert Log(disk).wal.recovered()[1].last_index == last + 1


def test_a_full_disk_shows_when_a_segment_is_reserved() -> None:
    disk = SimDisk(capacity_bytes=4 * 8192)  # three segments and the watermark
    log = Log(disk)
    log.append(1, 1, 100)
    (message,) = log.fatal
    assert "creating wal/0000000000000004.wal of 8192 bytes failed: ENOSPC" in message
    durable = log.wal.durable
    disk.crash()
    disk.capacity_bytes = None
    assert Log(disk).wal.recovered()[1].last_index >= durable > 0


def test_a_full_disk_at_the_first_start_is_fatal() -> None:
    fatal: list[str] = []
    with pytest.raises(WriteFailedError):
        Wal.open(
            SimDisk(capacity_bytes=100),
            Log(SimDisk()).steps,
            identity=b"",
            durability=Durability.FSYNC,
            fatal=fatal.append,
            on_durable=print,
            on_pinned=print,
        )
    assert "ENOSPC" in fatal[0]


def test_too_much_that_waits_is_fatal() -> None:
    log = Log(SimDisk(), Limits(waiting_bytes=1000))
    log.wal.append(1, 1, 1, bytes(1000))
    assert "does the disk hang?" in log.fatal[0]


def test_without_fsync_the_disk_is_written_but_never_synced() -> None:
    disk = SimDisk()
    log = Log(disk, durability=Durability.OS)
    log.append(1, 1, 50)
    log.wal.compact(1, 50, 1)
    log.sync()
    assert log.wal.durable == log.wal.written
    assert "sync" not in disk.operations
    disk.crash()
    assert Log(disk, durability=Durability.OS).wal.recovered()[1].base_index == 50


def test_in_memory_nothing_is_written_at_all() -> None:
    disk = SimDisk()
    log = Log(disk, durability=Durability.MEMORY)
    log.append(1, 1, 50)
    assert log.wal.durable == log.wal.written == 50
    assert disk.operations == {}
    assert (log.wal.size_bytes, log.wal.segments) == (0, 0)
    assert Log(disk, durability=Durability.MEMORY).wal.recovered() == {}


def test_memory_refuses_to_ignore_a_log() -> None:
    disk = SimDisk()
    Log(disk).append(1, 1, 1)
    with pytest.raises(DataDirectoryError, match="would ignore"):
        Log(disk, durability=Durability.MEMORY)


def test_after_close_nothing_is_written() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 3)
    log.wal.append(1, 4, 1, b"lost")
    log.wal.close()
    log.sync()
    assert log.fatal == []
    assert Log(disk).wal.recovered()[1].last_index == 3
