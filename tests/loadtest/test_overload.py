"""What `python -m loadtest.overload` makes of answers: counted, told apart, and set against what they cost."""

import asyncio
import itertools
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.open_loop import GATEWAY, LOAD, NODES, Connection, Load, Phase, Tally, spent
from loadtest.overload import HEADINGS, KEYS, Outcome, Round, best, requests_of, rows
from loadtest.proc import TICKS_PER_S, parse_machine

ANSWER = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nContent-Length: 4\r\n\r\nbusy"

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

CHUNKED = b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n1\r\n0\r\n0\r\n\r\n"


def phase(good: int, *, gateway: float = 1.0, nodes: float = 1.0, connections: int = 16) -> Phase:
    tally = Tally(1.0)
    for _ in range(good):
        tally.add(b"200", 1.0)
    return tally.phase(connections, 2.0, good, 0, {GATEWAY: gateway, NODES: nodes, LOAD: 0.5})


def test_answers_are_good_late_refused_or_failed() -> None:
    tally = Tally(patience_s=0.5)
    for status, took_ms in ((b"200", 500), (b"200", 501), (b"429", 1), (b"503", 2), (b"500", 1), (b"", 1)):
        tally.add(status, took_ms)
    found = tally.phase(8, 2.0, 10, 4, {})
    assert (found.good.count, found.late, found.refused.count, found.failed) == (1, 1, 2, 2)
    assert found.statuses == {"200": 2, "429": 1, "503": 1, "500": 1, "broken": 1}
    assert (found.goodput_per_s, found.good_per_cpu_s) == (0.5, 0.0)


def test_the_share_of_the_peak_is_told_by_time_and_by_the_servers_cpu() -> None:
    one = Round(phase(100), phase(40, gateway=0.5, nodes=0.5))
    assert (one.ratio, one.cpu_ratio) == (0.4, 0.8)
    assert Round(phase(0), phase(1)).ratio == 0.0
    slow, fast = Round(phase(100), phase(10)), Round(phase(100), phase(90))
    outcome = Outcome("put", [phase(1), phase(2)], [slow, one, fast], 3.0, 1.0)
    assert (outcome.ratio, outcome.cpu_ratio) == (0.4, 0.8)
    assert best([phase(1), phase(5, connections=64), phase(2)]).connections == 64
    lines = rows(outcome)
    assert len(lines) == 2 + 2 * 3
    assert all(len(line) == len(HEADINGS) for line in lines)
    assert lines[5][5:7] == ["40%", "80%"]
    said = cast("dict[str, Any]", outcome.said())
    assert (said["ratio"], said["ratios"][0]["ratio"]) == (0.4, 0.1)


@given(st.sampled_from([ANSWER, CHUNKED]), st.lists(st.integers(1, len(CHUNKED)), max_size=5))
def test_an_answer_is_known_however_it_is_cut(answer: bytes, cuts: list[int]) -> None:
    told: list[bytes] = []
    connection = Connection(lambda _, status: told.append(status))
    edges = sorted({0, *(cut for cut in cuts if cut < len(answer)), len(answer)})
    for at, (start, end) in enumerate(itertools.pairwise(edges), start=2):
        assert told == []
        connection.data_received(answer[start:end])
        assert (at == len(edges)) == bool(told)
    assert told == [b"503"]
    connection.connection_lost(None)
    assert (told, connection.is_open) == ([b"503", b""], False)


def test_what_is_sent_names_every_key_once() -> None:
    async def sent() -> None:
        puts, gets = requests_of("put", "127.0.0.1:1"), requests_of("get", "127.0.0.1:1")
        assert len(set(puts)) == len(set(gets)) == KEYS
        assert all(request.startswith(b"PUT /api/v1/kv/overload") for request in puts[:9])
        assert all(request.startswith(b"GET /api/v1/kv/overload") for request in gets[:9])

    asyncio.run(sent())


def test_what_was_spent_between_two_looks() -> None:
    assert spent({GATEWAY: 1.0}, {GATEWAY: 3.5, NODES: 2.0}) == {GATEWAY: 2.5, NODES: 2.0}


@pytest.mark.parametrize("more", ["", "cpu0 1 1 1 1 1 1 1 0 0 0\n"])
def test_waiting_and_idling_are_not_busy(more: str) -> None:
    assert parse_machine(f"cpu  100 20 30 9999 8888 4 6 0 0 0\n{more}") == 160 / TICKS_PER_S


class Slow(asyncio.Protocol):
    """Answers one request at a time, the first one late."""

    def __init__(self, first_s: float) -> None:
        self._wait_s = first_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert data.count(b"GET") == 1
        asyncio.get_running_loop().call_later(self._wait_s, self._transport.write, OK)
        self._wait_s = 0.0


@pytest.mark.parametrize("backlog", [0, 100])
def test_a_stall_shows_in_every_request_that_it_kept_waiting(backlog: int) -> None:
    async def run() -> tuple[int, int, list[float]]:
        server = await asyncio.get_running_loop().create_server(lambda: Slow(0.25), "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        times_ms: list[float] = []
        load = Load(address, [b"GET"], 20.0, observe=lambda _due, took_ms, _status: times_ms.append(took_ms))
        phase = await load.open(1, per_s=100.0, seconds=0.3, backlog=backlog)
        server.close()
        return phase.due, phase.given_up, times_ms

    due, given_up, times_ms = asyncio.run(run())
    if backlog:
        assert (given_up, len(times_ms)) == (0, due)
        assert sum(took_ms > 100 for took_ms in times_ms) >= 10
    else:
        assert given_up >= 10
