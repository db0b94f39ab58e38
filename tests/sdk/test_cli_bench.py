"""`concord bench` against a gateway in memory: what it says, and that it leaves nothing behind."""

import json

import pytest

from concord._transports import Request, Response
from concord.cli import exits, main
from concord.cli.bench import percentile_ms
from tests.sdk.fake import refused
from tests.sdk.memory import Memory

Output = pytest.CaptureFixture[str]
FLAGS = ("--seconds", "0.02", "--clients", "2", "--url", "http://127.0.0.1:1")


def test_each_kind_is_measured_and_every_key_is_gone_afterwards(memory: Memory, capsys: Output) -> None:
    memory.put("mine", b"1")
    assert main(["bench", "--json", *FLAGS]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["durability"] == "unknown"  # nobody tells of the nodes
    assert [one["operation"] for one in report["figures"]] == ["put", "get", "put_many"]
    for one in report["figures"]:
        assert one["keys_per_s"] > 0
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["errors"] == 0
    assert set(memory.kept) == {"mine"}
    assert main(["bench", *FLAGS]) == 0
    assert "durability unknown; 2 threads of one Python process" in capsys.readouterr().out


def test_a_time_that_is_over_at_once_is_enough_for_a_call(memory: Memory, capsys: Output) -> None:
    assert main(["bench", "--json", *FLAGS, "--seconds", "0.000001"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert all(one["keys_per_s"] > 0 for one in report["figures"])
    assert not memory.kept


def test_calls_that_fail_are_counted_and_make_the_exit_code(
    memory: Memory, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = memory.send

    def no_reads(url: str, request: Request, timeout_s: float) -> Response:
        return refused(400, "INVALID_REQUEST") if request.method == "GET" else send(url, request, timeout_s)

    monkeypatch.setattr(memory, "send", no_reads)
    assert main(["bench", "--json", *FLAGS]) == exits.FAILED
    reads = json.loads(capsys.readouterr().out)["figures"][1]
    assert (reads["keys_per_s"], reads["p50_ms"], reads["p99_ms"]) == (0.0, None, None)
    assert reads["errors"] > 0
    assert "INVALID_REQUEST" in reads["first_error"]


def test_an_error_that_all_calls_would_have_ends_it_at_once(memory: Memory, capsys: Output) -> None:
    memory.answers = [refused(401, "UNAUTHORIZED")]
    assert main(["bench", *FLAGS]) == exits.DENIED
    assert capsys.readouterr().err.count("\n") == 1
    assert len(memory.asked) == 1


def test_a_percentile_is_a_value_that_was_measured() -> None:
    times = [number / 1000 for number in range(1, 101)]
    assert [percentile_ms(times, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile_ms([0.007], 0.5) == percentile_ms([0.007], 0.99) == 7.0
    assert percentile_ms([], 0.5) is None
