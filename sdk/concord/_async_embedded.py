"""The store inside this process, for asyncio.

A read of what is in memory is answered on the spot. Whatever waits for the disk goes to a few threads, so that writes of many tasks
share a sync; whoever waits for a lock has threads apart, so that nobody stands in the way of its release.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from concord import _values
from concord._async_client import AsyncConcord
from concord._async_driver import AsyncRunner
from concord._async_watch import AsyncWatch
from concord._calls import LINEARIZABLE, Call, Consistency, Freshness, fenced
from concord._embedded import FIRST_PLAIN, TIMEOUT_S_DEFAULT
from concord._errors import ConcordError, InvalidValue
from concord._many import Read, Written
from concord._responses import Entry
from concord._settled import undisturbed
from concord._store import Store
from concord._watching import Event, told

T = TypeVar("T")

WORKERS = 16
LOCK_WAITERS = 64
"""Tasks beyond them wait for the lock once there is a thread for them."""


class AsyncLocalRunner(AsyncRunner):
    """Does calls in a store in this process, in threads."""

    def __init__(self, store: Store) -> None:
        super().__init__(TIMEOUT_S_DEFAULT, time.monotonic)
        self._store = store
        self._workers = ThreadPoolExecutor(WORKERS, "concord-store")
        self._waiters = ThreadPoolExecutor(LOCK_WAITERS, "concord-lock")

    async def run(self, call: Call[T], timeout: float | None = None) -> T:
        """Do a call. When the task is cancelled it is done all the same, but what it got is given back."""
        assert call.local is not None, "what goes in bulk has methods of its own"  # noqa: S101 - a defect of ours
        pool = self._waiters if call.wait_s > 0 else self._workers
        future = pool.submit(call.local, self._store, self.timeout_s if timeout is None else timeout)
        try:
            return await undisturbed(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            if not future.cancel() and call.undo is not None:
                undo = call.undo
                future.add_done_callback(lambda done: self._undo(done, undo))
            raise

    async def do(self, work: Callable[[], T]) -> T:
        """The result of something that may wait for the disk; it is done all the same when the task is cancelled."""
        return await undisturbed(asyncio.wrap_future(self._workers.submit(work)))

    async def close(self) -> None:
        """End the store, then the threads."""
        await self.do(self._store.close)
        self._workers.shutdown(wait=False)
        self._waiters.shutdown(wait=False, cancel_futures=True)

    def _undo(self, done: "Future[T]", undo: Callable[[Store, T], object]) -> None:
        if done.exception() is None:
            self._workers.submit(undo, self._store, done.result())


class AsyncLocalWatch(AsyncWatch[T]):
    """A watch of a store in this process. It needs no connection, so it is never behind for longer than its reader is."""

    def __init__(self, runner: AsyncLocalRunner, store: Store, prefix: str, kind: Any, after: str) -> None:
        loop = asyncio.get_running_loop()
        self._runner = runner
        self._closed = asyncio.Event()
        self._wake = asyncio.Event()
        self._ready: deque[Event[T] | InvalidValue] = deque()
        self._poll = store.watching(prefix, kind, after, lambda: loop.call_soon_threadsafe(self._wake.set))

    async def __anext__(self) -> Event[T]:
        while not self._closed.is_set():
            if self._ready:
                return told(self._ready.popleft())
            self._wake.clear()
            try:
                self._ready.extend(await self._runner.do(self._poll.poll))
            except ConcordError:
                await self.close()
                raise
            if not self._ready:
                await self._wake.wait()
        raise StopAsyncIteration

    def age_s(self) -> float:
        """Always 0: there is nobody to be heard."""
        return 0.0

    async def close(self) -> None:
        """End the watch: its iteration stops."""
        self._closed.set()
        self._poll.close()
        self._wake.set()


class AsyncEmbedded(AsyncConcord):
    """A store in this process, for one event loop; see `concord.open_async`. What is said of `Embedded` holds of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._readings = store.readings
        self._runner = self._threads = AsyncLocalRunner(store)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} store in this process>"

    async def close(self) -> None:
        """Release the data directory; nothing may be called afterwards."""
        await self._threads.close()

    async def _get(
        self,
        key: str,
        *,
        type: Any = Any,
        default: Any = None,
        consistency: Consistency | None = None,  # noqa: ARG002 - there is one
        max_age_ms: int | None = None,  # noqa: ARG002 - it is as new as can be
        timeout: float | None = None,  # noqa: ARG002 - it does not wait
    ) -> Any:
        """See `Concord.get`: a look-up in a dictionary."""
        try:
            found = self._readings.plain.get(key)
        except TypeError:
            found = None
        if found is None or found.expires_ms or key < FIRST_PLAIN:
            store = self._store
            found = store.peek(key) if store.at_once(key) else await self._threads.do(lambda: store.peek(key))
            if found is None:
                return default
        try:
            return _values.decode_stored(found.value, found.content_type, type)
        except InvalidValue as error:
            raise error.of(key)  # noqa: B904 - the same

    async def _entry(
        self,
        key: str,
        *,
        type: Any = Any,
        consistency: Consistency | None = None,  # noqa: ARG002 - there is one
        max_age_ms: int | None = None,  # noqa: ARG002 - it is as new as can be
        timeout: float | None = None,  # noqa: ARG002 - it does not wait
    ) -> Entry[Any] | None:
        """See `Concord.entry`."""
        store = self._store
        return store.entry(key, type) if store.at_once(key) else await self._threads.do(lambda: store.entry(key, type))

    async def _get_many(
        self,
        keys: Iterable[str],
        *,
        type: Any = Any,
        consistency: Consistency | None = None,  # noqa: ARG002 - there is one
        max_age_ms: int | None = None,  # noqa: ARG002 - it is as new as can be
        timeout: float | None = None,  # noqa: ARG002 - it does not wait
    ) -> Read[Any]:
        """See `Concord.get_many`: 500 keys at a time as of one moment."""
        return await self._threads.do(lambda: self._store.get_many(keys, type))

    async def put_many(
        self,
        items: Mapping[str, object],
        *,
        ttl: int | None = None,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> Written:
        """See `Concord.put_many`: 500 keys at a time are durable together."""
        wait_s = TIMEOUT_S_DEFAULT if timeout is None else timeout
        return await self._threads.do(lambda: self._store.put_many(items, ttl, fenced(if_fence), wait_s))

    async def delete_many(
        self,
        keys: Iterable[str],
        *,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> Written:
        """See `Concord.delete_many`."""
        wait_s = TIMEOUT_S_DEFAULT if timeout is None else timeout
        return await self._threads.do(lambda: self._store.delete_many(keys, fenced(if_fence), wait_s))

    async def touch_many(
        self,
        keys: Iterable[str],
        ttl: int,
        *,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> Written:
        """See `Concord.touch_many`."""
        wait_s = TIMEOUT_S_DEFAULT if timeout is None else timeout
        return await self._threads.do(lambda: self._store.touch_many(keys, ttl, fenced(if_fence), wait_s))

    def _watch(
        self,
        prefix: str = "",
        *,
        type: Any = Any,
        after: str = "",
        patience: float | None = None,  # noqa: ARG002 - there is no connection to wait for
    ) -> AsyncWatch[Any]:
        """See `Concord.watch`; an id is good as `after` while the store is open."""
        return AsyncLocalWatch(self._threads, self._store, prefix, type, after)

    def _fresh(self, consistency: Consistency | None, max_age_ms: int | None) -> Freshness:  # noqa: ARG002 - there is one
        return LINEARIZABLE

    if not TYPE_CHECKING:  # their overloads are those of AsyncConcord
        get = _get
        entry = _entry
        get_many = _get_many
        watch = _watch
