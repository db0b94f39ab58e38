"""What a process writes to its log: one record a line, whatever is in the words."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from process.logs import LogFormat, configure, escaped

FORGED = "n1\n2026-01-01 00:00:00,000 INFO shard.process node stopped\r\x1b[2J\u2028{}"
TRACE = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(form: LogFormat, trace: tuple[str, str] = ("", ""), request_id: str = "") -> str:
    stream = io.StringIO()
    configure(form, "node", "n1", context=lambda: trace, stream=stream)
    log = logging.getLogger("test.room")
    log.warning("lost the connection with %s", FORGED, extra={"request_id": request_id})
    try:
        int(FORGED)
    except ValueError:
        log.exception("it failed")
    return stream.getvalue()


@pytest.mark.usefixtures("_restored")
def test_no_name_can_forge_a_line_of_text() -> None:
    lines = written("text").split("\n")
    records = [line for line in lines if line and not line.startswith("\t")]
    assert [line.split(" ", 4)[2:4] for line in records] == [["WARNING", "test.room"], ["ERROR", "test.room"]]
    assert not any(mark in line for line in lines for mark in "\r\x1b\u2028")
    assert "\\x0a2026-01-01" in records[0]
    assert "\tTraceback (most recent call last):" in lines


@pytest.mark.usefixtures("_restored")
def test_a_line_of_json_is_one_object_with_what_is_known_of_the_request() -> None:
    lines = written("json", TRACE, "r-1").splitlines()
    assert len(lines) == 2
    assert all(line.isascii() and line.isprintable() for line in lines)
    first, second = map(json.loads, lines)
    assert list(first) == ["time", "level", "logger", "message", "node", "trace_id", "span_id", "request_id"]
    assert first["message"] == f"lost the connection with {FORGED}"
    assert (first["level"], first["logger"], first["node"]) == ("warning", "test.room", "n1")
    assert (first["trace_id"], first["span_id"], first["request_id"]) == (*TRACE, "r-1")
    assert first["time"].endswith("Z")
    assert "Traceback" in second["exception"]
    assert "request_id" not in second


@pytest.mark.usefixtures("_restored")
def test_without_a_trace_a_line_says_nothing_of_one() -> None:
    assert list(json.loads(written("json").splitlines()[0])) == ["time", "level", "logger", "message", "node"]


def test_what_is_plainly_visible_stays_as_it_is() -> None:
    assert escaped("größer 漢字 🙂 a\\b") == "größer 漢字 🙂 a\\b"
    assert escaped("a\tb\x85\u202e\ud800") == "a\\x09b\\x85\\u202e\\ud800"
