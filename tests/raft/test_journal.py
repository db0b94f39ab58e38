"""A group's log: positions and indices, what is durable, and what a message has to wait for."""

from raft.journal import FRESH_BASE_INDEX, Journal
from raft.wal_replay import Recovered
from tests.raft.storage import Log
from tests.simulation.simdisk import SimDisk

GROUP = 3


class Kept:
    """A journal over a log over a disk."""

    def __init__(self, disk: SimDisk | None = None) -> None:
        self.disk = disk or SimDisk()
        self.log = Log(self.disk)
        self.journal = Journal(self.log.wal, GROUP, self.log.wal.recovered().get(GROUP))

    def fill(self, first: int, last: int, term: int = 1) -> "Kept":
        for index in range(first, last + 1):
            self.journal.add(b"%d/%d" % (index, term), index, term)
        return self

    def sync(self) -> "Kept":
        self.log.sync()
        self.journal.synced(self.log.wal.durable)
        return self

    def reopened(self) -> Journal:
        self.disk.crash()
        return Kept(self.disk).journal


def contents(journal: Journal) -> list[tuple[bytes, int, int]]:
    return journal.between(journal.base_index + 1, journal.last_index + 1)


def entries(first: int, last: int, term: int = 1) -> list[tuple[bytes, int, int]]:
    return [(b"%d/%d" % (index, term), index, term) for index in range(first, last + 1)]


def test_a_new_log_begins_after_the_librarys_implicit_first_entry() -> None:
    journal = Kept().journal
    assert (journal.base_index, journal.last_index, journal.last_term) == (FRESH_BASE_INDEX, FRESH_BASE_INDEX, 0)


def test_the_library_sees_the_base_at_position_0_and_the_last_entry_at_minus_1() -> None:
    journal = Kept().fill(2, 5).journal
    journal.compact_to(3)
    assert journal[0] == (b"", 3, 1)
    assert journal[-1] == (b"5/1", 5, 1)
    assert journal[1:3] == entries(4, 5)
    assert len(journal) == 3


def test_entries_are_found_by_index_also_after_compaction() -> None:
    journal = Kept().fill(2, 9).journal
    journal.compact_to(5)
    assert journal.between(6, 8) == entries(6, 7)
    assert journal.term_at(5) == 1
    assert journal.batch(7, 1000, 2) == entries(7, 8)


def test_a_batch_keeps_to_its_limit_of_bytes_but_holds_at_least_one_entry() -> None:
    journal = Kept().fill(2, 9).journal
    assert journal.batch(2, 6, 100) == entries(2, 3)
    assert journal.batch(2, 1, 100) == entries(2, 2)
    assert journal.batch(10, 1, 100) == []


def test_the_first_index_of_a_term_is_sought_above_the_floor() -> None:
    journal = Kept().fill(2, 4, term=1).fill(5, 8, term=3).journal
    assert journal.first_index_of_term_at(8, floor=1) == 5
    assert journal.first_index_of_term_at(8, floor=6) == 7
    assert journal.first_index_of_term_at(4, floor=1) == 2


def test_an_entry_is_durable_only_once_the_log_has_synced_it() -> None:
    kept = Kept().fill(2, 4)
    assert kept.journal.durable_index == FRESH_BASE_INDEX
    assert kept.journal.unsynced
    kept.sync()
    assert kept.journal.durable_index == 4
    assert not kept.journal.unsynced


def test_a_sync_counts_only_for_what_it_covered() -> None:
    kept = Kept().fill(2, 3)
    covered = kept.journal.barrier
    kept.fill(4, 5)
    kept.journal.synced(covered)
    assert kept.journal.durable_index == 3


def test_the_barrier_is_the_groups_last_record_whatever_other_groups_write() -> None:
    kept = Kept().fill(2, 3)
    barrier = kept.journal.barrier
    kept.log.wal.append(99, 1, 1, b"another group's")
    assert kept.journal.barrier == barrier == kept.log.wal.written - 1


def test_hard_state_raises_the_barrier_when_it_changes() -> None:
    kept = Kept()
    before = kept.journal.barrier
    kept.journal.setCurrentTerm(2, "b")
    changed = kept.journal.barrier
    assert changed > before
    kept.journal.setCurrentTerm(2, "b")
    assert kept.journal.barrier == changed


def test_hard_state_and_entries_are_there_after_a_restart() -> None:
    kept = Kept()
    kept.journal.setCurrentTerm(4, "b")
    kept.fill(2, 6, term=4).sync()
    journal = kept.reopened()
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (4, "b")
    assert contents(journal) == entries(2, 6, term=4)
    assert journal.durable_index == 6


def test_a_restart_knows_only_what_was_compacted_to_be_committed() -> None:
    kept = Kept().fill(2, 6)
    kept.journal.setRaftCommitIndex(6)
    assert kept.sync().reopened().getRaftCommitIndex() == FRESH_BASE_INDEX
    kept = Kept().fill(2, 6)
    kept.journal.compact_to(4)
    assert kept.sync().reopened().getRaftCommitIndex() == 4


def test_truncation_takes_back_what_was_durable() -> None:
    kept = Kept().fill(2, 6).sync()
    kept.journal.truncate_from(4)
    assert (kept.journal.last_index, kept.journal.durable_index) == (3, 3)
    kept.fill(4, 4, term=2)
    assert kept.journal.durable_index == 3
    kept.sync()
    assert kept.journal.durable_index == 4


def test_a_truncated_entry_on_its_way_to_disk_does_not_count_when_it_gets_there() -> None:
    kept = Kept().fill(2, 4)
    on_its_way = kept.journal.barrier
    kept.journal.truncate_from(3)
    kept.journal.synced(on_its_way)
    assert kept.journal.durable_index == 2


def test_truncated_entries_do_not_come_back() -> None:
    kept = Kept().fill(2, 6).sync()
    kept.journal.truncate_from(4)
    kept.fill(4, 5, term=2).sync()
    assert contents(kept.reopened()) == [*entries(2, 3), *entries(4, 5, term=2)]


def test_compaction_keeps_what_follows_and_the_hard_state() -> None:
    kept = Kept()
    kept.journal.setCurrentTerm(1, "c")
    kept.fill(2, 9)
    kept.journal.compact_to(6)
    journal = kept.sync().reopened()
    assert (journal.base_index, journal.term_at(6)) == (6, 1)
    assert contents(journal) == entries(7, 9)
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (1, "c")


def test_compaction_never_goes_back() -> None:
    journal = Kept().fill(2, 9).journal
    journal.compact_to(6)
    journal.compact_to(4)
    assert journal.base_index == 6


def test_the_size_in_bytes_follows_every_change() -> None:
    journal = Kept().fill(2, 9).journal
    assert journal.bytes == 8 * 3
    journal.truncate_from(8)
    assert journal.bytes == 6 * 3
    journal.compact_to(4)
    assert journal.bytes == 3 * 3
    journal.reset(20, 5)
    assert journal.bytes == 0


def test_a_reset_leaves_nothing_but_the_snapshots_end() -> None:
    kept = Kept().fill(2, 9)
    kept.journal.setCurrentTerm(5, "a")
    kept.journal.reset(20, 5)
    assert kept.journal.durable_index == 20
    kept.fill(21, 21, term=5)
    journal = kept.sync().reopened()
    assert (journal.base_index, journal.term_at(20)) == (20, 5)
    assert contents(journal) == entries(21, 21, term=5)
    assert journal.getVotedForNodeId() == "a"


def test_what_was_on_its_way_before_a_reset_does_not_count_afterwards() -> None:
    kept = Kept().fill(2, 9)
    on_its_way = kept.journal.barrier
    kept.journal.reset(5, 5)
    kept.journal.synced(on_its_way)
    assert kept.journal.durable_index == 5


def test_rewriting_changes_nothing_but_the_place() -> None:
    kept = Kept().fill(2, 9)
    kept.journal.compact_to(4)
    before = contents(kept.sync().journal)
    kept.journal.rewrite()
    assert contents(kept.journal) == before == contents(kept.sync().reopened())
    assert kept.journal.durable_index == 9


def test_a_log_that_was_recovered_needs_no_record_before_it_may_speak() -> None:
    log = Log(SimDisk())
    assert Journal(log.wal, GROUP, Recovered(base_index=4, base_term=2)).barrier == 0


def test_a_new_log_speaks_only_once_its_beginning_is_durable() -> None:
    kept = Kept()
    assert kept.journal.barrier > kept.log.wal.durable
