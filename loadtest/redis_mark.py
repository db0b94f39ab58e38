"""Redis as a further mark: one server that syncs every write, asked by its own benchmark in its own protocol.

It is something else than what the table compares: no replicas, no HTTP, another load generator. It shows what one process in C does
with this machine's disk and processors.
"""

import csv
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest.children import HOST, Child, clean_environ, free_ports, wait_until
from loadtest.dialects import Operation
from loadtest.errors import LoadtestError
from loadtest.figures import Latencies
from loadtest.marks import Mark, Marked, Meter, Plan
from loadtest.workloads import KEYS, VALUE_BYTES

PROGRAMS = ("redis-server", "redis-benchmark", "redis-cli")
WARM_UP_REQUESTS = 1_000
START_TIMEOUT_S = 30.0
STOP_GRACE_S = 10.0
TIMEOUT_S = 300.0
OPERATIONS = {Operation.PUT: "set", Operation.GET: "get"}


def check() -> None:
    """Complain about what is missing.

    Raises:
        LoadtestError: a program is not installed.
    """
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise LoadtestError(f"{', '.join(missing)} not found: apt-get install redis-server")


def _setup() -> str:
    """What runs, for the report."""
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    version = next((word.removeprefix("v=") for word in said.split() if word.startswith("v=")), "of unknown version")
    return (
        f"Redis {version}, one server without replicas, appendonly with `appendfsync always`: a write is answered when this one log is "
        "synced; asked by `redis-benchmark` in Redis' own protocol"
    )


def measure(directory: Path, plan: Plan) -> Marked:
    """Puts and gets for each number of connections; as many as the rate of the warm-up gets through in the time.

    Raises:
        LoadtestError: the server or its benchmark failed.
    """
    with _server(directory) as (child, port):
        marks: list[Mark] = []
        for workload in plan.workloads:
            if test := OPERATIONS.get(workload.operation):
                per_s, _ = _benchmark(port, test, workload.connections, WARM_UP_REQUESTS)
                meter = Meter([child.pid], _generated_s)
                _, found = _benchmark(port, test, workload.connections, max(1, round(per_s * plan.seconds)))
                marks.append(meter.mark("Redis", workload.name, workload.connections, found, found.count))
        return Marked(_setup(), marks)


def _generated_s() -> float:
    """CPU seconds of redis-benchmark, which is a child that has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _server(directory: Path) -> Iterator[tuple[Child, int]]:
    directory.mkdir(parents=True)
    [port] = free_ports(1)
    flags = {"bind": HOST, "port": str(port), "dir": str(directory), "save": "", "appendonly": "yes"}
    flags["appendfsync"] = "always"
    words = ["redis-server", *(word for flag, given in flags.items() for word in (f"--{flag}", given))]
    child = Child(words, directory / "redis.log", clean_environ())
    try:
        wait_until(lambda: _answers(child, port), "Redis answers", START_TIMEOUT_S)
        yield child, port
    finally:
        child.stop(STOP_GRACE_S)


def _answers(child: Child, port: int) -> bool:
    child.check()
    words = ["redis-cli", "-h", HOST, "-p", str(port), "ping"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() == "PONG"


def _benchmark(port: int, test: str, connections: int, requests: int) -> tuple[float, Latencies]:
    words = ["redis-benchmark", "-h", HOST, "-p", str(port), "-t", test, "--csv", "-c", str(connections)]
    words += ["-n", str(requests), "-d", str(VALUE_BYTES), "-r", str(KEYS)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoadtestError(f"redis-benchmark did not end within {TIMEOUT_S:.0f} s") from error
    return parse(done.stdout.splitlines(), test, requests)


def parse(lines: Sequence[str], test: str, requests: int) -> tuple[float, Latencies]:
    """Read what redis-benchmark writes as CSV about so many requests of one test: how many a second, and how long they took.

    Raises:
        LoadtestError: that is not it.
    """
    try:
        [line] = csv.DictReader(lines)
        if line["test"].lower() != test:
            raise LoadtestError(f"redis-benchmark measured {line['test']} instead of {test}")
        times_ms = [float(line[f"{name}_latency_ms"]) for name in ("p50", "p99", "max")]
        return float(line["rps"]), Latencies(requests, *times_ms)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LoadtestError(f"redis-benchmark wrote what cannot be read: {lines[:3]}") from error
