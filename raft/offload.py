"""Blocking work off the event loop: one thread, in order, each result handed back to the loop."""

import asyncio
import os
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")

EXIT_STATUS_STORAGE = 70
"""Exit status of a node whose disk failed (EX_SOFTWARE in sysexits.h)."""


class Offload(Protocol):
    """Runs work elsewhere, one piece at a time and in the order given."""

    def __call__(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        """Run `work`, then call `done` on the loop with its result or what it raised.

        `done` is called on a later loop turn, never before this returns. Callers bound what they hand in.
        """


class ThreadOffload:
    """An `Offload` with a thread of its own. Its queue is as long as its callers' own limits allow."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def __call__(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        """See `Offload`."""
        self._jobs.put(partial(self._run, work, done))

    def close(self) -> None:
        """Finish what was handed in, then end the thread. Results that the loop has not seen yet still reach it."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _run(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        result: T | BaseException
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the loop must hear of it
            result = error
        try:
            self._loop.call_soon_threadsafe(done, result)
        except RuntimeError:  # the loop is closed: the process is ending and nobody waits for the result
            return


def exit_process(message: str) -> None:
    """End the process at once, as `raft.disk.Fatal` asks: no handler runs, nothing more reaches the disk."""
    sys.stderr.write(f"concord: fatal: {message}\n")
    sys.stderr.flush()
    os._exit(EXIT_STATUS_STORAGE)
