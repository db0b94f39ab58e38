"""Run seeds: `python -m tests.simulation.run --seeds 2000`, replay one with `--first SEED --seeds 1 --verbose`.

With `--control` the library as shipped is run in the same world under the same faults, and the command succeeds only
if it fails there: a simulation that finds nothing wrong with it would have gone blind.
"""

import argparse
import importlib
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from typing import Protocol

from tests.simulation.faults import Adversary, Cluster
from tests.simulation.history import History, Violation
from tests.simulation.world import Network, World

FAULTS_S = 30.0
CATCH_UP_S = 5.0  # after the network healed, everyone must have caught up within this
ELECTION_S = 5.0  # and first there may have to be an election or two
CONTROL_MUST_FAIL = 0.05


class Simulated(Cluster, Protocol):
    """A cluster that clients can use and whose promises can be checked."""

    network: Network
    resting: bool  # clients shall stop

    def write(self) -> None: ...
    def read(self) -> None: ...
    def check_final(self) -> None: ...


def simulate(seed: int, *, replicas: int, control: bool) -> History:
    """Run one seed; raises Violation."""
    world, history = World(seed), History()
    kind = "stock:StockCluster" if control else ("safe:SafeCluster" if seed % 2 else "keys:KeyCluster")
    module, _, name = kind.partition(":")
    cluster: Simulated = getattr(importlib.import_module(f"tests.simulation.{module}"), name)(world, replicas, history)
    try:
        adversary = Adversary(world, cluster.network, cluster, history.faults)

        def client() -> None:
            if world.now < FAULTS_S + ELECTION_S:
                (cluster.write if world.rng.random() < 0.6 else cluster.read)()
                world.after(world.rng.expovariate(1 / 0.03), client)

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


def _run_one(task: tuple[int, int, bool]) -> tuple[int, str, History | None]:
    seed, replicas, control = task
    logging.disable(logging.CRITICAL)
    try:
        return seed, "", simulate(seed, replicas=replicas, control=control)
    except Violation as violation:
        return seed, str(violation), None
    except Exception as error:  # noqa: BLE001 - any crash of the code under test is a finding
        return seed, f"{type(error).__name__}: {error}", None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--replicas", type=int, default=3, choices=(1, 3, 5))
    parser.add_argument("--control", action="store_true", help="run PySyncObj as shipped; succeeds only if it fails")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--verbose", action="store_true", help="one seed in this process, with its traceback")
    arguments = parser.parse_args()
    _fix_hash_order()
    if arguments.verbose:
        history = simulate(arguments.first, replicas=arguments.replicas, control=arguments.control)
        print(dict(history.faults), dict(history.outcomes))
        return 0
    return _run_many(arguments)


def _fix_hash_order() -> None:
    """The library iterates over sets of nodes: a seed replays only under the same hash seed."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.run", *sys.argv[1:]])  # noqa: S606 - itself


def _run_many(arguments: argparse.Namespace) -> int:
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    tasks = [(seed, arguments.replicas, arguments.control) for seed in seeds]
    faults: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    failed: dict[int, str] = {}
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for done, (seed, problem, history) in enumerate(pool.imap_unordered(_run_one, tasks, chunksize=4), 1):
            if history is None:
                failed[seed] = problem
                _say(f"seed {seed}: {problem}", transient=False)
            else:
                faults += history.faults
                outcomes += history.outcomes
            _say(f"{done}/{len(tasks)} seeds, {len(failed)} failed", transient=True)
    return _report(arguments, faults, outcomes, failed, time.monotonic() - began)


def _report(
    arguments: argparse.Namespace, faults: Counter[str], outcomes: Counter[str], failed: dict[int, str], seconds: float
) -> int:
    share = len(failed) / arguments.seeds
    print(
        f"{arguments.seeds} seeds, {arguments.replicas} replicas, {seconds:.0f} s: {len(failed)} failed ({share:.1%})"
    )
    print("faults:  ", ", ".join(f"{name} {count}" for name, count in faults.most_common()))
    print("outcomes:", ", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
    if arguments.control:
        return 0 if share >= CONTROL_MUST_FAIL else 1
    if failed:
        seed = min(failed)
        print(f"replay: python -m tests.simulation.run --replicas {arguments.replicas} --first {seed} --verbose")
    return 1 if failed else 0


def _say(text: str, *, transient: bool) -> None:
    if not transient:
        sys.stderr.write(f"{text}\n")
    elif sys.stderr.isatty():
        sys.stderr.write(f"\r{text} ")


if __name__ == "__main__":
    sys.exit(main())
