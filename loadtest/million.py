"""`python -m loadtest.million`: what very many keys cost: to load, in memory, on disk, in pauses, at a restart."""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from concord.cli.console import Progress, table
from loadtest.children import ended_by_signals, wait_until
from loadtest.client import HttpClient
from loadtest.concord_cluster import ROOT, ConcordCluster
from loadtest.errors import LoadtestError
from loadtest.figures import latencies, significant
from loadtest.loading import BULK_ITEMS, CONNECTIONS, BulkLoader, Loaded
from loadtest.node_status import Indexes, ask, commit_indexes, has_snapshots_after, keys_led
from loadtest.probe import PROBE_KEYS, Prober, Sample, between
from loadtest.proc import memory_bytes
from loadtest.restarts import CATCH_UP_S, restart_a_node
from wire.messages import NodeStatus

T = TypeVar("T")

MEBIBYTE = 1 << 20
GET_EVERY_S = 0.005
NODE_EVERY_S = 0.01
QUIET_S = 3.0
POLL_S = 0.2

Spans = dict[str, tuple[float, float]]
Rows = list[list[str]]


class Million:
    """One cluster and what was found out about it."""

    def __init__(self, cluster: ConcordCluster, options: argparse.Namespace) -> None:
        self._cluster = cluster
        self._options = options
        self._progress = Progress(sys.stderr)
        self._spans: Spans = {}
        self.rows: Rows = []
        self.pauses: Rows = []

    def run(self) -> None:
        """Everything, in order."""
        self._progress.show("starting …")
        self._cluster.start()
        self._put_probe_keys()
        addresses = list(self._cluster.node_addresses().values())
        with (
            Prober("get", [self._cluster.address], GET_EVERY_S) as gets,
            Prober("node", addresses, NODE_EVERY_S) as nodes,
        ):
            self._load()
            self._tabulate_pauses({"GET": gets.finish(), "node": nodes.finish()})
        self._weigh()
        self._restart_one()
        self._restart_all()
        self._progress.clear()

    def _put_probe_keys(self) -> None:
        client = HttpClient(self._cluster.address)
        client.send(self._cluster.dialect.bulk([(key, key) for key in PROBE_KEYS]))
        client.close()

    # --- load ------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Quiet, new keys, then the same keys again until every replica has taken a snapshot of them."""
        loader, keys = BulkLoader(self._cluster.address), self._options.keys
        with self._span("quiet"):
            time.sleep(QUIET_S)
        with self._span("new keys"):
            self._show_loaded("new keys", self._follow(lambda: loader.load(keys)))
        self._show_memory("memory after the load")
        loaded = commit_indexes(self._statuses().values())
        with self._span("overwriting, with snapshots"):
            self._overwrite(loader, loaded)
        count = keys_led(self._statuses().values())
        if count != keys + len(PROBE_KEYS):
            raise LoadtestError(f"the leaders count {count} keys, not {keys + len(PROBE_KEYS)}")

    def _follow(self, work: Callable[[], Loaded]) -> Loaded:
        """Do it in another thread and show how many keys there are meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            while not working.done():
                count = keys_led(self._statuses().values())
                self._progress.show(f"loading … {count:,} of {self._options.keys:,} keys")
                time.sleep(POLL_S)
            return working.result()

    def _overwrite(self, loader: BulkLoader, loaded: Indexes) -> None:
        stop, began = threading.Event(), time.monotonic()
        rounds: list[Loaded] = []
        limit = self._options.overwrites

        def overwrite() -> None:
            while not stop.is_set() and sum(done.puts for done in rounds) < limit:
                rounds.append(loader.load(self._options.keys, stop))

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(overwrite)
            while not working.done() and not self._all_have_snapshots(loaded):
                self._progress.show(f"overwriting until there are snapshots … {time.monotonic() - began:.0f} s")
                time.sleep(POLL_S)
            stop.set()
            working.result()
        elapsed_s = time.monotonic() - began
        first = next((done.failure for done in rounds if done.failure), "")
        puts, repeated = sum(done.puts for done in rounds), sum(done.repeated for done in rounds)
        self._show_loaded("overwriting", Loaded(puts, elapsed_s, repeated, first))
        taken = {name: status.snapshots for name, status in self._statuses().items()}
        complete = "every replica has one" if self._all_have_snapshots(loaded) else "NOT every replica has one"
        self.rows.append(["snapshots taken since the start", f"{_by_node(taken, str)}; {complete} of all keys"])

    def _all_have_snapshots(self, loaded: Indexes) -> bool:
        return all(has_snapshots_after(status, loaded) for status in self._statuses().values())

    def _statuses(self) -> Mapping[str, NodeStatus]:
        answers = {name: ask(address) for name, address in self._cluster.node_addresses().items()}
        return {name: status for name, status in answers.items() if status is not None}

    @contextmanager
    def _span(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._spans[name] = (began, time.monotonic())

    # --- figures ---------------------------------------------------------------------------------------------------

    def _show_loaded(self, what: str, loaded: Loaded) -> None:
        text = f"{loaded.puts:,} puts in {loaded.seconds:.1f} s: {significant(loaded.per_s)} per s"
        if loaded.repeated:
            text += f"; {loaded.repeated} requests had to be repeated, the first after {loaded.failure}"
        self.rows.append([f"{what}, {BULK_ITEMS} a request, {CONNECTIONS} connections", text])

    def _show_memory(self, what: str) -> None:
        found = {name: memory_bytes(pid) for name, pid in self._cluster.node_pids().items()}
        self.rows.append(
            [what, _by_node(found, lambda memory: f"{_mebibytes(memory[0])} (at most {_mebibytes(memory[1])})")]
        )

    def _tabulate_pauses(self, probes: Mapping[str, list[Sample]]) -> None:
        for what, (began, ended) in self._spans.items():
            row = [what]
            for samples in probes.values():
                seen = between(samples, began, ended)
                found = latencies([sample.took_ms for sample in seen])
                failed = sum(not sample.ok for sample in seen)
                times = " / ".join(significant(time_ms) for time_ms in (found.p50_ms, found.p99_ms, found.max_ms))
                row += [str(found.count), str(failed), times]
            self.pauses.append(row)

    def _weigh(self) -> None:
        self._show_memory("memory after the overwriting")
        for part in ("wal", "snapshots"):
            sizes = {name: _allocated_bytes(path / part) for name, path in self._cluster.data_directories.items()}
            self.rows.append([f"{part} on disk", _by_node(sizes, _mebibytes)])

    # --- restarts --------------------------------------------------------------------------------------------------

    def _restart_one(self) -> None:
        self._progress.show("restarting a node …")
        found = restart_a_node(self._cluster, commit_indexes(self._statuses().values()))
        text = f"{found.answers_s:.1f} s until it answers, {found.caught_up_s:.1f} s until it has applied all that was committed"
        self.rows.append([f"restart of {found.name} after SIGKILL", text])

    def _restart_all(self) -> None:
        self._progress.show("restarting everything …")
        self._cluster.kill_everything()
        began = time.monotonic()
        self._cluster.launch()
        self._cluster.wait_until_ready()
        ready_s = time.monotonic() - began
        wait_until(lambda: self._cluster.leaders() is not None, "every group has a leader", CATCH_UP_S)
        count = keys_led(self._statuses().values())
        text = f"{ready_s:.1f} s until /readyz is 200; the leaders count {count:,} keys"
        self.rows.append(["restart of everything after SIGKILL", text])
        self._show_memory("memory after the restart")


def _mebibytes(size: int) -> str:
    return f"{size / MEBIBYTE:,.0f} MiB"


def _by_node(values: Mapping[str, T], shown: Callable[[T], str]) -> str:
    return ", ".join(f"{name} {shown(value)}" for name, value in values.items())


def _allocated_bytes(directory: Path) -> int:
    """What the files of a directory take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.million", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000, help="of 100 bytes each (%(default)s)")
    parser.add_argument("--groups", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--nodes", type=int, default=3, help="(%(default)s)")
    parser.add_argument(
        "--overwrites", type=int, default=4_000_000, help="puts at most until all have snapshots (%(default)s)"
    )
    return parser.parse_args()


def main() -> int:
    """Measure and print; 1 when something could not be trusted."""
    options, build = _options(), ROOT / "build"
    build.mkdir(exist_ok=True)
    try:
        with ended_by_signals(), tempfile.TemporaryDirectory(prefix="million-", dir=build) as directory:
            cluster = ConcordCluster(Path(directory) / "data", options.groups, options.nodes)
            with closing(cluster):
                million = Million(cluster, options)
                million.run()
    except LoadtestError as error:
        sys.stderr.write(f"million: {error}\n")
        return 1
    headings = ["WHILE", "GETS", "FAILED", "p50 / p99 / MAX ms", "ASKS OF NODES", "FAILED", "p50 / p99 / MAX ms"]
    sys.stdout.write(table(["WHAT", f"{options.keys:,} KEYS"], million.rows, sys.stdout))
    sys.stdout.write(
        f"\nA linearizable GET every {GET_EVERY_S * 1000:.0f} ms, and a STATUS of every node over RPC every "
        f"{NODE_EVERY_S * 1000:.0f} ms, timed from when they were due:\n\n"
    )
    sys.stdout.write(table(headings, million.pauses, sys.stdout))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
