"""Redis as a further mark: one server that syncs every write, asked by its own benchmark in its own protocol.

It is something else than what the table compares: no replicas, no HTTP, another load generator. It shows what one process in C does
with this machine's disk and processors.
"""

import csv
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from loadtest.children import HOST, Child, clean_environ, free_ports, wait_until
from loadtest.errors import LoadtestError
from loadtest.workloads import CONNECTIONS, KEYS, VALUE_BYTES

PROGRAMS = ("redis-server", "redis-benchmark", "redis-cli")
REQUESTS = 20_000
WARM_UP_REQUESTS = 2_000
START_TIMEOUT_S = 30.0
STOP_GRACE_S = 10.0
TIMEOUT_S = 300.0
OPERATIONS = {"SET": "put", "GET": "get"}


class Mark(msgspec.Struct, frozen=True):
    """What its benchmark says of one operation."""

    operation: str
    connections: int
    per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float


def check() -> None:
    """Complain about what is missing.

    Raises:
        LoadtestError: a program is not installed.
    """
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise LoadtestError(f"{', '.join(missing)} not found: apt-get install redis-server")


def setup() -> str:
    """What runs, for the report."""
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    version = next((word.removeprefix("v=") for word in said.split() if word.startswith("v=")), "of unknown version")
    return (
        f"Redis {version}, one server without replicas, appendonly with `appendfsync always`: a write is answered when this one log is "
        "synced; asked by `redis-benchmark` in Redis' own protocol"
    )


def measure(directory: Path) -> list[Mark]:
    """Put and get for each number of connections.

    Raises:
        LoadtestError: the server or its benchmark failed.
    """
    with _server(directory) as port:
        _benchmark(port, CONNECTIONS[-1], WARM_UP_REQUESTS)
        return [mark for connections in CONNECTIONS for mark in _benchmark(port, connections, REQUESTS)]


@contextmanager
def _server(directory: Path) -> Iterator[int]:
    directory.mkdir(parents=True)
    [port] = free_ports(1)
    flags = {"bind": HOST, "port": str(port), "dir": str(directory), "save": "", "appendonly": "yes"}
    flags["appendfsync"] = "always"
    words = ["redis-server", *(word for flag, given in flags.items() for word in (f"--{flag}", given))]
    child = Child(words, directory / "redis.log", clean_environ())
    try:
        wait_until(lambda: _answers(child, port), "Redis answers", START_TIMEOUT_S)
        yield port
    finally:
        child.stop(STOP_GRACE_S)


def _answers(child: Child, port: int) -> bool:
    child.check()
    words = ["redis-cli", "-h", HOST, "-p", str(port), "ping"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() == "PONG"


def _benchmark(port: int, connections: int, requests: int) -> list[Mark]:
    words = ["redis-benchmark", "-h", HOST, "-p", str(port), "-t", "set,get", "--csv", "-c", str(connections)]
    words += ["-n", str(requests), "-d", str(VALUE_BYTES), "-r", str(KEYS)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoadtestError(f"redis-benchmark did not end within {TIMEOUT_S:.0f} s") from error
    return parse(done.stdout.splitlines(), connections)


def parse(lines: Sequence[str], connections: int) -> list[Mark]:
    """Read what redis-benchmark writes as CSV.

    Raises:
        LoadtestError: that is not it.
    """
    try:
        found = [
            Mark(
                OPERATIONS[line["test"]],
                connections,
                float(line["rps"]),
                float(line["p50_latency_ms"]),
                float(line["p99_latency_ms"]),
                float(line["max_latency_ms"]),
            )
            for line in csv.DictReader(lines)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise LoadtestError(f"redis-benchmark wrote what cannot be read: {lines[:3]}") from error
    if len(found) != len(OPERATIONS):
        raise LoadtestError(f"redis-benchmark measured {len(found)} of {len(OPERATIONS)} operations: {lines[:3]}")
    return found
