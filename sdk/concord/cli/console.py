"""What a person sees: errors on one line, tables, a progress line. Colour and progress only on a terminal."""

import os
import sys
from collections.abc import Sequence
from typing import TextIO

BOLD, RED, DIM = "1", "31", "2"


class CliError(Exception):
    """A command cannot do what it was asked to; the message is one line for a person, with a hint where there is one."""

    def __init__(self, message: str, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.exit_code = exit_code


def complain(message: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"concord: {' '.join(message.split())}\n")
    sys.stderr.flush()


def paint(text: str, style: str, stream: TextIO) -> str:
    """Style a text when `stream` is a terminal and NO_COLOR (https://no-color.org) is not set."""
    if os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO) -> str:
    """Left-aligned columns, two blanks apart, with a bold heading when `stream` is a terminal."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    heading = "  ".join(cell.ljust(width) for cell, width in zip(headings, widths, strict=True)).rstrip()
    return "\n".join([paint(heading, BOLD, stream), *lines]) + "\n"


class Progress:
    """One line on stderr that is written over and over; silent when stderr is not a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = False

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._stream.isatty():
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write("\r\x1b[K" + text[: columns - 1])
            self._stream.flush()
            self._shown = True

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False
