"""`python -m loadtest.overload`: what is left of the goodput when far more is offered than can be served.

Goodput is the rate of successful answers that came within a client's patience. First a closed loop with more and more
connections finds its peak. Then, by turns, there is a closed loop with the best number of them, and an overload: requests are due
at a multiple of what the loop has just yielded whatever comes back (open loop), over a bounded number of connections. One that is due
while every connection waits for an answer is not sent and counts as given up.

The load generator runs on the same machine, and an open loop costs more than a closed one. So the CPU seconds of gateway, nodes,
load generator and everything else are counted, and the share of the peak is also given for each second of the servers' CPU.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import uvloop

from concord.cli.console import Progress, table
from loadtest.children import ended_by_signals
from loadtest.client import HttpClient
from loadtest.concord_cluster import ROOT, ConcordCluster
from loadtest.dialects import ConcordDialect
from loadtest.errors import LoadtestError
from loadtest.figures import Latencies, percentile, significant
from loadtest.open_loop import GATEWAY, LOAD, NODES, OTHERS, Load, Meter, Phase
from loadtest.proc import cpu_s, machine_cpu_s

CLOSED_CONNECTIONS = (16, 64, 256)
KEYS = 10_000
REST_S = 1.0
DIALECT = ConcordDialect()


class Round(msgspec.Struct, frozen=True):
    """The best closed loop and the overload, one right after the other."""

    peak: Phase
    overload: Phase

    @property
    def ratio(self) -> float:
        """Goodput under overload as a share of the peak."""
        return self.overload.goodput_per_s / self.peak.goodput_per_s if self.peak.good.count else 0.0

    @property
    def cpu_ratio(self) -> float:
        """The same of what a second of the servers' CPU yields, whoever else took how much of the machine; 0 if not counted."""
        return self.overload.good_per_cpu_s / self.peak.good_per_cpu_s if self.peak.good_per_cpu_s else 0.0


class Outcome(msgspec.Struct, frozen=True):
    """The figures of one operation: the phases that looked for the best number of connections, and the rounds."""

    operation: str
    search: list[Phase]
    rounds: list[Round]
    factor: float
    patience_s: float

    @property
    def ratio(self) -> float:
        """The median of the rounds'."""
        return percentile([one.ratio for one in self.rounds], 0.5)

    @property
    def cpu_ratio(self) -> float:
        """The median of the rounds'."""
        return percentile([one.cpu_ratio for one in self.rounds], 0.5)

    def said(self) -> dict[str, object]:
        """For --json."""
        each = [{"ratio": one.ratio, "cpu_ratio": one.cpu_ratio} for one in self.rounds]
        figures: dict[str, object] = msgspec.to_builtins(self)
        return figures | {"ratio": self.ratio, "cpu_ratio": self.cpu_ratio, "ratios": each}


def best(phases: Sequence[Phase]) -> Phase:
    """The one with the most good answers a second."""
    return max(phases, key=lambda phase: phase.goodput_per_s)


def rows(outcome: Outcome) -> list[list[str]]:
    """The table's lines."""
    name, offered = outcome.operation, f"{outcome.factor:g} x peak"
    lines = [_row(f"{name}, closed loop", phase) for phase in outcome.search]
    for one in outcome.rounds:
        lines += [_row(f"{name}, closed loop", one.peak), _row(f"{name}, {offered}", one.overload)]
        lines[-1][5:7] = [f"{one.ratio:.0%}", f"{one.cpu_ratio:.0%}"]
    return lines


HEADINGS = (
    "LOAD",
    "CONNS",
    "DUE/s",
    "GIVEN UP",
    "GOOD/s",
    "OF PEAK",
    "BY CPU",
    "p50 / p99 ms",
    "LATE",
    "REFUSED",
    "p50 / p99 ms",
    "FAILED",
    "CPU s: GATEWAY, NODES, LOAD, OTHERS",
)


def _row(name: str, phase: Phase) -> list[str]:
    return [
        name,
        str(phase.connections),
        significant(phase.due / phase.seconds),
        str(phase.given_up),
        significant(phase.goodput_per_s),
        "",
        "",
        _times(phase.good),
        str(phase.late),
        str(phase.refused.count),
        _times(phase.refused),
        str(phase.failed),
        ", ".join(f"{phase.cpu_s.get(who, 0.0):.1f}" for who in (GATEWAY, NODES, LOAD, OTHERS)),
    ]


def _times(found: Latencies) -> str:
    return f"{significant(found.p50_ms)} / {significant(found.p99_ms)}"


def requests_of(operation: str, address: str) -> list[bytes]:
    """What is sent for an operation."""
    keys = [f"overload/{number:05}" for number in range(KEYS)]
    made = [DIALECT.get(key) if operation == "get" else DIALECT.put(key, "v" * 100) for key in keys]
    return [request.encoded(address) for request in made]


def meter_of(cluster: ConcordCluster | None) -> Meter:
    """Counts the CPU of a cluster's processes, of this one and of all others; without a cluster only the latter two."""
    processes = cluster.processes() if cluster is not None else []
    pids = {
        GATEWAY: [process.pid for process in processes if process.pid and process.role == "gateway"],
        NODES: [process.pid for process in processes if process.pid and process.role == "node"],
        LOAD: [os.getpid()],
    }

    def meter() -> Mapping[str, float]:
        found = {who: cpu_s(mine) for who, mine in pids.items()}
        return found | {OTHERS: machine_cpu_s() - sum(found.values())}

    return meter


async def measure(operation: str, address: str, options: argparse.Namespace, meter: Meter) -> Outcome:
    """Find the best number of connections, then by turns load with it and offer a multiple of what it yields."""
    load = Load(address, requests_of(operation, address), options.patience, meter)
    await load.closed(CLOSED_CONNECTIONS[0], min(2.0, options.seconds))  # warm up
    search = [await load.closed(connections, options.seconds) for connections in CLOSED_CONNECTIONS]
    connections, rounds = best(search).connections, []
    for _ in range(options.rounds):
        peak = await load.closed(connections, options.seconds)
        await asyncio.sleep(REST_S)
        overload = await load.open(options.connections, options.factor * peak.goodput_per_s, options.seconds)
        await asyncio.sleep(REST_S)
        rounds.append(Round(peak, overload))
    return Outcome(operation, search, rounds, options.factor, options.patience)


def fill(address: str) -> None:
    """Put the keys that are read."""
    client = HttpClient(address)
    for first in range(0, KEYS, 500):
        client.send(DIALECT.bulk([(f"overload/{number:05}", "v" * 100) for number in range(first, first + 500)]))
    client.close()


def run(options: argparse.Namespace, directory: Path) -> list[Outcome]:
    """Start a cluster, or take the one that is named, and measure every operation."""
    if options.address:
        return _measure_all(options, options.address, meter_of(None))
    with closing(ConcordCluster(directory, options.groups)) as cluster:
        cluster.start()
        return _measure_all(options, cluster.address, meter_of(cluster))


def _measure_all(options: argparse.Namespace, address: str, meter: Meter) -> list[Outcome]:
    progress = Progress(sys.stderr)
    fill(address)
    found = []
    for operation in options.operations:
        progress.show(f"{operation}: looking for the peak, then {options.factor:g} times it …")
        found.append(uvloop.run(measure(operation, address, options, meter)))
    progress.clear()
    return found


def main() -> int:
    """Measure and print; 1 when the cluster did not come up."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.overload", description=__doc__)
    parser.add_argument("--groups", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=8, help="of each load (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of peak and overload by turns (%(default)s)")
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
        shown = [one.said() for one in outcomes]
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(shown)) + b"\n")
        return 0
    lines = [line for outcome in outcomes for line in rows(outcome)]
    sys.stdout.write(table(list(HEADINGS), lines, sys.stdout))
    for one in outcomes:
        sys.stdout.write(
            f"\n{one.operation}: {one.ratio:.0%} of the peak is left at {one.factor:g} times of it, "
            f"{one.cpu_ratio:.0%} for each second of the servers' CPU (medians of {len(one.rounds)} rounds)\n"
        )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
