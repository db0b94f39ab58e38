"""The main table's workloads at a steady rate, where times count from when each request was due.

A closed loop waits while a server stalls, so that the requests which independent clients would have sent meanwhile are missing from
its percentiles. Here requests fall due whatever is answered; those that find no connection free wait for one, and their wait counts.
"""

import time
from collections.abc import Collection, Mapping, Sequence

import msgspec
import uvloop

from loadtest.errors import LoadtestError
from loadtest.figures import percentile
from loadtest.open_loop import Load
from loadtest.workloads import Workload

SHARE = 0.5
PATIENCE_S = 5.0


class Paced(msgspec.Struct, frozen=True):
    """One workload at a steady rate on one system in one round; times are from when requests were due.

    Attributes:
        due_per_s: requests that fell due in a second.
        p50_ms: of those that were answered, as are the next two.
        p99_ms: see p50_ms.
        p999_ms: see p50_ms.
        unserved: requests that were not answered in PATIENCE_S.
        generator_cores: CPU time of the load generator for each second.
    """

    due_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    unserved: int
    generator_cores: float


Rounds = Mapping[Workload, Sequence[Paced]]


def widest(workloads: Collection[Workload]) -> list[Workload]:
    """Of those that differ in their connections alone the one with the most."""
    most: dict[Workload, Workload] = {}
    for workload in workloads:
        alike = msgspec.structs.replace(workload, connections=0)
        most[alike] = max(workload, most.get(alike, workload), key=lambda each: each.connections)
    return list(most.values())


def rate(workload: Workload, keys_per_s: Mapping[str, float]) -> float:
    """Requests a second, given how many keys a second each system got through in a closed loop: SHARE of what the slower one did."""
    return SHARE * min(keys_per_s.values()) / workload.items


def measure(address: str, requests: Sequence[bytes], connections: int, per_s: float, seconds: float) -> Paced:
    """Let requests fall due for so long.

    Raises:
        LoadtestError: one was refused or failed, or none was answered.
    """
    times_ms: list[float] = []
    load = Load(address, requests, PATIENCE_S, observe=lambda _due, took_ms, _status: times_ms.append(took_ms))
    generated_s, began = time.process_time(), time.perf_counter()
    phase = uvloop.run(load.open(connections, per_s, seconds, backlog=round(per_s * PATIENCE_S)))
    generated_s, took_s = time.process_time() - generated_s, time.perf_counter() - began
    if not times_ms or phase.failed or phase.refused.count:
        raise LoadtestError(f"at a steady rate not every answer was a success: {phase.statuses}")
    return Paced(
        due_per_s=per_s,
        p50_ms=percentile(times_ms, 0.5),
        p99_ms=percentile(times_ms, 0.99),
        p999_ms=percentile(times_ms, 0.999),
        unserved=phase.due - phase.good.count,
        generator_cores=generated_s / took_s,
    )


def median(rounds: Sequence[Paced]) -> Paced:
    """Medians of each figure by itself (nearest rank), but all that were unserved and the generator at its dearest."""
    times = {name: percentile([getattr(one, name) for one in rounds], 0.5) for name in ("p50_ms", "p99_ms", "p999_ms")}
    return Paced(
        due_per_s=rounds[0].due_per_s,
        unserved=sum(one.unserved for one in rounds),
        generator_cores=max(one.generator_cores for one in rounds),
        **times,
    )
