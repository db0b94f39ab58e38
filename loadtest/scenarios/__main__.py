"""`python -m loadtest.scenarios`: load a cluster the way people use it; exits with 1 when a scenario did not keep what it has to."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from concord.cli.console import Progress, table
from loadtest.children import ended_by_signals
from loadtest.concord_cluster import ROOT, ConcordCluster
from loadtest.errors import LoadtestError
from loadtest.scenarios.run import DEFAULTS, Load, check_loopback, passed, run
from loadtest.scenarios.uses import Scenario
from loadtest.scenarios.verdict import HEADINGS, Bounds, Verdict, row

USERS_MAX = 2_000
SECONDS_MIN, SECONDS_MAX = 6, 3_600
WORKERS_MAX = 16
PER_S_MAX = 20_000.0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = [scenario.value for scenario in Scenario]
    parser = argparse.ArgumentParser(prog="make loadtest", description=__doc__)
    parser.add_argument("--scenarios", nargs="+", choices=names, default=names, help="one after the other (all)")
    parser.add_argument("--users", type=int, default=50, help="each with a connection of its own (%(default)s)")
    parser.add_argument("--watchers", type=int, default=50, help="besides, in `watch` (%(default)s)")
    parser.add_argument("--per-s", type=float, help="requests a second of all users together (the scenario's own)")
    parser.add_argument("--seconds", type=int, default=20, help="of each scenario (%(default)s)")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that ask; 0: one, not distributed (%(default)s)"
    )
    parser.add_argument("--p99-ms", type=float, help="the longest p99 of a request or event (the scenario's own)")
    parser.add_argument("--failures", type=float, default=0.0, help="the largest share of failures (%(default)s)")
    parser.add_argument("--url", help="of a gateway on this machine that runs already (a cluster is started)")
    parser.add_argument("--groups", type=int, default=8, help="of the cluster that is started (%(default)s)")
    parser.add_argument(
        "--reports",
        type=Path,
        default=ROOT / "build" / "loadtest",
        help="where HTML, JSON and logs go (build/loadtest)",
    )
    options = parser.parse_args(arguments)
    if not (1 <= options.users <= USERS_MAX and 0 <= options.watchers <= USERS_MAX):
        parser.error(f"--users and --watchers are at most {USERS_MAX}")
    if not (SECONDS_MIN <= options.seconds <= SECONDS_MAX and 0 <= options.workers <= WORKERS_MAX):
        parser.error(f"--seconds is {SECONDS_MIN} to {SECONDS_MAX}, --workers at most {WORKERS_MAX}")
    if options.per_s is not None and not 0 < options.per_s <= PER_S_MAX:
        parser.error(f"--per-s is over 0 and at most {PER_S_MAX:g}")
    return options


@contextmanager
def _cluster(options: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """The URL to load: that of the options, or of a cluster in a directory of its own."""
    if options.url:
        yield check_loopback(options.url)
        return
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="loadtest-", dir=build) as directory,
        closing(ConcordCluster(Path(directory) / "data", options.groups)) as cluster,
    ):
        progress.show("starting a cluster …")
        cluster.start()
        yield cluster.url


def _verdicts(options: argparse.Namespace) -> list[Verdict]:
    progress, verdicts = Progress(sys.stderr), []
    options.reports.mkdir(parents=True, exist_ok=True)
    with ended_by_signals(), _cluster(options, progress) as url:
        for name in options.scenarios:
            scenario = Scenario(name)
            per_s, bounds = DEFAULTS[scenario]
            load = Load(options.users, options.per_s or per_s, options.seconds, options.workers, options.watchers)
            kept = Bounds(options.p99_ms or bounds.p99_ms, options.failures)
            progress.show(f"{name}: {load.per_s:g} requests a second for {load.seconds} s …")
            verdicts.append(run(scenario, url, load, kept, options.reports))
    progress.clear()
    return verdicts


def main(arguments: Sequence[str]) -> int:
    """Load, and say what came of it; 0 when everything passed, 1 when not, 2 when it could not be tried."""
    options = _options(arguments)
    try:
        verdicts = _verdicts(options)
    except LoadtestError as error:
        sys.stderr.write(f"loadtest: {error}\n")
        return 2
    sys.stdout.write(table(list(HEADINGS), [row(verdict) for verdict in verdicts], sys.stdout))
    sys.stdout.write(f"\nReports: {options.reports}/*.html\n")
    return 0 if passed(verdicts) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
