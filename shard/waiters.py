"""Who waits for locks, found by the lock and the owner: of each request of an owner one may wait. Pure."""

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Place(NamedTuple):
    """Which lock, and whose request waits for it; a request without a name is ""."""

    name: str
    owner: str
    request: str


class Waiters(Generic[T]):
    """What waits at each place."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], dict[str, T]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many wait, not for how many owners."""
        return self._count

    def every(self) -> list[tuple[Place, T]]:
        """All of them; other threads may add and take out meanwhile."""
        return [
            (Place(name, owner, request), waiter)
            for (name, owner), waiters in list(self._of.items())
            for request, waiter in list(waiters.items())
        ]

    def add(self, place: Place, waiter: T) -> None:
        """One more, at a place where none is."""
        self._of.setdefault((place.name, place.owner), {})[place.request] = waiter
        self._count += 1

    def pop(self, place: Place) -> T | None:
        """Take the one at a place out, if there is one."""
        waiters = self._of.get((place.name, place.owner), {})
        if place.request not in waiters:
            return None
        waiter = waiters.pop(place.request)
        self._count -= 1
        if not waiters:
            del self._of[place.name, place.owner]
        return waiter

    def of_owner(self, name: str, owner: str) -> list[tuple[Place, T]]:
        """Those of all requests of an owner for a lock."""
        return [(Place(name, owner, request), waiter) for request, waiter in self._of.get((name, owner), {}).items()]
