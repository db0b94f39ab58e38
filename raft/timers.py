"""Whose timers have run out, without looking at all of them each time (pure).

Whatever may bring the timers of a replica forward *touches* it, and it is looked at the next time. Those of the others only move
back, so no look is needed before the earliest of them that was seen.
"""

from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """Something with a timer."""

    @property
    def due_s(self) -> float:
        """When it runs out; only then is it looked at, unless touched."""


T = TypeVar("T", bound=Timed)


class Timers(Generic[T]):
    """The timers of the replicas of a node.

    Attributes:
        touched: those to look at the next time, in order; whoever is touched for the first time is watched from then on.
    """

    def __init__(self) -> None:
        self.touched: dict[T, None] = {}
        self._watched: dict[T, None] = {}
        self._earliest_s = float("inf")

    def leave(self, one: T) -> None:
        """Watch it no more, until it is touched."""
        self._watched.pop(one, None)

    def due(self, now_s: float) -> list[T]:
        """Those whose time has come. Each must be touched, or left, by what is done with it."""
        self._watched.update(self.touched)
        looked_at, earliest_s = list(self.touched), self._earliest_s
        self.touched.clear()
        if now_s >= earliest_s:
            looked_at, earliest_s = list(self._watched), float("inf")
        due: list[T] = []
        for one in looked_at:
            due_s = one.due_s
            if due_s <= now_s:
                due.append(one)
            elif due_s < earliest_s:
                earliest_s = due_s
        self._earliest_s = earliest_s
        return due
