"""The client for asyncio: the same operations as `Concord`, each one awaited."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from concord import _calls, _coordination, _many
from concord._async_driver import AsyncDriver, AsyncRunner
from concord._async_flags import AsyncFlags
from concord._async_held import AsyncLimiter, AsyncLock, AsyncService
from concord._async_watch import AsyncWatch
from concord._calls import UNSET, Call, Consistency, Freshness, Page, Told
from concord._client import BULK_CONCURRENCY, DEFAULT_URL, TIMEOUT_S_DEFAULT
from concord._coordination import Algorithm
from concord._driver import make_core
from concord._errors import ConcordError
from concord._many import Batch, Read, Written
from concord._responses import Entry
from concord._retry import Retry
from concord._sessions import AsyncSessions
from concord._spans import TracerProvider, make_tracing
from concord._transports import AsyncTransport
from concord._txn import Txn, TxnResult

T = TypeVar("T")
D = TypeVar("D")


class AsyncConcord:
    """A client of a Concord cluster, for one event loop. Needs `concord[async]`.

    The same methods with the same arguments, results and exceptions as `Concord`, which describes them.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str] = DEFAULT_URL,
        *,
        token: str = "",
        timeout: float = TIMEOUT_S_DEFAULT,
        consistency: Consistency = "linearizable",
        retry: Retry | None = None,
        transport: AsyncTransport | None = None,
        tracing: bool | TracerProvider = False,
    ) -> None:
        core = make_core(endpoints, token=token, timeout_s=timeout, retry=retry)
        self._consistency = consistency
        self._driver = AsyncDriver(core, transport or _default_transport(), make_tracing(tracing))
        self._runner: AsyncRunner = self._driver

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._driver.core.endpoints.urls)}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; nothing may be called afterwards."""
        await self._driver.transport.close()

    @overload
    async def get(
        self,
        key: str,
        *,
        type: type[T],
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> T | None: ...
    @overload
    async def get(
        self,
        key: str,
        *,
        type: type[T],
        default: D,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> T | D: ...
    @overload
    async def get(
        self,
        key: str,
        *,
        type: object = ...,
        default: object = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Any: ...
    async def get(
        self,
        key: str,
        *,
        type: Any = Any,
        default: Any = None,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """See `Concord.get`."""
        found = await self.entry(key, type=type, consistency=consistency, max_age_ms=max_age_ms, timeout=timeout)
        return default if found is None else found.value

    @overload
    async def entry(
        self,
        key: str,
        *,
        type: type[T],
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Entry[T] | None: ...
    @overload
    async def entry(
        self,
        key: str,
        *,
        type: object = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Entry[Any] | None: ...
    async def entry(
        self,
        key: str,
        *,
        type: Any = Any,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Entry[Any] | None:
        """See `Concord.entry`."""
        return await self._runner.run(_calls.get(key, type, self._fresh(consistency, max_age_ms)), timeout)

    async def put(
        self,
        key: str,
        value: object,
        *,
        ttl: int | None = None,
        content_type: str | None = None,
        if_absent: bool | None = None,
        if_revision: int | None = None,
        if_value: object = UNSET,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """See `Concord.put`."""
        condition = _calls.conditions(if_absent, if_revision, if_value, if_fence)
        return await self._runner.run(_calls.put(key, value, ttl, condition, content_type), timeout)

    async def delete(
        self,
        key: str,
        *,
        if_revision: int | None = None,
        if_value: object = UNSET,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> bool:
        """See `Concord.delete`."""
        return await self._runner.run(
            _calls.delete(key, _calls.conditions(None, if_revision, if_value, if_fence)), timeout
        )

    async def ttl(
        self, key: str, *, consistency: Consistency | None = None, timeout: float | None = None
    ) -> int | None:
        """See `Concord.ttl`."""
        return await self._runner.run(_calls.ttl(key, self._fresh(consistency, None)), timeout)

    async def touch(self, key: str, ttl: int, *, if_fence: int | None = None, timeout: float | None = None) -> int:
        """See `Concord.touch`."""
        return await self._runner.run(_calls.touch(key, ttl, _calls.fenced(if_fence)), timeout)

    async def increment(
        self,
        key: str,
        by: int = 1,
        *,
        initial: int = 0,
        ttl: int | None = None,
        min: int | None = None,
        max: int | None = None,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """See `Concord.increment`."""
        condition = _calls.fenced(if_fence)
        call = _calls.increment(key, by=by, initial=initial, ttl=ttl, minimum=min, maximum=max, condition=condition)
        return await self._runner.run(call, timeout)

    @overload
    async def get_many(
        self,
        keys: Iterable[str],
        *,
        type: type[T],
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Read[T]: ...
    @overload
    async def get_many(
        self,
        keys: Iterable[str],
        *,
        type: object = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Read[Any]: ...
    async def get_many(
        self,
        keys: Iterable[str],
        *,
        type: Any = Any,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Read[Any]:
        """See `Concord.get_many`."""
        batches = _many.get_batches(keys, type, self._fresh(consistency, max_age_ms), self._driver.core.own_writes)
        return _many.read(await self._run_batches(batches, timeout))

    async def put_many(
        self,
        items: Mapping[str, object],
        *,
        ttl: int | None = None,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> Written:
        """See `Concord.put_many`."""
        return _many.written(await self._run_batches(_many.put_batches(items, ttl, if_fence), timeout))

    async def delete_many(
        self, keys: Iterable[str], *, if_fence: int | None = None, timeout: float | None = None
    ) -> Written:
        """See `Concord.delete_many`."""
        return _many.written(await self._run_batches(_many.delete_batches(keys, if_fence), timeout))

    async def touch_many(
        self, keys: Iterable[str], ttl: int, *, if_fence: int | None = None, timeout: float | None = None
    ) -> Written:
        """See `Concord.touch_many`."""
        return _many.written(await self._run_batches(_many.touch_batches(keys, ttl, if_fence), timeout))

    async def keys(
        self,
        prefix: str = "",
        *,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[str]:
        """See `Concord.keys`."""
        cursor, more = "", True
        while more:
            call = _calls.list_keys(prefix, cursor, _calls.LIMIT_PAGE, self._fresh(consistency, max_age_ms))
            page = await self._runner.run(call, timeout)
            for entry in page.entries:
                yield entry
            cursor, more = page.cursor, bool(page.cursor)

    @overload
    def scan(
        self,
        prefix: str = ...,
        *,
        type: type[T],
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> AsyncIterator[Entry[T]]: ...
    @overload
    def scan(
        self,
        prefix: str = ...,
        *,
        type: object = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> AsyncIterator[Entry[Any]]: ...
    def scan(
        self,
        prefix: str = "",
        *,
        type: Any = Any,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Entry[Any]]:
        """See `Concord.scan`."""

        def ask(cursor: str) -> Call[Page[Told]]:
            return _calls.list_entries(prefix, type, cursor, _calls.LIMIT_PAGE, self._fresh(consistency, max_age_ms))

        pages = self._pages(ask, "", timeout)
        return Mapped(_calls.entry_of, (told async for page in pages for told in page.entries))

    @overload
    def pages(
        self,
        prefix: str = ...,
        *,
        type: type[T],
        cursor: str = ...,
        limit: int = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> AsyncIterator[Page[Entry[T]]]: ...
    @overload
    def pages(
        self,
        prefix: str = ...,
        *,
        type: object = ...,
        cursor: str = ...,
        limit: int = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> AsyncIterator[Page[Entry[Any]]]: ...
    def pages(
        self,
        prefix: str = "",
        *,
        type: Any = Any,
        cursor: str = "",
        limit: int = _calls.LIMIT_PAGE,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[Page[Entry[Any]]]:
        """See `Concord.pages`."""

        def ask(cursor: str) -> Call[Page[Told]]:
            return _calls.list_entries(prefix, type, cursor, limit, self._fresh(consistency, max_age_ms))

        return Mapped(_calls.valid, self._pages(ask, cursor, timeout))

    async def _pages(
        self, ask: Callable[[str], Call[Page[Told]]], cursor: str, timeout: float | None
    ) -> AsyncIterator[Page[Told]]:
        more = True
        while more:
            page = await self._runner.run(ask(cursor), timeout)
            yield page
            cursor, more = page.cursor, bool(page.cursor)

    async def commit(self, txn: Txn, *, timeout: float | None = None) -> TxnResult:
        """See `Concord.commit`."""
        return await self._runner.run(txn.call(), timeout)

    def lock(self, name: str, *, ttl: int = 30, wait: float | None = None) -> AsyncLock:
        """See `Concord.lock`."""
        return AsyncLock(self._runner, name, ttl, wait)

    def limiter(self, name: str, limit: int, window: int, *, algorithm: Algorithm = "fixed") -> AsyncLimiter:
        """See `Concord.limiter`."""
        return AsyncLimiter(
            self._runner, lambda cost: _coordination.limit_acquire(name, limit, window, cost=cost, algorithm=algorithm)
        )

    def service(self, name: str) -> AsyncService:
        """See `Concord.service`."""
        return AsyncService(self._runner, name)

    @overload
    def watch(
        self, prefix: str = ..., *, type: type[T], after: str = ..., patience: float | None = ...
    ) -> AsyncWatch[T]: ...
    @overload
    def watch(
        self, prefix: str = ..., *, type: object = ..., after: str = ..., patience: float | None = ...
    ) -> AsyncWatch[Any]: ...
    def watch(
        self, prefix: str = "", *, type: Any = Any, after: str = "", patience: float | None = None
    ) -> AsyncWatch[Any]:
        """See `Concord.watch`."""
        return AsyncWatch(self._driver, prefix, type, after=after, patience_s=patience)

    def flags(self, prefix: str = "flags/", *, timeout: float | None = None) -> AsyncFlags:
        """See `Concord.flags`."""
        return AsyncFlags(self.watch(prefix), prefix, self._runner.timeout_s if timeout is None else timeout)

    def sessions(self, prefix: str = "session/", *, ttl: int = 1800) -> AsyncSessions:
        """See `Concord.sessions`."""
        return AsyncSessions(self._runner, prefix, ttl)

    def _fresh(self, consistency: Consistency | None, max_age_ms: int | None) -> Freshness:
        return _calls.freshness(consistency or self._consistency, max_age_ms)

    async def _run_batches(self, batches: Iterable[Batch[Any]], timeout: float | None) -> list[Mapping[str, Any]]:
        listed = list(batches)  # what is wrong with one is raised before any is sent
        slots = asyncio.Semaphore(BULK_CONCURRENCY)

        async def run(batch: Batch[Any]) -> Mapping[str, Any]:
            async with slots:
                try:
                    return await self._runner.follow(batch.plan(), timeout)
                except ConcordError as error:
                    return dict.fromkeys(batch.keys, error)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(batch)) for batch in listed]
        return [task.result() for task in tasks]


class Mapped(Generic[T, D]):
    """What a function makes of each; when it raises, the iteration goes on after that, as that of `map` does."""

    def __init__(self, function: Callable[[T], D], source: AsyncIterator[T]) -> None:
        self._function = function
        self._source = source

    def __aiter__(self) -> AsyncIterator[D]:
        return self

    async def __anext__(self) -> D:
        return self._function(await anext(self._source))


def _default_transport() -> AsyncTransport:
    try:
        from concord._aiohttp import AiohttpTransport  # noqa: PLC0415 - only who connects pays for it
    except ImportError as error:
        raise ImportError("AsyncConcord needs aiohttp: install it, or Concord with its extra 'async'") from error
    return AiohttpTransport()
