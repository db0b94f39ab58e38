"""What both ends of a connection have in common: cutting frames, writing once per loop turn, ending in order.

A connection goes through: made, greeted (hellos exchanged), ending (nothing that comes in counts any more), lost.
Everything that is sent during one turn of the event loop leaves in one write at the beginning of the next.
"""

import asyncio
import logging
import socket
from typing import cast

from process.address import format_address
from wire.frame import GOODBYE, HEADER, FrameDecoder
from wire.hello import Goodbye, RefusedError
from wire.limits import Limits
from wire.rpc import encode

log = logging.getLogger(__name__)

_WRITE_BYTES = 256 << 10  # in one write


class Connection(asyncio.Protocol):
    """One end. Subclasses cut the bytes of `_received` into frames and learn in `_opened` and `_lost` about beginning and end.

    Attributes:
        writable: the transport takes more bytes.
        ending: this side has said or heard the last word.
        lost: done when the transport is closed for good.
    """

    side = "connection"

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.writable = False
        self.ending = False
        self.lost: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._decoder = FrameDecoder(limits.hello_bytes_max)
        self._out = bytearray()
        self._flush_scheduled = False
        self._cut_timer: asyncio.TimerHandle | None = None
        self._last_taken = 0  # the highest correlation of a request that was acted upon
        self._address = "an unknown address"

    def now(self) -> float:
        """The clock of deadlines."""
        return self._loop.time()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the next write."""
        return len(self._out)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait here and in the transport."""
        return len(self._out) + (self._transport.get_write_buffer_size() if self._transport else 0)

    # --- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the transport up and let the subclass open the conversation."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._limits.write_high_water_bytes)
        _tune(transport.get_extra_info("socket"), self._limits.dead_peer_s)
        host, port, *_ = transport.get_extra_info("peername") or ("?", 0)
        self._address = format_address(host, port)
        self.writable = True
        try:
            self._opened(self._transport)
        except RefusedError as error:
            self.end(str(error))

    def data_received(self, data: bytes) -> None:
        """Hand the bytes over; part with a peer that sends no frames."""
        if self.ending:
            return
        try:
            self._received(data)
            if self._decoder.error:
                self.end(self._decoder.error)
        except RefusedError as error:
            self.end(str(error))

    def pause_writing(self) -> None:
        """The peer takes bytes too slowly; it has `stall_timeout_s` to catch up."""
        self.writable = False
        if not self.ending:
            self._cut_after(self._limits.stall_timeout_s)

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.writable = True
        if not self.ending:
            self._cut_never()
        if not self._flush_scheduled:
            self._schedule_flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        self.ending = True
        self.writable = False
        self._cut_never()
        self._out.clear()
        if not self.lost.done():
            self.lost.set_result(None)
        self._lost(exc)

    # --- what subclasses do

    def _opened(self, transport: asyncio.Transport) -> None:
        raise NotImplementedError

    def _received(self, data: bytes) -> None:
        raise NotImplementedError

    def _lost(self, error: Exception | None) -> None:
        raise NotImplementedError

    def _wrote(self, size: int) -> None:
        """So many bytes are handed to the transport."""

    # --- what subclasses and owners use

    def send(self, kind: int, payload: bytes, number: int = 0, correlation: int = 0, budget_ms: int = 0) -> None:
        """Send a frame with this turn's write."""
        self._out += HEADER.pack(len(payload), kind, number, correlation, budget_ms)
        self._out += payload
        if not self._flush_scheduled:
            self._schedule_flush()

    def end(self, reason: str, *, planned: bool = False) -> None:
        """Say goodbye and wait for the peer to close; cut it off when it does not.

        Closing at once would make the kernel throw away what the peer has not read yet, should bytes of it be unread here.
        """
        if self.ending:
            return
        level = logging.INFO if planned else logging.WARNING
        log.log(level, "%s: ending the connection with %s: %s", self.side, self._address, reason)
        self.ending = True
        self.send(GOODBYE, encode(Goodbye(reason)), correlation=self._last_taken)
        self._cut_after(self._limits.goodbye_timeout_s)
        self._set_reading(on=True)

    def shut(self) -> None:
        """Send what waits and close; cut the peer off when it does not take it."""
        self.ending = True
        if self.writable:
            self._write(everything=True)
        self.writable = False
        if self._transport is not None:
            self._transport.close()
        if not self.lost.done():
            self._cut_after(self._limits.goodbye_timeout_s)

    def abort(self) -> None:
        """Cut the peer off."""
        self.ending = True
        if self._transport is not None:
            self._transport.abort()

    def _set_reading(self, *, on: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if on:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _schedule_flush(self) -> None:
        self._flush_scheduled = True
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._write(everything=False)

    def _write(self, *, everything: bool) -> None:
        """Hand the transport what it takes. Piece by piece: it keeps a write, and TLS a buffer of its size, to the end."""
        while self._out and self._transport is not None and (everything or self.writable):
            if len(self._out) <= _WRITE_BYTES:
                piece, self._out = self._out, bytearray()
            else:
                piece = self._out[:_WRITE_BYTES]
                del self._out[:_WRITE_BYTES]
            self._wrote(len(piece))
            self._transport.write(piece)

    def _cut_after(self, delay_s: float) -> None:
        self._cut_never()
        self._cut_timer = self._loop.call_later(delay_s, self.abort)

    def _cut_never(self) -> None:
        if self._cut_timer is not None:
            self._cut_timer.cancel()
            self._cut_timer = None


def _tune(sock: socket.socket | None, dead_peer_s: float) -> None:
    """No delay for small writes, and a bound on how long a vanished machine keeps a connection alive."""
    if sock is None:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    quarter_s = max(1, round(dead_peer_s / 4))
    options = {
        "TCP_KEEPIDLE": quarter_s,
        "TCP_KEEPINTVL": quarter_s,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": round(dead_peer_s * 1000),
    }
    for name, value in options.items():
        if hasattr(socket, name):  # Linux has them all, others some
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
