"""Whose timers have run out, without looking at all of them each time (pure).

Whatever may bring the timers of a replica forward *touches* it, and it is looked at the next time. Those of the others only move
back, so no look is needed before the earliest of them that was seen.
"""

from collections.abc import Iterable, Mapping
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
        touched: those to look at the next time, in order.
    """

    def __init__(self, everyone: Mapping[int, T]) -> None:
        """`everyone` may grow; who is added must be touched."""
        self.touched: dict[T, None] = {}
        self._everyone = everyone
        self._earliest_s = float("inf")

    def expect(self, due_s: float) -> None:
        """Somebody who is not touched becomes due then."""
        self._earliest_s = min(self._earliest_s, due_s)

    def due(self, now_s: float) -> list[T]:
        """Those whose time has come. Each must be touched, or expected, by what is done with it."""
        touched, self.touched = self.touched, {}
        looked_at: Iterable[T] = touched
        earliest_s = self._earliest_s
        if now_s >= earliest_s:
            looked_at, earliest_s = self._everyone.values(), float("inf")
        due: list[T] = []
        for one in looked_at:
            due_s = one.due_s
            if due_s <= now_s:
                due.append(one)
            elif due_s < earliest_s:
                earliest_s = due_s
        self._earliest_s = earliest_s
        return due
