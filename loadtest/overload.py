"""`python -m loadtest.overload`: what is left of the goodput when far more is offered than can be served.

Goodput is the rate of successful answers that came within a client's patience. First a closed loop with more and more
connections finds its peak. Then requests are due at a multiple of that rate whatever comes back (open loop), over a bounded
number of connections: one that is due while every connection waits for an answer is not sent and counts as given up.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import cycle
from pathlib import Path

import msgspec
import uvloop

from concord.cli.console import Progress, table
from loadtest.children import ended_by_signals
from loadtest.client import HttpClient
from loadtest.concord_cluster import ROOT, ConcordCluster
from loadtest.dialects import ConcordDialect
from loadtest.errors import LoadtestError
from loadtest.figures import Latencies, latencies, significant

CLOSED_CONNECTIONS = (16, 64, 256)
KEYS = 10_000
TICK_S = 0.002
DRAIN_S = 5.0
DIALECT = ConcordDialect()


class Phase(msgspec.Struct, frozen=True):
    """What came of one load; `due` are the requests that were to be sent, `given_up` those that were not."""

    connections: int
    seconds: float
    due: int
    given_up: int
    good: Latencies
    late: int
    refused: Latencies
    failed: int
    statuses: dict[str, int]

    @property
    def goodput_per_s(self) -> float:
        """Good answers a second."""
        return self.good.count / self.seconds


class Tally:
    """Counts the answers of one phase.

    Args:
        patience_s: a good answer that took longer is late.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_ms = patience_s * 1000
        self.good: list[float] = []
        self.refused: list[float] = []
        self.late = 0
        self.failed = 0
        self.statuses: dict[str, int] = {}

    def add(self, status: bytes, took_ms: float) -> None:
        """An answer has come; a status of "" stands for a connection that broke."""
        name = status.decode() or "broken"
        self.statuses[name] = self.statuses.get(name, 0) + 1
        if status == b"200":
            if took_ms <= self._patience_ms:
                self.good.append(took_ms)
            else:
                self.late += 1
        elif status in (b"429", b"503"):
            self.refused.append(took_ms)
        else:
            self.failed += 1

    def phase(self, connections: int, seconds: float, due: int, given_up: int) -> Phase:
        """All of it."""
        return Phase(
            connections,
            seconds,
            due,
            given_up,
            latencies(self.good),
            self.late,
            latencies(self.refused),
            self.failed,
            self.statuses,
        )


class Connection(asyncio.Protocol):
    """One connection with at most one request under way; reads no more of an answer than its status and length."""

    def __init__(self, on_answer: Callable[["Connection", bytes], None]) -> None:
        self.due_at = 0.0
        self._on_answer = on_answer
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = transport  # type: ignore[assignment]  # TCP gives a Transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self.is_open = False
        self._on_answer(self, b"")

    def send(self, request: bytes, due_at: float) -> None:
        """Send a request that was due at a moment of `time.perf_counter`."""
        self.due_at = due_at
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        head, gap, body = self._buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        at = head.lower().find(b"content-length: ")
        length = int(head[at + 16 :].partition(b"\r\n")[0]) if at >= 0 else 0
        if len(body) >= length:
            self._buffer = b""
            self._on_answer(self, head[9:12])

    def close(self) -> None:
        """Close it, without a word to anybody."""
        self._on_answer = lambda *_: None
        if self._transport is not None:
            self._transport.abort()


class Load:
    """Sends requests to one address.

    Args:
        address: `host:port`.
        requests: what is sent, over and over again.
        patience_s: see Tally.
    """

    def __init__(self, address: str, requests: Sequence[bytes], patience_s: float) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._requests = cycle(requests)
        self._patience_s = patience_s

    async def closed(self, connections: int, seconds: float) -> Phase:
        """Each connection sends its next request when the answer to the last has come."""
        tally = Tally(self._patience_s)
        ends_at = time.perf_counter() + seconds

        def answered(connection: Connection, status: bytes) -> None:
            now = time.perf_counter()
            tally.add(status, (now - connection.due_at) * 1000)
            if now < ends_at and connection.is_open:
                connection.send(next(self._requests), now)

        opened = await self._open(connections, answered)
        began = time.perf_counter()
        ends_at = began + seconds
        for connection in opened:
            connection.send(next(self._requests), began)
        await asyncio.sleep(seconds)
        count = sum(tally.statuses.values())
        phase = tally.phase(connections, seconds, count, 0)
        _close(opened)
        return phase

    async def open(self, connections: int, per_s: float, seconds: float) -> Phase:
        """Requests are due at a steady rate; at most one is under way on each connection."""
        tally = Tally(self._patience_s)
        idle: list[Connection] = []
        is_over = False

        def answered(connection: Connection, status: bytes) -> None:
            if not is_over:
                tally.add(status, (time.perf_counter() - connection.due_at) * 1000)
            if connection.is_open:
                idle.append(connection)

        opened = await self._open(connections, answered)
        idle.extend(opened)
        due = given_up = 0
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds:
            while due < (now - began) * per_s:
                due_at = began + due / per_s
                due += 1
                if idle:
                    idle.pop().send(next(self._requests), due_at)
                else:
                    given_up += 1
            await asyncio.sleep(TICK_S)
        is_over = True
        phase = tally.phase(connections, seconds, due, given_up)
        _close(opened)
        return phase

    async def _open(self, count: int, answered: Callable[[Connection, bytes], None]) -> list[Connection]:
        loop = asyncio.get_running_loop()
        opened = []
        for _ in range(count):
            async with asyncio.timeout(DRAIN_S):
                _, protocol = await loop.create_connection(lambda: Connection(answered), self._host, self._port)
            opened.append(protocol)
        return opened


def _close(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()


class Outcome(msgspec.Struct, frozen=True):
    """The figures of one operation: the phases that looked for the peak, and the overload."""

    operation: str
    closed: list[Phase]
    overload: Phase
    factor: float
    patience_s: float

    @property
    def peak_per_s(self) -> float:
        """The best goodput of the closed loops."""
        return max(phase.goodput_per_s for phase in self.closed)

    @property
    def ratio(self) -> float:
        """Goodput under overload as a share of the peak."""
        return self.overload.goodput_per_s / self.peak_per_s


def rows(outcome: Outcome) -> list[list[str]]:
    """The table's lines."""
    lines = [_row(f"{outcome.operation}, closed loop", phase, outcome.peak_per_s) for phase in outcome.closed]
    return [
        *lines,
        _row(f"{outcome.operation}, {outcome.factor:g} x peak offered", outcome.overload, outcome.peak_per_s),
    ]


HEADINGS = (
    "LOAD",
    "CONNS",
    "DUE/s",
    "GIVEN UP",
    "GOOD/s",
    "OF PEAK",
    "p50 / p99 ms",
    "LATE",
    "REFUSED",
    "p50 / p99 ms",
    "FAILED",
)


def _row(name: str, phase: Phase, peak_per_s: float) -> list[str]:
    return [
        name,
        str(phase.connections),
        significant(phase.due / phase.seconds),
        str(phase.given_up),
        significant(phase.goodput_per_s),
        f"{phase.goodput_per_s / peak_per_s:.0%}",
        _times(phase.good),
        str(phase.late),
        str(phase.refused.count),
        _times(phase.refused),
        str(phase.failed),
    ]


def _times(found: Latencies) -> str:
    return f"{significant(found.p50_ms)} / {significant(found.p99_ms)}"


def requests_of(operation: str, address: str) -> list[bytes]:
    """What is sent for an operation."""
    keys = [f"overload/{number:05}" for number in range(KEYS)]
    made = [DIALECT.get(key) if operation == "get" else DIALECT.put(key, "v" * 100) for key in keys]
    return [request.encoded(address) for request in made]


async def measure(operation: str, address: str, options: argparse.Namespace) -> Outcome:
    """Find the peak, then offer a multiple of it."""
    load = Load(address, requests_of(operation, address), options.patience)
    await load.closed(CLOSED_CONNECTIONS[0], min(2.0, options.seconds))  # warm up
    closed = [await load.closed(connections, options.seconds) for connections in CLOSED_CONNECTIONS]
    peak_per_s = max(phase.goodput_per_s for phase in closed)
    await asyncio.sleep(1.0)
    overload = await load.open(options.connections, options.factor * peak_per_s, options.seconds)
    return Outcome(operation, closed, overload, options.factor, options.patience)


def fill(address: str) -> None:
    """Put the keys that are read."""
    client = HttpClient(address)
    for first in range(0, KEYS, 500):
        client.send(DIALECT.bulk([(f"overload/{number:05}", "v" * 100) for number in range(first, first + 500)]))
    client.close()


def run(options: argparse.Namespace, directory: Path) -> list[Outcome]:
    """Start a cluster, or take the one that is named, and measure every operation."""
    if options.address:
        return _measure_all(options, options.address)
    with closing(ConcordCluster(directory, options.groups)) as cluster:
        cluster.start()
        return _measure_all(options, cluster.address)


def _measure_all(options: argparse.Namespace, address: str) -> list[Outcome]:
    progress = Progress(sys.stderr)
    fill(address)
    found = []
    for operation in options.operations:
        progress.show(f"{operation}: looking for the peak, then {options.factor:g} times it …")
        found.append(uvloop.run(measure(operation, address, options)))
    progress.clear()
    return found


def main() -> int:
    """Measure and print; 1 when the cluster did not come up."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.overload", description=__doc__)
    parser.add_argument("--groups", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=8, help="of each load (%(default)s)")
    parser.add_argument("--factor", type=float, default=3, help="times the peak that is offered (%(default)s)")
    parser.add_argument("--connections", type=int, default=2000, help="of the overload (%(default)s)")
    parser.add_argument(
        "--patience", type=float, default=1.0, metavar="S", help="after it an answer is late (%(default)s)"
    )
    parser.add_argument("--operations", nargs="+", choices=("put", "get"), default=("put", "get"), help="(both)")
    parser.add_argument("--address", help="host:port of a gateway on this machine that runs already")
    parser.add_argument("--json", action="store_true", help="all figures as JSON")
    options = parser.parse_args()
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    try:
        with ended_by_signals(), tempfile.TemporaryDirectory(prefix="overload-", dir=build) as directory:
            outcomes = run(options, Path(directory) / "data")
    except LoadtestError as error:
        sys.stderr.write(f"overload: {error}\n")
        return 1
    if options.json:
        shown = [msgspec.to_builtins(one) | {"peak_per_s": one.peak_per_s, "ratio": one.ratio} for one in outcomes]
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(shown)) + b"\n")
        return 0
    lines = [line for outcome in outcomes for line in rows(outcome)]
    sys.stdout.write(table(list(HEADINGS), lines, sys.stdout))
    for one in outcomes:
        sys.stdout.write(f"\n{one.operation}: {one.ratio:.0%} of the peak is left at {one.factor:g} times of it\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
