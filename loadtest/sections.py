"""What follows the page's main table: steady rates, Concord set up otherwise, further marks. Pure."""

from collections.abc import Mapping, Sequence

from loadtest import paced
from loadtest.figures import significant
from loadtest.marks import Marked
from loadtest.report import NAMED, OURS, THEIRS, Rounds, markdown_table, median, named, times

RELAXED, ONE_GROUP = f"{OURS}, os", f"{OURS}, 1 group"
TITLES = {
    RELAXED: "Concord without syncs, compared with nothing",
    ONE_GROUP: "Concord with a single group",
}
WHYS = {
    RELAXED: "With `--durability os` a write is in the memory of a majority of machines when it is answered. What all of them lose at once, "
    "as in a power cut of the whole place, is lost. So these figures stand beside no others.",
    ONE_GROUP: "One Raft group has all keys, as in etcd, instead of 8: one node leads everything, and there is one log. Measured in turn with "
    "the systems of the main table, in the same rounds and in the same way.",
}
ALONE_HEADINGS = (*NAMED, "per s", "p50 / p99 / p99.9 ms", "CPU µs", "written", "spread")
STEADY_HEADINGS = (
    *NAMED,
    "requests due per s",
    "Concord p50 / p99 / p99.9 ms",
    "etcd p50 / p99 / p99.9 ms",
    "unserved, Concord / etcd",
)
MARK_HEADINGS = ("system", "operation", "connections", "per s", "p50 / p99 / max ms", "CPU µs", "generator's cores")


def alone(name: str, rounds: Rounds) -> str:
    """One of TITLES, which has no other beside it."""
    rows = []
    for workload, measured in rounds.items():
        found = median(measured)
        took = times(found.p50_ms, found.p99_ms, found.p999_ms)
        spent = significant(found.cpu_us), significant(found.written_bytes)
        rows.append([*named(workload), significant(found.per_s), took, *spent, f"{found.spread:.0%}"])
    return _section(TITLES[name], WHYS[name], markdown_table(ALONE_HEADINGS, rows))


def steady(results: Mapping[str, paced.Rounds]) -> str:
    """Both at the same steady rate, by the names of the systems."""
    rows, dearest = [], 0.0
    for workload in results[OURS]:
        both = [paced.median(results[name][workload]) for name in (OURS, THEIRS)]
        dearest = max(dearest, *(one.generator_cores for one in both))
        took = [times(one.p50_ms, one.p99_ms, one.p999_ms) for one in both]
        due = significant(both[0].due_per_s)
        rows.append([*named(workload), due, *took, " / ".join(f"{one.unserved:,}" for one in both)])
    rounds = len(next(iter(results[OURS].values())))
    why = (
        f"Requests fall due at a steady rate, {paced.SHARE:.0%} of what the slower of both got through in the first round, whatever is answered; one that "
        "finds no connection free waits for one. Times count from when it was due, so that a stall shows in every request that it "
        f"kept waiting. {f'Medians of {rounds} rounds' if rounds > 1 else 'One round'}; unserved, all rounds together, is what took over {paced.PATIENCE_S:.0f} s. The "
        "generator is not `wrk` but asyncio in Python, which looks every 2 ms for what is due and took "
        f"at most {significant(dearest, 2)} of a core: it is the same for both, and its times are not those of the main table."
    )
    return _section("At a steady rate, from the intended start", why, markdown_table(STEADY_HEADINGS, rows))


def marked(found: Sequence[Marked]) -> str:
    """Further marks, each under what it is."""
    rows = [
        [
            mark.system,
            mark.operation,
            str(mark.connections),
            significant(mark.per_s),
            times(mark.p50_ms, mark.p99_ms, mark.max_ms),
            significant(mark.server_cpu_us),
            f"{mark.generator_cores:.2f}",
        ]
        for one in found
        for mark in one.marks
    ]
    why = (
        "Other systems in their own protocols, each asked by another load generator than the main table's, so the rates are to be "
        "compared with that table's only by order of magnitude. ZooKeeper and NATS have no HTTP: their clients' Python, in one process on the "
        "servers' cores, takes the place of `wrk`. The last column says how much of a core the generator had: where it is "
        "more than the servers' share (the rate times the CPU time of a key), it is rather the generator that was measured, and the server's CPU "
        "time says more than the rate. One measurement of each, keys of 100 bytes, uniform."
    )
    setups = "\n".join(f"- {one.setup}." for one in found)
    return _section(
        "Further marks, which are something else", f"{why}\n\n{setups}", markdown_table(MARK_HEADINGS, rows)
    )


def _section(title: str, why: str, table: str) -> str:
    return f"## {title}\n\n{why}\n\n{table}\n"
