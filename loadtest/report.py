"""The benchmark's page: medians over rounds as Markdown tables, with everything they depend on. Pure."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from loadtest.figures import percentile, significant, spread
from loadtest.plot import Bar
from loadtest.provenance import Provenance
from loadtest.workloads import MIXES, Workload, key_count

OURS, THEIRS = "Concord", "etcd"
PLOT = "ratios.svg"


class Measurement(msgspec.Struct, frozen=True):
    """One workload on one system in one round; CPU time and bytes written are those of the servers for each key put or read."""

    per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    cpu_us: float
    written_bytes: float


class Median(Measurement, frozen=True):
    """Medians over rounds, each figure by itself; `spread` is that of the rate."""

    spread: float


Rounds = Mapping[Workload, Sequence[Measurement]]


def median(rounds: Sequence[Measurement]) -> Median:
    """Medians (nearest rank, so that each was really measured)."""
    names = Measurement.__struct_fields__
    middles = {name: percentile([getattr(one, name) for one in rounds], 0.5) for name in names}
    return Median(**middles, spread=spread([one.per_s for one in rounds]))


def longest(rounds: Rounds) -> str:
    """The longest request of all, in milliseconds: a stall that no percentile of a short run shows."""
    return significant(max(one.max_ms for measurements in rounds.values() for one in measurements))


NAMED = ("operation", "bytes", "keys", "connections")
HEADINGS = (
    *NAMED,
    "Concord per s",
    "etcd per s",
    "ratio",
    "Concord p50 / p99 / p99.9 ms",
    "etcd p50 / p99 / p99.9 ms",
    "Concord CPU µs",
    "etcd CPU µs",
    "Concord written",
    "etcd written",
    "spread",
)


def named(workload: Workload) -> list[str]:
    """The cells that say which workload it is."""
    return [workload.name, f"{workload.value_bytes:,}", workload.keys.value, str(workload.connections)]


def row(workload: Workload, ours: Median, theirs: Median) -> list[str]:
    """One line of the table."""
    return [
        *named(workload),
        significant(ours.per_s),
        significant(theirs.per_s),
        f"**{ours.per_s / theirs.per_s:.2f}**",
        times(ours.p50_ms, ours.p99_ms, ours.p999_ms),
        times(theirs.p50_ms, theirs.p99_ms, theirs.p999_ms),
        significant(ours.cpu_us),
        significant(theirs.cpu_us),
        significant(ours.written_bytes),
        significant(theirs.written_bytes),
        f"{ours.spread:.0%} / {theirs.spread:.0%}",
    ]


def times(*parts_ms: float) -> str:
    """Times of requests in one cell."""
    return " / ".join(map(significant, parts_ms))


def ratio_bars(results: Mapping[str, Rounds]) -> list[Bar]:
    """For the plot: the ratio of the medians of rates, and the least and the most that a round of each gives."""
    bars = []
    for workload, ours in results[OURS].items():
        rates = [one.per_s for one in ours], [one.per_s for one in results[THEIRS][workload]]
        ratio = percentile(rates[0], 0.5) / percentile(rates[1], 0.5)
        name = f"{workload.name}, {workload.value_bytes:,} B, {workload.keys.value}, c = {workload.connections}"
        bars.append(Bar(name, ratio, min(rates[0]) / max(rates[1]), max(rates[0]) / min(rates[1])))
    return bars


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose source is aligned too; all columns but the first are right-aligned."""
    widths = [max(len(line[column]) for line in [headings, *rows]) for column in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join([first, *others])} |"

    rule = [("-" * width if not column else "-" * (width - 1) + ":") for column, width in enumerate(widths)]
    return "\n".join([line(headings), line(rule), *map(line, rows)])


def page(
    results: Mapping[str, Rounds],
    setups: Sequence[str],
    provenance: Provenance,
    *,
    command: str,
    date: str,
    folder: str,
    seconds: int,
    notes: Sequence[str],
    sections: Sequence[str] = (),
) -> str:
    """The whole page; `results` has the rounds of each system by its name, `folder` is where the plot is, `sections` are what follows."""
    ours, theirs = results[OURS], results[THEIRS]
    rows = [row(workload, median(ours[workload]), median(theirs[workload])) for workload in ours]
    rounds = len(next(iter(ours.values())))
    sync = f"{significant(provenance.sync.p50_ms)} ms (p50), {significant(provenance.sync.p99_ms)} ms (p99)"
    facts = [
        f"Commit {provenance.commit}; {provenance.versions}.",
        f"{provenance.machine}; load average before the run {provenance.load:.2f}.",
        f"Data of both on the same disk ({provenance.filesystem}), where an append of 4 KiB with fdatasync takes {sync}.",
        *(f"{setup}." for setup in setups),
    ]
    return "\n".join(
        [
            "# Beside etcd, in the same run",
            "",
            f"<!-- Generated by `{command}` on {date}; do not edit. -->",
            "",
            f"Written by `{command}` on {date}.",
            "",
            *(f"- {fact}" for fact in facts),
            "",
            markdown_table(HEADINGS, rows),
            "",
            f"![Operations a second, Concord : etcd]({folder}/{PLOT})",
            "",
            f"The longest of all requests took {longest(ours)} ms in Concord and {longest(theirs)} ms in etcd.",
            "",
            _how(rounds, seconds, ours),
            *([""] if notes else []),
            *(f"- {note}" for note in notes),
            "",
            *sections,
        ]
    )


def _how(rounds: int, seconds: int, workloads: Collection[Workload]) -> str:
    sizes = sorted({workload.value_bytes for workload in workloads})
    keys = ", ".join(f"{key_count(size):,} keys of {size:,} bytes" for size in sizes)
    mixes = ", ".join(f"{mix} ({reads:.0%} reads)" for mix, reads in MIXES.items())
    return (
        f"Rates are keys put or read per second, the median of {rounds} round{'s' * (rounds > 1)} of {seconds} s; spread is (largest - smallest) / median "
        "of them, Concord / etcd; the thin lines of the plot go from the worst of one beside the best of the other to the reverse. Times are those of "
        "whole requests. CPU is time of all server processes for each key, the load generator's not counted; written are the bytes that they had "
        "written to the disk for each key (`write_bytes` of `/proc/PID/io`), all replicas together.\n\n"
        f"There are {keys}. Uniform keys are all as likely, zipfian ones by their rank to the power of -0.99 (20,000 draws, repeated in random order). "
        f"The mixes of the Yahoo! Cloud Serving Benchmark are {mixes} and puts of whole values. A bulk has distinct keys: it "
        "is a transaction in etcd and a bulk request, not a transaction, in Concord. All reads are linearizable: every system "
        "was seen to refuse them while two of three nodes were paused. Every answer of the warm-ups was looked at and every "
        "measured one had a status below 400; one failure ends the run.\n\n"
        "The systems take turns, and the one that begins changes every round. Only one runs at a time, started anew on empty data "
        "for its turn, so that neither pays for the other's heartbeats or garbage, and both begin each round in the same state. "
        "Both are loaded by the same `wrk` (closed loop, one thread) replaying prepared requests, on the same cores as the servers."
    )
