"""The frame codec: bytes in, frames out, and back. Knows no socket, no clock and no message type.

A frame is a fixed header and a payload, all numbers big-endian:

    length       u32   bytes of payload that follow the header
    kind         u8    what the frame is, see the constants below
    number       u16   which method or notification; 0 where the kind says enough
    correlation  u64   ties an answer to its request
    budget       u32   milliseconds that the caller still waits, counted from the arrival of the frame

The payload of a TRACED_REQUEST begins with the TRACE_BYTES of tracing.py; what follows is that of a REQUEST.

Invariants of the decoder, whatever a peer sends:
- the frames do not depend on how the bytes were split;
- it never holds more than the largest allowed frame, the piece that completed it and what was fed before the frames in it were taken,
  and never allocates for a length that was only claimed;
- each byte is copied a constant number of times, however small the pieces are;
- after the first broken header nothing more is decoded.
"""

import struct
from typing import Final

import msgspec

HELLO: Final = 1  # the first frame in each direction
REQUEST: Final = 2
REPLY: Final = 3
FAILURE: Final = 4  # answers a request that failed
NOTIFICATION: Final = 5  # one-way
GOODBYE: Final = 6  # the last frame in a direction; `correlation` is the last request that was taken
TRACED_REQUEST: Final = 7  # a request that is part of a trace; from version 2 on
KINDS: Final = frozenset({HELLO, REQUEST, REPLY, FAILURE, NOTIFICATION, GOODBYE, TRACED_REQUEST})

HEADER: Final = struct.Struct(">IBHQI")
BUDGET_MS_MAX: Final = (1 << 32) - 1
_HEADER_BYTES: Final = HEADER.size
_unpack: Final = HEADER.unpack_from
_NOTHING: Final = memoryview(b"")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame. `payload` is a view of the bytes that came in, so it costs nothing until it is decoded."""

    kind: int
    number: int
    correlation: int
    budget_ms: int
    payload: memoryview


def encode_header(length: int, kind: int, number: int = 0, correlation: int = 0, budget_ms: int = 0) -> bytes:
    """The header of a frame whose payload has `length` bytes."""
    return HEADER.pack(length, kind, number, correlation, budget_ms)


class FrameDecoder:
    """Cuts a stream of bytes into frames, each when it is asked for.

    Attributes:
        frame_bytes_max: the largest frame that is accepted, header included; may be changed between two frames.
        error: "" until the stream broke; then why, in words for a log.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.error = ""
        self._held = bytearray()  # the beginning of a frame whose end has not come
        self._needed = 0  # bytes that `_held` must have before another look at it is of use
        self._block = _NOTHING
        self._start = 0  # of what is not cut yet, in the block
        self._end = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of an incomplete frame and of those that nobody has asked for yet."""
        return len(self._held) + self._end - self._start

    @property
    def more(self) -> bool:
        """Whether bytes wait for `take`, which may find a frame in them or not."""
        return self._start < self._end

    def receive(self, data: bytes) -> list[Frame]:
        """Take the next piece of the stream and return the frames that it completed, in order.

        Look at `error` after the frames: they came before what broke the stream.
        """
        self.feed(data)
        return list(iter(self.take, None))

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        if self.error:
            return
        if self.more:
            self._held = bytearray(self._block[self._start :])
            self._needed = 0
            self._let_go()
        block: bytes | bytearray = data
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return
            block, self._held = self._held, bytearray()
        self._block, self._start, self._end = memoryview(block), 0, len(block)

    def take(self) -> Frame | None:
        """The next frame that is complete; when there is none, `error` tells whether the stream broke."""
        start = self._start
        needed = _HEADER_BYTES
        body = start + needed
        if body <= self._end:
            length, kind, number, correlation, budget_ms = _unpack(self._block, start)
            needed += length
            if needed > self.frame_bytes_max or kind not in KINDS:
                self.error = _complaint(needed, self.frame_bytes_max, kind)
                self._let_go()
                return None
            end = start + needed
            if end <= self._end:
                self._start = end
                return Frame(kind, number, correlation, budget_ms, self._block[body:end])
        if start < self._end:
            self._needed = needed
            self._held += self._block[start:]
        self._let_go()
        return None

    def _let_go(self) -> None:
        self._block, self._start, self._end = _NOTHING, 0, 0


def _complaint(frame_bytes: int, limit: int, kind: int) -> str:
    if kind not in KINDS:
        return f"unknown kind of frame {kind}"
    return f"a frame of {frame_bytes} bytes is over the limit of {limit}"
