"""Deadlines of many things with one timer.

A timer for each call or request would cost more than what it is for. Here one timer is set to the earliest deadline known; when
it rings, the owner looks through what is open once and says when the next one is due. With equal timeouts and quick answers
what it was set for is long gone, so a search happens about once in a timeout, not once in a call.
"""

import asyncio
import math
from collections.abc import Callable


class Sweep:
    """Calls `expire` when a deadline may have passed.

    Args:
        interval_s: the least time between two calls of `expire`.
        expire: ends what is due at the time given, by the clock of the running loop, and returns the earliest deadline left, infinity when there is none.

    Attributes:
        due: a deadline that is not before this needs no `watch`.
    """

    def __init__(self, interval_s: float, expire: Callable[[float], float]) -> None:
        self._interval_s = interval_s
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None
        self.due = math.inf

    def watch(self, deadline: float) -> None:
        """Make sure that `expire` is called once `deadline` has passed."""
        if deadline < self.due:
            self._arm(deadline)

    def stop(self) -> None:
        """Forget all deadlines."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.due = math.inf

    def _arm(self, due: float) -> None:
        self.stop()
        self.due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._run)

    def _run(self) -> None:
        self.stop()
        now = asyncio.get_running_loop().time()
        earliest = self._expire(now)
        if earliest < math.inf:
            self._arm(max(earliest, now + self._interval_s))
