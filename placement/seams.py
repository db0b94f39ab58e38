"""What placement needs of its surroundings, as the smallest protocols that the real things and test doubles fit.

Clocks count seconds from any start and never go back; one process hands the same clock to everything in it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from wire.rpc import Method

Req = TypeVar("Req")
Rep = TypeVar("Rep")

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


class Channel(Protocol):
    """The calling half of `wire.RpcClient`."""

    def call(self, method: Method[Req, Rep], request: Req, timeout_s: float) -> asyncio.Future[Rep]:
        """Send a request; the future raises RpcError."""


Connect: TypeAlias = Callable[[str], Channel]
"""Gives the process's shared channel to an address `host:port`; whoever made it closes it."""


def loop_time() -> float:
    """The running loop's clock."""
    return asyncio.get_running_loop().time()


boottime: Clock = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
"""Seconds since the machine started, suspends included: what was confirmed before a suspend is old after it."""


def loop_call_later(delay: float, callback: Callable[[], object], /) -> Timer:
    """The running loop's timer."""
    return asyncio.get_running_loop().call_later(delay, callback)


def start_task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run work on the running loop; an error in it is a defect and goes to the loop's exception handler at once."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    task.add_done_callback(_report_defect)
    return task


async def stop_task(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended."""
    task.cancel()
    await asyncio.wait((task,))


def _report_defect(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        context = {"message": f"task {task.get_name()} died", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
