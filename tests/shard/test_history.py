"""The memory of changes against a plain list of all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.history import EVENT_BYTES, History
from shard.machine import Change, Record
from wire.messages import ChangeKind, WatchEvent

sizes = st.lists(st.integers(1, 5), max_size=40)


def filled(entries: list[int], events_max: int, bytes_max: int = 1 << 40) -> tuple[History, list[WatchEvent]]:
    """A history to which entries with so many changes were added, and all of those changes; every index is even."""
    history = History(0, events_max, bytes_max)
    every: list[WatchEvent] = []
    for number, count in enumerate(entries, 1):
        changes = [
            Change(ChangeKind.PUT, f"{number}/{position}", Record(b"v", "", number * 2, 0)) for position in range(count)
        ]
        history.add(number * 2, changes)
        every += [WatchEvent(ChangeKind.PUT, change.key, number * 2, "", b"v") for change in changes]
    return history, every


def read_on(history: History, index: int, through: int, bytes_max: int) -> list[WatchEvent]:
    """Everything after an index, stretch by stretch."""
    found: list[WatchEvent] = []
    taken = 0
    while True:
        stretch = history.after(index, taken, through, bytes_max)
        assert stretch is not None
        found += stretch.events
        if not stretch.events:
            assert (stretch.index, stretch.taken) == (through, 0)
            return found
        index, taken = stretch.index, stretch.taken


@given(sizes, st.integers(1, 30), st.integers(1, 5 * EVENT_BYTES), st.data())
def test_from_any_place_that_it_knows_every_change_comes_once_and_in_order(
    entries: list[int], events_max: int, bytes_max: int, data: st.DataObject
) -> None:
    history, every = filled(entries, events_max)
    through = len(entries) * 2 + data.draw(st.integers(0, 3))
    index = data.draw(st.integers(0, through))
    if index < history.begin:
        assert history.after(index, 0, through, bytes_max) is None
    else:
        assert read_on(history, index, through, bytes_max) == [event for event in every if event.revision > index]


@given(sizes, st.data())
def test_a_place_within_an_entry_goes_on_with_the_rest_of_it(entries: list[int], data: st.DataObject) -> None:
    history, every = filled(entries, 1000)
    taken = data.draw(st.integers(0, len(every)))
    stretch = history.after(0, taken, len(entries) * 2, 1 << 20)
    assert stretch is not None
    assert stretch.events == every[taken:]


@given(sizes, st.integers(1, 30), st.integers(1, 20))
def test_it_keeps_what_fits_and_always_the_newest_entry(entries: list[int], events_max: int, kept: int) -> None:
    history, every = filled(entries, events_max, kept * (EVENT_BYTES + 5))
    held = [event for event in every if event.revision > history.begin]
    assert len(held) == history.events
    newest = entries[-1] if entries else 0
    assert history.events <= max(events_max, newest)
    assert history.events <= max(kept, newest)
    if len(held) < len(every):
        last_dropped = next(event.revision for event in reversed(every) if event.revision <= history.begin)
        assert history.begin == last_dropped
        again = len(held) + entries[last_dropped // 2 - 1]
        assert again > min(events_max, kept), "what was dropped would have fitted"


@pytest.mark.parametrize(("index", "taken"), [(5, 0), (4, 1), (0, 4)])
def test_a_place_that_has_not_come_yet_is_none_of_this_group(index: int, taken: int) -> None:
    history, _ = filled([1, 2], 100)
    assert history.after(index, taken, 4, 1000) is None


def test_after_a_restart_it_knows_only_what_follows() -> None:
    history, _ = filled([1, 2], 100)
    history.restart(10)
    assert history.after(4, 0, 10, 1000) is None
    history.add(12, [Change(ChangeKind.DELETE, "a", None)])
    stretch = history.after(10, 0, 12, 1000)
    assert stretch is not None
    assert stretch.events == [WatchEvent(ChangeKind.DELETE, "a", 12)]
    assert (history.events, history.size_bytes) == (1, EVENT_BYTES + 1)
