"""Work that goes on beside everything else, and is neither forgotten nor allowed to die without a word."""

import asyncio
from collections.abc import Coroutine
from typing import Any


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
