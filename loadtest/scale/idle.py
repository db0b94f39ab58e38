"""Clusters that nobody asks, beside an event loop that does nothing."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from loadtest.concord_cluster import ConcordCluster
from loadtest.idle import shares
from loadtest.proc import cpu_s, memory_bytes
from loadtest.scale.records import Idle

GRACE_S = 10.0


class Watch(msgspec.Struct, frozen=True):
    """How long a cluster is watched, and left alone before."""

    seconds: float
    settle_s: float


def measure(
    counts: Sequence[int], nodes: int, watch: Watch, directory: Path, show: Callable[[str], None]
) -> Iterator[Idle]:
    """One cluster after the other, with so many groups each."""
    for groups in counts:
        with closing(ConcordCluster(directory / f"idle-{groups}", groups, nodes)) as cluster:
            show(f"{nodes} nodes, {groups} idle groups: starting")
            began = time.monotonic()
            cluster.start()
            ready_s = time.monotonic() - began
            show(f"{nodes} nodes, {groups} idle groups: waiting, then watching for {watch.seconds:.0f} s")
            time.sleep(watch.settle_s)
            yield _watched(cluster, groups, nodes, watch.seconds, ready_s)


def _watched(cluster: ConcordCluster, groups: int, nodes: int, seconds: float, ready_s: float) -> Idle:
    with _floor() as floor_pid, ThreadPoolExecutor(1) as pool:
        watching = pool.submit(_share, floor_pid, seconds)
        used = shares(cluster, seconds)
        floor = watching.result()
    pids = cluster.node_pids()
    return Idle(
        groups=groups,
        nodes=nodes,
        seconds=seconds,
        floor=floor,
        node_shares=[used[name] for name in pids],
        gateway_share=sum(share for name, share in used.items() if name not in pids),
        node_memory_bytes=[memory_bytes(pid)[0] for pid in pids.values()],
        ready_s=ready_s,
    )


def _share(pid: int, seconds: float) -> float:
    before, began = cpu_s([pid]), time.monotonic()
    time.sleep(seconds)
    return (cpu_s([pid]) - before) / (time.monotonic() - began)


@contextmanager
def _floor() -> Iterator[int]:
    """The process that does nothing, once it has started to."""
    process = subprocess.Popen([sys.executable, "-m", "loadtest.scale.floor"], stdin=subprocess.PIPE)
    try:
        time.sleep(2.0)  # its imports are no part of it
        yield process.pid
    finally:
        try:
            process.communicate(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
