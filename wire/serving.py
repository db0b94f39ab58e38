"""The server's end of one connection: takes requests in, bounds what is open, sends the answers.

Reading stops while too much is unanswered or unsent, or while others have their turn. What was read before that (at most what one
read brought) waits as it came and is looked at, in order, when there is room and time again.
"""

import asyncio
import logging
import math
import time
from typing import Any

from process.sweep import Sweep
from wire.connection import Connection
from wire.errors import Code, Failure
from wire.frame import (
    FAILURE,
    GOODBYE,
    HEADER,
    HELLO,
    NOTIFICATION,
    REPLY,
    REQUEST,
    TRACED_REQUEST,
    Frame,
    FrameDecoder,
)
from wire.hello import MAGIC, RefusedError, read_hello
from wire.rpc import UNDECODABLE, Call, MethodFigures, Peer, encode, maybe_applied, not_applied
from wire.service import Service
from wire.tls import Identity, check_cluster, read_identity
from wire.tracing import TRACE_BYTES

log = logging.getLogger(__name__)

_LARGE_REPLY_BYTES = 4096  # worth a look, within the turn, at what they add up to
_GOING_DOWN = "the server is shutting down"
_TOO_LATE = maybe_applied(Code.TIMEOUT, "the deadline passed before there was an answer")
_NO_ROOM = maybe_applied(Code.UNKNOWN, "the reply did not fit into the send buffer")
_LONG_REPLY = maybe_applied(Code.TOO_LARGE, "the reply is over the limit of a frame")
_BROKEN_REPLY = maybe_applied(Code.INTERNAL, "the reply cannot be sent")


class ServerConnection(Connection):
    """One accepted connection. Is the `Desk` of its calls.

    Attributes:
        peer: who is on the other end.
    """

    side = "server"

    def __init__(self, loop: asyncio.AbstractEventLoop, service: Service) -> None:
        super().__init__(loop, service.limits)
        self.peer = Peer()
        self._service = service
        self._greeted = False
        self._open: dict[int, Call[Any, Any]] = {}
        self._open_bytes = 0
        self._identity: Identity | None = None
        self._counted = 0  # bytes that the holdings have down for this connection
        self._finished_frame = False
        self._arrived = 0.0  # when what is looked at was read
        self._waits = False  # for its turn
        self._reads = True
        self._sweep = Sweep(service.limits.sweep_interval_s, self._expire)

    # --- beginning and end

    def _opened(self, transport: asyncio.Transport) -> None:
        self._cut_after(self._limits.handshake_timeout_s)
        self.peer = Peer(address=self._address)
        if self._service.credentials is not None:
            identity = read_identity(transport.get_extra_info("ssl_object").getpeercert())
            check_cluster(self._service.credentials.identity, identity)
            self._count_identity(identity)
            self.peer = Peer(identity.id, identity.cluster, identity.role, self._address)

    def _count_identity(self, identity: Identity) -> None:
        counts = self._service.by_identity
        if counts[identity] >= self._limits.peer_connections_max:
            raise RefusedError(f"{identity.role} {identity.id!r} has {counts[identity]} connections already")
        counts[identity] += 1
        self._identity = identity

    def _greet(self, frame: Frame) -> None:
        read_hello(frame, self._service.hello)
        self._cut_never()
        self._greeted = True
        self._service.newcomers.pop(self, None)
        self._decoder.frame_bytes_max = self._limits.frame_bytes_max
        self.send(HELLO, encode(self._service.hello), correlation=MAGIC)
        if self._service.draining:
            self.drain()

    def drain(self) -> None:
        """End the connection as soon as its last call is answered."""
        if not self._open:
            self.end(_GOING_DOWN, planned=True)

    def _lost(self, error: Exception | None) -> None:
        if self._greeted and error is not None:
            log.info("server: lost the connection with %s: %s", self._address, error)
        self._sweep.stop()
        for call in self._open.values():
            call.desk = None
            if call.span is not None:
                call.span.lose()
        self._open.clear()
        self._let_go()
        if self._identity is not None:
            self._service.by_identity.subtract([self._identity])
        self._service.remove(self)

    # --- what this peer makes the server keep in memory

    def data_received(self, data: bytes) -> None:
        """Take the bytes in; count those that have to wait."""
        self._service.traffic.received_bytes += len(data)
        super().data_received(data)
        if (self._decoder.held_bytes or self._counted) and not self.ending:
            self._count(progress=self._finished_frame)

    def pause_writing(self) -> None:
        """The peer reads too slowly: only now does the transport say how much waits in it."""
        super().pause_writing()
        if not self.ending:
            self._count(progress=False)

    def resume_writing(self) -> None:
        """The peer has caught up."""
        super().resume_writing()
        if self._counted:
            self._count(progress=True)

    def abort(self) -> None:
        """Cut the peer off; what is kept for it goes at once, not when the loop gets round to it."""
        super().abort()
        self._let_go()

    def _let_go(self) -> None:
        self._out = bytearray()
        self._decoder = FrameDecoder(self._limits.hello_bytes_max)
        self._counted = 0
        self._service.holdings.note(self, 0, progress=True)

    def _count(self, *, progress: bool) -> None:
        unsent = self.buffered_bytes
        held = self._decoder.held_bytes
        if unsent > self._limits.write_high_water_bytes:
            held += unsent
        self._counted = held
        cut = self._service.holdings.note(self, held, progress=progress)
        if cut:
            log.warning("server: cut off %d slow peers, which kept too much memory in use", cut)

    # --- taking frames in

    def _received(self, data: bytes) -> None:
        if not self._decoder.more:
            self._arrived = self._loop.time()
        self._decoder.feed(data)
        self._finished_frame = False
        if not self._waits:
            self._service.turns.take(self)

    def take_frames(self, frames_max: int, until: float) -> None:
        """Look at one frame, and at more while there is time for them and room for what they ask; then wait with the rest."""
        self._waits = False
        if self.ending:
            return
        try:
            self._take_some(frames_max, until)
        except RefusedError as error:
            self.end(str(error))
            return
        if self._decoder.error:
            self.end(self._decoder.error)
        elif self._decoder.more:
            self._read(on=False)
            self._go_on()
        else:
            self._read(on=True)
        if self._counted and not self.ending:
            self._count(progress=self._finished_frame and not self._decoder.more)

    def _take_some(self, frames_max: int, until: float) -> None:
        take, now = self._decoder.take, time.monotonic
        for _ in range(frames_max):
            if self._is_full() or (frame := take()) is None:
                return
            self._finished_frame = True
            if self._greeted:
                self._take(self._arrived, frame)
            else:
                self._greet(frame)
            if now() >= until or self.ending:
                return

    def _go_on(self) -> None:
        if self._decoder.more and not (self._waits or self.ending or self._is_full()):
            self._waits = True
            self._service.turns.wait(self)

    def _read(self, *, on: bool) -> None:
        if self._reads != on:
            self._reads = on
            self._set_reading(on=on)

    def _is_full(self) -> bool:
        limits = self._limits
        return (
            not self.writable
            or len(self._open) >= limits.open_calls_max
            or self._open_bytes >= limits.open_bytes_max
            or len(self._out) >= limits.write_high_water_bytes
        )

    def _wrote(self, size: int) -> None:
        self._service.traffic.sent_bytes += size

    def _flush(self) -> None:
        super()._flush()
        if self._counted and not self.ending:
            self._count(progress=False)
        if not self._reads:
            self._go_on()

    def _take(self, arrived: float, frame: Frame) -> None:
        if frame.kind == REQUEST:
            self._take_request(arrived, frame, frame.payload, b"")
        elif frame.kind == TRACED_REQUEST:
            if len(frame.payload) < TRACE_BYTES:
                raise RefusedError("a traced request without its trace")
            self._take_request(arrived, frame, frame.payload[TRACE_BYTES:], bytes(frame.payload[:TRACE_BYTES]))
        elif frame.kind == NOTIFICATION:
            self._take_notification(frame)
        elif frame.kind == GOODBYE:
            self.shut()
        else:
            raise RefusedError(f"a server takes no frame of kind {frame.kind} here")

    def _take_request(self, arrived: float, frame: Frame, payload: memoryview, origin: bytes) -> None:
        correlation = frame.correlation
        if correlation <= self._last_taken:
            raise RefusedError(f"request {correlation} came after {self._last_taken}")
        self._last_taken = correlation
        deadline = arrived + min(frame.budget_ms / 1000, self._limits.call_timeout_s_max)
        route = self._service.methods.get(frame.number)
        if self._service.draining:
            self._reject(frame, Code.UNAVAILABLE, _GOING_DOWN)
        elif route is None:
            self._reject(frame, Code.UNAVAILABLE, f"there is no method {frame.number} here")
        elif deadline <= self._loop.time():
            self._reject(frame, Code.TIMEOUT, "the deadline had passed before the request was looked at")
        else:
            method, handler, figures = route
            try:
                request = method.decode_request(payload)
            except UNDECODABLE as error:
                self._reject(frame, Code.INVALID, f"not a {method.name} request: {error}"[:200])
                return
            call = self._open_call(frame, request, deadline, figures)
            if origin and self._service.tracer is not None:
                call.span = self._service.tracer.served(method.name, origin, request)
            try:
                handler(call)
            except Exception:
                log.exception("server: the handler of %s raised", method.name)
                call.fail(maybe_applied(Code.INTERNAL, f"the handler of {method.name} failed"))

    def _open_call(self, frame: Frame, request: object, deadline: float, figures: MethodFigures) -> Call[Any, Any]:
        size = len(frame.payload)
        call: Call[Any, Any] = Call(request, self.peer, deadline, frame.correlation, size, self, figures)
        self._open[frame.correlation] = call
        self._open_bytes += size
        if deadline < self._sweep.due:
            self._sweep.watch(deadline)
        return call

    def _take_notification(self, frame: Frame) -> None:
        route = self._service.notifications.get(frame.number)
        if route is None:
            log.info("server: %s sent the unknown notification %d", self._address, frame.number)
            return
        notification, handler, role = route
        if role and self.peer.role not in ("", role):
            log.warning("server: %s %r sent a %s: dropped", self.peer.role, self.peer.node, notification.name)
            return
        try:
            message = notification.decode(frame.payload)
        except UNDECODABLE as error:
            log.warning("server: %s sent no %s: %s", self._address, notification.name, error)
            return
        try:
            handler(self.peer, message)
        except Exception:
            log.exception("server: the handler of %s raised", notification.name)

    # --- answering

    def answer(self, call: Call[Any, Any], value: object) -> None:
        """Send a reply, or the reason why it cannot be sent."""
        try:
            payload = encode(value)
        except Exception:
            log.exception("server: cannot encode the reply to a %s", type(call.request).__name__)
            self.refuse(call, _BROKEN_REPLY)
            return
        if HEADER.size + len(payload) > self._limits.frame_bytes_max:
            log.info(
                "server: the reply to a %s has %d bytes, more than a frame", type(call.request).__name__, len(payload)
            )
            self.refuse(call, _LONG_REPLY)
        elif not self._has_room_for(len(payload)):
            self.refuse(call, _NO_ROOM)
        else:
            if call.figures is not None:
                call.figures.replies += 1
            self._close_call(call, REPLY, payload)
            if call.span is not None:
                call.span.end(None)
            if len(payload) > _LARGE_REPLY_BYTES and len(self._out) > self._limits.write_high_water_bytes:
                self._count(progress=False)

    def _has_room_for(self, size: int) -> bool:
        waiting = (
            self.unsent_bytes if self.writable else self.buffered_bytes
        )  # the transport's share is small until then
        return waiting + size <= self._limits.send_buffer_bytes_max

    def refuse(self, call: Call[Any, Any], failure: Failure) -> None:
        """Send a failure."""
        if call.figures is not None:
            call.figures.failed(failure.code)
        self._close_call(call, FAILURE, encode(failure))
        if call.span is not None:
            call.span.end(failure)

    def _close_call(self, call: Call[Any, Any], kind: int, payload: bytes) -> None:
        del self._open[call.correlation]
        self._open_bytes -= call.size
        self.send(kind, payload, correlation=call.correlation)
        if self._service.draining and not self._open:
            self.end(_GOING_DOWN, planned=True)

    def _reject(self, frame: Frame, code: Code, message: str) -> None:
        self._service.figures_of(frame.number).failed(code)
        self.send(FAILURE, encode(not_applied(code, message)), correlation=frame.correlation)

    def _expire(self, now: float) -> float:
        due = [call for call in self._open.values() if call.deadline <= now]
        for call in due:
            call.fail(_TOO_LATE)
        return min((call.deadline for call in self._open.values()), default=math.inf)
