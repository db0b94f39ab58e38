"""The watch of the asyncio client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from concord._async_driver import AsyncDriver
from concord._errors import ConcordError, InvalidValue
from concord._responses import error_of
from concord._sse import StreamError
from concord._transports import AsyncStream, Response, TransportError
from concord._watching import ALIVE, ALIVE_S, SILENCE_S, Event, Watching, foreign, told

T = TypeVar("T")


class AsyncWatch(Generic[T]):
    """Iterates over events for ever, over as many connections as it takes; `close` ends it.

    What is said of the errors of `Watch` holds of it.
    """

    def __init__(
        self, driver: AsyncDriver, prefix: str, kind: Any, *, after: str = "", patience_s: float | None = None
    ) -> None:
        core = driver.core
        self._driver = driver
        self._watching: Watching[T] = Watching(
            prefix, kind, after=after, retry=core.retry, rng=core.rng, patience_s=patience_s, now=core.clock()
        )
        self._stream: AsyncStream | None = None
        self._closed = asyncio.Event()
        self._events = self._run()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Event[T]]:
        return self

    async def __anext__(self) -> Event[T]:
        return told(await anext(self._events))

    def age_s(self) -> float:
        """Seconds since a gateway was last heard."""
        return self._driver.core.clock() - self._watching.heard_at

    async def close(self) -> None:
        """End the watch: its iteration stops."""
        self._closed.set()
        if (stream := self._stream) is not None:
            await stream.close()

    async def _run(self) -> AsyncIterator[Event[T] | InvalidValue]:
        core = self._driver.core
        while not self._closed.is_set():
            url = core.endpoints.choose(core.clock())
            error: Exception | None = None
            try:
                async for event in self._connection(url):
                    yield event
            except TransportError as failure:
                core.endpoints.failed(url, core.clock())
                error = failure
            except StreamError as failure:
                error = foreign(failure)
            except ConcordError as failure:
                error = failure
            finally:
                await self._end_connection()
            if not self._closed.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), self._watching.wait_s(error, core.clock()))

    async def _connection(self, url: str) -> AsyncIterator[Event[T] | InvalidValue]:
        core, watching = self._driver.core, self._watching
        if len(core.endpoints) > 1:
            await self._driver.transport.send(url, ALIVE, ALIVE_S)
        request = watching.request(dict(core.headers))
        self._stream = stream = await self._driver.transport.stream(url, request, SILENCE_S)
        if stream.status != 200:
            raise error_of(
                Response(stream.status, stream.headers, b"".join([chunk async for chunk in stream.chunks()]))
            )
        core.endpoints.answered(url)
        async for chunk in stream.chunks():
            for event in watching.feed(chunk, core.clock()):
                if self._closed.is_set():
                    return
                yield event
            if watching.is_over or self._closed.is_set():
                return

    async def _end_connection(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()
