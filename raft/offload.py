"""Blocking work beside the event loop: in order, each result handed back to the loop.

A thread keeps the loop free while a disk is slow. While it is fast the thread costs more than it saves: four switches between
threads that compete for the interpreter take longer than the sync of a good disk. `PromptOffload` does brief work on the loop then.
"""

import asyncio
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

PROMPT_S = 0.001  # with an average under this a disk becomes prompt …
LATE_S = 0.002  # … and it is so until the average is over this
SLOW_S = 0.016  # longer times count as this, so that one of them alone changes little …
STALL_S = 0.1  # … unless it is so long that heartbeats of others were near their end
WEIGHT = 1 / 16
DISTRUST = 4096

EXIT_STATUS_STORAGE = 70
"""Exit status of a node whose disk failed (EX_SOFTWARE in sysexits.h)."""


class Offload(Protocol):
    """Runs work elsewhere, one piece at a time and in the order given."""

    def __call__(
        self, work: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool = False
    ) -> None:
        """Run `work`, then call `done` on the loop with its result or what it raised.

        `done` is called on a later loop turn, never before this returns. Callers bound what they hand in. `brief`: on a good
        disk it takes less than a millisecond.
        """


class ThreadOffload:
    """An `Offload` with a thread of its own. Its queue is as long as its callers' own limits allow."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def __call__(
        self,
        work: Callable[[], T],
        done: Callable[[T | BaseException], None],
        *,
        brief: bool = False,  # noqa: ARG002 - all is the same to it
    ) -> None:
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
        result = _outcome(work)
        try:
            self._loop.call_soon_threadsafe(done, result)
        except RuntimeError:  # the loop is closed: the process is ending and nobody waits for the result
            return


class Pace:
    """Whether brief work is brief here: a moving average of how long it takes. Pure."""

    __slots__ = ("_average_s", "_distrusted", "is_prompt")

    def __init__(self) -> None:
        self.is_prompt = False
        self._average_s = 2 * PROMPT_S
        self._distrusted = 0  # so many more have to pass before it can count as prompt

    def observe(self, took_s: float) -> None:
        """Brief work took so long."""
        self._average_s += (min(took_s, SLOW_S) - self._average_s) * WEIGHT
        if took_s >= STALL_S:
            self._distrusted = DISTRUST
        elif self._distrusted:
            self._distrusted -= 1
        self.is_prompt = not self._distrusted and self._average_s < (LATE_S if self.is_prompt else PROMPT_S)


class PromptOffload(ThreadOffload):
    """Does brief work on the loop itself as long as that is over at once, and in its thread everything else, in order.

    A single stall holds the loop up, as a pause of the process would, which Raft is made for; then the thread has the work until
    the disk has been prompt for thousands of times.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, name: str, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        super().__init__(loop, name)
        self._clock = clock
        self._pace = Pace()
        self._here: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()  # for the next turns of the loop
        self._in_thread = 0

    def __call__(
        self, work: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool = False
    ) -> None:
        """See `Offload`."""
        if brief and not self._in_thread and self._pace.is_prompt:
            self._here.append((work, done))
            self._loop.call_soon(self._next)
            return
        self._keep_order()
        self._hand_over(work, done, brief=brief)

    def close(self) -> None:
        """See `ThreadOffload`."""
        self._keep_order()
        super().close()

    def _next(self) -> None:
        if not self._here:
            return  # the thread has it
        work, done = self._here.popleft()
        began = self._clock()
        result = _outcome(work)
        self._pace.observe(self._clock() - began)
        done(result)

    def _keep_order(self) -> None:
        while self._here:
            work, done = self._here.popleft()
            self._hand_over(work, done, brief=True)

    def _hand_over(self, work: Callable[[], T], done: Callable[[T | BaseException], None], *, brief: bool) -> None:
        def timed() -> tuple[T | BaseException, float]:
            began = self._clock()
            return _outcome(work), self._clock() - began

        def came_back(answer: tuple[T | BaseException, float] | BaseException) -> None:
            self._in_thread -= 1
            result, took_s = (answer, STALL_S) if isinstance(answer, BaseException) else answer
            if brief:
                self._pace.observe(took_s)
            done(result)

        self._in_thread += 1
        super().__call__(timed, came_back)


def _outcome(work: Callable[[], T]) -> T | BaseException:
    try:
        return work()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the loop must hear of it
        return error


def exit_process(message: str) -> None:
    """End the process at once, as `raft.disk.Fatal` asks: no handler runs, nothing more reaches the disk."""
    sys.stderr.write(f"concord: fatal: {message}\n")
    sys.stderr.flush()
    os._exit(EXIT_STATUS_STORAGE)
