"""Helpers of the tests of wire/: small messages, a server with a client, a peer that sends whatever it is told to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import msgspec
import pytest

from wire import Call, Failure, Limits, Method, Notification, RpcClient, RpcError, RpcServer
from wire.frame import HELLO, REQUEST, Frame, FrameDecoder, encode_header
from wire.hello import MAGIC, Hello
from wire.limits import DEFAULT_LIMITS
from wire.rpc import encode

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, None]], None]


class Text(msgspec.Struct, frozen=True, array_like=True):
    text: str
    data: bytes = b""


ECHO = Method(1000, "echo", Text, Text)
KEEP = Method(1001, "keep", Text, Text)
TOLD = Notification(1002, "told", Text)


class Fixture:
    """A server whose `echo` answers at once and whose `keep` keeps its calls in `kept`, and a client of it."""

    def __init__(self, server: RpcServer, client: RpcClient) -> None:
        self.server = server
        self.client = client
        self.kept: list[Call[Text, Text]] = []
        self.told: list[str] = []
        server.on(ECHO, lambda call: call.reply(call.request))
        server.on(KEEP, self.kept.append)
        server.on_notification(TOLD, lambda _, message: self.told.append(message.text))

    def echo(self, text: str, timeout_s: float = 10.0) -> asyncio.Future[Text]:
        return self.client.call(ECHO, Text(text), timeout_s)

    def keep(self, text: str, timeout_s: float = 10.0) -> asyncio.Future[Text]:
        return self.client.call(KEEP, Text(text), timeout_s)


@asynccontextmanager
async def pair(
    limits: Limits = DEFAULT_LIMITS, client_limits: Limits | None = None, *, cluster: str = "", node: str = ""
) -> AsyncIterator[Fixture]:
    server = RpcServer(limits, cluster=cluster, node=node)
    await server.start("127.0.0.1", 0)
    client = RpcClient(server.address, limits=client_limits or limits)
    try:
        yield Fixture(server, client)
    finally:
        await client.close()
        await server.close(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail when it does not within ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def failure_of(call: Awaitable[object]) -> Failure:
    with pytest.raises(RpcError) as caught:
        await call
    return caught.value.failure


def frame(kind: int, payload: bytes = b"", number: int = 0, correlation: int = 0, budget_ms: int = 0) -> bytes:
    return encode_header(len(payload), kind, number, correlation, budget_ms) + payload


def hello(**names: Any) -> bytes:
    return frame(HELLO, encode(Hello(**names)), correlation=MAGIC)


def request(correlation: int, text: str = "", method: Method[Any, Any] = KEEP, budget_ms: int = 10_000) -> bytes:
    return frame(REQUEST, encode(Text(text)), method.number, correlation, budget_ms)


class RawPeer:
    """One end of a plain TCP connection, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = FrameDecoder(64 << 20)
        self._frames: list[Frame] = []

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def receive(self) -> Frame | None:
        """The next frame, None at the end of the stream."""
        while not self._frames:
            try:
                data = await asyncio.wait_for(self.reader.read(1 << 16), 10)
            except ConnectionError:
                return None
            if not data:
                return None
            self._frames = self._decoder.receive(data)
        return self._frames.pop(0)

    async def greet(self, **names: Any) -> None:
        self.send(hello(**names))
        answer = await self.receive()
        assert answer is not None
        assert answer.kind == HELLO

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def raw_client(address: str) -> AsyncIterator[RawPeer]:
    host, _, port = address.rpartition(":")
    peer = RawPeer(*await asyncio.open_connection(host, int(port)))
    try:
        yield peer
    finally:
        await peer.close()


@asynccontextmanager
async def raw_server(script: Callable[[RawPeer], Awaitable[None]]) -> AsyncIterator[str]:
    """The address of a server that runs `script` with each peer and then hangs up."""
    peers: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peers.append(task)
        peer = RawPeer(reader, writer)
        try:
            await script(peer)
        except asyncio.CancelledError:  # the test is over
            pass
        finally:
            await peer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for task in peers:
            task.cancel()
        await asyncio.gather(*peers, return_exceptions=True)
