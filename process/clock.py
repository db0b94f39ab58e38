"""Time, as it is handed to whatever waits or measures, so that a test or a simulation can hand in its own.

Clocks count seconds from any start and never go back; one process hands the same clock to everything in it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeAlias

Clock: TypeAlias = Callable[[], float]
Sleep: TypeAlias = Callable[[float], Awaitable[object]]


class Timer(Protocol):
    """A callback that waits for its time."""

    def cancel(self) -> object:
        """Forget the callback; without effect once it ran."""


class CallLater(Protocol):
    """`loop.call_later`: run a callback once, after a delay in seconds."""

    def __call__(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Arm the timer."""


def loop_time() -> float:
    """The running loop's clock."""
    return asyncio.get_running_loop().time()


boottime: Clock = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Seconds since the machine started, suspends included: what was confirmed before a suspend is old after it."""


def loop_call_later(delay: float, callback: Callable[[], object], /) -> Timer:
    """The running loop's timer."""
    return asyncio.get_running_loop().call_later(delay, callback)
