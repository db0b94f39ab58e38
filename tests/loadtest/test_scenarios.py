"""The scenarios of `make loadtest`: every use is answered rightly by a real server, wrong answers are noticed, and Locust runs them."""

import itertools
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from concord import testing
from concord._sse import Parser
from loadtest.children import clean_environ
from loadtest.client import Answer, HttpClient
from loadtest.concord_cluster import ROOT
from loadtest.errors import LoadtestError
from loadtest.scenarios.__main__ import main
from loadtest.scenarios.run import CLASSES, DEFAULTS, Load, check_loopback, command
from loadtest.scenarios.uses import LIMIT, USES, Bulk, Flags, Limits, Scenario, Sessions, Step, Use, Watcher, Writes
from loadtest.scenarios.verdict import HEADINGS, Bounds, Entry, judge, percentile, row

STEPS = {Scenario.BULK: 3}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server that ends with this module: one that runs beside tests of raft/ would share the library's clock with them."""
    with testing.server() as server:
        yield server.url


def address_of(url: str) -> str:
    return url.removeprefix("http://")


@pytest.mark.parametrize("scenario", Scenario)
def test_each_use_is_answered_rightly(scenario: Scenario, url: str) -> None:
    client, use = HttpClient(address_of(url)), USES[scenario](7, random.Random(7))
    if first := use.prepare():
        assert client.send(first.request).status == 200
    names = set()
    for _ in range(STEPS.get(scenario, 60)):
        step = use.step(time.time())
        names.add(step.name)
        assert use.fault(step, client.send(step.request)) == ""
    client.close()
    assert names >= {Scenario.SESSIONS: {"log in", "read", "stay"}, Scenario.FLAGS: {"read", "read, perhaps old"}}.get(
        scenario, set()
    )


def test_a_watcher_is_told_of_each_write_once(url: str) -> None:
    client, writes, watcher = HttpClient(address_of(url)), Writes(7, random.Random(7)), Watcher()
    client.send(writes.step(time.time()).request)
    stream, parser, events = HttpClient(address_of(url)), Parser(), []
    for chunk in itertools.islice(stream.stream(Watcher.request), 50):
        for block in parser.feed(chunk):
            events.append(block.event)
            found = watcher.take(block.event, block.data, time.time())
            if found is not None:
                assert found[0] > 0
                assert found[1] == ""
            if block.event in {"synced", "put"}:
                client.send(writes.step(time.time()).request)
        if events.count("put") == 3:
            break
    client.close()
    stream.close()
    assert [event for event in events if event] == ["state", "synced", "put", "put", "put"]


def test_a_stream_that_is_refused_is_an_error(url: str) -> None:
    with pytest.raises(ConnectionError, match="400"):
        list(
            HttpClient(address_of(url)).stream(
                Step("", msgspec.structs.replace(Watcher.request, path="/api/v1/kv?limit=0")).request
            )
        )


def ok(data: object) -> Answer:
    return Answer(200, {}, msgspec.json.encode({"status": "ok", "data": data}))


@pytest.mark.parametrize(
    ("use", "name", "data", "said"),
    [
        (Sessions, "read", {"value": {"cart": 3}}, "holds cart 3"),
        (Flags, "read", {"value": {"enabled": "yes"}}, "the flag is"),
        (Limits, "acquire, gcra", {"allowed": True, "remaining": LIMIT}, "allowed True"),
        (Bulk, "import 500", [{"status": "ok"}, {"status": "error", "error": "UNKNOWN"}], "1 of 500"),
    ],
)
def test_a_wrong_answer_is_noticed(use: type[Use], name: str, data: object, said: str) -> None:
    user = use(1, random.Random(1))
    step = msgspec.structs.replace(user.step(0.0), name=name)
    assert said in user.fault(step, ok(data))
    assert "503" in user.fault(step, Answer(503, {}, b"no leader"))


def change(number: int, due_s: float = 1.0, key: str = "k") -> bytes:
    return msgspec.json.encode({"key": key, "value": {"number": number, "due_s": due_s}})


def test_a_watcher_notices_what_is_missing_or_comes_twice() -> None:
    watcher = Watcher()
    assert watcher.take("state", change(4), 2.0) is None
    assert watcher.take("synced", b"{}", 2.0) is None
    assert watcher.take("put", change(5), 2.0) == (1000.0, "")
    assert watcher.take("put", change(7), 2.0) == (1000.0, "k: 7 came after 5")
    assert watcher.take("put", change(7), 2.0) == (1000.0, "k: 7 came after 7")
    assert watcher.take("put", change(9, key="new"), 2.0) == (1000.0, "")
    found = watcher.take("goaway", b'{"reason":"slow"}', 2.0)
    assert found is not None
    assert "slow" in found[1]


QUITTER = """
import locust

wanted = {"sessions", "flags", "limits", "bulk", "watch", "event"}


@locust.events.init.add_listener
def _quit_when_all_were_answered(environment, **_):
    @environment.events.request.add_listener
    def _look(request_type, name, **_):
        wanted.difference_update({request_type, name})
        if not wanted:
            environment.runner.quit()
"""


def entry(name: str, requests: int = 100, failures: int = 0, times: dict[str, int] | None = None) -> Entry:
    return Entry(name, "x", requests, failures, 900.0, {"5.0": 90, "20": 9, "900": 1} if times is None else times)


def test_a_verdict_names_everything_that_was_not_kept() -> None:
    good = judge("flags", [entry("read"), entry("event")], Bounds(50), due=100, seconds=10)
    assert (good.faults, good.requests, good.events, good.per_s) == ([], 100, 100, 10)
    assert (good.p50_ms, good.p99_ms, good.max_ms) == (5, 20, 900)
    bad = judge("flags", [entry("read", failures=2)], Bounds(10, failures=0.01), due=200, seconds=10)
    assert [fault.split()[0] for fault in bad.faults] == ["only", "2", "p99"]
    assert judge("flags", [entry("read", failures=1)], Bounds(50, failures=0.01), due=100, seconds=10).faults == []
    assert judge("flags", [], Bounds(50), due=100, seconds=10).faults == ["only 0 of 100 requests were asked"]
    assert row(good)[-1] == "passed"
    assert len(row(bad)) == len(HEADINGS)


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert [percentile({"10": 1, "2": 1}, share) for share in (0.5, 0.51, 1)] == [2, 10, 10]
    assert percentile({}, 0.5) == 0


@pytest.mark.parametrize(
    "address", ["http://192.0.2.1:4000", "http://example.com", "https://127.0.0.1:1", "nothing", "http://"]
)
def test_only_this_machine_is_loaded(address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(LoadtestError, match="not on this machine"):
        check_loopback(address)
    assert main(["--url", address, "--reports", str(tmp_path)]) == 2
    assert "not on this machine" in capsys.readouterr().err
    assert check_loopback("http://[::1]:4000") == "http://[::1]:4000"


@pytest.mark.parametrize("words", [["--users", "2001"], ["--seconds", "3601"], ["--per-s", "0"], ["--workers", "17"]])
def test_a_load_is_bounded(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)


def test_there_are_not_more_users_than_requests_a_second(tmp_path: Path) -> None:
    asked = Load(users=50, per_s=3.5, seconds=10, workers=0, watchers=9)
    words = {scenario: command(scenario, "http://127.0.0.1:1", asked, tmp_path / "x") for scenario in Scenario}
    found = {scenario: made[made.index("-u") + 1] for scenario, made in words.items()}
    assert found[Scenario.BULK] == "4"
    assert found[Scenario.WATCH] == str(4 + 9)


def test_every_scenario_has_users_and_bounds() -> None:
    assert set(USES) == set(DEFAULTS) == set(CLASSES) == set(Scenario)


def test_locust_runs_all_of_them(url: str, tmp_path: Path) -> None:
    """Until each has been answered, however long a busy machine takes for that."""
    load = Load(users=11, per_s=60, seconds=50, workers=0, watchers=3)
    words = command(Scenario.WATCH, url, load, tmp_path / "found")
    quitter = tmp_path / "quitter.py"
    quitter.write_text(QUITTER)
    words[words.index("-f") + 1] += f",{quitter}"
    classes = [name for names in CLASSES.values() for name in names]
    done = subprocess.run(
        [*words[: -len(CLASSES[Scenario.WATCH])], *classes],
        env=clean_environ(PYTHONPATH=os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    entries = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=list[Entry])
    assert {one.method for one in entries} == {scenario.value for scenario in Scenario}
    assert any(one.name == "event" and one.num_requests for one in entries)
    assert judge("all", entries, Bounds(1e9), due=0, seconds=1).faults == []
    assert "<html" in (tmp_path / "found.html").read_text().lower()
