"""Load the record of every Debian package through the bulk route while leaders are killed, then read all of it back.

`python -m tests.chaos.packages` starts a cluster of its own, bounded in time, and prints what it measured. A writer
repeats what was not acknowledged; what counts is that everything acknowledged is there, equal, before and after a
restart of the whole cluster.
"""

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Client, LocalCluster, wait_until

BATCH = 250
WRITERS = 4
ATTEMPTS = 200
FIELD = re.compile(r"^([A-Za-z0-9-]+): ?(.*)$")


def package_records() -> Iterator[tuple[str, dict[str, str]]]:
    """(key, record) of each package that apt knows, from `apt-cache dumpavail`."""
    dump = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    for number, paragraph in enumerate(filter(None, dump.split("\n\n"))):
        record: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            match = FIELD.match(line)
            if match:
                name = match[1]
                record[name] = match[2]
            elif name:
                record[name] += "\n" + line
        if "Package" in record:
            yield f"package/{record['Package']}/{record.get('Version', '')}/{number}", record


@dataclass
class Load:
    """What was acknowledged, and how often a batch had to be repeated."""

    port: int
    acknowledged: dict[str, Any] = field(default_factory=dict)
    repeated: int = 0
    longest_batch_s: float = 0.0

    def write(self, batch: list[tuple[str, dict[str, str]]], not_before: float) -> None:
        time.sleep(max(0.0, not_before - time.monotonic()))
        client = Client(self.port)
        left = dict(batch)
        last = time.monotonic()
        for _ in range(ATTEMPTS):
            operations = [{"key": key, "value": value} for key, value in left.items()]
            with suppress(OSError):
                reply = client.send("POST", "/kv/bulk", {"operations": operations})
                if reply.status == 200:
                    for item in reply.data:
                        if item["status"] == "ok":
                            self.acknowledged[item["key"]] = left.pop(item["key"])
            if not left:
                self.longest_batch_s = max(self.longest_batch_s, time.monotonic() - last)
                client.close()
                return
            self.repeated += 1
            time.sleep(0.05)
        raise AssertionError(f"a batch was not taken in {ATTEMPTS} attempts")

    def read_back(self) -> int:
        """Compare everything; returns how many differ."""
        client = Client(self.port)
        different = 0
        keys = list(self.acknowledged)
        for at in range(0, len(keys), BATCH):
            wanted = keys[at : at + BATCH]
            found = client.send("POST", "/kv/bulk/get", {"keys": wanted}).data
            different += sum(
                found[key]["status"] != "ok" or found[key]["value"] != self.acknowledged[key] for key in wanted
            )
        client.close()
        return different


def kill_leaders(cluster: LocalCluster, stop: threading.Event, rng: random.Random, every_s: float) -> list[str]:
    """SIGKILL the node that leads a random group, again and again; returns who was killed."""
    killed: list[str] = []
    client = Client(cluster.port)
    while not stop.wait(every_s):
        with suppress(OSError, AssertionError, KeyError, ValueError):
            groups = client.send("GET", "/status").data["groups"]
            leader = rng.choice([group["leader"] for group in groups if group["leader"]])
            cluster.kill(leader, signal.SIGKILL)
            killed.append(leader)
    return killed


def client_is_ready(port: int) -> bool:
    """Whether the gateway says that every group answers."""
    client = Client(port)
    try:
        return client.send("GET", "/readyz").status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        client.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=1_000_000, help="at most so many packages")
    parser.add_argument("--kill-every-s", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=60.0, help="spread the load over at least so long")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    records = list(package_records())[: arguments.limit]
    batches = [records[at : at + BATCH] for at in range(0, len(records), BATCH)]
    with tempfile.TemporaryDirectory(prefix="concord-packages-") as folder:
        cluster = LocalCluster(Path(folder) / "data")
        cluster.start()
        try:
            return run(cluster, batches, arguments)
        finally:
            cluster.stop()


def run(cluster: LocalCluster, batches: list[list[tuple[str, dict[str, str]]]], arguments: argparse.Namespace) -> int:
    load, stop = Load(cluster.port), threading.Event()
    began = time.monotonic()
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        killing = pool.submit(kill_leaders, cluster, stop, random.Random(arguments.seed), arguments.kill_every_s)
        pace = arguments.seconds / len(batches)
        for writing in [pool.submit(load.write, batch, began + n * pace) for n, batch in enumerate(batches)]:
            writing.result()
        stop.set()
        killed = killing.result()
    seconds = time.monotonic() - began
    print(f"{len(load.acknowledged)} records in {seconds:.1f} s, {len(killed)} leaders killed")
    print(f"{load.repeated} repetitions, longest batch {load.longest_batch_s:.2f} s")
    wait_until(lambda: client_is_ready(cluster.port), "every group has a leader again")
    different = load.read_back()
    print(f"read back: {different} differ")
    cluster.stop()
    cluster.start()
    after = load.read_back()
    print(f"read back after a restart of everything: {after} differ")
    return 1 if different or after or not killed else 0


if __name__ == "__main__":
    sys.exit(main())
