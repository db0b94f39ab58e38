"""The hashes that this replica takes of its own state: a millisecond at a time, and the newest are kept."""

from collections.abc import Callable

from shard.machine import Machine, StateHash
from shard.seams import ChecksumPace, Scheduler, Timer

KEPT = 8


class OwnHashes:
    """One hash is taken at a time; a newer request takes the place of one that is not finished."""

    def __init__(
        self, machine: Machine, scheduler: Scheduler, pace: ChecksumPace, taken: Callable[[int, int], None]
    ) -> None:
        """`taken` is told each index and its hash."""
        self._machine = machine
        self._scheduler = scheduler
        self._pace = pace
        self._taken = taken
        self._known: dict[int, int] = {}  # by index, the oldest first
        self._index = 0
        self._hashing: StateHash | None = None
        self._timer: Timer | None = None

    @property
    def newest_index(self) -> int:
        """Index of the newest hash; 0 when there is none."""
        return next(reversed(self._known), 0)

    def get(self, index: int) -> int | None:
        """The hash of the state at an index, if it is known."""
        return self._known.get(index)

    def is_taking(self, index: int) -> bool:
        """Whether it will be known."""
        return self._hashing is not None and self._index == index

    def begin(self, index: int) -> None:
        """The present state is the one at `index`: take its hash."""
        self.abandon()
        self._index = index
        self._hashing = self._machine.begin_hash()
        self._timer = self._scheduler.call_later(self._pace.pause_s, self._go_on)

    def abandon(self) -> None:
        """Give up the hash that is being taken."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._hashing is not None:
            self._hashing.abandon()
            self._hashing = None

    def _go_on(self) -> None:
        hashing = self._hashing
        if hashing is None:
            return
        until = self._scheduler.time() + self._pace.slice_s
        while hashing.step():
            if self._scheduler.time() >= until:
                self._timer = self._scheduler.call_later(self._pace.pause_s, self._go_on)
                return
        self._timer = self._hashing = None
        self._known[self._index] = hashing.finish()
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        self._taken(self._index, self._known[self._index])
