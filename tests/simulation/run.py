"""Run seeds: `python -m tests.simulation.run --seeds 2000`, replay one with `--first SEED --verbose`.

Succeeds when no seed failed and none was spared a crash, a power cut, a partition, a snapshot or heartbeats of idle groups.
With `--control` the library as shipped is run in the same world under the same faults, and the command succeeds only
if it fails there: a simulation that finds nothing wrong with it would have gone blind. So it does with `--mutant NAME`
of `tests/mutation/`, which puts a known mistake into `raft/` first.
"""

import argparse
import importlib
import json
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.mutation.mistakes import MISTAKES
from tests.mutation.planting import plant
from tests.simulation.faults import CERTAIN, Adversary, Cluster
from tests.simulation.history import History, Violation
from tests.simulation.world import Network, World

FAULTS_S = 30.0
CATCH_UP_S = 5.0  # after the network healed, everyone must have caught up within this
ELECTION_S = 5.0  # and first there may have to be an election or two
CONTROL_MUST_FAIL = 0.05
PACES_S = (0.01, 0.03, 0.03, 0.3)  # between two calls of clients; in a busy group a cut-off member soon lags


@dataclass(frozen=True)
class Case:
    """One run, down to the last random bit."""

    seed: int
    replicas: int = 3
    control: bool = False
    mutant: str = ""


class Simulated(Cluster, Protocol):
    """A cluster that clients can use and whose promises can be checked."""

    network: Network
    resting: bool  # clients shall stop

    def write(self) -> None: ...
    def read(self) -> None: ...
    def check_final(self) -> None: ...


def simulate(case: Case) -> History:
    """Run one case; raises Violation."""
    world, history = World(case.seed), History()
    cluster = _make_cluster(case, world, history)
    try:
        adversary = Adversary(world, cluster.network, cluster, history.faults, until_s=FAULTS_S)
        pace_s = world.rng.choice(PACES_S)

        def client() -> None:
            if world.now < FAULTS_S + ELECTION_S:
                (cluster.write if world.rng.random() < 0.6 else cluster.read)()
                world.after(world.rng.expovariate(1 / pace_s), client)

        client()
        world.run_until(FAULTS_S)
        adversary.rest()
        world.run_until(FAULTS_S + ELECTION_S)
        cluster.resting = True
        world.run_until(FAULTS_S + ELECTION_S + CATCH_UP_S)
        cluster.check_final()
    finally:
        getattr(cluster, "close", lambda: None)()
    history.outcomes["acknowledged"] = sum(len(group.acknowledged) for group in history.groups.values())
    return history


def _make_cluster(case: Case, world: World, history: History) -> Simulated:
    kind = "stock:StockCluster" if case.control else ("safe:SafeCluster" if case.seed % 2 else "keys:KeyCluster")
    if case.mutant:
        plant(MISTAKES[case.mutant])
    module, _, name = kind.partition(":")
    cluster: Simulated = getattr(importlib.import_module(f"tests.simulation.{module}"), name)(
        world, case.replicas, history
    )
    return cluster


def _run_one(case: Case) -> tuple[int, str, History | None]:
    logging.disable(logging.CRITICAL)
    try:
        seen = simulate(case)
        return case.seed, "", History(faults=seen.faults, outcomes=seen.outcomes)  # nobody asks for more
    except Violation as violation:
        return case.seed, str(violation), None
    except Exception as error:  # noqa: BLE001 - any crash of the code under test is a finding
        return case.seed, f"{type(error).__name__}: {error}", None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--replicas", type=int, default=3, choices=(1, 3, 5))
    parser.add_argument("--control", action="store_true", help="run PySyncObj as shipped; succeeds only if it fails")
    parser.add_argument(
        "--mutant",
        default="",
        choices=["", *MISTAKES],
        metavar="NAME",
        help="plant this mistake; succeeds only if it is found",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--verbose", action="store_true", help="one seed in this process, with its traceback")
    arguments = parser.parse_args()
    _fix_hash_order()
    if arguments.verbose:
        history = simulate(Case(arguments.first, arguments.replicas, arguments.control, arguments.mutant))
        print(dict(history.faults), dict(history.outcomes))
        return 0
    return _find_mutant(arguments) if arguments.mutant else _run_many(arguments)


def _fix_hash_order() -> None:
    """The library iterates over sets of nodes: a seed replays only under the same hash seed."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.run", *sys.argv[1:]])  # noqa: S606 - itself


@contextmanager
def _results(arguments: argparse.Namespace) -> Iterator[Iterator[tuple[int, str, History | None]]]:
    """Results of all seeds as they come, in processes that know of nothing else; leaving early ends them."""
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    cases = [Case(seed, arguments.replicas, arguments.control, arguments.mutant) for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(min(arguments.processes, len(cases))) as pool:
        yield pool.imap_unordered(_run_one, cases)


@dataclass
class _Tally:
    """What all seeds together saw."""

    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    spared: Counter[str] = field(default_factory=Counter)  # seeds that lacked what every seed should see
    failed: dict[int, str] = field(default_factory=dict)


def _run_many(arguments: argparse.Namespace) -> int:
    tally = _Tally()
    began = time.monotonic()
    with _results(arguments) as results:
        for done, (seed, problem, history) in enumerate(results, 1):
            if history is None:
                tally.failed[seed] = problem
                _say(f"seed {seed}: {problem}", transient=False)
            else:
                tally.faults += history.faults
                tally.outcomes += history.outcomes
                tally.spared.update({name: not _happened(history, name) for name in _expected(arguments)})
            _say(f"{done}/{arguments.seeds} seeds, {len(tally.failed)} failed", transient=True)
    return _report(arguments, tally, time.monotonic() - began)


def _expected(arguments: argparse.Namespace) -> list[str]:
    """What every seed should see."""
    if arguments.control:
        return []
    among_several = ("partition", "answered together")
    names = (*CERTAIN, "snapshots taken", "answered together")
    return [name for name in names if arguments.replicas > 1 or name not in among_several]


def _happened(history: History, name: str) -> bool:
    return bool(history.faults[name] + history.outcomes[name])


def _report(arguments: argparse.Namespace, tally: _Tally, seconds: float) -> int:
    failed, spared = tally.failed, tally.spared
    share = len(failed) / arguments.seeds
    if arguments.json:
        figures = {
            "seeds": arguments.seeds,
            "failed seeds": len(failed),
            "faults": tally.faults,
            "outcomes": tally.outcomes,
            **{f"seeds without {name}": count for name, count in spared.items()},
        }
        arguments.json.write_text(json.dumps(figures))
    summary = f"{arguments.seeds} seeds, {arguments.replicas} replicas, {seconds:.0f} s"
    print(f"{summary}: {len(failed)} failed ({share:.1%})")
    print("faults:  ", ", ".join(f"{name} {count}" for name, count in tally.faults.most_common()))
    print("outcomes:", ", ".join(f"{name} {count}" for name, count in tally.outcomes.most_common()))
    if arguments.control:
        return 0 if share >= CONTROL_MUST_FAIL else 1
    print("seeds without:", ", ".join(f"{name} {count}" for name, count in spared.items()))
    if failed:
        seed = min(failed)
        print(f"replay: python -m tests.simulation.run --replicas {arguments.replicas} --first {seed} --verbose")
    return 1 if failed or spared.total() else 0


def _find_mutant(arguments: argparse.Namespace) -> int:
    """Whether some seed notices the mistake; stops at the first that does."""
    with _results(arguments) as results:
        for tried, (seed, problem, history) in enumerate(results, 1):
            if history is None:
                print(f"{arguments.mutant}: found after {tried} seeds, by seed {seed}: {problem[:120]}")
                return 0
    print(f"{arguments.mutant}: not found by {arguments.seeds} seeds")
    return 1


def _say(text: str, *, transient: bool) -> None:
    if not transient:
        sys.stderr.write(f"{text}\n")
    elif sys.stderr.isatty():
        sys.stderr.write(f"\r{text} ")


if __name__ == "__main__":
    sys.exit(main())
