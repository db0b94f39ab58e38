"""Whose frames are looked at when peers send more than a turn of the event loop has time for.

What a connection has read is looked at at once while the turn is young. After that, each takes one frame of what it reads and waits with the
rest; those that wait go on in the next turns, in rounds, a few frames of each. So thousands of requests, of one peer or of
many, hold up neither the loop's timers nor the request of another for longer than a round takes.
"""

import asyncio
import time
from collections import deque
from typing import Protocol

_READ_FRAMES = 1024  # of a connection that has just read
_SLICE_FRAMES = 16  # of a connection that waits, before the next one's turn


class Taker(Protocol):
    """A connection that has read frames."""

    def take_frames(self, frames_max: int, until: float) -> None:
        """Look at one, and at more up to `frames_max` while it is not `until` (of time.monotonic) yet; `wait` with what is left then."""


class Turns:
    """The time that all connections of a server have for frames in one turn of the loop.

    Args:
        turn_s: how long that is.
    """

    def __init__(self, turn_s: float) -> None:
        self._turn_s = turn_s
        self._waiting: deque[Taker] = deque()
        self._until = 0.0
        self._scheduled = False

    def take(self, taker: Taker) -> None:
        """Let it look at what it has just read."""
        if not self._scheduled:
            self._begin()
        taker.take_frames(_READ_FRAMES, self._until)

    def wait(self, taker: Taker) -> None:
        """Let it go on in a later turn. One that waits may be lost meanwhile and is called all the same."""
        self._waiting.append(taker)
        if not self._scheduled:
            self._begin()

    def _begin(self) -> None:
        self._until = time.monotonic() + self._turn_s
        self._scheduled = True
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        if not self._waiting:
            return
        self._begin()
        for _ in range(len(self._waiting)):
            self._waiting.popleft().take_frames(_SLICE_FRAMES, self._until)
            if time.monotonic() >= self._until:
                return
