"""What a state that was read page by page holds already, so that no change is told twice and none is left out. Pure.

Each page of a group is as of an index of its own, the later the page the later the index. A change up to the index of the
page in whose range its key lies is part of the state; every other one is not.
"""

from bisect import bisect_left

from wire.positions import Position


class Coverage:
    """The pages of one group, read in the order of keys."""

    def __init__(self) -> None:
        self._ends: list[str] = []
        self._indexes: list[int] = []

    def add_page(self, last_key: str | None, index: int) -> None:
        """A page ends with this key (None: it is the last one) and was read at `index`."""
        if last_key is not None:
            self._ends.append(last_key)
        self._indexes.append(index)

    @property
    def first(self) -> Position:
        """Every change up to here is in the state."""
        return Position(self._indexes[0])

    @property
    def last(self) -> Position:
        """No change after this is in the state."""
        return Position(self._indexes[-1])

    def holds(self, key: str, index: int) -> bool:
        """Whether a change of a key at `index` is in the state."""
        return index <= self._indexes[bisect_left(self._ends, key)]
