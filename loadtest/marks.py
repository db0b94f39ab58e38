"""Further marks: other systems, asked by their own clients in their own protocols, which is something else than the main table compares.

A system without HTTP cannot be loaded by `wrk`. A closed loop in this process stands in its place: each connection sends its next
request when the answer to its last has come. It is Python on the cores of the servers and costs far more than `wrk` does, so each mark
says how much of a core its load generator took.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

import msgspec

from loadtest.dialects import Item, Operation
from loadtest.errors import LoadtestError
from loadtest.figures import Latencies, latencies
from loadtest.proc import cpu_s
from loadtest.workloads import BULK_BODIES, KEYS, Workload, items

GRACE_S = 30.0
CLOSE_S = 10.0
Ask = Callable[[Sequence[Item]], Awaitable[None]]
"""Sends one request about these keys and looks at the answer."""


class Mark(msgspec.Struct, frozen=True):
    """One measurement of one operation.

    Attributes:
        system: name of the system.
        operation: what was asked.
        connections: how many asked at once.
        per_s: keys put or read a second.
        p50_ms: of whole requests, as are the next two.
        p99_ms: see p50_ms.
        max_ms: see p50_ms.
        server_cpu_us: CPU time of all server processes for each key.
        generator_cores: CPU time of the load generator for each second.
    """

    system: str
    operation: str
    connections: int
    per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    server_cpu_us: float
    generator_cores: float


class Meter:
    """Counts what one measurement takes, from its making until its mark is made.

    Args:
        pids: the processes that serve.
        generated_s: CPU seconds of the load generator so far.
    """

    def __init__(self, pids: Sequence[int], generated_s: Callable[[], float]) -> None:
        self._pids = pids
        self._generated_s = generated_s
        self._before_s = cpu_s(pids), generated_s()
        self._began = time.perf_counter()

    def mark(self, system: str, operation: str, connections: int, found: Latencies, keys: int) -> Mark:
        """What it was; `keys` were put or read.

        Raises:
            LoadtestError: there were none, or a server has ended.
        """
        took_s = time.perf_counter() - self._began
        served_s, generated_s = cpu_s(self._pids) - self._before_s[0], self._generated_s() - self._before_s[1]
        if not keys:
            raise LoadtestError(f"{system}: {operation} with {connections} connections: no answers at all")
        return Mark(
            system=system,
            operation=operation,
            connections=connections,
            per_s=keys / took_s,
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            max_ms=found.max_ms,
            server_cpu_us=served_s / keys * 1e6,
            generator_cores=generated_s / took_s,
        )


class Plan(msgspec.Struct, frozen=True):
    """What is measured and for how long; only workloads of puts, gets and bulks with uniform keys and small values."""

    workloads: Sequence[Workload]
    seconds: float
    warm_up: float
    seed: int


class Marked(msgspec.Struct, frozen=True):
    """A system's sentence for the report, and its marks."""

    setup: str
    marks: list[Mark]


class Connection(Protocol):
    """One client's connection, with at most one request under way."""

    @property
    def asks(self) -> Mapping[Operation, Mapping[str, Ask]]:
        """How each operation that the system has is asked; more than one way of it is told apart by what follows its name."""

    async def close(self) -> None:
        """Close it."""


class Cluster(Protocol):
    """Server processes on this machine with a directory of their own."""

    @property
    def name(self) -> str:
        """For the table."""

    @property
    def setup(self) -> str:
        """Version, size, what an answer means, how it is asked: one sentence for the report. Known once it is started."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What its client raises."""

    def start(self) -> None:
        """Start it and wait until it takes requests."""

    def server_pids(self) -> list[int]:
        """Every process that serves."""

    async def load(self, of: Sequence[Item]) -> None:
        """Put all keys."""

    async def connect(self) -> Connection:
        """Open a connection; only after `load`."""

    def close(self) -> None:
        """End every process that was started."""


def measure(make: Callable[[Path], Cluster], directory: Path, plan: Plan) -> Marked:
    """Start a system on empty data, measure each workload once, end it.

    Raises:
        LoadtestError: it did not start, or a request failed.
    """
    with closing(make(directory)) as cluster:
        cluster.start()
        failures: tuple[type[Exception], ...] = (TimeoutError, *cluster.errors)
        try:
            marks = asyncio.run(_measure(cluster, plan))
        except failures as error:
            raise LoadtestError(f"{cluster.name}: {type(error).__name__} {error}") from error
        return Marked(cluster.setup, marks)


async def _measure(cluster: Cluster, plan: Plan) -> list[Mark]:
    rng, marks = random.Random(plan.seed), []
    of = items(KEYS, rng)
    async with asyncio.timeout(GRACE_S):
        await cluster.load(of)
    opened: list[Connection] = []
    try:
        while len(opened) < max(workload.connections for workload in plan.workloads):
            opened.append(await cluster.connect())
        for workload in plan.workloads:
            parts = parts_of(workload, of, rng)
            for way in opened[0].asks.get(workload.operation, {}):
                asks = [connection.asks[workload.operation][way] for connection in opened[: workload.connections]]
                await closed(asks, parts, plan.warm_up, rng)
                meter = Meter(cluster.server_pids(), time.process_time)
                found = latencies(await closed(asks, parts, plan.seconds, rng))
                name = workload.name + way
                marks.append(meter.mark(cluster.name, name, workload.connections, found, found.count * workload.items))
    finally:
        async with asyncio.timeout(CLOSE_S):
            for connection in opened:
                await connection.close()
    return marks


def parts_of(workload: Workload, of: Sequence[Item], rng: random.Random) -> list[Sequence[Item]]:
    """The keys of the requests that are drawn from: each one, or bulks of distinct ones."""
    if workload.operation is Operation.BULK:
        return [rng.sample(of, workload.items) for _ in range(BULK_BODIES)]
    return [[item] for item in of]


async def closed(
    asks: Sequence[Ask], parts: Sequence[Sequence[Item]], seconds: float, rng: random.Random
) -> list[float]:
    """Each connection asks again as soon as it is answered; the times of all requests in milliseconds.

    Raises:
        TimeoutError: an answer was missing GRACE_S after the end.
    """
    times_ms: list[float] = []
    ends_at = time.perf_counter() + seconds

    async def work(ask: Ask) -> None:
        while (began := time.perf_counter()) < ends_at:
            await ask(rng.choice(parts))
            times_ms.append((time.perf_counter() - began) * 1000)

    async with asyncio.timeout(seconds + GRACE_S):
        await asyncio.gather(*map(work, asks))
    return times_ms
