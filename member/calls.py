"""HTTP without a socket: a request goes to the gateway's dispatcher on the loop, and what it sends comes back."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from litestar.types import HTTPScope, Message

from gateway.dispatch import Dispatcher

LIMIT_CHUNKS = 64  # of a stream, that its reader has not taken


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request: method, path and query percent-encoded, headers in lower case, body."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


class Answered(msgspec.Struct, frozen=True, gc=False):
    """An answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Sink(Protocol):
    async def begin(self, status: int, headers: dict[str, str]) -> None:
        """The head of the answer."""

    async def take(self, chunk: bytes, *, more: bool) -> None:
        """A part of its body."""


async def ask(dispatcher: Dispatcher, asked: Asked) -> Answered:
    """The whole answer to a request."""
    whole = _Whole()
    await _serve(dispatcher, asked, whole)
    return Answered(whole.status, whole.headers, b"".join(whole.parts))


class Streaming:
    """An answer that goes on; `status` and `headers` are there once `begun` is. Everything on the loop."""

    def __init__(self, dispatcher: Dispatcher, asked: Asked) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(LIMIT_CHUNKS)
        self._begun = asyncio.Event()
        self._over = False
        self._task = asyncio.get_running_loop().create_task(self._run(dispatcher, asked), name="stream")

    async def begun(self) -> None:
        """Wait for the head of the answer."""
        await self._begun.wait()

    async def next(self) -> bytes:
        """The next part of the body; b"" at its end."""
        if self._over and self._chunks.empty():
            return b""
        return await self._chunks.get()

    def end(self) -> None:
        """Send nothing more; whoever waits for a part gets the end."""
        self._over = True
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._chunks.put_nowait(b"")
        self._task.cancel()

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        """See _Sink."""
        self.status, self.headers = status, headers
        self._begun.set()

    async def take(self, chunk: bytes, *, more: bool) -> None:
        """See _Sink: waits for the reader when it is far behind."""
        if chunk:
            await self._chunks.put(chunk)
        if not more:
            await self._chunks.put(b"")

    async def _run(self, dispatcher: Dispatcher, asked: Asked) -> None:
        try:
            await _serve(dispatcher, asked, self)
        finally:
            self._over = True
            self._begun.set()
            if not self._chunks.full():
                self._chunks.put_nowait(b"")


class _Whole:
    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []

    async def begin(self, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers = status, headers

    async def take(self, chunk: bytes, *, more: bool) -> None:
        del more
        self.parts.append(chunk)


async def _serve(dispatcher: Dispatcher, asked: Asked, sink: _Sink) -> None:
    """Serve one request; its client is there until the task is cancelled."""
    came = False

    async def receive() -> Any:  # noqa: ANN401 - a message of ASGI
        nonlocal came
        if not came:
            came = True
            return {"type": "http.request", "body": asked.body, "more_body": False}
        await asyncio.get_running_loop().create_future()  # for ever
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            await sink.begin(message["status"], headers)
        elif message["type"] == "http.response.body":
            await sink.take(message["body"], more=message["more_body"])

    await dispatcher(_scope(asked), receive, send)


def _scope(asked: Asked) -> HTTPScope:
    path, _, query = asked.target.partition("?")
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in asked.headers.items()]
    scope: Any = {
        "type": "http",
        "method": asked.method,
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "headers": [*headers, (b"content-length", b"%d" % len(asked.body))],
        "client": None,
    }
    return scope  # type: ignore[no-any-return] # what the dispatcher reads of a scope
