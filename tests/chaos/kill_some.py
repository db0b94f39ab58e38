"""Hurt some processes after others during writes: what was acknowledged is there, what was refused for certain is not.

`python -m tests.chaos.kill_some` starts a cluster of its own. Writers put, overwrite and delete all the time while nodes
or the gateway are killed or stopped for a while, up to two at a time, so that groups are without a majority. Most answers
are there to be judged: a definite failure must never show, an unknown one may. At the end of each round every key ever
written is read and compared.
"""

import os
import random
import signal
import sys
import time

from tests.chaos.ledger import Values
from tests.chaos.scene import Caller, Scene, play, say
from tests.chaos.writing import Books, parser

HURTS = 4
WRITES_BETWEEN = 100
STOP_S_MAX = 6.0
GATEWAY_CHANCE = 0.15
KILL_CHANCE = 0.5


class KillSome:
    """The rounds."""

    def __init__(self, scene: Scene, values: Values, at_once: int) -> None:
        scene.cluster.start()
        self._scene = scene
        self._at_once = at_once
        self._caller = Caller(scene)
        self.books = Books(scene, values)

    def round(self, number: int) -> None:
        """Write and hurt, then compare."""
        rng = self._scene.chance("round", number)
        self.books.begin(number)
        done = []
        for _ in range(HURTS):
            self.books.wait_for(WRITES_BETWEEN)
            done.append(self._hurt(rng))
            self._caller.wait_until_whole()
        self.books.end()
        self.books.compare()
        say(f"round {number}: {', '.join(done)}; {self.books.acknowledged} keys were written")

    def _hurt(self, rng: random.Random) -> str:
        nodes = [process.name for process in self._scene.cluster.processes() if process.role == "node"]
        names = ["gateway1"] if rng.random() < GATEWAY_CHANCE else rng.sample(nodes, rng.randint(1, self._at_once))
        if rng.random() < KILL_CHANCE:
            for name in names:
                self._scene.cluster.kill(name)
            return f"{' and '.join(names)} killed"
        seconds = rng.uniform(0, STOP_S_MAX)
        pids = [self._scene.cluster.kill(name, signal.SIGSTOP) for name in names]
        try:
            time.sleep(seconds)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        return f"{' and '.join(names)} stopped for {seconds:.1f} s"


def main() -> int:
    """Run the program."""
    flags = parser(__doc__, rounds=5)
    flags.add_argument("--at-once", type=int, default=2, metavar="N", help="most nodes hurt at a time (%(default)s)")
    arguments = flags.parse_args()

    def scenario(scene: Scene) -> None:
        killing = KillSome(scene, Values(arguments.pad_bytes), arguments.at_once)
        for number in range(arguments.rounds):
            killing.round(number)
        say(killing.books.summary())

    return play(arguments, scenario)


if __name__ == "__main__":
    sys.exit(main())
