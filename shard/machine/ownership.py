"""Which slots a group owns. Part of the replicated state: checked for every item when it is applied."""

from collections.abc import Iterable

from wire.slots import SLOT_COUNT


class Ownership:
    """A set of slots and the map epoch that gave it."""

    def __init__(self) -> None:
        self.epoch = 0
        self.owned = bytearray(SLOT_COUNT)  # 1 for a slot of this group

    def take(self, ranges: Iterable[tuple[int, int]], epoch: int) -> None:
        """Own exactly the slots of these ranges, both ends included; nothing happens unless `epoch` is a later one.

        Raises:
            IndexError: there is no such slot.
        """
        if epoch <= self.epoch:
            return
        owned = bytearray(SLOT_COUNT)
        for first, last in ranges:
            if first < 0 or last >= SLOT_COUNT:
                raise IndexError(f"slots {first} to {last} are not among {SLOT_COUNT}")
            owned[first : last + 1] = b"\1" * (last + 1 - first)
        self.epoch, self.owned = epoch, owned

    def ranges(self) -> list[tuple[int, int]]:
        """The owned slots as sorted, disjoint ranges that do not touch, both ends included."""
        found: list[tuple[int, int]] = []
        first = self.owned.find(1)
        while first >= 0:
            end = self.owned.find(0, first)
            last = (end if end >= 0 else SLOT_COUNT) - 1
            found.append((first, last))
            first = self.owned.find(1, last + 1)
        return found


def normalized(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same slots as sorted, disjoint ranges that do not touch."""
    ownership = Ownership()
    ownership.take(ranges, 1)
    return ownership.ranges()
