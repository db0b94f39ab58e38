"""How much each of many has of something, with one limit for each of them. Pure.

Whoever has nothing is not remembered, so there are never more entries than there are things under way.
"""


class Shares:
    """Amounts by name; the name "" stands for nobody and has no limit.

    Args:
        limit: the most that one may have.
    """

    __slots__ = ("_held", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, int] = {}

    def __len__(self) -> int:
        """How many have something."""
        return len(self._held)

    def of(self, name: str) -> int:
        """How much one has."""
        return self._held.get(name, 0)

    def take(self, name: str, amount: int = 1) -> bool:
        """Give so much (at least 0) to one, or nothing and False when that would be over the limit."""
        if not name:
            return True
        held = self._held.get(name, 0) + amount
        if held > self._limit:
            return False
        if held:
            self._held[name] = held
        return True

    def give_back(self, name: str, amount: int = 1) -> None:
        """Take back what was taken."""
        if not name:
            return
        left = self._held.get(name, 0) - amount
        if left > 0:
            self._held[name] = left
        else:
            self._held.pop(name, None)
