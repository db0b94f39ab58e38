"""The client: one address, one connection at a time, many calls on it.

It connects when something is to be sent. Calls made meanwhile wait for the connection; a call that has to wait longer
than the connection takes to fail, fails with it. After a failed attempt the next one is made no sooner than a pause
that doubles; a call within the pause fails at once, so a caller with other servers to ask loses no time.

What a lost call means is decided by how far it came: `waiting` here it has not happened, `sent` it may have.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from process.address import parse_address
from wire.calls import CallTable
from wire.errors import Code, Failure, RpcError
from wire.frame import HEADER, NOTIFICATION, Frame
from wire.hello import Hello, RefusedError
from wire.limits import DEFAULT_LIMITS, Limits
from wire.link import Link
from wire.rpc import M, Method, Notification, Rep, Req, encode, not_applied
from wire.tls import CredentialSource, TlsConfig
from wire.tracing import TRACE_BYTES, CallSpan, Tracer

log = logging.getLogger(__name__)

_RETRY_OVERLOADED_MS = 50


class _Waiting(msgspec.Struct, eq=False):
    """A frame that cannot be sent yet; `correlation` 0 for a notification."""

    number: int
    correlation: int
    payload: bytes
    origin: bytes = b""


class RpcClient:
    """A self-reconnecting channel to one server.

    Args:
        address: `host:port`.
        tls: with it, the server must be a node of the same cluster.
        expect_node: the node id that the server must have; without TLS it is taken at its word. "" for any.
        limits: see Limits.
        cluster: the cluster to talk to: with TLS, the own certificate must be for it; without, a server that says another
            is refused. "" for any.
        node: with TLS, the node that the own certificate must be for. "" for any owner.
        tracer: with it, calls that are made within a recorded span get one of their own, which the server is told of.

    Raises:
        ValueError: the address has not that form.
        TlsConfigError: the files of `tls` cannot be used, or are somebody else's.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: TlsConfig | None = None,
        expect_node: str = "",
        limits: Limits = DEFAULT_LIMITS,
        cluster: str = "",
        node: str = "",
        tracer: Tracer | None = None,
    ) -> None:
        self.address = address
        self._tracer = tracer
        self._host, self._port = parse_address(address)
        self._limits = limits
        self._credentials = CredentialSource(tls, cluster=cluster, node=node) if tls else None
        self._hello = Hello() if tls else Hello(cluster=cluster)
        self._expect_node = expect_node
        self._listeners: list[Callable[[bool], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # from the first call on
        self._link: Link | None = None  # greeted
        self._attempt: asyncio.Task[None] | None = None
        self._backoff_s = 0.0
        self._retry_at = -math.inf
        self._closed = False
        self._calls = CallTable(limits.sweep_interval_s, self._has_left)
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0

    # --- what callers use

    @property
    def connected(self) -> bool:
        """Whether a call would be sent at once."""
        return self._link is not None

    @property
    def buffered_bytes(self) -> int:
        """Bytes that have not left this process."""
        return self._waiting_bytes + (self._link.buffered_bytes if self._link else 0)

    @property
    def in_flight(self) -> int:
        """Calls without an answer."""
        return len(self._calls)

    def on_state(self, listener: Callable[[bool], None]) -> None:
        """Call `listener(True)` whenever the server has greeted and `listener(False)` whenever it is gone again."""
        self._listeners.append(listener)

    def call(self, method: Method[Req, Rep], request: Req, timeout_s: float) -> asyncio.Future[Rep]:
        """Send a request. Needs a running event loop, always the same.

        Returns:
            A future of the reply. It fails with RpcError: the server's Failure, or one made here: UNAVAILABLE (not
            applied) when the request never left, UNKNOWN when the connection was lost after it left, TIMEOUT (not
            applied if it never left), OVERLOADED (not applied) when too much is under way, INVALID (not applied) when it is
            longer than a frame. Cancelling the future gives up the answer, not the request.

        Raises:
            TypeError: the request cannot be encoded.
        """
        loop = self._loop or self._bind()
        future: asyncio.Future[Rep] = loop.create_future()
        payload = encode(request)
        span = self._begin_span(future, method.name, request) if self._tracer is not None else None
        failure = self._obstacle(loop, len(payload), timeout_s)
        if failure is not None:
            future.set_exception(RpcError(failure))
            return future
        timeout_s = min(timeout_s, self._limits.call_timeout_s_max)
        deadline = loop.time() + timeout_s
        correlation = self._calls.add(future, method, deadline)
        link = self._link
        origin = span.origin if span is not None else b""
        if link is not None and link.writable:
            link.send_request(method.number, correlation, int(timeout_s * 1000), payload, origin)
        else:
            self._keep(_Waiting(method.number, correlation, payload, origin))
        return future

    def notify(self, notification: Notification[M], message: M) -> bool:
        """Send a one-way message if there is a connection with room for it.

        Returns:
            False when it was dropped: not connected (an attempt is then begun), or the send buffer is full. True means
            that it is on its way, not that it will arrive.

        Raises:
            TypeError: the message cannot be encoded.
            ValueError: it is longer than a frame.
        """
        loop = self._loop or self._bind()
        link = self._link
        if link is None:
            if not self._closed and loop.time() >= self._retry_at:
                self._connect(loop)
            return False
        payload = encode(message)
        size = HEADER.size + len(payload)
        if size > self._limits.frame_bytes_max:
            raise ValueError(f"a {notification.name} of {size} bytes is over the limit of a frame")
        if self._waiting_bytes + link.unsent_bytes + size > self._limits.send_buffer_bytes_max:
            return False
        if link.writable:
            link.send(NOTIFICATION, payload, notification.number)
        else:
            self._keep(_Waiting(notification.number, 0, payload))
        return True

    async def close(self) -> None:
        """End all calls and the connection. Afterwards every call fails as UNAVAILABLE."""
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        link = self._link
        if link is not None:
            link.shut()
            await link.lost
        self._forget_waiting()
        self._calls.refuse("the client is closed")
        self._calls.stop()

    # --- what stands in the way of a call, and what waits

    def _begin_span(self, future: asyncio.Future[Rep], method: str, request: object) -> CallSpan | None:
        span = self._tracer.attempt(method, self._host, self._port, request) if self._tracer is not None else None
        if span is not None:
            future.add_done_callback(lambda answered: _end_span(span, answered))
        return span

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _obstacle(self, loop: asyncio.AbstractEventLoop, payload_bytes: int, timeout_s: float) -> Failure | None:
        limits, link = self._limits, self._link
        if self._closed:
            return not_applied(Code.UNAVAILABLE, "the client is closed")
        if timeout_s <= 0:
            return not_applied(Code.TIMEOUT, "the deadline had passed before the call")
        traced_bytes = TRACE_BYTES if self._tracer is not None else 0
        if HEADER.size + payload_bytes + traced_bytes > limits.frame_bytes_max:
            return not_applied(Code.INVALID, f"a request of {payload_bytes} bytes is over the limit of a frame")
        unsent = self._waiting_bytes + (link.unsent_bytes if link else 0)
        if len(self._calls) >= limits.in_flight_max or unsent + payload_bytes > limits.send_buffer_bytes_max:
            return not_applied(Code.OVERLOADED, "too much is on its way to this server", _RETRY_OVERLOADED_MS)
        if link is None and loop.time() < self._retry_at:
            pause_ms = math.ceil((self._retry_at - loop.time()) * 1000)
            return not_applied(Code.UNAVAILABLE, "the server could not be reached a moment ago", pause_ms)
        return None

    def _keep(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._waiting_bytes += len(waiting.payload)
        if self._link is None and self._loop is not None:
            self._connect(self._loop)

    def _release(self, link: Link) -> None:
        now = link.now()
        for frame in self._waiting:
            if frame.correlation == 0:
                link.send(NOTIFICATION, frame.payload, frame.number)
                continue
            call = self._calls.wanted(frame.correlation)
            if call is not None:  # else it timed out, and was said to have not been applied
                budget_ms = max(0, int((call.deadline - now) * 1000))
                link.send_request(frame.number, frame.correlation, budget_ms, frame.payload, frame.origin)
        self._forget_waiting()

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0

    # --- connecting

    def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._attempt is None:
            self._attempt = loop.create_task(self._try_to_connect(loop))

    async def _try_to_connect(self, loop: asyncio.AbstractEventLoop) -> None:
        link = Link(loop, self._limits, self, self._hello, self._expect_node)
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                await self._dial(loop, link)
                await link.ready
        except RefusedError as error:
            log.warning("client: not talking to %s: %s", self.address, error)
        except (OSError, TimeoutError) as error:
            log.info("client: cannot connect to %s: %s", self.address, str(error) or "timeout")
        finally:
            self._attempt = None
            if self._link is not link:
                link.abort()
                self._attempt_failed(loop)

    async def _dial(self, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        context = None
        if self._credentials is not None:
            credentials = self._credentials.current()
            link.require(credentials.identity)
            context = credentials.client
        await loop.create_connection(lambda: link, self._host, self._port, ssl=context)

    def _attempt_failed(self, loop: asyncio.AbstractEventLoop) -> None:
        limits = self._limits
        self._backoff_s = min(max(2 * self._backoff_s, limits.backoff_s_min), limits.backoff_s_max)
        self._retry_at = loop.time() + self._backoff_s
        self._forget_waiting()
        self._calls.refuse("there is no connection to the server", math.ceil(self._backoff_s * 1000))

    def link_ready(self, link: Link) -> None:
        """The server has greeted: send what waits."""
        self._link = link
        self._backoff_s = 0.0
        self._retry_at = -math.inf
        self._release(link)
        self._tell(connected=True)

    def link_writable(self, link: Link) -> None:
        """The server takes bytes again: send what waits."""
        if link is self._link:
            self._release(link)

    def link_lost(self, link: Link, reason: str) -> None:
        """Decide what the connection's end means for each call."""
        if link is not self._link:
            return
        self._link = None
        log.info("client: lost the connection with %s: %s", self.address, reason)
        self._forget_waiting()
        self._calls.lose(link.may_have_happened, "the connection was lost")
        self._tell(connected=False)

    def _tell(self, *, connected: bool) -> None:
        for listener in self._listeners:
            try:
                listener(connected)
            except Exception:
                log.exception("client: a listener raised")

    def answered(self, frame: Frame) -> None:
        """An answer has come."""
        self._calls.answer(frame)

    def _has_left(self, correlation: int) -> bool:
        return self._link is not None and correlation <= self._link.queued


def _end_span(span: CallSpan, answered: asyncio.Future[Any]) -> None:
    if answered.cancelled():
        span.lose()
        return
    error = answered.exception()
    span.end(error.failure if isinstance(error, RpcError) else None)
