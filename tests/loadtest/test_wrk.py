"""What wrk says is read, and a run that must not be trusted says why."""

import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from loadtest import wrk
from loadtest.dialects import Expectation, Request
from loadtest.errors import LoadtestError
from loadtest.wrk import WrkResult

GOOD = WrkResult(
    requests=1200,
    seconds=2.5,
    p50_ms=0.4,
    p99_ms=2.0,
    p999_ms=4.0,
    max_ms=9.0,
    connection_errors=0,
    timeouts=0,
    refused=0,
    checked=0,
    bad=0,
    example="",
)
OUTPUT = """Running 3s test @ http://127.0.0.1:4000/
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.43ms  512.00us  12.01ms   90.10%
Requests/sec:    480.00
RESULT {"requests":1200,"seconds":2.500000,"p50_ms":0.400,"p99_ms":2.000,"p999_ms":4.000,"max_ms":9.000,"connection_errors":0,"timeouts":0,"refused":0,"checked":0,"bad":0,"example":""}
"""


def test_the_result_is_found_among_what_wrk_writes() -> None:
    assert wrk.parse_output(OUTPUT) == GOOD


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1:1 Connection refused\n"])
def test_output_without_a_result_is_refused_with_what_wrk_said(output: str) -> None:
    with pytest.raises(LoadtestError, match=output.strip() or "nothing at all"):
        wrk.parse_output(output)


def test_a_clean_run_has_no_fault() -> None:
    assert GOOD.fault() == ""


@pytest.mark.parametrize("field", ["connection_errors", "timeouts", "refused", "bad"])
def test_a_single_failure_is_a_fault(field: str) -> None:
    assert msgspec.structs.replace(GOOD, **{field: 1}).fault().startswith("1 ")


def test_a_fault_shows_the_first_bad_answer() -> None:
    assert msgspec.structs.replace(GOOD, bad=2, example="503 away").fault().endswith("the first: 503 away")


def test_a_run_without_answers_is_a_fault() -> None:
    assert msgspec.structs.replace(GOOD, requests=0).fault() == "no answers at all"


class Handler(http.server.BaseHTTPRequestHandler):
    """Repeats a request's body; a path that ends in /broken gets something else, one in /refused a 503."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/broken"):
            body = b'something "else"\n\xff'
        self.send_response(503 if self.path.endswith("/refused") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever).start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
class TestTheScript:
    """The Lua script, in the real wrk."""

    def run(self, server: str, tmp_path: Path, *bodies: bytes, path: str = "/x", check: bool = True) -> WrkResult:
        requests = [Request("POST", path, body).encoded(server) for body in bodies]
        (tmp_path / "requests").write_bytes(wrk.encode_requests(requests))
        expected = Expectation("good", 2) if check else None
        return wrk.run(server, tmp_path / "requests", connections=2, seconds=1, seed=1, expected=expected)

    def test_every_request_is_sent_as_prepared_and_every_answer_looked_at(self, server: str, tmp_path: Path) -> None:
        result = self.run(server, tmp_path, b"good\ngood", b"17\ngood good\n")
        assert result.fault() == ""
        assert result.checked >= result.requests > 0
        assert 0 < result.p50_ms <= result.p99_ms <= result.p999_ms <= result.max_ms

    def test_answers_are_counted_but_not_looked_at_while_measuring(self, server: str, tmp_path: Path) -> None:
        result = self.run(server, tmp_path, b"bad", check=False)
        assert (result.fault(), result.checked) == ("", 0)
        assert result.requests > 0

    def test_an_answer_with_too_few_good_items_is_bad(self, server: str, tmp_path: Path) -> None:
        result = self.run(server, tmp_path, b"good")
        assert result.bad == result.checked > 0
        assert result.example == "200 good"

    def test_any_bytes_of_a_bad_answer_can_be_shown(self, server: str, tmp_path: Path) -> None:
        assert self.run(server, tmp_path, b"good good", path="/broken").example.startswith('200 something "else"\n')

    def test_a_refusal_is_counted_without_looking(self, server: str, tmp_path: Path) -> None:
        result = self.run(server, tmp_path, b"good good", path="/refused", check=False)
        assert result.refused > 0
        assert "400 or more" in result.fault()
