"""`make bench`: Concord and etcd, three nodes each with fsync, loaded by the same program in the same run.

Concord once more with durability `os` is a table of its own: what is not synced is not compared with what is. So is, on demand, Concord
with a single group, both at a steady rate, and further marks of systems that are asked by something else than `wrk`.

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
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from concord.cli.console import Progress
from loadtest import checks, marks, nats_mark, paced, redis_mark, sections, wrk, zookeeper_mark
from loadtest.children import ended_by_signals
from loadtest.concord_cluster import ConcordCluster
from loadtest.dialects import Item, Operation
from loadtest.errors import LoadtestError
from loadtest.etcd_cluster import EtcdCluster, binary
from loadtest.plot import ratios
from loadtest.proc import cpu_s, written_bytes
from loadtest.provenance import ROOT, collect
from loadtest.report import OURS, PLOT, THEIRS, Measurement, page, ratio_bars
from loadtest.systems import System
from loadtest.workloads import (
    BULK_ITEMS,
    CONNECTIONS,
    LARGE_VALUE_BYTES,
    VALUE_BYTES,
    WORKLOADS,
    Keys,
    Workload,
    encoded_requests,
    items,
    key_count,
)

MAKERS: tuple[Callable[[Path], System], ...] = (partial(ConcordCluster, auth=True), EtcdCluster)
RELAXED_MAKER: Callable[[Path], System] = partial(ConcordCluster, auth=True, durability="os")
ONE_GROUP_MAKER: Callable[[Path], System] = partial(ConcordCluster, groups=1, auth=True)
MARKS: Mapping[str, tuple[Callable[[], None], Callable[[Path, marks.Plan], marks.Marked]]] = {
    "redis": (redis_mark.check, redis_mark.measure),
    "zookeeper": (zookeeper_mark.check, partial(marks.measure, zookeeper_mark.ZooKeeperCluster)),
    "nats": (nats_mark.check, partial(marks.measure, nats_mark.NatsCluster)),
}
PAGE = Path("docs/bench.md")


class Bench:
    """The run: what is asked for, and what was measured so far."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self._options = options
        self._directory = directory
        self._progress = Progress(sys.stderr)
        self._began = time.monotonic()
        self._workloads = chosen(options)
        self._steady = paced.widest(self._workloads) if options.steady else []
        self._items: dict[int, Sequence[Item]] = {
            size: items(key_count(size), random.Random(options.seed), size=size)
            for size in dict.fromkeys(workload.value_bytes for workload in self._workloads)
        }
        self.results: dict[str, dict[Workload, list[Measurement]]] = {}
        self.setups: dict[str, str] = {}
        self.notes: list[str] = []
        self.paced: dict[str, dict[Workload, list[paced.Paced]]] = {}
        self.marks: list[marks.Marked] = []

    def run(self) -> None:
        """All rounds."""
        for number in range(self._options.rounds):
            makers = makers_of(self._options)
            for make in makers if number % 2 == 0 else reversed(makers):
                directory = self._directory / f"round-{number}"
                system = make(directory)
                try:
                    with closing(system):
                        self._turn(system, number)
                except LoadtestError as error:
                    raise LoadtestError(f"{system.name}, round {number + 1}: {error}") from error
                finally:
                    shutil.rmtree(directory, ignore_errors=True)
        for name in self._options.marks:
            self._progress.show(f"{name} …")
            plan = marks.Plan(plain(self._workloads), self._options.seconds, self._options.warm_up, self._options.seed)
            self.marks.append(MARKS[name][1](self._directory / name, plan))
        self._progress.clear()

    def _turn(self, system: System, number: int) -> None:
        """One system in one round."""
        rng = random.Random(f"{self._options.seed} {number}")
        self._show(system, number, "starting")
        system.start()
        self.setups[system.name] = system.setup
        leaders, pids = system.leaders(), system.server_pids()
        for size, loaded in self._items.items():
            checks.load(system, loaded, BULK_ITEMS)
            checks.check_reads_see_writes(system, rng)
            for workload in (each for each in self._workloads if each.value_bytes == size):
                self._show(system, number, f"{workload.name} of {size} bytes, {workload.connections} connections")
                measured = self._measure(system, workload, rng, pids)
                self.results.setdefault(system.name, {}).setdefault(workload, []).append(measured)
                if number and workload in self._steady and system.name in (OURS, THEIRS):
                    self._let_fall_due(system, workload, rng)
            checks.check_stored(system, loaded)
        if system.leaders() != leaders:
            self.notes.append(f"{system.name} changed leaders under load in round {number + 1}.")
        if number == self._options.rounds - 1:
            self._show(system, number, "checking that reads need a quorum")
            checks.check_reads_need_a_quorum(system, loaded[0][0])

    def _measure(self, system: System, workload: Workload, rng: random.Random, pids: Sequence[int]) -> Measurement:
        """Warm up, looking at every answer, and measure."""
        path = self._directory / "requests"
        loaded = self._items[workload.value_bytes]
        prepared = encoded_requests(workload, system.dialect, system.address, loaded, rng)
        path.write_bytes(wrk.encode_requests(prepared))
        seed = rng.getrandbits(31)
        expected = system.dialect.expectation(workload.operation, workload.items)
        load = partial(wrk.run, system.address, path, connections=workload.connections)
        _trust(load(seconds=self._options.warm_up, seed=seed, expected=expected), workload)
        os.sync()  # what the warm-up left to write belongs to no measurement
        before, written = cpu_s(pids), written_bytes(pids)
        result = _trust(load(seconds=self._options.seconds, seed=seed + 1), workload)
        spent_s, written = cpu_s(pids) - before, written_bytes(pids) - written
        keys = result.requests * workload.items
        return Measurement(
            keys / result.seconds,
            result.p50_ms,
            result.p99_ms,
            result.p999_ms,
            result.max_ms,
            cpu_us=spent_s / keys * 1e6,
            written_bytes=written / keys,
        )

    def _let_fall_due(self, system: System, workload: Workload, rng: random.Random) -> None:
        """A workload at a steady rate, which the first round of both has told."""
        per_s = paced.rate(workload, {name: self.results[name][workload][0].per_s for name in (OURS, THEIRS)})
        loaded = self._items[workload.value_bytes]
        requests = encoded_requests(workload, system.dialect, system.address, loaded, rng)
        rng.shuffle(requests)
        let = partial(paced.measure, system.address, requests, workload.connections, per_s)
        let(self._options.warm_up)
        os.sync()
        self.paced.setdefault(system.name, {}).setdefault(workload, []).append(let(self._options.seconds))

    def sections(self) -> list[str]:
        """What the page says besides what it compares."""
        found = [sections.steady(self.paced)] if self.paced else []
        found += [sections.alone(name, self.results[name]) for name in sections.TITLES if name in self.results]
        return found + ([sections.marked(self.marks)] if self.marks else [])

    def _show(self, system: System, number: int, what: str) -> None:
        elapsed = time.monotonic() - self._began
        self._progress.show(f"{elapsed:4.0f} s  round {number + 1} of {self._options.rounds}  {system.name}: {what} …")


def _trust(result: wrk.WrkResult, workload: Workload) -> wrk.WrkResult:
    if fault := result.fault():
        raise LoadtestError(f"{workload.name} with {workload.connections} connections: {fault}")
    return result


def chosen(options: argparse.Namespace) -> list[Workload]:
    """The part of the matrix that is asked for, in its order."""
    return [
        workload
        for workload in WORKLOADS
        if (workload.mix or workload.operation.value) in options.operations
        and workload.connections in options.connections
        and workload.value_bytes in options.value_bytes
        and workload.keys.value in options.keys
    ]


def makers_of(options: argparse.Namespace) -> list[Callable[[Path], System]]:
    """The systems that take turns."""
    return [*MAKERS, *[ONE_GROUP_MAKER] * options.one_group, *[RELAXED_MAKER] * options.relaxed]


def plain(workloads: Sequence[Workload]) -> list[Workload]:
    """Those that further marks have, too: no mixes, uniform keys, small values."""
    return [
        each
        for each in workloads
        if each.operation is not Operation.MIX and each.keys is Keys.UNIFORM and each.value_bytes == VALUE_BYTES
    ]


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ends the program when it makes no sense."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are taken (%(default)s)")
    parser.add_argument("--warm-up", type=int, default=1, metavar="S", help="seconds before each (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of keys, values and their order (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / PAGE, help=f"the page to write ({PAGE})")
    parser.add_argument("--directory", type=Path, default=ROOT / "build", help="where data lies meanwhile (build)")
    names = list(dict.fromkeys(workload.mix or workload.operation.value for workload in WORKLOADS))
    sizes = [VALUE_BYTES, *LARGE_VALUE_BYTES]
    part = parser.add_argument_group("parts of the matrix (all)")
    part.add_argument("--operations", nargs="+", choices=names, default=names, help="A, B and C are mixes")
    part.add_argument("--connections", nargs="+", type=int, choices=CONNECTIONS, default=CONNECTIONS)
    part.add_argument("--value-bytes", nargs="+", type=int, choices=sizes, default=sizes)
    part.add_argument("--keys", nargs="+", choices=[keys.value for keys in Keys], default=[keys.value for keys in Keys])
    part.add_argument(
        "--relaxed", action=argparse.BooleanOptionalAction, default=True, help="Concord with durability os, too"
    )
    more = parser.add_argument_group("what stands in tables of its own")
    more.add_argument("--steady", action="store_true", help="both at a steady rate, from the second round on")
    more.add_argument("--one-group", action="store_true", help="Concord with 1 group instead of 8, too")
    for name, needed in {"redis": "redis-server", "zookeeper": "Debian's zookeeper", "nats": "nats-server"}.items():
        what = f"{name} as a further mark; needs {needed}"
        more.add_argument(f"--{name}", dest="marks", action="append_const", const=name, default=[], help=what)
    options = parser.parse_args(arguments)
    if not chosen(options):
        parser.error("no part of the matrix is left")
    if options.marks and not plain(chosen(options)):
        parser.error("further marks need put, get or bulk of 100 bytes with uniform keys")
    if options.steady and options.rounds < 2:
        parser.error("--steady takes its rates from the first round and needs --rounds of at least 2")
    if min(options.seconds, options.rounds, options.warm_up) < 1:
        parser.error("--seconds, --rounds and --warm-up are at least 1")
    return options


def main(arguments: Sequence[str]) -> int:
    """Measure, write the page and print it; 1 when something could not be trusted."""
    options = options_of(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    command = f"make bench ARGS='{shlex.join(arguments)}'" if arguments else "make bench"
    date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    try:
        with ended_by_signals(), tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
            binary(), wrk.program()  # complain about what is missing before anything is started
            for name in options.marks:
                MARKS[name][0]()
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
        folder=options.output.stem,
        seconds=options.seconds,
        notes=bench.notes,
        sections=bench.sections(),
    )
    plot = options.output.with_suffix("") / PLOT
    plot.parent.mkdir(parents=True, exist_ok=True)
    plot.write_text(ratios("Operations a second, Concord : etcd", ratio_bars(bench.results)))
    options.output.write_text(written)
    sys.stdout.write(written)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
