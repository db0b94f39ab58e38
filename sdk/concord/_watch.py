"""The watch of the sync client."""

import contextlib
import threading
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from concord._driver import Driver
from concord._errors import ConcordError, InvalidValue
from concord._responses import error_of
from concord._sse import StreamError
from concord._transports import Response, Stream, TransportError
from concord._watching import ALIVE, ALIVE_S, SILENCE_S, Event, Watching, foreign, told

T = TypeVar("T")


class Watch(Generic[T]):
    """Iterates over events for ever, over as many connections as it takes; `close` ends it, from any thread.

    One thread iterates at a time. A value that is not of the type that was asked for raises InvalidValue, which has its `key` and the `id` of
    the event, in its place; `next` goes on after it. Any other error ends the watch.
    """

    def __init__(
        self, driver: Driver, prefix: str, kind: Any, *, after: str = "", patience_s: float | None = None
    ) -> None:
        core = driver.core
        self._driver = driver
        self._watching: Watching[T] = Watching(
            prefix, kind, after=after, retry=core.retry, rng=core.rng, patience_s=patience_s, now=core.clock()
        )
        self._stream: Stream | None = None
        self._closed = threading.Event()
        self._events = self._run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event[T]]:
        return self

    def __next__(self) -> Event[T]:
        return told(next(self._events))

    def age_s(self) -> float:
        """Seconds since a gateway was last heard."""
        return self._driver.core.clock() - self._watching.heard_at

    def close(self) -> None:
        """End the watch: its iteration stops."""
        self._closed.set()
        if (stream := self._stream) is not None:
            stream.interrupt()
        with contextlib.suppress(ValueError):  # a thread is in it, and will come to the end
            self._events.close()

    def _run(self) -> Generator[Event[T] | InvalidValue, None, None]:
        core = self._driver.core
        while not self._closed.is_set():
            url = core.endpoints.choose(core.clock())
            error: Exception | None = None
            try:
                yield from self._connection(url)
            except TransportError as failure:
                core.endpoints.failed(url, core.clock())
                error = failure
            except StreamError as failure:
                error = foreign(failure)
            except ConcordError as failure:
                error = failure
            finally:
                self._end_connection()
            if not self._closed.is_set():
                self._closed.wait(self._watching.wait_s(error, core.clock()))

    def _connection(self, url: str) -> Iterator[Event[T] | InvalidValue]:
        core, watching = self._driver.core, self._watching
        if len(core.endpoints) > 1:
            self._driver.transport.send(url, ALIVE, ALIVE_S)
        request = watching.request(dict(core.headers))
        self._stream = stream = self._driver.transport.stream(url, request, SILENCE_S)
        if stream.status != 200:
            raise error_of(Response(stream.status, stream.headers, b"".join(stream.chunks())))
        core.endpoints.answered(url)
        for chunk in stream.chunks():
            for event in watching.feed(chunk, core.clock()):
                if self._closed.is_set():
                    return
                yield event
            if watching.is_over or self._closed.is_set():
                return

    def _end_connection(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
