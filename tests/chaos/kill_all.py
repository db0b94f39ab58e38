"""SIGKILL every process at once during writes, again and again: nothing acknowledged may be missing afterwards.

`python -m tests.chaos.kill_all` starts a cluster of its own. Writers put, overwrite and delete, one key and many at a
time; then all nodes, the gateway and `concord up` itself are killed in one stroke, in some rounds once more while they
start. After each start every key ever written is read and compared with what its writer was told.
"""

import os
import random
import signal
import sys
import time
from contextlib import suppress

from tests.chaos.ledger import Values
from tests.chaos.scene import Caller, Scene, play, say
from tests.chaos.writing import Books, parser
from tests.e2e.cluster import wait_until

WRITES_MIN, WRITES_MAX = 50, 3000
START_AGAIN_CHANCE = 0.3
LIVE_CHANCE = 0.5


class KillAll:
    """The rounds."""

    def __init__(self, scene: Scene, values: Values) -> None:
        self._scene = scene
        self.books = Books(scene, values)
        self.start_seconds: list[float] = []

    def round(self, number: int) -> None:
        """Write, kill everything, start, compare."""
        rng = self._scene.chance("round", number)
        self.books.begin(number)
        self.books.wait_for(rng.randint(WRITES_MIN, WRITES_MAX))
        spread_ms = self._kill_everything(rng)
        self.books.end()
        again = rng.random() < START_AGAIN_CHANCE
        if again:
            self._kill_while_starting(rng)
        self.start_and_compare()
        say(
            f"round {number}: killed within {spread_ms:.1f} ms after {self.books.acknowledged} keys were written"
            f"{', and again while starting' if again else ''}; ready in {self.start_seconds[-1]:.1f} s"
        )

    def start_and_compare(self) -> None:
        """Start, and read every key ever written."""
        began = time.monotonic()
        self._scene.cluster.start()
        self.start_seconds.append(time.monotonic() - began)
        self.books.compare()

    def _kill_everything(self, rng: random.Random) -> float:
        """SIGKILL to all processes, found in /proc, in any order; milliseconds that it took."""
        pids = sorted(self._scene.processes())
        rng.shuffle(pids)
        began = time.monotonic()
        for pid in pids:
            with suppress(ProcessLookupError):  # its parent was killed before it
                os.kill(pid, signal.SIGKILL)
        spread_ms = (time.monotonic() - began) * 1000
        self._scene.cluster.wait()
        wait_until(lambda: not self._scene.processes(), "every process is gone")
        return spread_ms

    def _kill_while_starting(self, rng: random.Random) -> None:
        """Start, and kill at one of the moments between the first process and the last."""
        cluster, scene = self._scene.cluster, self._scene
        file = rng.choice(["cluster.json", "processes.json"])
        before = (cluster.data_dir / file).stat().st_mtime_ns
        cluster.launch()
        if file == "processes.json":
            wait_until(lambda: (cluster.data_dir / file).stat().st_mtime_ns > before, "processes are listed")
            caller = Caller(scene)
            if rng.random() < LIVE_CHANCE:
                wait_until(lambda: caller.send("GET", "/livez") is not None, "the gateway answers")
            caller.close()
        else:
            wanted = rng.randint(1, 4)
            wait_until(lambda: len(scene.processes()) >= wanted, f"{wanted} processes run")
        self._kill_everything(rng)


def main() -> int:
    """Run the program."""
    arguments = parser(__doc__, rounds=10).parse_args()

    def scenario(scene: Scene) -> None:
        scene.cluster.start()
        killing = KillAll(scene, Values(arguments.pad_bytes))
        for number in range(arguments.rounds):
            killing.round(number)
        scene.cluster.stop()
        killing.start_and_compare()
        scene.figures.update(killing.books.figures(), longest_start_s=max(killing.start_seconds))
        say(f"{killing.books.summary()}; longest start {max(killing.start_seconds):.1f} s")

    return play(arguments, scenario)


if __name__ == "__main__":
    sys.exit(main())
