"""Very many keys: their memory, a page of the list, a snapshot under full load, a restart."""

import bisect
import datetime as dt
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import uvloop

from loadtest.client import HttpClient
from loadtest.concord_cluster import ConcordCluster
from loadtest.dialects import Operation, Request
from loadtest.errors import LoadtestError
from loadtest.figures import Latencies, latencies
from loadtest.loading import BulkLoader, overwriting
from loadtest.node_status import Indexes, ask, commit_indexes
from loadtest.open_loop import Load
from loadtest.probe import PROBE_KEYS, Prober, Sample
from loadtest.proc import memory_bytes
from loadtest.restarts import restart_a_node
from loadtest.scale.records import Keys, Snapshot, Stalls
from loadtest.workloads import Workload, encoded_requests, value
from raft import RaftConfig
from wire.messages import NodeStatus

CONNECTIONS = 64
SINGLE_KEYS = 10_000
GET_EVERY_S = 0.005
WARM_UP_S = 3.0
PATIENCE_S = 30.0
PAGES = 50
PAGE_KEYS = 1_000
LOGGED_BYTES = 126
"""What a put of a key `million/00000000` and 100 bytes takes in its group's log, as one of many of an entry."""
LEFT_BYTES = 1_000_000
"""How much log of a group is missing for a snapshot when the full load begins, so that there is some time without one."""
FILLS = 100
SETTLE_S = 5.0
"""Longer than a snapshot takes when nobody asks anything."""

Spans = Sequence[tuple[float, float]]
"""Stretches of time.monotonic, each with its end."""

_CREATED = re.compile(
    r"^(\S+ \S+) INFO \S+ group (\d+): snapshot created, up to entry \d+, (\d+) bytes, ([\d.]+) s$", re.MULTILINE
)


def measure(cluster: ConcordCluster, keys: int, load_s: float, show: Callable[[str], None]) -> Keys:
    """Everything, in order, on a cluster that was just started and is empty.

    Raises:
        LoadtestError: something failed, or no snapshot was taken within the full load.
    """
    return _Run(cluster, keys, load_s, show).measure()


class _Run:
    def __init__(self, cluster: ConcordCluster, keys: int, load_s: float, show: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._keys = keys
        self._load_s = load_s
        self._show = show

    def measure(self) -> Keys:
        empty = self._memory()
        load_per_s = self._fill()
        loaded = self._memory()
        self._show(f"{self._keys:,} keys: listing")
        page_ms, page_with_values_ms = self._pages(with_values=False), self._pages(with_values=True)
        restart_long_log_s = self._restart()
        single, paced, snapshots = self._full_load()
        settled, peak = self._memory(), self._memory(1)
        return Keys(
            keys=self._keys,
            groups=self._cluster.groups,
            nodes=len(empty),
            empty_bytes=empty,
            loaded_bytes=loaded,
            settled_bytes=settled,
            peak_bytes=peak,
            load_per_s=load_per_s,
            page_ms=page_ms,
            page_with_values_ms=page_with_values_ms,
            snapshots=snapshots,
            single=single,
            paced=paced,
            restart_long_log_s=restart_long_log_s,
            restart_s=self._restart(),
        )

    def _memory(self, which: int = 0) -> list[int]:
        return [memory_bytes(pid)[which] for pid in self._cluster.node_pids().values()]

    def _fill(self) -> float:
        """All keys, then new values until the logs are nearly long enough; keys put in a second, the first time."""
        loader = BulkLoader(self._cluster.address)
        self._show(f"{self._keys:,} keys: putting them")
        first = loader.load(self._keys)
        puts = first.puts
        for _ in range(FILLS):
            more = missing_puts(self._settled(), puts)
            if more <= 0:
                return first.per_s
            self._show(f"{self._keys:,} keys: new values, {more:,} to go until the logs are nearly full")
            puts += loader.load(min(self._keys, more)).puts
        raise LoadtestError(f"the logs were not nearly full after {puts:,} puts")

    def _settled(self) -> list[NodeStatus]:
        """The nodes' statuses once none of them takes a snapshot: groups that became due together take theirs one by one."""
        statuses, before = self._statuses(), -1
        while before != (taken := sum(status.snapshots for status in statuses)):
            before = taken
            time.sleep(SETTLE_S)
            statuses = self._statuses()
        return statuses

    def _pages(self, *, with_values: bool) -> Latencies:
        client, cursor, times_ms = HttpClient(self._cluster.address), "", []
        for _ in range(PAGES):
            path = f"/api/v1/kv?prefix=million/&limit={PAGE_KEYS}{'&values=true' * with_values}"
            began = time.perf_counter()
            answer = client.send(Request("GET", path + (f"&cursor={cursor}" if cursor else "")))
            times_ms.append((time.perf_counter() - began) * 1000)
            if answer.status != 200:
                raise LoadtestError(f"a page was answered {answer.status} {answer.body[:200].decode(errors='replace')}")
            cursor = msgspec.json.decode(answer.body).get("cursor", "")
            if not cursor:
                break
        client.close()
        return latencies(times_ms)

    def _restart(self) -> float:
        self._show(f"{self._keys:,} keys: restarting a node")
        took_s = restart_a_node(self._cluster, self._committed()).caught_up_s
        self._cluster.settle()
        return took_s

    def _committed(self) -> Indexes:
        return commit_indexes(self._statuses())

    def _statuses(self) -> list[NodeStatus]:
        answers = [ask(address) for address in self._cluster.node_addresses().values()]
        return [status for status in answers if status is not None]

    # --- full load -------------------------------------------------------------------------------------------------

    def _full_load(self) -> tuple[Stalls, Stalls, list[Snapshot]]:
        """Single puts over 64 connections, one connection with bulks, and a paced get, while snapshots are taken."""
        cluster = self._cluster
        singles: list[Sample] = []
        self._show(f"{self._keys:,} keys: full load for {self._load_s:.0f} s")
        client = HttpClient(cluster.address)
        client.send(cluster.dialect.bulk([(key, key) for key in PROBE_KEYS]))
        client.close()

        def observe(due_s: float, took_ms: float, status: bytes) -> None:
            singles.append(Sample(due_s, took_ms, status == b"200"))

        load = Load(cluster.address, self._requests(), PATIENCE_S, observe=observe)
        offset_s, began_s = time.time() - time.monotonic(), time.monotonic()
        with Prober("get", [cluster.address], GET_EVERY_S) as prober, overwriting(cluster.address, self._keys):
            uvloop.run(load.closed(CONNECTIONS, self._load_s))
            gets = prober.finish()
        ended_s = time.monotonic()
        logs = {name: path.read_text(errors="replace") for name, path in cluster.logs.items()}
        snapshots = [one for one in taken(logs) if one.ended_s - offset_s > began_s]
        spans = [(one.ended_s - one.took_s - offset_s, one.ended_s - offset_s) for one in snapshots]
        counted = (began_s + WARM_UP_S, ended_s)
        return stalls(singles, spans, counted), stalls(gets, spans, counted), snapshots

    def _requests(self) -> list[bytes]:
        rng = random.Random(self._keys)
        numbers = rng.sample(range(self._keys), min(SINGLE_KEYS, self._keys))
        of = [(f"million/{number:08}", value(rng)) for number in numbers]
        cluster = self._cluster
        return encoded_requests(Workload(Operation.PUT, CONNECTIONS), cluster.dialect, cluster.address, of, rng)


def missing_puts(statuses: Sequence[NodeStatus], puts: int) -> int:
    """How many puts of LOGGED_BYTES, over all groups, until the first log is nearly long enough; 0 when one is.

    A log that is about to be cut, or whose snapshot is being taken, has nothing nearly full about it: it is filled past that.

    Args:
        statuses: of all nodes.
        puts: how many there were, in entries of the same size, spread evenly over the groups.
    """
    config = RaftConfig()
    led = [group for status in statuses for group in status.groups if group.role == "leader" and group.keys]
    missing: list[float] = []
    for group in led:
        entry_bytes = LOGGED_BYTES * puts / len(led) / group.commit_index
        kept = min(config.trailing_entries * entry_bytes, config.rewrite_bytes) if group.snapshot_index else 0
        logged = (group.commit_index - group.snapshot_index) * entry_bytes + kept
        missing.append(config.due_bytes(group.bytes) - LEFT_BYTES - logged)
    lowest = min(missing)
    if lowest < -LEFT_BYTES / 2:
        lowest = LEFT_BYTES
    return max(0, int(lowest * len(led) / LOGGED_BYTES))


def taken(logs: Mapping[str, str]) -> list[Snapshot]:
    """The snapshots that nodes tell of in their logs, in the order in which they ended."""
    found = [
        Snapshot(node, int(group), _local_time(said), float(took), int(size))
        for node, text in logs.items()
        for said, group, size, took in _CREATED.findall(text)
    ]
    return sorted(found, key=lambda one: one.ended_s)


def _local_time(said: str) -> float:
    """Seconds since the epoch of a time as logging writes it, which is that of this machine's zone."""
    return dt.datetime.strptime(said, "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def stalls(samples: Sequence[Sample], spans: Spans, counted: tuple[float, float]) -> Stalls:
    """Tell requests that were under way in one of the spans from those that were not; only those due in `counted`.

    Raises:
        LoadtestError: there are none of one kind, so that nothing can be compared.
    """
    joined = _joined(spans)
    inside: list[float] = []
    outside: list[float] = []
    failed = 0
    for sample in samples:
        if not counted[0] <= sample.due_s < counted[1]:
            continue
        failed += not sample.ok
        at = bisect.bisect_left(joined, sample.due_s, key=lambda span: span[1])  # the first that ends after it was due
        is_inside = at < len(joined) and joined[at][0] <= sample.due_s + sample.took_ms / 1000
        (inside if is_inside else outside).append(sample.took_ms)
    if not inside or not outside:
        raise LoadtestError("no snapshot was taken under the full load, or nothing but: change --load-seconds")
    return Stalls(latencies(outside), latencies(inside), failed)


def _joined(spans: Spans) -> list[tuple[float, float]]:
    """The same stretches of time in order, those that touch made one."""
    joined: list[tuple[float, float]] = []
    for began, ended in sorted(spans):
        if joined and began <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ended))
        else:
            joined.append((began, ended))
    return joined
