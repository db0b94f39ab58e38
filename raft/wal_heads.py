"""Where each group's log ends, records that still wait included: refuses what would make the log unreadable. Pure."""

from collections.abc import Mapping

import msgspec

from raft.wal_replay import Recovered


class Head(msgspec.Struct, gc=False):
    """One group: its entries are those after `base_index` up to `last`."""

    base_index: int = 0
    last: int = 0
    term: int = 0
    voted_for: str = ""


class Heads:
    """All groups."""

    def __init__(self, groups: Mapping[int, Recovered]) -> None:
        self._heads = {
            number: Head(found.base_index, found.last_index, found.term, found.voted_for)
            for number, found in groups.items()
        }

    def of(self, group: int) -> Head:
        """The group's head; a new group has an empty one."""
        head = self._heads.get(group)
        if head is None:
            head = self._heads[group] = Head()
        return head

    def append(self, group: int, index: int) -> None:
        """An entry at `index`, replacing those from there on."""
        head = self._heads.get(group) or self.of(group)
        if not head.base_index < index <= head.last + 1:
            raise ValueError(f"group {group}: entry {index} does not fit after ({head.base_index}, {head.last}]")
        head.last = index

    def truncate(self, group: int, from_index: int) -> bool:
        """Entries from `from_index` on are gone. Returns whether there were any."""
        head = self.of(group)
        if from_index <= head.base_index:
            raise ValueError(f"group {group}: cannot truncate from {from_index}, compacted up to {head.base_index}")
        if from_index > head.last:
            return False
        head.last = from_index - 1
        return True

    def hard_state(self, group: int, term: int, voted_for: str) -> None:
        """A new term or vote."""
        head = self.of(group)
        if term < head.term:
            raise ValueError(f"group {group}: term {term} after {head.term}")
        head.term, head.voted_for = term, voted_for

    def compact(self, group: int, index: int) -> Head:
        """Entries up to `index` are gone."""
        head = self.of(group)
        if not head.base_index <= index <= head.last:
            raise ValueError(f"group {group}: cannot compact to {index} of ({head.base_index}, {head.last}]")
        head.base_index = index
        return head

    def reset(self, group: int, index: int) -> Head:
        """No entries; the next one follows `index`."""
        head = self.of(group)
        head.base_index = head.last = index
        return head

    def check_rewrite(self, group: int, base_index: int, indices: list[int]) -> None:
        """Refuse a rewriting that would change the group's log."""
        head = self.of(group)
        if base_index != head.base_index or indices != list(range(base_index + 1, head.last + 1)):
            raise ValueError(f"group {group}: what is rewritten is not ({head.base_index}, {head.last}]")

    def drop(self, group: int) -> None:
        """Forget the group."""
        self._heads.pop(group, None)
