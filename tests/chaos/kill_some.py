"""Hurt one process after another during writes: what was acknowledged is there, what was refused for certain is not.

`python -m tests.chaos.kill_some` starts a cluster of its own. Writers put, overwrite and delete all the time while nodes
and the gateway are killed or stopped for a while, one at a time. So most answers are there to be judged: a definite
failure must never show, an unknown one may. At the end of each round every key ever written is read and compared.
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
STOP_S_MAX = 4.0
GATEWAY_CHANCE = 0.15
KILL_CHANCE = 0.5


class KillSome:
    """The rounds."""

    def __init__(self, scene: Scene, values: Values) -> None:
        scene.cluster.start()
        self._scene = scene
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
        name = "gateway1" if rng.random() < GATEWAY_CHANCE else rng.choice(nodes)
        if rng.random() < KILL_CHANCE:
            self._scene.cluster.kill(name)
            return f"{name} killed"
        seconds = rng.uniform(0, STOP_S_MAX)
        pid = self._scene.cluster.kill(name, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        return f"{name} stopped for {seconds:.1f} s"


def main() -> int:
    """Run the program."""
    arguments = parser(__doc__, rounds=5).parse_args()

    def scenario(scene: Scene) -> None:
        killing = KillSome(scene, Values(arguments.pad_bytes))
        for number in range(arguments.rounds):
            killing.round(number)
        say(killing.books.summary())

    return play(arguments, scenario)


if __name__ == "__main__":
    sys.exit(main())
