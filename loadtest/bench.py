"""`make bench`: Concord and etcd, three nodes each with fsync, loaded by the same program in the same run.

The systems take turns in every round, the other one first each time. Only one runs at a time, started anew on empty data:
idle neighbours are not free (both send heartbeats) and would not cost both the same. It writes docs/bench.md and prints it.
"""

import argparse
import datetime as dt
import os
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from concord.cli.console import Progress
from loadtest import checks, wrk
from loadtest.children import ended_by_signals
from loadtest.concord_cluster import ConcordCluster
from loadtest.dialects import Item
from loadtest.errors import LoadtestError
from loadtest.etcd_cluster import EtcdCluster, binary
from loadtest.proc import cpu_s
from loadtest.provenance import ROOT, collect
from loadtest.report import Measurement, page
from loadtest.systems import System
from loadtest.workloads import BULK_ITEMS, KEYS, WORKLOADS, Workload, encoded_requests, items

MAKERS: tuple[Callable[[Path], System], ...] = (ConcordCluster, EtcdCluster)
PAGE = Path("docs/bench.md")


class Bench:
    """The run: what is asked for, and what was measured so far."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self._options = options
        self._directory = directory
        self._progress = Progress(sys.stderr)
        self._began = time.monotonic()
        self._items: Sequence[Item] = items(KEYS, random.Random(options.seed))
        self.results: dict[str, dict[Workload, list[Measurement]]] = {}
        self.setups: dict[str, str] = {}
        self.notes: list[str] = []

    def run(self) -> None:
        """All rounds."""
        for number in range(self._options.rounds):
            for make in MAKERS if number % 2 == 0 else reversed(MAKERS):
                directory = self._directory / f"round-{number}"
                system = make(directory)
                try:
                    with closing(system):
                        self._turn(system, number)
                except LoadtestError as error:
                    raise LoadtestError(f"{system.name}, round {number + 1}: {error}") from error
                finally:
                    shutil.rmtree(directory, ignore_errors=True)
        self._progress.clear()

    def _turn(self, system: System, number: int) -> None:
        """One system in one round."""
        rng = random.Random(f"{self._options.seed} {number}")
        self._show(system, number, "starting")
        system.start()
        self.setups[system.name] = system.setup
        checks.load(system, self._items, BULK_ITEMS)
        checks.check_reads_see_writes(system, rng)
        leaders, pids = system.leaders(), system.server_pids()
        for workload in WORKLOADS:
            self._show(system, number, f"{workload.name}, {workload.connections} connections")
            measured = self._measure(system, workload, rng, pids)
            self.results.setdefault(system.name, {}).setdefault(workload, []).append(measured)
        checks.check_stored(system, self._items)
        if system.leaders() != leaders:
            self.notes.append(f"{system.name} changed leaders under load in round {number + 1}.")
        if number == self._options.rounds - 1:
            self._show(system, number, "checking that reads need a quorum")
            checks.check_reads_need_a_quorum(system, self._items[0][0])

    def _measure(self, system: System, workload: Workload, rng: random.Random, pids: Sequence[int]) -> Measurement:
        """Warm up, looking at every answer, and measure."""
        path = self._directory / "requests"
        prepared = encoded_requests(workload, system.dialect, system.address, self._items, rng)
        path.write_bytes(wrk.encode_requests(prepared))
        seed = rng.getrandbits(31)
        expected = system.dialect.expectation(workload.operation, workload.items)
        load = partial(wrk.run, system.address, path, connections=workload.connections)
        _trust(load(seconds=self._options.warm_up, seed=seed, expected=expected), workload)
        os.sync()  # what the warm-up left to write belongs to no measurement
        before = cpu_s(pids)
        result = _trust(load(seconds=self._options.seconds, seed=seed + 1), workload)
        spent_s = cpu_s(pids) - before
        keys = result.requests * workload.items
        return Measurement(
            keys / result.seconds, result.p50_ms, result.p99_ms, result.max_ms, cpu_us=spent_s / keys * 1e6
        )

    def _show(self, system: System, number: int, what: str) -> None:
        elapsed = time.monotonic() - self._began
        self._progress.show(f"{elapsed:4.0f} s  round {number + 1} of {self._options.rounds}  {system.name}: {what} …")


def _trust(result: wrk.WrkResult, workload: Workload) -> wrk.WrkResult:
    if fault := result.fault():
        raise LoadtestError(f"{workload.name} with {workload.connections} connections: {fault}")
    return result


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are taken (%(default)s)")
    parser.add_argument("--warm-up", type=int, default=1, metavar="S", help="seconds before each (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of keys, values and their order (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / PAGE, help=f"the page to write ({PAGE})")
    parser.add_argument("--directory", type=Path, default=ROOT / "build", help="where data lies meanwhile (build)")
    options = parser.parse_args(arguments)
    if min(options.seconds, options.rounds, options.warm_up) < 1:
        parser.error("--seconds, --rounds and --warm-up are at least 1")
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure, write the page and print it; 1 when something could not be trusted."""
    options = _options(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    command = f"make bench ARGS='{shlex.join(arguments)}'" if arguments else "make bench"
    date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    try:
        with ended_by_signals(), tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
            binary(), wrk.program()  # complain about what is missing before anything is started
            provenance = collect(Path(directory), PAGE)
            bench = Bench(options, Path(directory))
            bench.run()
    except LoadtestError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    written = page(
        bench.results,
        list(bench.setups.values()),
        provenance,
        command=command,
        date=date,
        seconds=options.seconds,
        notes=bench.notes,
    )
    options.output.write_text(written)
    sys.stdout.write(written)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
