"""The newest changes of a group, for those who watch. Pure.

It holds every change after `begin`; older ones are forgotten when there are too many or they take too much memory.
Whoever asks from before `begin` has missed something and must read the state anew.
"""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from shard.machine import Change
from shard.machine.record import value_bytes
from wire.messages import WatchEvent

EVENT_BYTES = 128  # of a change, beside its key, content type and value
_TRIM = 64  # forgotten entries that are worth moving the others


class Stretch(msgspec.Struct, frozen=True):
    """Changes that follow on a position, and the position after them (see `WatchRequest`)."""

    events: list[WatchEvent]
    index: int
    taken: int


class History:
    """A bounded memory of changes, entry by entry.

    Args:
        begin: index up to which nothing is known.
        events_max: changes that are kept.
        bytes_max: their bytes; the newest entry is kept however large it is.
    """

    def __init__(self, begin: int, events_max: int, bytes_max: int) -> None:
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._indexes: list[int] = []
        self._entries: list[list[Change]] = []
        self._sizes: list[int] = []
        self._first = 0  # those before are forgotten
        self.restart(begin)

    def add(self, index: int, changes: list[Change]) -> None:
        """The entry at `index`, which is after every other, changed these keys."""
        size = _size(changes)
        self._indexes.append(index)
        self._entries.append(changes)
        self._sizes.append(size)
        self.events += len(changes)
        self.size_bytes += size
        while self._is_too_large() and self._first < len(self._indexes) - 1:
            self._forget_first()
        if self._first >= _TRIM and self._first * 2 >= len(self._indexes):
            del self._indexes[: self._first], self._entries[: self._first], self._sizes[: self._first]
            self._first = 0

    def restart(self, begin: int) -> None:
        """Forget everything; nothing is known up to `begin`."""
        self.begin = begin
        self.events = 0
        self.size_bytes = 0
        self._first = 0
        for column in (self._indexes, self._entries, self._sizes):
            column.clear()

    def after(self, index: int, taken: int, through: int, bytes_max: int) -> Stretch | None:
        """Changes after a position, up to about `bytes_max` and one at least if there are any.

        Args:
            index: of the position.
            taken: of the position.
            through: the last applied index: without further changes the position after is the end of this entry.
            bytes_max: where to stop.

        Returns:
            None when some of them are not known any more, or the position is one that has not come yet.
        """
        if not self.begin <= index <= through:
            return None
        events: list[WatchEvent] = []
        for at in range(bisect_right(self._indexes, index, lo=self._first), len(self._indexes)):
            entry, changes = self._indexes[at], self._entries[at]
            if taken >= len(changes):
                taken -= len(changes)
                continue
            for number, change in enumerate(changes[taken:], taken):
                if bytes_max <= 0:
                    return Stretch(events, entry - 1, number)
                bytes_max -= _size((change,))
                events.append(_event(change, entry))
            taken = 0
        return None if taken else Stretch(events, through, 0)

    def _is_too_large(self) -> bool:
        return self.events > self._events_max or self.size_bytes > self._bytes_max

    def _forget_first(self) -> None:
        first = self._first
        self.begin = self._indexes[first]
        self.events -= len(self._entries[first])
        self.size_bytes -= self._sizes[first]
        self._entries[first] = []
        self._first += 1


def _size(changes: Sequence[Change]) -> int:
    values = [change.stored for change in changes if change.stored is not None]
    return EVENT_BYTES * len(changes) + sum([len(change.key) for change in changes]) + value_bytes(values)


def _event(change: Change, index: int) -> WatchEvent:
    record = change.record
    if record is None:
        return WatchEvent(change.kind, change.key, index)
    return WatchEvent(change.kind, change.key, index, record.content_type, record.value)
