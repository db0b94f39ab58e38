"""`python -m loadtest.idle`: what many groups cost while nobody asks for anything."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from concord.cli.console import Progress, table
from loadtest.children import ended_by_signals
from loadtest.concord_cluster import ROOT, ConcordCluster
from loadtest.errors import LoadtestError
from loadtest.proc import cpu_s, memory_bytes

MEBIBYTE = 1 << 20


def shares(cluster: ConcordCluster, seconds: float) -> Mapping[str, float]:
    """Process → part of a core that it uses over so long; the gateway too."""
    pids = {process.name: process.pid for process in cluster.processes() if process.pid}
    before, began = {name: cpu_s([pid]) for name, pid in pids.items()}, time.monotonic()
    time.sleep(seconds)
    elapsed_s = time.monotonic() - began
    return {name: (cpu_s([pid]) - before[name]) / elapsed_s for name, pid in pids.items()}


def measure(options: argparse.Namespace, directory: Path) -> str:
    """Start, settle, measure; returns the table."""
    progress = Progress(sys.stderr)
    with closing(ConcordCluster(directory, options.groups, options.nodes)) as cluster:
        progress.show(f"starting {options.nodes} nodes with {options.groups} groups …")
        began = time.monotonic()
        cluster.start()
        ready_s = time.monotonic() - began
        progress.show(f"letting it settle for {options.settle} s …")
        time.sleep(options.settle)
        load = os.getloadavg()[0]
        progress.show(f"measuring for {options.seconds} s …")
        used = shares(cluster, options.seconds)
        rows = [
            [process.name, f"{used[process.name]:.1%}", f"{memory_bytes(process.pid)[0] / MEBIBYTE:.0f} MiB"]
            for process in cluster.processes()
            if process.pid
        ]
        progress.clear()
    return (
        f"{options.nodes} nodes, {options.groups} idle groups, over {options.seconds} s; every group had a settled leader "
        f"{ready_s:.1f} s after the start; load average of the machine {load:.2f}\n\n"
        + table(["PROCESS", "SHARE OF A CORE", "MEMORY"], rows, sys.stdout)
    )


def main() -> int:
    """Measure and print; 1 when the cluster did not come up."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.idle", description=__doc__)
    parser.add_argument("--groups", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--nodes", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--settle", type=float, default=10, metavar="S", help="seconds before measuring (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="to measure over (%(default)s)")
    options = parser.parse_args()
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    try:
        with ended_by_signals(), tempfile.TemporaryDirectory(prefix="idle-", dir=build) as directory:
            sys.stdout.write(measure(options, Path(directory) / "data"))
    except LoadtestError as error:
        sys.stderr.write(f"idle: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
