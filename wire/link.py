"""The client's end of one connection. Its owner, the client, outlives it and has the calls."""

import asyncio
import logging
from typing import Protocol

from wire.connection import Connection
from wire.frame import FAILURE, GOODBYE, HELLO, REPLY, REQUEST, TRACED_REQUEST, Frame
from wire.hello import MAGIC, VERSION_TRACED, Hello, RefusedError, read_goodbye, read_hello
from wire.limits import Limits
from wire.rpc import encode
from wire.tls import Identity, check_server, read_identity

log = logging.getLogger(__name__)


class Owner(Protocol):
    """What a link tells its client."""

    def link_ready(self, link: "Link") -> None:
        """The server has greeted: calls may be sent."""

    def link_writable(self, link: "Link") -> None:
        """The server takes bytes again."""

    def link_lost(self, link: "Link", reason: str) -> None:
        """Nothing more will come. May be called twice."""

    def answered(self, frame: Frame) -> None:
        """A REPLY or FAILURE frame has come."""


class Link(Connection):
    """One connection to a server.

    Attributes:
        ready: done when the server has greeted; failed when it is not the right one or is gone.
        queued: correlation of the last request that was handed over.
        sent: correlation of the last request that may have left this process.
        takes_traces: the server knows TRACED_REQUEST frames.
        taken: once the server has said goodbye, the last request that it acted upon.
    """

    side = "client"

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: Limits, owner: Owner, hello: Hello, expect_node: str
    ) -> None:
        super().__init__(loop, limits)
        self.ready: asyncio.Future[None] = loop.create_future()
        self.queued = 0
        self.sent = 0
        self.taken: int | None = None
        self.takes_traces = False
        self._owner = owner
        self._hello = hello
        self._expect_node = expect_node
        self._identity: Identity | None = None
        self._reason = ""

    def require(self, own: Identity) -> None:
        """Check the server's certificate when the connection is made."""
        self._identity = own

    def send_request(self, number: int, correlation: int, budget_ms: int, payload: bytes, origin: bytes = b"") -> None:
        """Send a request, as a part of the trace `origin` if there is one. Correlations must grow."""
        self.queued = correlation
        if origin and self.takes_traces:
            self.send(TRACED_REQUEST, origin + payload, number, correlation, budget_ms)
        else:
            self.send(REQUEST, payload, number, correlation, budget_ms)

    def may_have_happened(self, correlation: int) -> bool:
        """Whether, the connection being lost, an unanswered request may have been acted upon."""
        return correlation <= self.sent and (self.taken is None or correlation <= self.taken)

    def end(self, reason: str, *, planned: bool = False) -> None:
        """Part with a server that broke the protocol. It owes nothing that would be worth waiting for."""
        if not self.ending:
            self._reason = reason
            super().end(reason, planned=planned)
            self.shut()

    def shut(self) -> None:
        """Close, and let the client know at once that it needs another connection."""
        super().shut()
        self._owner.link_lost(self, self._reason or "this client closed it")

    def resume_writing(self) -> None:
        """Let the client send what it kept."""
        super().resume_writing()
        self._owner.link_writable(self)

    def _opened(self, transport: asyncio.Transport) -> None:
        if self._identity is not None:
            server = read_identity(transport.get_extra_info("ssl_object").getpeercert())
            check_server(self._identity, server, self._expect_node)
        self.send(HELLO, encode(self._hello), correlation=MAGIC)

    def _received(self, data: bytes) -> None:
        frames = self._decoder.receive(data)
        if not self.ready.done() and frames:
            self._greet(frames.pop(0))
        answered = self._owner.answered
        for frame in frames:
            kind = frame.kind
            if kind in (REPLY, FAILURE):
                answered(frame)
            elif kind == GOODBYE:
                self.taken = frame.correlation
                self._reason = read_goodbye(frame)
                self.shut()
                return
            else:
                raise RefusedError(f"a client takes no frame of kind {kind} here")

    def _greet(self, frame: Frame) -> None:
        if frame.kind == GOODBYE:
            raise RefusedError(f"it refused this client: {read_goodbye(frame)}")
        hello = read_hello(frame, self._hello)
        if self._expect_node and hello.node not in ("", self._expect_node):
            raise RefusedError(f"it is node {hello.node!r}, not {self._expect_node!r}")
        self.takes_traces = hello.version_max >= VERSION_TRACED
        self._decoder.frame_bytes_max = self._limits.frame_bytes_max
        self.ready.set_result(None)
        self._owner.link_ready(self)

    def _flush(self) -> None:
        super()._flush()
        self.sent = self.queued

    def _lost(self, error: Exception | None) -> None:
        reason = self._reason or (str(error) if error else "the server closed the connection")
        if not self.ready.done():
            self.ready.set_exception(RefusedError(reason) if self._reason else ConnectionError(reason))
            self.ready.exception()  # nobody may be waiting any more
        self._owner.link_lost(self, reason)
