"""What stands in tables of its own: further marks, steady rates, Concord set up otherwise."""

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from loadtest import nats_mark, paced, redis_mark, zookeeper_mark
from loadtest.bench import makers_of, options_of, plain
from loadtest.dialects import Item, Operation
from loadtest.errors import LoadtestError
from loadtest.figures import Latencies
from loadtest.marks import Ask, Mark, Marked, Meter, Plan, measure, parts_of
from loadtest.paced import Paced, rate, widest
from loadtest.redis_mark import parse
from loadtest.report import Measurement
from loadtest.sections import ONE_GROUP, RELAXED, alone, marked, steady
from loadtest.workloads import WORKLOADS, Keys, Workload, items

CSV = """\
"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"SET","816.33","8.9","0.9","7.359","17.1","24.607","52.415"
"""
PUT, GET, BULK = Workload(Operation.PUT, 8), Workload(Operation.GET, 2), Workload(Operation.BULK, 2, 100)
PORTS = list(range(100, 109))


class RefusedError(Exception):
    pass


class Session:
    def __init__(self, kept: dict[str, str], *, refuses: bool) -> None:
        self._kept = kept
        self._refuses = refuses
        self.is_open = True
        self.is_asked = False
        self.asks: Mapping[Operation, Mapping[str, Ask]] = {
            Operation.PUT: {"": self._put},
            Operation.GET: {", fresh": self._get, ", stale": self._get},
        }

    async def _put(self, part: Sequence[Item]) -> None:
        assert not self.is_asked, "one request at a time"
        self.is_asked = True
        await asyncio.sleep(0.001)
        self.is_asked = False
        if self._refuses:
            raise RefusedError("full")
        self._kept.update(part)

    async def _get(self, part: Sequence[Item]) -> None:
        await asyncio.sleep(0)
        assert all(self._kept[key] == value for key, value in part)

    async def close(self) -> None:
        self.is_open = False


class Memory:
    """A system that keeps its keys in this process."""

    name = "Memory"
    setup = "Memory 1, nothing synced"
    errors = (RefusedError,)

    def __init__(self, *, refuses: bool = False) -> None:
        self._kept: dict[str, str] = {}
        self._refuses = refuses
        self.sessions: list[Session] = []
        self.is_up = False

    def start(self) -> None:
        self.is_up = True

    def server_pids(self) -> list[int]:
        return [os.getpid()]

    async def load(self, of: Sequence[Item]) -> None:
        self._kept.update(of)

    async def connect(self) -> Session:
        self.sessions.append(Session(self._kept, refuses=self._refuses))
        return self.sessions[-1]

    def close(self) -> None:
        self.is_up = False


def plan(*workloads: Workload) -> Plan:
    return Plan(workloads, seconds=0.05, warm_up=0.01, seed=1)


def test_each_way_of_asking_is_a_mark_and_what_a_system_lacks_is_none(tmp_path: Path) -> None:
    system = Memory()
    found = measure(lambda _: system, tmp_path, plan(PUT, GET, BULK))
    assert found.setup == "Memory 1, nothing synced"
    assert [(mark.operation, mark.connections) for mark in found.marks] == [
        ("put", 8),
        ("get, fresh", 2),
        ("get, stale", 2),
    ]
    assert all(mark.per_s > 0 and 0 < mark.p50_ms <= mark.p99_ms <= mark.max_ms for mark in found.marks)
    assert len(system.sessions) == 8
    assert not system.is_up
    assert not any(session.is_open for session in system.sessions)


def test_a_request_that_fails_is_no_mark_and_leaves_nothing_running(tmp_path: Path) -> None:
    system = Memory(refuses=True)
    with pytest.raises(LoadtestError, match="Memory: RefusedError full"):
        measure(lambda _: system, tmp_path, plan(PUT))
    assert not system.is_up
    assert not any(session.is_open for session in system.sessions)


def test_what_was_spent_is_for_each_key_and_for_each_second() -> None:
    spent = iter([1.0, 3.0])
    meter = Meter([os.getpid()], lambda: next(spent))
    mark = meter.mark("x", "put", 1, Latencies(1, 1.0, 2.0, 3.0), keys=100)
    assert mark.generator_cores == pytest.approx(2.0 * mark.per_s / 100)
    spent = iter([1.0, 3.0])
    with pytest.raises(LoadtestError, match="x: put with 1 connections: no answers"):
        Meter([os.getpid()], lambda: next(spent)).mark("x", "put", 1, Latencies(0, 0, 0, 0), keys=0)


def test_a_bulk_has_distinct_keys() -> None:
    of = items(200, random.Random(1))
    assert all(len({key for key, _ in part}) == 100 for part in parts_of(BULK, of, random.Random(2)))
    assert parts_of(PUT, of, random.Random(2)) == [[item] for item in of]


def test_what_redis_benchmark_says_is_read() -> None:
    assert parse(CSV.splitlines(), "set", 500) == (816.33, Latencies(500, 7.359, 24.607, 52.415))


@pytest.mark.parametrize(
    "text", ["", "Could not connect to Redis", '"test","rps"\n"SET","x"\n', CSV.replace("SET", "GET")]
)
def test_what_its_benchmark_does_not_say_is_no_mark(text: str) -> None:
    with pytest.raises(LoadtestError, match="redis-benchmark"):
        parse(text.splitlines(), "set", 500)


def test_the_servers_of_zookeeper_know_each_other_and_listen_on_loopback_only() -> None:
    lines = [zookeeper_mark.configuration(Path("/d"), PORTS, number).splitlines() for number in range(3)]
    assert [line[4] for line in lines] == ["clientPort=100", "clientPort=101", "clientPort=102"]
    assert all("clientPortAddress=127.0.0.1" in line for line in lines)
    assert [line[-3:] for line in lines] == [
        ["server.1=127.0.0.1:103:106", "server.2=127.0.0.1:104:107", "server.3=127.0.0.1:105:108"]
    ] * 3
    assert not any("forceSync" in setting for setting in lines[0])


def test_what_zookeeper_says_of_itself_is_read() -> None:
    said = "Zookeeper version: 3.8.0--1, built on 2024\nLatency min/avg/max: 0/0.0/0\nMode: leader\nNode count: 5\n"
    assert zookeeper_mark.stated(said)["Mode"] == "leader"
    assert "Mode" not in zookeeper_mark.stated("This ZooKeeper instance is not currently serving requests\n")


@pytest.mark.parametrize(
    ("version", "is_synced"), [("2.9.10", False), ("2.10.0", True), ("2.15.2", True), ("3.0.0-x", True)]
)
def test_nats_syncs_each_write_where_it_can(version: str, *, is_synced: bool) -> None:
    assert nats_mark.version_of(f"nats-server: v{version}\n") == version
    assert nats_mark.can_sync_always(version) is is_synced
    written = nats_mark.configuration(Path("/d"), PORTS, 1, is_synced=is_synced)
    assert ("sync_interval: always" in written) is is_synced
    assert 'listen: "127.0.0.1:101"' in written
    assert 'routes: ["nats://127.0.0.1:103", "nats://127.0.0.1:104", "nats://127.0.0.1:105"]' in written


@pytest.mark.parametrize("check", [redis_mark.check, zookeeper_mark.check, nats_mark.check])
def test_what_is_missing_is_named_with_what_installs_it(
    check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LoadtestError, match="not found: apt-get install"):
        check()


def test_marks_stand_under_what_they_are() -> None:
    mark = Mark("Redis", "put", 8, 816.4, 7.359, 24.607, 52.415, 612.3, 0.254)
    text = marked([Marked("Redis 7, alone", [mark]), Marked("Other 1, not synced", [])])
    assert text.startswith("## Further marks, which are something else\n")
    assert "- Redis 7, alone.\n- Other 1, not synced.\n" in text
    cells = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    assert cells == ["Redis", "put", "8", "816", "7.36 / 24.6 / 52.4", "612", "0.25"]


@pytest.mark.parametrize(("name", "title"), [(RELAXED, "without syncs"), (ONE_GROUP, "a single group")])
def test_what_is_set_up_otherwise_stands_alone(name: str, title: str) -> None:
    text = alone(name, {PUT: [Measurement(7770, 1, 2, 3, 4, 5, 6)]})
    assert text.startswith(f"## Concord with{'out' * (name == RELAXED)} ")
    assert title in text
    assert "| 7,770 | 1.00 / 2.00 / 3.00 |" in " ".join(text.split())


def test_systems_and_marks_are_those_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    few, all_ = options_of(["--no-relaxed"]), options_of(["--one-group", "--nats", "--zookeeper", "--redis"])
    assert (few.marks, all_.marks) == ([], ["nats", "zookeeper", "redis"])
    names = [make(Path("x")).name for make in makers_of(all_)]
    assert names == ["Concord", "etcd", ONE_GROUP, RELAXED]
    assert len(makers_of(few)) == 2
    for wrong in (["--nats", "--operations", "A"], ["--steady", "--rounds", "1"]):
        with pytest.raises(SystemExit):
            options_of(wrong)
    assert "--rounds of at least 2" in capsys.readouterr().err


def test_marks_have_the_plain_part_of_the_matrix() -> None:
    kept = plain(WORKLOADS)
    assert {(each.operation, each.connections) for each in kept} == {
        *((operation, count) for operation in (Operation.PUT, Operation.GET) for count in (1, 8, 64)),
        (Operation.BULK, 8),
    }
    assert all(each.keys is Keys.UNIFORM and each.value_bytes == 100 for each in kept)


def test_the_steady_rate_is_half_of_the_slower_ones_for_the_most_connections() -> None:
    assert rate(BULK, {"Concord": 3000.0, "etcd": 1000.0}) == 5.0
    wide = Workload(Operation.PUT, 64)
    assert widest([PUT, wide, GET, BULK]) == [wide, GET, BULK]


def test_what_was_unserved_in_any_round_is_told() -> None:
    both = {
        "Concord": {PUT: [Paced(500, 1, 2, 3, 0, 0.1), Paced(500, 1.2, 2.2, 3.2, 7, 0.2)]},
        "etcd": {PUT: [Paced(500, 4, 5, 6, 0, 0.3)]},
    }
    text = steady(both)
    assert "| 1.00 / 2.00 / 3.00 | 4.00 / 5.00 / 6.00 |" in " ".join(text.split())
    assert "7 / 0 |" in text
    assert "at most 0.30 of a core" in text


def test_a_failure_at_a_steady_rate_is_no_figure() -> None:
    with pytest.raises(OSError, match="Connect"):
        paced.measure("127.0.0.1:1", [b"GET"], 1, 10.0, 0.1)
