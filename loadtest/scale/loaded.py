"""The same load on clusters of different size: paced, and as much as a closed loop gets through."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import uvloop

from loadtest import checks, wrk
from loadtest.concord_cluster import ConcordCluster
from loadtest.dialects import Item, Operation
from loadtest.errors import LoadtestError
from loadtest.open_loop import Load, Phase
from loadtest.overload import meter_of
from loadtest.proc import cpu_s
from loadtest.scale.records import Loaded
from loadtest.workloads import BULK_ITEMS, KEYS, Workload, encoded_requests, items

CONNECTIONS = 64
PATIENCE_S = 5.0
WARM_UP_S = 2


class Size(msgspec.Struct, frozen=True):
    """A cluster to be measured, and which part of the page asks for it."""

    part: str
    groups: int
    nodes: int


class Plan(msgspec.Struct, frozen=True):
    """How each is measured: seconds of each load, requests a second of the paced one, rounds of all sizes."""

    seconds: int
    per_s: float
    rounds: int
    seed: int = 1


def measure(sizes: Sequence[Size], plan: Plan, directory: Path, show: Callable[[str], None]) -> Iterator[Loaded]:
    """Every size in every round, the other way round each time, on empty data."""
    for number in range(plan.rounds):
        for size in sizes if number % 2 == 0 else reversed(sizes):
            with closing(
                ConcordCluster(directory / f"{number}-{size.groups}-{size.nodes}", size.groups, size.nodes)
            ) as cluster:
                show(f"round {number + 1} of {plan.rounds}: {size.nodes} nodes, {size.groups} groups: starting")
                cluster.start()
                yield from _Turn(cluster, size, plan, directory / "requests", show).measure()


class _Turn:
    """One cluster, which runs."""

    def __init__(
        self, cluster: ConcordCluster, size: Size, plan: Plan, requests: Path, show: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._size = size
        self._plan = plan
        self._path = requests
        self._show = show
        self._rng = random.Random(plan.seed)
        self._items: Sequence[Item] = items(KEYS, self._rng)

    def measure(self) -> Iterator[Loaded]:
        checks.load(self._cluster, self._items, BULK_ITEMS)
        for operation in (Operation.PUT, Operation.GET):
            yield self._measure(operation)

    def _measure(self, operation: Operation) -> Loaded:
        cluster, size, plan = self._cluster, self._size, self._plan
        self._show(f"{size.nodes} nodes, {size.groups} groups: {operation.value}")
        workload = Workload(operation, CONNECTIONS)
        requests = encoded_requests(workload, cluster.dialect, cluster.address, self._items, self._rng)
        self._path.write_bytes(wrk.encode_requests(requests))
        self._closed(WARM_UP_S)
        before = cpu_s(cluster.server_pids())
        closed = self._closed(plan.seconds)
        closed_cpu_s = cpu_s(cluster.server_pids()) - before
        self._rng.shuffle(requests)
        load = Load(cluster.address, requests, PATIENCE_S, meter_of(cluster))
        paced = uvloop.run(load.open(CONNECTIONS, plan.per_s, float(plan.seconds)))
        answered = _answered(paced)
        return Loaded(
            part=size.part,
            groups=size.groups,
            nodes=size.nodes,
            operation=operation.value,
            offered_per_s=plan.per_s,
            paced=paced.good,
            unserved=paced.given_up + paced.refused.count + paced.failed + paced.late,
            paced_cpu_us=paced.server_cpu_s / answered * 1e6,
            closed_per_s=closed.requests / closed.seconds,
            closed_p99_ms=closed.p99_ms,
            closed_cpu_us=closed_cpu_s / closed.requests * 1e6,
        )

    def _closed(self, seconds: int) -> wrk.WrkResult:
        address, seed = self._cluster.address, self._rng.getrandbits(31)
        result = wrk.run(address, self._path, connections=CONNECTIONS, seconds=seconds, seed=seed)
        if fault := result.fault():
            raise LoadtestError(f"{self._size.groups} groups, closed loop: {fault}")
        return result


def _answered(phase: Phase) -> int:
    if not phase.good.count:
        raise LoadtestError(f"the paced load had no success: {phase.statuses}")
    return sum(phase.statuses.values())
