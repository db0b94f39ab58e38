"""Server-sent events, parsed as bytes come in, however they are cut. Pure.

The grammar is that of the HTML standard, section 9.2.6: lines end with LF, CR or CRLF; an empty one ends a block.
"""

from collections.abc import Iterator

import msgspec

LIMIT_BLOCK_BYTES = 8 << 20


class Block(msgspec.Struct, frozen=True):
    """One block: the type of its event ("" for none), its data, and its id (None for no id line)."""

    event: str
    data: bytes
    id: str | None


class StreamError(Exception):
    """The stream is none, or has a block over 8 MiB."""


class Parser:
    """Takes bytes, gives blocks."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_cr = False
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """The blocks that end in the chunk.

        Raises:
            StreamError: a block is too large, or no UTF-8 where text is.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r") or (self._after_cr and not chunk)
        self._size += len(chunk)
        *ended, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for part in ended:
            line = bytes(self._line) + part
            self._line.clear()
            if line:
                self._lines.append(line)
            elif self._lines:
                yield _block(self._lines)
                self._lines = []
                self._size = len(rest)
        self._line += rest
        if self._size > LIMIT_BLOCK_BYTES and len(self._line) + sum(map(len, self._lines)) > LIMIT_BLOCK_BYTES:
            raise StreamError(f"an event over {LIMIT_BLOCK_BYTES} bytes")


def _block(lines: list[bytes]) -> Block:
    event, place = "", None
    data: list[bytes] = []
    try:
        for line in lines:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"event":
                event = value.decode()
            elif name == b"id" and b"\0" not in value:
                place = value.decode()
            elif name == b"data":
                data.append(value)
    except UnicodeDecodeError as error:
        raise StreamError(f"an event that is not UTF-8: {error}") from error
    return Block(event, b"\n".join(data), place)
