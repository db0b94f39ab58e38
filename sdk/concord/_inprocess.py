"""What the server looks like from here when it runs in this process, and how calls get to it: no socket, no HTTP library.

The server is found by its entry point, so that a client can be installed without it.
"""

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from concord._errors import ConcordError, StoreFailed
from concord._transports import Request, Response, TransportError

T = TypeVar("T")

ENTRY_POINTS = "concord.inprocess"
INSTALL = "install Concord with its extra 'server'"
URL = "http://in-process"
"""Stands for the only gateway there is."""


class NodeAnswer(Protocol):
    """An answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class NodeStream(Protocol):
    """An answer that goes on."""

    status: int
    headers: dict[str, str]

    def next(self) -> "concurrent.futures.Future[bytes]":
        """The next part; b"" is the end."""

    def close(self) -> None:
        """Hang up; from any thread."""


class Node(Protocol):
    """A node in this process. Its methods and futures raise what `ended` gives, or the futures are cancelled, at its end."""

    id: str
    address: str

    def ended(self) -> Exception:
        """Why nothing can be done any more."""

    def ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> "concurrent.futures.Future[NodeAnswer]":
        """A request; to cancel it is to hang up."""

    def stream(self, method: str, target: str, headers: Mapping[str, str]) -> "concurrent.futures.Future[NodeStream]":
        """A request whose answer goes on."""

    def missing(self, timeout_s: float) -> str:
        """Wait until every group serves; what is missing then."""

    def serve_http(self, host: str, port: int, *, auth: bool | None, insecure: bool) -> str:
        """Serve HTTP, too; the URL."""

    def clear(self) -> None:
        """Forget all data."""

    def close(self) -> None:
        """Stop."""


def start_node(told: Mapping[str, Any]) -> Node:
    """Open a data directory as a node, and start it.

    Raises:
        ImportError: the server is not installed.
        StoreFailed: the directory or the address cannot be used.
        ValueError: an argument is wrong, or needs consent.
    """
    return _opener()(told, _refused)


def _opener() -> Callable[[Mapping[str, Any], Callable[[str, str], Exception]], Node]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - only who opens a node pays for it

    found = list(entry_points(group=ENTRY_POINTS, name="member"))
    if not found:
        raise ImportError(
            f"a server in this process needs the package's server part, which is not installed: {INSTALL}"
        )
    try:
        opener: Callable[[Mapping[str, Any], Callable[[str, str], Exception]], Node] = found[0].load()
    except ImportError as error:
        missing = (error.name or str(error)).partition(".")[0]
        raise ImportError(f"a server in this process needs {missing}, which is not installed: {INSTALL}") from error
    return opener


def _refused(code: str, message: str) -> StoreFailed:
    return StoreFailed(message, code=code)


class InProcessStream:
    """See `_transports.Stream`."""

    def __init__(self, node: Node, stream: NodeStream, silence_s: float) -> None:
        self.status = stream.status
        self.headers: Mapping[str, str] = stream.headers
        self._node = node
        self._stream = stream
        self._silence_s = silence_s

    def chunks(self) -> Iterator[bytes]:
        """Its bytes as they come."""
        while chunk := _result(self._node, self._stream.next(), self._silence_s):
            yield chunk

    def interrupt(self) -> None:
        """Make the thread that reads come to the end."""
        self._stream.close()

    def close(self) -> None:
        """End it."""
        self._stream.close()


class InProcessTransport:
    """Hands requests to a node; threads may share it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def send(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """One request."""
        del base_url
        future = self._node.ask(request.method, request.target, request.headers, request.body)
        with _Telling(request):
            answer = _result(self._node, future, timeout_s)
        return Response(answer.status, answer.headers, answer.body)

    def stream(self, base_url: str, request: Request, silence_s: float) -> InProcessStream:
        """Begin an answer that goes on."""
        del base_url
        future = self._node.stream(request.method, request.target, request.headers)
        return InProcessStream(self._node, _result(self._node, future, silence_s), silence_s)

    def close(self) -> None:
        """Stop the node."""
        self._node.close()


class AsyncInProcessStream:
    """See `_transports.AsyncStream`."""

    def __init__(self, node: Node, stream: NodeStream, silence_s: float) -> None:
        self.status = stream.status
        self.headers: Mapping[str, str] = stream.headers
        self._node = node
        self._stream = stream
        self._silence_s = silence_s

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes as they come."""
        while chunk := await _awaited(self._node, self._stream.next(), self._silence_s):
            yield chunk

    async def close(self) -> None:
        """End it."""
        self._stream.close()


class AsyncInProcessTransport:
    """The same for asyncio; the node's loop is another."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def send(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """One request."""
        del base_url
        future = self._node.ask(request.method, request.target, request.headers, request.body)
        with _Telling(request):
            answer = await _awaited(self._node, future, timeout_s)
        return Response(answer.status, answer.headers, answer.body)

    async def stream(self, base_url: str, request: Request, silence_s: float) -> AsyncInProcessStream:
        """Begin an answer that goes on."""
        del base_url
        future = self._node.stream(request.method, request.target, request.headers)
        return AsyncInProcessStream(self._node, await _awaited(self._node, future, silence_s), silence_s)

    async def close(self) -> None:
        """Stop the node."""
        await asyncio.to_thread(self._node.close)


class _Telling:
    """Around the wait for an answer: a write that was handed in may be done when the node ends."""

    def __init__(self, request: Request) -> None:
        self._is_write = "idempotency-key" in request.headers

    def __enter__(self) -> None:
        """Nothing yet."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._is_write and isinstance(error, ConcordError):
            error.applied = "unknown"


def _result(node: Node, future: "concurrent.futures.Future[T]", timeout_s: float) -> T:
    try:
        return future.result(timeout_s)
    except concurrent.futures.CancelledError:
        raise node.ended() from None
    except TimeoutError:
        future.cancel()
        raise _timed_out() from None


async def _awaited(node: Node, future: "concurrent.futures.Future[T]", timeout_s: float) -> T:
    wrapped = asyncio.wrap_future(future)
    try:
        await asyncio.wait((wrapped,), timeout=timeout_s)
    except asyncio.CancelledError:
        wrapped.cancel()
        raise
    if wrapped.cancelled():
        raise node.ended()
    if not wrapped.done():
        wrapped.cancel()
        raise _timed_out()
    return wrapped.result()


def _timed_out() -> TransportError:
    return TransportError("no answer in time", was_sent=True, timed_out=True)
