"""A group's log as PySyncObj wants to see it: a list in memory over the node's shared write-ahead log.

Position 0 is the *base*: the entry before the first one that is kept. Only its index and term are known (its command
was compacted away), which is all that the consistency check of AppendEntries needs; it is never sent.

`durable_index` follows the write-ahead log: entries after it may vanish in a power cut, so a leader does not count
itself for them, and messages that promise them wait (`barrier`).
"""

from collections import deque

from .wal import Wal
from .wal_replay import Recovered

Entry = tuple[bytes, int, int]  # (command, index, term): the library's order

FRESH_BASE_INDEX = 1  # the library numbers entries from 2 on; index 1 is its implicit first no-op, of term 0


class Journal:
    """One group's log and hard state.

    Attributes:
        base_index: index of the entry before the first one kept.
        last_index: index of the last entry.
        durable_index: the last one that is surely on disk.
        barrier: lsn of this group's last record: what the group says may leave when that is durable.
        unsynced: (lsn, index) of the entries on their way to disk.
        bytes: of all commands that are kept.
    """

    def __init__(self, wal: Wal, group: int, recovered: Recovered | None) -> None:
        found = recovered or Recovered(base_index=FRESH_BASE_INDEX)
        self._wal = wal
        self._group = group
        self._entries: list[Entry] = [(b"", found.base_index, found.base_term), *found.entries]
        self._term = found.term
        self._voted_for = found.voted_for
        self.base_index: int = found.base_index
        self.last_index: int = self._entries[-1][1]
        self.unsynced: deque[tuple[int, int]] = deque()
        self.durable_index = self.last_index
        self.barrier = 0 if recovered else wal.reset(group, found.base_index, found.base_term)
        self.bytes = sum(len(entry[0]) for entry in found.entries)

    # --- reading ---------------------------------------------------------------------------------------------------

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self._entries[-1][2]

    def term_at(self, index: int) -> int:
        """Term of an entry between the base and the last one, both included."""
        return self._entries[index - self.base_index][2]

    def first_index_of_term_at(self, index: int, floor: int) -> int:
        """The first index, above `floor`, of the run of entries with the same term that ends at `index`."""
        term = self.term_at(index)
        while index - 1 > floor and index - 1 > self.base_index and self.term_at(index - 1) == term:
            index -= 1
        return index

    def between(self, first: int, end: int) -> list[Entry]:
        """Entries `first <= index < end`; `first` must lie after the base."""
        base = self.base_index
        return self._entries[first - base : end - base]

    def batch(self, first: int, limit_bytes: int, limit_entries: int) -> list[Entry]:
        """Entries from `first` on, up to the limits, at least one when there is one."""
        taken = self.between(first, min(first + limit_entries, self.last_index + 1))
        size = 0
        for position, entry in enumerate(taken):
            size += len(entry[0])
            if size > limit_bytes and position:
                return taken[:position]
        return taken

    # --- changing --------------------------------------------------------------------------------------------------

    def truncate_from(self, index: int) -> None:
        """Drop the entries at `index` and after."""
        dropped = self._entries[index - self.base_index :]
        del self._entries[index - self.base_index :]
        self.last_index = self._entries[-1][1]
        self.bytes -= sum(len(entry[0]) for entry in dropped)
        self.durable_index = min(self.durable_index, index - 1)
        while self.unsynced and self.unsynced[-1][1] >= index:
            self.unsynced.pop()
        self.barrier = self._wal.truncate(self._group, index)

    def compact_to(self, index: int) -> None:
        """Drop the entries up to `index`, which a durable snapshot holds; `index` becomes the base."""
        if index <= self.base_index:
            return
        position = index - self.base_index
        term = self._entries[position][2]
        self.bytes -= sum(len(entry[0]) for entry in self._entries[1 : position + 1])
        self._entries[: position + 1] = [(b"", index, term)]
        self.base_index = index
        self.durable_index = max(self.durable_index, index)
        self.barrier = self._wal.compact(self._group, index, term)

    def reset(self, index: int, term: int) -> None:
        """Drop everything: a snapshot that ends at (`index`, `term`) took the log's place."""
        self._entries = [(b"", index, term)]
        self.base_index = self.last_index = index
        self.unsynced.clear()
        self.bytes = 0
        self.durable_index = index
        self.barrier = self._wal.reset(self._group, index, term)

    def rewrite(self) -> None:
        """Write the whole log again at the end of the write-ahead log, so that its old segments can go."""
        base = self._entries[0]
        self.barrier = self._wal.rewrite(self._group, base[1], base[2], self._entries[1:])

    def synced(self, lsn: int) -> None:
        """The write-ahead log is durable up to `lsn`."""
        unsynced = self.unsynced
        while unsynced and unsynced[0][0] <= lsn:
            index = unsynced.popleft()[1]
            self.durable_index = max(self.durable_index, index)

    # --- what the library calls ------------------------------------------------------------------------------------

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry."""
        self.barrier = self._wal.append(self._group, idx, term, command)
        self._entries.append((command, idx, term))
        self.last_index = idx
        self.bytes += len(command)
        self.unsynced.append((self.barrier, idx))

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        return self._entries[item]

    def setCurrentTerm(self, term: int, voted_for: str | None) -> None:  # noqa: N802 - the library's name
        """Record hard state."""
        if (term, voted_for or "") != (self._term, self._voted_for):
            self._term, self._voted_for = term, voted_for or ""
            self.barrier = self._wal.hard_state(self._group, term, self._voted_for)

    def getCurrentTerm(self) -> int:  # noqa: N802 - the library's name
        """The last recorded term."""
        return self._term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802 - the library's name
        """The vote of that term."""
        return self._voted_for or None

    def setRaftCommitIndex(self, index: int) -> None:  # noqa: N802 - the library's name
        """Not recorded: a restarted member learns it from the leader; a wrong one would be worse than none."""

    def getRaftCommitIndex(self) -> int:  # noqa: N802 - the library's name
        """What is surely committed: all that was compacted away."""
        return self.base_index

    def onOneSecondTimer(self) -> None:  # noqa: N802 - the library's name
        """Nothing is due by time."""

    def _destroy(self) -> None:
        """The write-ahead log is closed by the host."""
