"""What `python -m loadtest.scale` makes of its measurements: kept, compared, and never more than was measured."""

import asyncio
import datetime as dt
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from loadtest.errors import LoadtestError
from loadtest.figures import latencies
from loadtest.open_loop import Load
from loadtest.probe import Sample
from loadtest.scale import plan
from loadtest.scale.__main__ import main
from loadtest.scale.curve import drawn
from loadtest.scale.keys import LEFT_BYTES, LOGGED_BYTES, missing_puts, stalls, taken
from loadtest.scale.page import page
from loadtest.scale.records import Idle, Keys, Loaded, Origin, Record, Snapshot, Stalls, merged, read, write
from raft import RaftConfig
from wire.messages import GroupStatus, NodeStatus

ORIGIN = Origin(
    "abc123", "2026-01-02 03:04 UTC", "python -m loadtest.scale x", "Concord 0.1.0", "2 cores", "ext4", 0.2, 0.5
)
MB = 1_000_000


def loaded(groups: int, per_s: float, *, operation: str = "put", unserved: int = 0) -> Record:
    times = latencies([1.0, 2.0])
    figures = Loaded("groups", groups, 3, operation, 300, times, unserved, 1e6 / per_s, per_s, 9.0, 1e6 / per_s)
    return Record(ORIGIN, figures)


def idle(groups: int, share: float) -> Record:
    return Record(ORIGIN, Idle(groups, 3, 30, 0.001, [share, share, share / 2], 0.01, [50 * MB] * 3, 12.0))


def keys(count: int = 1_000_000, *, during_ms: float = 20.0, memory: int = 400 * MB) -> Record:
    before, during = latencies([10.0] * 10), latencies([during_ms] * 10)
    found = Stalls(before, during, 0)
    figures = Keys(
        keys=count,
        groups=8,
        nodes=3,
        empty_bytes=[50 * MB] * 3,
        loaded_bytes=[memory] * 3,
        settled_bytes=[memory] * 3,
        peak_bytes=[memory] * 3,
        load_per_s=30_000,
        page_ms=latencies([5.0]),
        page_with_values_ms=latencies([6.0]),
        snapshots=[Snapshot("n1", 1, 5.0, 0.5, 18 * MB)],
        single=found,
        paced=found,
        restart_long_log_s=8.0,
        restart_s=5.0,
    )
    return Record(ORIGIN, figures)


def test_what_was_measured_is_kept_as_it_was(tmp_path: Path) -> None:
    records = [loaded(1, 1000), idle(256, 0.1), keys()]
    assert read(tmp_path / "scale.json") == []
    write(tmp_path / "scale.json", records)
    assert read(tmp_path / "scale.json") == records
    assert len((tmp_path / "scale.json").read_text().splitlines()) == len(records) + 2


def test_a_part_measured_again_takes_the_place_of_what_was_there_unless_it_is_a_round_more() -> None:
    old = [loaded(1, 1000), loaded(256, 500), idle(256, 0.1)]
    assert merged(old, [loaded(256, 700)], more=False) == [loaded(1, 1000), loaded(256, 700), idle(256, 0.1)]
    assert len(merged(old, [loaded(256, 700)], more=True)) == 4


def test_the_page_tells_which_aims_hold() -> None:
    good = page([loaded(1, 1000), loaded(256, 900), idle(256, 0.02), keys()])
    assert "**no**" not in good
    assert good.count("yes |") == 7
    bad = page([loaded(1, 1000), loaded(256, 840, unserved=3), idle(256, 0.16), keys(during_ms=251, memory=500 * MB)])
    assert bad.count("**no** |") == 6  # the restart is all that holds
    for said in ("16%", "3 were not", "16.0% (an idle event loop 0.1%)", "251 ms", "500 MB", "abc123", "450 bytes"):
        assert said in bad


def test_medians_are_taken_over_rounds() -> None:
    written = page([loaded(1, 1000), loaded(1, 2000), loaded(1, 3000)])
    assert "Medians of 3 rounds" in written
    assert "| 2,000 |" in " ".join(written.split())


def test_an_empty_page_claims_nothing() -> None:
    written = page([])
    assert "What was aimed at" not in written
    assert "%" not in written
    assert "| ?" in " ".join(written.split()), "what was not measured is not derived"


def test_the_page_can_be_written_from_what_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "scale.json", [loaded(1, 1000), loaded(16, 800)])
    assert main(["page", "--docs", str(tmp_path)]) == 0
    assert (tmp_path / "scale.md").read_text() == capsys.readouterr().out
    assert ET.parse(tmp_path / "scale.svg").getroot().tag.endswith("svg")  # noqa: S314 - written a moment ago


def test_a_picture_has_a_line_for_each_row_of_figures() -> None:
    root = ET.fromstring(drawn({"puts": {1: 1.0, 256: 0.5}, "gets": {1: 1.0}, "none": {}}))  # noqa: S314 - see above
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 1]


def test_larger_clusters_are_reckoned_from_what_is_counted() -> None:
    small, large = plan.reckon(3, 8), plan.reckon(100, 1_000)
    assert (small.replicas, small.connections) == (8, 2 * 2 + plan.GATEWAYS)
    assert small.heartbeats_per_s == pytest.approx(2 * 8 / 3 * 2 * 5)
    assert small.packets_per_s == pytest.approx(2 * 2 * 5)
    assert large.replicas == 30
    assert small.bulk_groups == pytest.approx(8)
    assert 390 < large.bulk_groups < 400
    assert small.map_bytes < 1_000 < large.map_bytes


def test_a_replica_costs_what_lies_between_two_measurements() -> None:
    few, many = idle(1, 0.01).figures, idle(257, 0.267).figures
    assert isinstance(few, Idle)
    assert isinstance(many, Idle)
    assert plan.core_per_replica([few]) is None
    assert plan.core_per_replica([many, few]) == pytest.approx(0.257 / 256)


def status(*groups: tuple[int, int, int]) -> NodeStatus:
    """A node that leads groups of (commit index, index of the newest snapshot, bytes of keys and values)."""
    made = [
        GroupStatus(number, "leader", "n1", 1, commit, commit, commit, snapshot, 10, size, 0, False, False)
        for number, (commit, snapshot, size) in enumerate(groups, start=1)
    ]
    return NodeStatus("n1", "z1", "127.0.0.1:1", "c", 1, "fsync", 1.0, 1, 1, 1, 1, 1, made, [])


def test_logs_are_filled_until_the_fullest_lacks_little() -> None:
    due = RaftConfig().snapshot_bytes
    entries, puts = 500, 50_000  # of two groups: 50 puts an entry
    entry_bytes = LOGGED_BYTES * 50
    half = missing_puts([status((entries, 0, 0), (entries, 250, 0))], puts)
    assert half == int((due - LEFT_BYTES - entries * entry_bytes) * 2 / LOGGED_BYTES)
    assert missing_puts([status((entries, 0, 0), (entries, 0, 4 * due))], puts) == half
    full = (due - LEFT_BYTES // 2) // entry_bytes
    assert missing_puts([status((full, 0, 0), (full, 0, 0))], full * 100) == 0
    late = (due + LEFT_BYTES) // entry_bytes
    assert missing_puts([status((late, 0, 0), (late, 0, 0))], late * 100) == LEFT_BYTES * 2 // LOGGED_BYTES


LOG = """\
2026-01-02 03:04:05,250 INFO raft.snapshotting group 7: snapshot created, up to entry 20001, 18874368 bytes, 0.512 s
2026-01-02 03:04:06,000 INFO raft.replica group 7: leads in term 4
"""


def test_snapshots_are_found_in_the_logs_of_nodes() -> None:
    (found,) = taken({"n2": LOG})
    ended_s = dt.datetime(2026, 1, 2, 3, 4, 5, 250_000).astimezone().timestamp()
    assert found == Snapshot("n2", 7, ended_s, 0.512, 18_874_368)


def test_a_request_counts_to_a_snapshot_that_it_was_under_way_in() -> None:
    spans = [(10.0, 11.0), (10.5, 12.0), (20.0, 21.0)]
    due = [
        (9.0, 500, False),
        (9.0, 1500, True),
        (11.5, 1, True),
        (12.5, 1, False),
        (19.0, 5000, True),
        (22.0, 1, False),
    ]
    samples = [Sample(due_s, took_ms, ok=True) for due_s, took_ms, _ in due]
    found = stalls([*samples, Sample(99.0, 1, ok=False), Sample(15.0, 2, ok=False)], spans, (0.0, 30.0))
    assert found.during.count == sum(inside for _, _, inside in due)
    assert (found.during.max_ms, found.before.max_ms, found.failed) == (5000, 500, 1)
    with pytest.raises(LoadtestError, match="no snapshot"):
        stalls(samples, [], (0.0, 30.0))


class Answering(asyncio.Protocol):
    """Answers each line; `is_closed` is set once its client has gone."""

    def __init__(self, all_of_them: list["Answering"]) -> None:
        self.is_closed = asyncio.Event()
        all_of_them.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * data.count(b"\n"))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_closed.set()


def test_whoever_watches_a_load_is_told_of_each_answer() -> None:
    told: list[tuple[float, float, bytes]] = []

    async def run() -> tuple[int, int]:
        opened: list[Answering] = []
        async with (
            await asyncio.get_running_loop().create_server(lambda: Answering(opened), "127.0.0.1", 0) as server,
            asyncio.timeout(20),
        ):
            host, port = server.sockets[0].getsockname()
            load = Load(f"{host}:{port}", [b"x\n"], 1.0, observe=lambda *said: told.append(said))
            closed = (await load.closed(2, 0.05)).good.count
            before = len(told)
            paced = (await load.open(2, 200.0, 0.05)).good.count
            for connection in opened:
                await connection.is_closed.wait()
        return before - closed, len(told) - before - paced

    assert asyncio.run(run()) == (0, 0)
    assert {status for _, _, status in told} == {b"200"}
    assert all(took_ms >= 0 for _, took_ms, _ in told)
