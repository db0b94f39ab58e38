"""Whether a watcher was told every change of every key once and in order, given what the writers were told.

A key has one writer, and each value that it puts is its own. What a writer was not told of may have happened, once, at any
time. A key with a time to live may expire once for each put that gave it one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

PUT, DELETE, EXPIRED, STATE = "put", "delete", "expired", "state"


class Written(msgspec.Struct, frozen=True):
    """One write.

    Attributes:
        key: which key.
        kind: PUT or DELETE.
        value: what was put, "" for a delete.
        revision: as acknowledged; None when nobody knows whether it happened.
        is_mortal: it gave the key a time to live.
    """

    key: str
    kind: str
    value: str = ""
    revision: int | None = None
    is_mortal: bool = False


class Told(msgspec.Struct, frozen=True):
    """One event of a watcher."""

    key: str
    kind: str
    revision: int
    value: str = ""


def faults(written: Iterable[Written], told: Iterable[Told]) -> list[str]:
    """What is wrong with the events that one watcher saw, over all of its connections; empty when nothing is."""
    writes: defaultdict[str, list[Written]] = defaultdict(list)
    events: defaultdict[str, list[Told]] = defaultdict(list)
    for write in written:
        writes[write.key].append(write)
    for event in told:
        events[event.key].append(event)
    return [f"{key}: {fault}" for key in sorted({*writes, *events}) for fault in _of_key(writes[key], events[key])]


def missing(written: Iterable[Written], told: Iterable[Told]) -> int:
    """How many acknowledged writes a watcher has not seen yet."""
    seen = {(event.key, event.kind, event.revision) for event in told}
    first = {event.key: event.revision for event in reversed([event for event in told if event.kind == STATE])}
    return sum(
        write.revision is not None
        and write.revision > first.get(write.key, -1)
        and (write.key, write.kind, write.revision) not in seen
        for write in written
    )


def _of_key(writes: list[Written], events: list[Told]) -> list[str]:
    start = events[0].revision if events and events[0].kind == STATE else -1
    changes = events[1:] if start >= 0 else events
    return [*_order(start, changes), *_unexplained(writes, events), *_left_out(writes, start, changes)]


def _order(start: int, changes: list[Told]) -> list[str]:
    """Revisions rise; two changes share one when they came in one entry, as a key that expired and was put anew."""
    found = [f"{event} in the middle" for event in changes if event.kind == STATE]
    before = Told("", STATE, start)
    for event in changes:
        if event.revision < before.revision or (event.revision == before.revision and before.kind == STATE):
            found.append(f"{event} came after revision {before.revision}")
        if event == before:
            found.append(f"{event} came twice")
        if event.kind != PUT and before.kind in {DELETE, EXPIRED}:
            found.append(f"{event} of a key that was gone")
        before = event
    return found


def _unexplained(writes: list[Written], events: list[Told]) -> list[str]:
    """Each event is one write, and none is that of two events."""
    found: list[str] = []
    by_value = {write.value: write for write in writes if write.kind == PUT}
    acknowledged = {write.revision for write in writes if write.kind == DELETE and write.revision is not None}
    guesses = sum(write.kind == DELETE and write.revision is None for write in writes)
    for event in events:
        if event.kind in {PUT, STATE}:
            write = by_value.get(event.value)
            if write is None or write.revision not in {None, event.revision}:
                found.append(f"{event} is no write")
        elif event.kind == DELETE and event.revision not in acknowledged:
            guesses -= 1
            if guesses < 0:
                found.append(f"{event} is no write")
    values = Counter(event.value for event in events if event.kind in {PUT, STATE})
    found += [f"{value!r} was told {count} times" for value, count in values.items() if count > 1]
    expiries = sum(event.kind == EXPIRED for event in events)
    if expiries > sum(write.is_mortal for write in writes):
        found.append(f"it expired {expiries} times")
    return found


def _left_out(writes: list[Written], start: int, changes: list[Told]) -> list[str]:
    seen = {(event.kind, event.revision) for event in changes}
    return [
        f"{write} was not told"
        for write in writes
        if write.revision is not None and write.revision > start and (write.kind, write.revision) not in seen
    ]
