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
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, or the event loop would complain that nobody did
        raise
