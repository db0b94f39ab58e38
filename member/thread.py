"""An event loop on a thread of its own, and one life on it.

The life is an asynchronous context: `start` returns once it was entered, `stop` leaves it and waits for the end. A `SystemExit` out of any
callback ends what runs at once and leaves the context, too; that is how a node is stopped where it stands (`raft.disk.Fatal`).
Work comes in from any thread as coroutines; none is taken once the end has begun, and whatever was taken has an outcome.
"""

import asyncio
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

LIMIT_ENDS = 8  # how often a life that is ending may be struck again


class LifeThread(Generic[T]):
    """A life on a thread that does not keep the program from ending.

    Args:
        name: of the thread.
        life: makes the context, on the thread.
        ended: makes the exception of what comes too late, or in a fork, which has not got the thread.
    """

    def __init__(
        self,
        name: str,
        life: Callable[[], AbstractAsyncContextManager[T]],
        ended: Callable[[], Exception],
    ) -> None:
        self._life = life
        self._ended = ended
        self._loop = _new_loop()
        self._entered: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._stopping = asyncio.Event()
        self._guard = threading.Lock()
        self._open = True
        self._work: set[asyncio.Task[Any]] = set()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_forked(self) -> bool:
        """Whether this process is a fork of the one that started the thread."""
        return os.getpid() != self._process

    @property
    def is_current(self) -> bool:
        """Whether the caller is on this thread, which must never wait for itself."""
        return threading.current_thread() is self._thread

    def start(self) -> T:
        """What entering the life gives; raises what it raises."""
        self._thread.start()
        return self._entered.result()

    def stop(self) -> None:
        """Leave the life, and wait until the thread has ended. Again: no more than wait."""
        if self.is_forked:
            return
        with self._guard, suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self.end)
        if not self.is_current:
            self._thread.join()

    def end(self) -> None:
        """Begin to leave; on the thread."""
        self._stopping.set()

    def submit(self, work: Coroutine[Any, Any, Any]) -> "concurrent.futures.Future[Any]":
        """Run a coroutine on the loop.

        The future raises what `ended` makes, or is cancelled, when the end comes first.

        Raises:
            Exception: it is too late: what `ended` makes.
        """
        if not self.is_forked:
            with self._guard:
                if self._open:
                    return asyncio.run_coroutine_threadsafe(self._counted(work), self._loop)
        work.close()
        raise self._ended()

    async def _counted(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what the work gives
        task = asyncio.current_task()
        assert task is not None, "a coroutine that runs is in a task"  # noqa: S101 - of asyncio
        if self._stopping.is_set():
            work.close()
            raise self._ended()
        self._work.add(task)
        try:
            return await work
        except SystemExit as end:  # it is the loop's: whoever waits for the work must not be ended by it
            self._loop.call_soon(_throw, end)
            raise self._ended() from end
        finally:
            self._work.discard(task)

    async def _live(self) -> None:
        async with self._life() as given:
            self._entered.set_result(given)
            try:
                await self._stopping.wait()
            finally:
                await self._end_work()

    async def _end_work(self) -> None:
        with self._guard:
            self._open = False
        self._stopping.set()
        for task in self._work:
            task.cancel()
        if self._work:
            await asyncio.wait(self._work)

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        living = loop.create_task(self._live(), name="life")
        try:
            self._run_to_the_end(living)
        finally:
            with self._guard:
                self._open = False
            _close(loop)
            if not self._entered.done():
                self._entered.set_exception(self._why(living))

    def _why(self, living: "asyncio.Task[None]") -> BaseException:
        """What the life failed on before it had begun; a SystemExit stays here."""
        error = None if living.cancelled() or not living.done() else living.exception()
        return error if isinstance(error, Exception) else self._ended()

    def _run_to_the_end(self, living: "asyncio.Task[None]") -> None:
        for _ in range(LIMIT_ENDS):
            try:
                self._loop.run_until_complete(living)
            except SystemExit:
                if not living.done():
                    living.cancel()
                    continue
            except asyncio.CancelledError:
                return  # after a SystemExit
            except Exception:
                if not self._entered.done():
                    return  # whoever started hears of it
                logger.exception("ending the node failed")
            return


def _throw(end: SystemExit) -> None:
    raise end


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End whatever is left on a loop, and the loop."""
    try:
        loop.run_until_complete(asyncio.sleep(0))  # what was handed in at the last moment becomes a task
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        with suppress(SystemExit):
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    """That of uvloop, where it is there."""
    try:
        import uvloop  # noqa: PLC0415 - what is installed decides
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
