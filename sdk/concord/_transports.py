"""The only seam to the network: what a client needs of an HTTP library, and what it says and hears through it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec

LIMIT_BODY_BYTES = 80 << 20
"""Of an answer: 64 MiB of values in one bulk get, and what is around them."""
CONNECT_TIMEOUT_S = 1.0
"""For one connection attempt: a gateway that is gone must not eat the deadline."""
CHUNK_BYTES = 65_536

NO_HTTP = "what answers there speaks no HTTP"
NO_ANSWER = "no answer in time"
"""What a TransportError says of a port that is no gateway's, among others."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """What is sent, apart from where to.

    Attributes:
        method: the HTTP method.
        target: path and query, percent-encoded.
        headers: names in lower case.
        body: its bytes.
    """

    method: str
    target: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""


class Response(msgspec.Struct, frozen=True, gc=False):
    """What came back; `headers` is read with names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No whole answer came.

    Attributes:
        was_sent: whether the request may have reached the server.
        timed_out: whether the time was up.
    """

    def __init__(self, message: str, *, was_sent: bool, timed_out: bool = False) -> None:
        super().__init__(message)
        self.was_sent = was_sent
        self.timed_out = timed_out


class Stream(Protocol):
    """An answer that goes on."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> Iterator[bytes]:
        """Its bytes as they come; raises TransportError when the connection breaks or says nothing for too long."""

    def interrupt(self) -> None:
        """Make the thread that reads come to the end; from any other."""

    def close(self) -> None:
        """End it, by the thread that reads."""


class AsyncStream(Protocol):
    """The same for asyncio."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """See Stream."""

    async def close(self) -> None:
        """End it."""


class Transport(Protocol):
    """An HTTP client with a pool of connections; threads may share it. Follows no redirects.

    What it repeats by itself, after a connection that was closed, is what has an idempotency key or is a read.
    """

    def send(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """One request; raises TransportError."""

    def stream(self, base_url: str, request: Request, silence_s: float) -> Stream:
        """Begin an answer that goes on, and may be silent for `silence_s`; raises TransportError."""

    def close(self) -> None:
        """Close all connections."""


class AsyncTransport(Protocol):
    """The same for asyncio."""

    async def send(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """See Transport."""

    async def stream(self, base_url: str, request: Request, silence_s: float) -> AsyncStream:
        """See Transport."""

    async def close(self) -> None:
        """Close all connections."""
