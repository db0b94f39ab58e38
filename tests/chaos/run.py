"""Hurt real clusters in every way that is known, for as long as you like, and check every answer they gave.

`make chaos MINUTES=n SEED=s` runs `python -m tests.chaos.run --minutes n --seed s`. README.md in this folder says what is
done and what must hold. With a violation the exit code is 1, and its evidence is in `build/chaos/SEED/`. Needs root.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from concord.cli.console import Progress
from loadtest.children import ended_by_signals
from tests.chaos import image, namespaces, wallclock
from tests.chaos.clients import Keys
from tests.chaos.crowd import Crowd
from tests.chaos.figures import Figures, failovers
from tests.chaos.fleet import GATEWAYS, Fleet, Size
from tests.chaos.judge import Judge, Recovery, WedgedError
from tests.chaos.plan import Ground, Kind, Strike, rounds
from tests.chaos.scene import VIOLATIONS_SHOWN, say
from tests.chaos.strikes import Striking
from tests.e2e.cluster import ROOT

CANNOT = 2


class Chaos:
    """A run."""

    def __init__(self, arguments: argparse.Namespace, figures: Figures) -> None:
        self._arguments = arguments
        self._figures = figures
        self._evidence = arguments.evidence / str(arguments.seed)
        self._progress = Progress(sys.stderr)
        self._until = 0.0

    def violate(self, text: str) -> None:
        """Take note of a broken promise."""
        self._figures.violations.append(text)
        self._progress.clear()
        if len(self._figures.violations) <= VIOLATIONS_SHOWN:
            say(f"VIOLATION: {text}")

    def play(self, nodes: int, seconds: float) -> None:
        """Rounds on one cluster for so long, and one more look at everything that was ever settled."""
        arguments = self._arguments
        size = Size(nodes, arguments.groups, durability=arguments.durability)
        ground = Ground(nodes, size.groups, GATEWAYS, size.placement, tuple(arguments.kinds))
        folder = Path(tempfile.mkdtemp(prefix="concord-chaos-"))
        before = len(self._figures.violations)
        try:
            with Fleet(folder, size) as fleet:
                try:
                    self._play_on(fleet, ground, time.monotonic() + seconds)
                except WedgedError as error:
                    self.violate(f"the cluster does not get well: {error}")
        finally:
            if len(self._figures.violations) > before or arguments.keep:
                _keep_logs(folder, self._evidence / f"{nodes}-nodes")
                (self._evidence / "violations.txt").write_text("\n".join(self._figures.violations))
            shutil.rmtree(folder, ignore_errors=True)

    def _play_on(self, fleet: Fleet, ground: Ground, until: float) -> None:
        rng = random.Random(f"{self._arguments.seed}/{ground.nodes}/clients")
        judge = Judge(
            fleet,
            self._evidence,
            self.violate,
            catch_up_s=self._arguments.catch_up_s,
            rng=random.Random(rng.random()),
            keep=self._arguments.keep,
        )
        self._show(f"{ground.nodes} nodes start …")
        judge.wait_until_started()
        for number, plan in enumerate(rounds(self._arguments.seed, ground, self._arguments.round_s)):
            self._round(fleet, judge, f"{ground.nodes}n{number}", plan, random.Random(rng.random()))
            if time.monotonic() + self._arguments.round_s > until:
                break
        self._figures.read_back += judge.look_back(everything=True)

    def _round(self, fleet: Fleet, judge: Judge, name: str, plan: list[Strike], rng: random.Random) -> None:
        keys = Keys.of(name)
        crowd = Crowd(fleet, keys, rng, rate=self._arguments.rate, complain=self.violate)
        striking = Striking(fleet, plan, self.violate)
        try:
            crowd.begin(name)
            striking.begin()
            self._wait(name, plan)
            striking.end()
            recovery = judge.wait_until_well()
        finally:  # nothing goes on when this is left, however that comes about
            striking.end()
            history = crowd.end()
        history += judge.read_all(keys.every)
        judge.check(history, name)
        judge.settle(history, [*keys.lasting, *keys.counters])
        self._figures.read_back += judge.look_back(everything=False)
        judge.compare_states()
        self._figures.disk_deaths += judge.look_at_deaths()
        self._figures.operations += len(history)
        self._figures.count(crowd.outcomes(), striking.done)
        self._figures.failovers += failovers(striking.done, crowd.pulses, len(fleet.nodes))
        self._figures.recoveries.append(recovery)
        self._report(name, plan, len(history), recovery)

    def _wait(self, name: str, plan: list[Strike]) -> None:
        """Until the round is over."""
        began = time.monotonic()
        while (passed_s := time.monotonic() - began) < self._arguments.round_s:
            now = [strike.kind.value for strike in plan if strike.at_s <= passed_s <= strike.at_s + strike.lasts_s]
            self._show(f"round {name}, {passed_s:.0f} s: {', '.join(now) or 'nothing wrong'}")
            time.sleep(min(0.5, self._arguments.round_s - passed_s))

    def _report(self, name: str, plan: list[Strike], operations: int, recovery: Recovery) -> None:
        self._progress.clear()
        say(f"round {name}: " + "; ".join(strike.describe() for strike in plan))
        say(
            f"  {operations} operations; all answer after {recovery.answer_s:.2f} s, "
            f"caught up {recovery.catch_up_s:.2f} s later, gateways ready after {recovery.ready_s:.2f} s; "
            f"{len(self._figures.violations)} violations"
        )

    def _show(self, text: str) -> None:
        if sys.stderr.isatty():
            self._progress.show(text)


def _keep_logs(folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, target)
    say(f"logs are in {target}, histories in {target.parent}")


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def why_not() -> str:
    """Why there can be no chaos here, "" when there can."""
    return namespaces.why_not() or image.why_not() or wallclock.why_not()


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--minutes", type=float, default=2.0, help="in all (%(default)s)")
    made.add_argument("--seed", type=int, default=1, help="of the plan of strikes (%(default)s)")
    made.add_argument(
        "--nodes", type=int, nargs="+", default=[3, 5], help="sizes of clusters, one after the other (3 5)"
    )
    made.add_argument("--groups", type=int, default=8, help="(%(default)s)")
    made.add_argument("--round-s", type=float, default=60.0, help="seconds of strikes in a round (%(default)s)")
    made.add_argument("--rate", type=float, default=160.0, help="requests a second (%(default)s)")
    made.add_argument(
        "--catch-up-s", type=float, default=5.0, help="how long replicas may take to catch up (%(default)s)"
    )
    made.add_argument("--kinds", type=_kind, nargs="+", default=list(Kind), help="only these: kill stop isolate …")
    made.add_argument(
        "--durability",
        choices=["fsync", "os", "memory"],
        default="fsync",
        help="of the nodes; others must lose to power cuts",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file")
    made.add_argument(
        "--evidence", type=Path, default=ROOT / "build" / "chaos", metavar="DIR", help="for what is found (build/chaos)"
    )
    made.add_argument("--keep", action="store_true", help="keep histories and logs even when all is well")
    return made


def _kind(text: str) -> Kind:
    try:
        return Kind[text.upper().replace("-", "_")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(k.name.lower() for k in Kind)}") from error


def main() -> int:
    """Run the program."""
    arguments = parser().parse_args()
    reason = why_not()
    if reason:
        say(f"there can be no chaos here: {reason}")
        return CANNOT
    figures = Figures(seed=arguments.seed, commit=_commit(), minutes=0.0)
    chaos = Chaos(arguments, figures)
    began = time.monotonic()
    say(f"seed {arguments.seed}, {arguments.minutes} minutes, {' and '.join(map(str, arguments.nodes))} nodes")
    with ended_by_signals():
        try:
            for nodes in arguments.nodes:
                chaos.play(nodes, arguments.minutes * 60 / len(arguments.nodes))
        finally:
            figures.minutes = (time.monotonic() - began) / 60
            say(figures.describe())
            if arguments.json:
                arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures.summary())))
    return 1 if figures.violations else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
