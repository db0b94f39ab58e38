"""`concord bench`: a small load against a cluster, to see whether it does about what it should; bounded in time and keys.

One Python process sends it, so it says what such a client gets, not what the cluster can do: `make bench` measures that.
"""

import argparse
import itertools
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from concord.cli import exits
from concord.cli.arguments import Commands, number_up_to, seconds_up_to
from concord.cli.connect import add_client_arguments, connected
from concord.cli.console import CliError, Progress, table
from concord.cli.members import members
from concord.cli.output import print_json

if TYPE_CHECKING:
    from concord import Concord

DESCRIPTION = """Put a small load on a cluster and print operations a second and times for each kind: put, get, and put_many
of 500 keys. It writes under concord-bench/, deletes what it wrote, and the keys live for ten minutes at the most. What it
says is what one Python process gets; see make bench for what a cluster can do."""
PREFIX = "concord-bench/"
KEYS = 1000
KEY_TTL_S = 600
BATCH_KEYS = 500
LIMIT_SECONDS = 300.0
LIMIT_CLIENTS = 64
LIMIT_SIZE_BYTES = 65_536


class Figures(msgspec.Struct, frozen=True):
    """What came of one kind of operation; times are of the calls that succeeded, None when none did.

    Attributes:
        operation: put, get or put_many.
        keys_per_s: keys written or read in a second.
        p50_ms: the median.
        p99_ms: what one of a hundred calls is over.
        errors: calls that failed.
        first_error: why the first did.
    """

    operation: str
    keys_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    errors: int
    first_error: str


class Report(msgspec.Struct, frozen=True):
    """What `--json` prints; `durability` is that of the nodes, "unknown" when they do not tell."""

    clients: int
    seconds: float
    size_bytes: int
    durability: str
    figures: list[Figures]


class Calls:
    """What threads have measured."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.errors = 0
        self.first_error = ""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("bench", help="put a small load on a cluster and time it", description=DESCRIPTION)
    add_client_arguments(parser)
    parser.add_argument(
        "--seconds", type=seconds_up_to(LIMIT_SECONDS), default=3.0, metavar="N", help="for each kind (%(default)s)"
    )
    parser.add_argument(
        "--clients", type=number_up_to(LIMIT_CLIENTS), default=8, metavar="N", help="threads (%(default)s)"
    )
    parser.add_argument(
        "--size", type=number_up_to(LIMIT_SIZE_BYTES), default=100, metavar="BYTES", help="of a value (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure one kind after the other; exit code 1 when calls failed."""
    prefix = f"{PREFIX}{secrets.token_hex(8)}/"
    durability = _durability(options)
    progress = Progress(sys.stderr)
    figures = []
    with connected(options) as client:
        client.put(f"{prefix}0", "", ttl=KEY_TTL_S)  # an error that all calls would have ends it here
        try:
            for operation, keys, call in _operations(client, prefix, "x" * options.size):
                progress.show(f"{operation}, {options.clients} threads, {options.seconds:g} s …")
                figures.append(_measure(operation, keys, call, options.clients, options.seconds))
        finally:
            progress.clear()
            _clean(client, prefix)
    report = Report(options.clients, options.seconds, options.size, durability, figures)
    if options.json:
        print_json(report)
    else:
        _print(report, options.url)
    return exits.FAILED if any(one.errors for one in figures) else exits.DONE


def _operations(client: "Concord", prefix: str, value: str) -> Iterator[tuple[str, int, Callable[[int], object]]]:
    """Each kind: its name, the keys of a call, and the call number n."""

    def put_many(number: int) -> object:
        begin = number * BATCH_KEYS
        return client.put_many(
            {f"{prefix}{(begin + i) % KEYS}": value for i in range(BATCH_KEYS)}, ttl=KEY_TTL_S
        ).check()

    yield "put", 1, lambda number: client.put(f"{prefix}{number % KEYS}", value, ttl=KEY_TTL_S)
    yield "get", 1, lambda number: client.get(f"{prefix}{number % KEYS}")
    yield "put_many", BATCH_KEYS, put_many


def _measure(operation: str, keys: int, call: Callable[[int], object], clients: int, seconds: float) -> Figures:
    """Call again and again, from several threads, until the time is over."""
    calls, numbers = Calls(), itertools.count()
    began_at = time.perf_counter()
    ends_at = began_at + seconds
    threads = [threading.Thread(target=_repeat, args=(call, numbers, ends_at, calls)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began_at
    times = sorted(calls.took_s)
    return Figures(
        operation,
        round(keys * len(times) / took_s, 1),
        percentile_ms(times, 0.50),
        percentile_ms(times, 0.99),
        calls.errors,
        calls.first_error,
    )


def _repeat(call: Callable[[int], object], numbers: Iterator[int], ends_at: float, calls: Calls) -> None:
    """Once at least: on a machine that is short of time it may be over before the first call."""
    from concord import ConcordError  # noqa: PLC0415 - the client is for those who connect

    begin = time.perf_counter()
    while True:
        try:
            call(next(numbers))
        except ConcordError as error:
            calls.errors += 1
            calls.first_error = calls.first_error or str(error)
        else:
            calls.took_s.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        if begin >= ends_at:
            return


def percentile_ms(sorted_s: Sequence[float], share: float) -> float | None:
    """The value that a share of all is not over, in milliseconds; None of nothing."""
    if not sorted_s:
        return None
    place = max(0, -int(-share * len(sorted_s) // 1) - 1)
    return round(sorted_s[place] * 1000, 3)


def _durability(options: argparse.Namespace) -> str:
    try:
        told = {one.durability for one in members(options.url, options.token) if one.durability}
    except CliError:
        return "unknown"
    return ", ".join(sorted(told)) or "unknown"


def _clean(client: "Concord", prefix: str) -> None:
    """Delete what was written; what cannot be deleted expires by itself."""
    client.delete_many(f"{prefix}{number}" for number in range(KEYS))


def _print(report: Report, url: str) -> None:
    sys.stdout.write(
        f"{url}: durability {report.durability}; {report.clients} threads of one Python process, "
        f"{report.size_bytes} bytes a value, {report.seconds:g} s each\n\n"
    )
    rows = [
        [
            one.operation,
            f"{one.keys_per_s:,.0f}",
            "-" if one.p50_ms is None else f"{one.p50_ms:.2f}",
            "-" if one.p99_ms is None else f"{one.p99_ms:.2f}",
            f"{one.errors} ({one.first_error})" if one.errors else "0",
        ]
        for one in report.figures
    ]
    sys.stdout.write(table(["OPERATION", "KEYS/S", "P50 MS", "P99 MS", "ERRORS"], rows, sys.stdout))
