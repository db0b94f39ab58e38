"""Objects of JSON Lines as `concord export` writes them, and as it once wrote them: with the line breaks of their values.

A line that is no object is told with its number, and the reading goes on behind it. Memory is bounded by the longest line.
"""

import collections
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, Generic, TypeVar

import msgspec

from concord.cli import exits
from concord.cli.console import CliError
from concord.cli.values import json_fault

T = TypeVar("T")

LIMIT_LINE_BYTES = 16 << 20
LIMIT_JOINED_BYTES = 2 << 20
"""Of an object over several lines: its value has a MiB at most."""
LIMIT_FAILED_JOINS = 100
"""A file in which so many objects begin and do not end is not looked through for the end of others: it would take for ever."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?')


class NotLinesError(CliError):
    """The file is none of these, and cannot be read further."""


class Piece(msgspec.Struct, Generic[T], frozen=True):
    """A part of a file.

    Attributes:
        number: of its first line, from 1.
        lines: how many it has.
        size: in bytes.
        value: what it says; None for a blank line, and when it cannot be read.
        fault: why it cannot be read.
    """

    number: int
    lines: int
    size: int
    value: T | None
    fault: str = ""


class Reader(Generic[T]):
    """Reads a file from its present place on.

    Args:
        file: JSON Lines.
        parse: what the text of an object means; raises ValueError or msgspec.DecodeError.
        lines: how many there were before.
    """

    def __init__(self, file: BinaryIO, parse: Callable[[bytes], T], lines: int) -> None:
        self._file = file
        self._parse = parse
        self._lines = lines
        self._ahead: collections.deque[bytes] = collections.deque()
        self._failed_joins = 0

    def pieces(self) -> Iterator[Piece[T]]:
        """All of it, in order.

        Raises:
            NotLinesError: a line is over 16 MiB (exit code 2).
        """
        while line := self._next():
            if len(line) == LIMIT_LINE_BYTES and not line.endswith(b"\n"):
                raise NotLinesError(
                    f"line {self._lines + 1}: over {LIMIT_LINE_BYTES} bytes",
                    "expected what concord export writes",
                    exits.USAGE,
                )
            piece = self._piece(line)
            self._lines += piece.lines
            yield piece

    def _next(self) -> bytes:
        return self._ahead.popleft() if self._ahead else self._file.readline(LIMIT_LINE_BYTES)

    def _piece(self, line: bytes) -> Piece[T]:
        number = self._lines + 1
        if line.isspace():
            return Piece(number, 1, len(line), None)
        value, fault = self._parsed(line)
        if value is None and (more := self._rest_of(line)):
            text = b"".join([line, *more])
            value, joined_fault = self._parsed(text)
            if value is not None or json_fault(text) is None:
                return Piece(number, 1 + len(more), len(text), value, joined_fault)
            self._ahead.extendleft(reversed(more))
            self._failed_joins += 1
        return Piece(number, 1, len(line), value, fault)

    def _parsed(self, text: bytes) -> tuple[T | None, str]:
        try:
            return self._parse(text), ""
        except (ValueError, RecursionError, msgspec.DecodeError) as error:
            return None, str(error)

    def _rest_of(self, line: bytes) -> list[bytes]:
        """The lines behind one in which an object began, up to its end; none when the line is whole."""
        depth, size = depth_of(line), len(line)
        more: list[bytes] = []
        if self._failed_joins >= LIMIT_FAILED_JOINS:
            return more
        while depth > 0 and size < LIMIT_JOINED_BYTES and (another := self._next()):
            more.append(another)
            depth += depth_of(another)
            size += len(another)
        return more


def depth_of(line: bytes) -> int:
    """How many more objects and lists begin than end in a line. No string of JSON is over several lines."""
    bare = _STRING.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")
