"""`python -m loadtest.scale PART`: see the package."""

import argparse
import datetime as dt
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from concord.cli.console import Progress
from loadtest import wrk
from loadtest.children import ended_by_signals
from loadtest.concord_cluster import ROOT, ConcordCluster
from loadtest.errors import LoadtestError
from loadtest.provenance import collect
from loadtest.scale import idle, keys, loaded
from loadtest.scale.page import CURVE, curve, page
from loadtest.scale.records import Figures, Origin, Record, merged, read, write

DOCS = ROOT / "docs"
KEPT = "scale.json"
PAGE = "scale.md"
GENERATED = Path("docs/scale*")
DATA_GROUPS = 8


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.scale", description="What size costs, into docs/scale.md."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--more", action="store_true", help="one round more, beside what was measured before")
    common.add_argument("--directory", type=Path, default=ROOT / "build", help="where data lies meanwhile (build)")
    common.add_argument(
        "--docs", type=Path, default=DOCS, help="where the figures are kept and the page is written (docs)"
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, counts in (("groups", (1, 16, 64, 256)), ("nodes", (3, 5))):
        part = parts.add_parser(name, parents=[common], help=f"the same load with different numbers of {name}")
        part.add_argument("--counts", type=int, nargs="+", default=counts, help=f"of {name} {counts}")
        part.add_argument("--seconds", type=int, default=5, help="of each load (%(default)s)")
        part.add_argument("--rounds", type=int, default=1, help="(%(default)s)")
        part.add_argument("--per-s", type=float, default=300, help="requests of the paced load (%(default)s)")
    part = parts.add_parser("idle", parents=[common], help="groups that nobody asks")
    part.add_argument("--counts", type=int, nargs="+", default=(1, 64, 256), help="of groups (1 64 256)")
    part.add_argument("--nodes", type=int, default=3, help="(%(default)s)")
    part.add_argument("--settle", type=float, default=10, help="seconds before (%(default)s)")
    part.add_argument("--seconds", type=float, default=30, help="to watch for (%(default)s)")
    part = parts.add_parser("keys", parents=[common], help="very many keys")
    part.add_argument("--keys", type=int, default=1_000_000, help="of 100 bytes each (%(default)s)")
    part.add_argument("--groups", type=int, default=DATA_GROUPS, help="(%(default)s)")
    part.add_argument(
        "--load-seconds", type=float, default=90, help="of full load, in which snapshots begin (%(default)s)"
    )
    parts.add_parser("page", parents=[common], help="measure nothing, write the page")
    return parser.parse_args(arguments)


def _measured(options: argparse.Namespace, directory: Path, progress: Progress) -> Iterator[Figures]:
    def show(what: str) -> None:
        progress.show(f"{what} …")

    if options.part in {"groups", "nodes"}:
        of_groups = options.part == "groups"
        sizes = [
            loaded.Size("groups", count, 3) if of_groups else loaded.Size("nodes", DATA_GROUPS, count)
            for count in options.counts
        ]
        yield from loaded.measure(sizes, loaded.Plan(options.seconds, options.per_s, options.rounds), directory, show)
    elif options.part == "idle":
        yield from idle.measure(
            options.counts, options.nodes, idle.Watch(options.seconds, options.settle), directory, show
        )
    else:
        with closing(ConcordCluster(directory / "keys", options.groups)) as cluster:
            show("starting")
            cluster.start()
            yield keys.measure(cluster, options.keys, options.load_seconds, show)


def _run(options: argparse.Namespace, command: str) -> list[Record]:
    """Measure a part; each record knows where it comes from."""
    options.directory.mkdir(parents=True, exist_ok=True)
    date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    progress = Progress(sys.stderr)
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="scale-", dir=options.directory) as directory:
        wrk.program()  # complain about what is missing before anything is started
        found = collect(Path(directory), GENERATED)
        origin = Origin(
            found.commit, date, command, found.versions, found.machine, found.filesystem, found.sync.p50_ms, found.load
        )
        records = [Record(origin, figures) for figures in _measured(options, Path(directory), progress)]
    progress.clear()
    return records


def main(arguments: Sequence[str]) -> int:
    """Measure a part, keep it and write the page; 1 when something could not be trusted."""
    options = _options(arguments)
    records = read(options.docs / KEPT)
    try:
        if options.part != "page":
            new = _run(options, f"python -m loadtest.scale {shlex.join(arguments)}")
            records = merged(records, new, more=options.more)
            write(options.docs / KEPT, records)
        (options.docs / CURVE).write_text(curve(records))
        written = page(records)
    except LoadtestError as error:
        sys.stderr.write(f"scale: {error}\n")
        return 1
    (options.docs / PAGE).write_text(written)
    sys.stdout.write(written)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
