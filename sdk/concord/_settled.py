"""Work of asyncio that is brought to an end although who asked for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_left: set[asyncio.Task[Any]] = set()
"""What goes on without anybody waiting: the event loop itself remembers no task."""


async def settled(work: Coroutine[Any, Any, T]) -> T:
    """Its result. Who is cancelled meanwhile waits for its end all the same, and is cancelled then, however it ended.

    The work has to bound itself. A second cancellation is obeyed at once, and the work ends in the background.
    """
    task = asyncio.get_running_loop().create_task(work)
    _left.add(task)
    task.add_done_callback(_left.discard)
    try:
        return await undisturbed(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def undisturbed(future: asyncio.Future[T]) -> T:
    """Its result. It goes on when who waits for it is cancelled, and what becomes of it then is no complaint.

    `asyncio.shield` leaves an error to the event loop's exception handler in that case, from Python 3.14 on even one that
    somebody looks at.
    """
    try:
        await asyncio.wait([future])
    except asyncio.CancelledError:
        future.add_done_callback(_look)
        raise
    return future.result()


def _look(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()  # or the event loop would complain that nobody did
