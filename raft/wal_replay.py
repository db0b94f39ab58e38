"""From the records of the log to what each group had: its base, its entries, its term and vote. Pure.

The oldest segments are deleted as soon as nothing in them is live, so what is left may begin in the middle of a group's
story, with records about entries that are dead by the end of it. Hence a group is *joined* at its first record,
whatever index that has; from there on every step must fit, and at the end the entries must begin right after the base.
"""

import msgspec

from raft.wal_format import Kind, Record


class Recovered(msgspec.Struct, gc=False):
    """What the log holds of one group.

    Attributes:
        base_index: the entries begin after this index; what is up to it is in a snapshot (0: there is none).
        base_term: the term of the entry at `base_index`.
        term: the current term.
        voted_for: whom this node voted for in `term`, "" for nobody.
        entries: (command, index, term), without gaps from `base_index + 1` on.
    """

    base_index: int = 0
    base_term: int = 0
    term: int = 0
    voted_for: str = ""
    entries: list[tuple[bytes, int, int]] = msgspec.field(default_factory=list)

    @property
    def last_index(self) -> int:
        """Index of the last entry, or of the base."""
        return self.entries[-1][1] if self.entries else self.base_index


class Replay:
    """Takes all records in order, then gives every group's state."""

    def __init__(self) -> None:
        self._groups: dict[int, Recovered] = {}
        self._last: dict[int, int] = {}  # absent until a record tells it

    def apply(self, record: Record) -> None:
        """Take the next record.

        Raises:
            ValueError: it contradicts those before it.
        """
        if record.kind is Kind.DROP:
            self._groups.pop(record.group, None)
            self._last.pop(record.group, None)
            return
        group = self._groups.get(record.group)
        if group is None:
            group = self._groups[record.group] = Recovered()
        _STEPS[record.kind](self, group, record)

    def finish(self) -> dict[int, Recovered]:
        """All groups, by number.

        Raises:
            ValueError: a group's entries do not begin after its base: something before them is missing.
        """
        for number, group in self._groups.items():
            if group.entries and group.entries[0][1] != group.base_index + 1:
                raise ValueError(
                    f"group {number} has entry {group.entries[0][1]} but not those from {group.base_index + 1} on"
                )
        return self._groups

    def _append(self, group: Recovered, record: Record) -> None:
        last = self._last.get(record.group)
        if last is not None and record.index != last + 1:
            if record.index > last:
                raise ValueError(f"group {record.group}: entry {record.index} after {last}")
            _cut(group.entries, record.index)
        group.entries.append((record.payload, record.index, record.term))
        self._last[record.group] = record.index

    def _truncate(self, group: Recovered, record: Record) -> None:
        _cut(group.entries, record.index)
        self._last[record.group] = record.index - 1

    def _hard_state(self, group: Recovered, record: Record) -> None:
        if record.term < group.term:
            raise ValueError(f"group {record.group}: term {record.term} after {group.term}")
        group.term = record.term
        group.voted_for = record.payload.decode()

    def _compact(self, group: Recovered, record: Record) -> None:
        group.base_index, group.base_term = record.index, record.term
        if group.entries:
            del group.entries[: max(0, record.index + 1 - group.entries[0][1])]
        last = self._last.get(record.group)
        if last is not None:
            self._last[record.group] = max(last, record.index)

    def _reset(self, group: Recovered, record: Record) -> None:
        group.base_index, group.base_term = record.index, record.term
        group.entries = []
        self._last[record.group] = record.index


_STEPS = {
    Kind.APPEND: Replay._append,  # noqa: SLF001 - the table belongs to the class
    Kind.TRUNCATE: Replay._truncate,  # noqa: SLF001 - the table belongs to the class
    Kind.HARD_STATE: Replay._hard_state,  # noqa: SLF001 - the table belongs to the class
    Kind.COMPACT: Replay._compact,  # noqa: SLF001 - the table belongs to the class
    Kind.RESET: Replay._reset,  # noqa: SLF001 - the table belongs to the class
}


def _cut(entries: list[tuple[bytes, int, int]], index: int) -> None:
    """Drop entries from `index` on."""
    if entries:
        del entries[max(0, index - entries[0][1]) :]
