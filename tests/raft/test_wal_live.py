"""Which segments are needed: the bookkeeping alone."""

from raft.wal_format import Kind
from raft.wal_live import LiveIndex


def live(*notes: tuple[int, Kind, int, int]) -> LiveIndex:
    index = LiveIndex(1)
    for note in notes:
        index.note(*note)
    return index


def test_the_oldest_entry_of_any_group_holds_its_segment() -> None:
    index = live((1, Kind.APPEND, 1, 1), (2, Kind.APPEND, 1, 2), (2, Kind.APPEND, 2, 1))
    assert index.oldest(3) == 1
    index.note(3, Kind.COMPACT, 1, 1)
    assert index.oldest(3) == 2
    assert index.groups_needing(2) == [2, 1]


def test_the_active_segment_is_always_needed() -> None:
    assert live().oldest(1) == 1
    assert live().oldest(5) == 5


def test_a_group_without_entries_needs_its_hard_state_and_its_base() -> None:
    index = live((1, Kind.HARD_STATE, 1, 0), (2, Kind.RESET, 1, 10))
    assert index.oldest(9) == 1
    index.note(3, Kind.HARD_STATE, 1, 0)
    assert index.oldest(9) == 2
    index.note(4, Kind.COMPACT, 1, 10)
    assert index.oldest(9) == 3


def test_compaction_within_a_segment_still_needs_it_until_the_rest_is_truncated() -> None:
    index = live((1, Kind.APPEND, 1, 1), (1, Kind.APPEND, 1, 2), (2, Kind.COMPACT, 1, 1))
    assert index.oldest(9) == 1
    index.note(2, Kind.TRUNCATE, 1, 2)
    assert index.oldest(9) == 2


def test_replaced_entries_need_nothing() -> None:
    index = live((1, Kind.APPEND, 1, 1), (2, Kind.APPEND, 1, 2), (3, Kind.APPEND, 1, 1))
    assert index.oldest(9) == 3


def test_a_dropped_group_needs_nothing() -> None:
    index = live((1, Kind.APPEND, 1, 1), (1, Kind.HARD_STATE, 1, 0), (2, Kind.DROP, 1, 0), (2, Kind.DROP, 7, 0))
    assert index.oldest(9) == 9
    assert index.groups_needing(1) == []
    assert not index.needs(1, 1)
