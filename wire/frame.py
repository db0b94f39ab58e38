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
- it never holds more than the largest allowed frame and the piece that completed it, and never allocates for a length
  that was only claimed;
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
    """Cuts a stream of bytes into frames.

    Attributes:
        frame_bytes_max: the largest frame that is accepted, header included; may be changed between two pieces.
        error: "" until the stream broke; then why, in words for a log.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self.error = ""
        self._held = bytearray()  # the beginning of a frame whose end has not come
        self._needed = 0  # bytes that `_held` must have before another look at it is of use

    @property
    def held_bytes(self) -> int:
        """Bytes of an incomplete frame."""
        return len(self._held)

    def receive(self, data: bytes) -> list[Frame]:
        """Take the next piece of the stream and return the frames that it completed, in order.

        Look at `error` after the frames: they came before what broke the stream.
        """
        if self.error:
            return []
        if not self._held:
            return self._cut(data)
        self._held += data
        if len(self._held) < self._needed:
            return []
        block, self._held = self._held, bytearray()
        return self._cut(block)

    def _cut(self, block: bytes | bytearray) -> list[Frame]:
        frames: list[Frame] = []
        view = memoryview(block)
        start, end = 0, len(block)
        limit, header_bytes, unpack = self.frame_bytes_max, HEADER.size, HEADER.unpack_from
        needed = header_bytes
        while end - start >= header_bytes:
            length, kind, number, correlation, budget_ms = unpack(block, start)
            needed = header_bytes + length
            if needed > limit or kind not in KINDS:
                self.error = _complaint(needed, limit, kind)
                return frames
            if end - start < needed:
                break
            body = start + header_bytes
            start += needed
            frames.append(Frame(kind, number, correlation, budget_ms, view[body:start]))
            needed = header_bytes
        self._needed = needed
        self._held += view[start:]
        return frames


def _complaint(frame_bytes: int, limit: int, kind: int) -> str:
    if kind not in KINDS:
        return f"unknown kind of frame {kind}"
    return f"a frame of {frame_bytes} bytes is over the limit of {limit}"
