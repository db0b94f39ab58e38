"""What a run did and found: one table for people, one file for programs."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from concord.cli.console import table
from tests.chaos.crowd import Pulse, overlaps
from tests.chaos.judge import Recovery
from tests.chaos.scene import percentile
from tests.chaos.strikes import WITHOUT_LEADER, Struck

Summary: TypeAlias = dict[str, float | str | dict[str, float]]
"""Figures by name; those that end in `_s` are seconds."""


class Failover(msgspec.Struct, frozen=True):
    """A group whose leader was struck, and how long it acknowledged no write.

    Attributes:
        kind: what struck it.
        nodes: how many nodes the cluster has.
        seconds: from the strike to the first acknowledgement of a write that was begun after it.
        alone: nothing else was wrong meanwhile, and only the leader's node was struck.
    """

    kind: str
    nodes: int
    seconds: float
    alone: bool


class Figures(msgspec.Struct, kw_only=True):
    """Of a whole run."""

    seed: int
    commit: str
    minutes: float
    rounds: int = 0
    operations: int = 0
    outcomes: dict[str, int] = {}
    faults: dict[str, int] = {}
    failovers: list[Failover] = []
    recoveries: list[Recovery] = []
    disk_deaths: int = 0  # nodes that ended because their disk failed
    read_back: int = 0
    violations: list[str] = []

    def count(self, outcomes: Counter[str], struck: Sequence[Struck]) -> None:
        """Add what a round did."""
        self.rounds += 1
        self.outcomes = dict(Counter(self.outcomes) + outcomes)
        self.faults = dict(Counter(self.faults) + Counter(each.strike.kind.value for each in struck))

    def times(self) -> dict[str, list[float]]:
        """What was measured in seconds."""
        return {
            "failover": [failover.seconds for failover in self.failovers if failover.alone],
            "failover_under_more_faults": [failover.seconds for failover in self.failovers if not failover.alone],
            "answer": [recovery.answer_s for recovery in self.recoveries],
            "catch_up": [recovery.catch_up_s for recovery in self.recoveries],
            "gateways_ready": [recovery.ready_s for recovery in self.recoveries],
        }

    def summary(self) -> Summary:
        """What `--json` writes."""
        times = {name: seconds for name, seconds in self.times().items() if seconds}
        return {
            "seed": str(self.seed),  # not a figure
            "commit": self.commit,
            "minutes": self.minutes,
            "rounds": self.rounds,
            "operations": self.operations,
            "outcomes": {name: float(count) for name, count in self.outcomes.items()},
            "faults": {name: float(count) for name, count in self.faults.items()},
            "failovers": len(self.failovers),
            **{f"{name}_p50_s": percentile(seconds, 0.5) for name, seconds in times.items()},
            **{f"{name}_p99_s": percentile(seconds, 0.99) for name, seconds in times.items()},
            **{f"{name}_max_s": max(seconds) for name, seconds in times.items()},
            "nodes ended by their disks": self.disk_deaths,
            "settled keys read again": self.read_back,
            "violations": len(self.violations),
        }

    def describe(self) -> str:
        """The table."""
        rows = [
            ["seed, commit", f"{self.seed}, {self.commit}"],
            ["minutes, rounds", f"{self.minutes:.1f}, {self.rounds}"],
            ["operations checked", f"{self.operations:,}"],
            *([f"  {name}", f"{count:,}"] for name, count in sorted(self.outcomes.items())),
            ["faults", f"{sum(self.faults.values())}"],
            *([f"  {name}", f"{count}"] for name, count in sorted(self.faults.items())),
            *([name.replace("_", " "), _spread(seconds)] for name, seconds in self.times().items()),
            ["nodes ended by their disks", f"{self.disk_deaths}"],
            ["settled keys read again", f"{self.read_back:,}"],
            ["violations", f"{len(self.violations)}"],
        ]
        return table(["WHAT", "HOW MUCH"], rows, sys.stdout)


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    return f"{len(seconds)}: p50 {p50:.2f} s, p99 {p99:.2f} s, max {max(seconds):.2f} s"


def failovers(struck: Sequence[Struck], pulses: dict[int, Pulse], nodes: int) -> list[Failover]:
    """How long each group whose leader was struck took no write; without those that a round's end cut short."""
    found = []
    for each in struck:
        others = [(other.began_ns, other.ended_ns) for other in struck if other is not each]
        for group in each.groups if each.strike.kind in WITHOUT_LEADER else ():
            pulse = pulses.get(group)
            first_ns = pulse.first_after(each.began_ns) if pulse is not None else None
            if first_ns is not None:
                alone = each.victims == 1 and not overlaps((each.began_ns, first_ns), others)
                found.append(Failover(each.strike.kind.value, nodes, (first_ns - each.began_ns) / 1e9, alone))
    return found
