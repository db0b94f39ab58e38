"""Which segments of the log are still needed, and by whom. Pure.

A group needs the segment of its first live entry, that of its last base record and that of its last hard state. None of
these ever moves to an older segment, so the oldest segment that anybody needs only moves forward.
"""

from raft.wal_format import Kind


class _Pins:
    """Where one group's live records are. `runs` are (segment, index of the first live entry in it), ascending."""

    __slots__ = ("base", "hard", "last", "needed", "runs")

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.last = 0
        self.base: int | None = None
        self.hard: int | None = None
        self.needed: int | None = None

    def oldest(self) -> int | None:
        """The oldest segment with a live record of the group."""
        candidates = [segment for segment in (self.base, self.hard) if segment is not None]
        if self.runs:
            candidates.append(self.runs[0][0])
        return min(candidates, default=None)

    def append(self, segment: int, index: int) -> None:
        """An entry was added; it replaces any from its index on."""
        self.truncate(index)
        if not self.runs or self.runs[-1][0] != segment:
            self.runs.append((segment, index))
        self.last = index

    def truncate(self, index: int) -> None:
        """Entries from `index` on are gone."""
        while self.runs and self.runs[-1][1] >= index:
            self.runs.pop()
        self.last = index - 1

    def compact(self, index: int) -> None:
        """Entries up to `index` are gone."""
        if index >= self.last:
            self.runs.clear()
            self.last = index
            return
        while len(self.runs) > 1 and self.runs[1][1] <= index + 1:
            self.runs.pop(0)
        if self.runs and self.runs[0][1] <= index:
            self.runs[0] = (self.runs[0][0], index + 1)


class LiveIndex:
    """Follows the records of all groups and knows the oldest segment that is needed."""

    def __init__(self, first_segment: int) -> None:
        self._floor = first_segment
        self._groups: dict[int, _Pins] = {}
        self._needing: dict[int, dict[int, None]] = {}  # segment -> the groups whose oldest live record is in it

    def note(self, segment: int, kind: Kind, group: int, index: int) -> None:
        """A record goes into `segment`. Segments never go down from call to call."""
        pins = self._groups.get(group)
        if pins is None:
            pins = self._groups[group] = _Pins()
        if kind is Kind.APPEND:
            if index == pins.last + 1 and pins.runs and pins.runs[-1][0] == segment:
                pins.last = index
                return
            pins.append(segment, index)
        else:
            self._note_rare(pins, segment, kind, index)
        self._move(group, pins, None if kind is Kind.DROP else pins.oldest())
        if kind is Kind.DROP:
            del self._groups[group]

    def oldest(self, active: int) -> int:
        """The oldest segment that is needed; `active` is where records go now, and always needed."""
        while self._floor < active and not self._needing.get(self._floor):
            self._needing.pop(self._floor, None)
            self._floor += 1
        return self._floor

    def groups_needing(self, segment: int) -> list[int]:
        """The groups whose oldest live record is in `segment`, those that are so for longest first."""
        return list(self._needing.get(segment, ()))

    def needs(self, group: int, segment: int) -> bool:
        """Whether `segment` is the oldest with a live record of `group`."""
        return group in self._needing.get(segment, ())

    def _note_rare(self, pins: _Pins, segment: int, kind: Kind, index: int) -> None:
        if kind is Kind.TRUNCATE:
            pins.truncate(index)
        elif kind is Kind.HARD_STATE:
            pins.hard = segment
        elif kind is Kind.COMPACT:
            pins.compact(index)
            pins.base = segment
        elif kind is Kind.RESET:
            pins.runs.clear()
            pins.last = index
            pins.base = segment

    def _move(self, group: int, pins: _Pins, needed: int | None) -> None:
        if needed == pins.needed:
            return
        if pins.needed is not None:
            self._needing[pins.needed].pop(group)
        if needed is not None:
            self._needing.setdefault(needed, {})[group] = None
        pins.needed = needed
