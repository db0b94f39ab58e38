"""What a person sees: errors on one line, tables, a progress line. Colour and progress only on a terminal."""

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Literal, TextIO

from concord.cli.exits import CODES, FAILED, RETRYABLE, UNKNOWN

BOLD, RED, GREEN, YELLOW, DIM = "1", "31", "32", "33", "2"
BAR_COLUMNS = 30
BAR_EVERY_S = 0.1


class CliError(Exception):
    """A command cannot do what it was asked to.

    Attributes:
        message: one line for a person.
        hint: what to do; "" when nothing is known.
        exit_code: that of the command.
        code: for a program, of docs/errors.md where it is an error of the API; else it goes by the exit code.
        applied: False, or "unknown" when a write may have been applied.
        retryable: whether the same command may succeed later.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = FAILED, code: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.code = code or CODES.get(exit_code, CODES[FAILED])
        self.applied: Literal[False, "unknown"] = "unknown" if exit_code == UNKNOWN else False
        self.retryable = exit_code in RETRYABLE


def complain(message: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"concord: {harmless(' '.join(message.split()))}\n")
    sys.stderr.flush()


def tell(error: CliError, *, as_json: bool) -> None:
    """Write an error to stderr: as a line for a person, or as one of JSON."""
    if not as_json:
        complain(str(error))
        return
    import msgspec  # noqa: PLC0415 - only what a command needs

    said = {"code": error.code, "message": error.message, "applied": error.applied, "retryable": error.retryable}
    line = msgspec.json.encode({"error": said | ({"hint": error.hint} if error.hint else {})})
    sys.stderr.write(line.decode() + "\n")
    sys.stderr.flush()


def harmless(text: str) -> str:
    """The text without what a terminal would obey: control characters are spelled out; newlines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text)


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


class Bar:
    """How far something has come: a bar when it is known how much there is, else a count; shown ten times a second.

    Args:
        stream: stderr.
        what: the things that are counted, as "keys".
        clock: monotonic, in seconds.
    """

    def __init__(self, stream: TextIO, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = Progress(stream)
        self._what = what
        self._clock = clock
        self._began_at = clock()
        self._shown_at = -math.inf

    def show(self, count: int, share: float | None) -> None:
        """So many are done, which is this share of all (0 to 1; None when that is not known)."""
        now = self._clock()
        if now - self._shown_at < BAR_EVERY_S:
            return
        self._shown_at = now
        rate = count / max(now - self._began_at, 0.001)
        self._progress.show(f"{bar(share)}{count:,} {self._what}, {rate:,.0f} a second")

    def clear(self) -> None:
        """Remove the line."""
        self._progress.clear()


def bar(share: float | None) -> str:
    """`[#######       ]  50 %  `; nothing when the share is not known."""
    if share is None:
        return ""
    within = min(1.0, max(0.0, share))
    return f"[{'#' * round(within * BAR_COLUMNS):<{BAR_COLUMNS}}] {within:4.0%}  "
