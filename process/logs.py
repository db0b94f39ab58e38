"""How a process says what happens: one record a line, as text or as JSON, whatever is in the words.

What peers and clients chose (names, addresses, reasons) gets into messages, so nothing in one may begin a line of its own
or move a terminal's cursor: control characters are written as escapes, and the further lines of a traceback are
indented, which no record is.
"""

import datetime as dt
import json
import logging
import re
import sys
from collections.abc import Callable
from typing import Literal, TextIO, TypeAlias

LogFormat: TypeAlias = Literal["text", "json"]
Context: TypeAlias = Callable[[], tuple[str, str]]
"""Ids of the trace and the span that the running code belongs to, "" when there are none."""

# C0, DEL, C1, the separators that count as line ends in Unicode, what changes the direction of text, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_INDENT = "\t"


def escaped(text: str) -> str:
    """The text with everything in it that is not plainly visible written as an escape."""
    return _UNSAFE.sub(lambda found: _escape(ord(found[0])), text)


def configure(form: LogFormat, process: str, name: str, *, context: Context, stream: TextIO | None = None) -> None:
    """Have every logger of this process write to stderr in one form; what was configured before is replaced.

    Args:
        form: of the lines.
        process: `node` or `gateway`.
        name: which one.
        context: what a record is to be tied to.
        stream: where to, when not stderr.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process, name, context) if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class TextFormatter(logging.Formatter):
    """Time, level, logger and message; a traceback follows in indented lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line itself."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """The traceback."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]  # logging's own type has no name
        return "\n".join(_INDENT + escaped(line) for line in lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a record, in ASCII: time, level, logger, message, `node` or `gateway`, and what is known of the
    request: `trace_id`, `span_id`, `request_id`. A traceback is the field `exception`.
    """  # noqa: D205 - the fields are the summary

    def __init__(self, process: str, name: str, context: Context) -> None:
        super().__init__()
        self._process = process
        self._name = name
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = dt.datetime.fromtimestamp(record.created, dt.UTC)
        said = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            self._process: self._name,
        }
        trace_id, span_id = self._context()
        request_id = getattr(record, "request_id", "")
        known = {"trace_id": trace_id, "span_id": span_id, "request_id": request_id}
        said |= {name: value for name, value in known.items() if value}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
