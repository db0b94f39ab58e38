"""Cut the power of the whole machine during writes, again and again: nothing acknowledged may be missing afterwards.

`python -m tests.chaos.power_cuts --rounds 250 --nodes 1` puts all data directories of a cluster on a file system in an
image. Writers put, overwrite and delete; at a random instant every process is stopped, the image is copied, every
process is killed, and the copy takes the image's place: what was only in the system's cache is gone. Log segments and
snapshots are kept small, so that many cuts strike while they are made, renamed or deleted; some strike during a start.
After each start every key ever written is read and compared with what its writer was told. Needs root.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.chaos.image import Image, why_not
from tests.chaos.ledger import Values
from tests.chaos.scene import Scene, play, say
from tests.chaos.writing import Books, parser
from tests.e2e.cluster import wait_until

WRITES_MIN, WRITES_MAX = 20, 1500
WHILE_STARTING_CHANCE = 0.2
START_S_MAX = 2.5
IMAGE_BYTES = 160 << 20
SMALL = {"CONCORD_SEGMENT_BYTES": "1048576", "CONCORD_LOG_BYTES": "3145728", "CONCORD_SNAPSHOT_BYTES": "65536"}


class PowerCuts:
    """The rounds."""

    def __init__(self, scene: Scene, image: Image, values: Values) -> None:
        self._scene = scene
        self._image = image
        self.books = Books(scene, values)
        self.found: Counter[str] = Counter()  # what the cuts left on the disk
        self.start_seconds: list[float] = []

    def round(self, number: int) -> None:
        """Write, cut the power, perhaps once more during the start, start, compare."""
        rng = self._scene.chance("round", number)
        self.books.begin(number)
        self.books.wait_for(rng.randint(WRITES_MIN, WRITES_MAX))
        self._cut()
        self.books.end()
        self._go_back()
        if rng.random() < WHILE_STARTING_CHANCE:
            self._cut_while_starting(rng)
        self._start_and_compare()
        say(f"round {number}: {self.books.acknowledged} keys were written; ready in {self.start_seconds[-1]:.1f} s")

    def _start_and_compare(self) -> None:
        began = time.monotonic()
        self._scene.cluster.start()
        self.start_seconds.append(time.monotonic() - began)
        self.books.compare()

    def _cut(self) -> None:
        """Nobody runs any more, and the image is what it was when they stopped."""
        pids = list(self._scene.processes())
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        self._image.copy()
        for pid in pids:
            _send(pid, signal.SIGKILL)
        self._scene.cluster.wait()
        wait_until(lambda: not self._scene.processes(), "every process is gone")

    def _go_back(self) -> None:
        self._image.lose_power()
        self.found["cuts"] += 1
        self.found.update(kind for kind, there in _traces(self._scene.cluster.data_dir) if there)

    def _cut_while_starting(self, rng: random.Random) -> None:
        self._scene.cluster.launch()
        time.sleep(rng.uniform(0.0, START_S_MAX))  # any moment will do
        self._cut()
        self._go_back()
        self.found["cuts during a start"] += 1


def _traces(data_dir: Path) -> list[tuple[str, bool]]:
    """What the cut struck, as far as the disk shows it."""
    snapshots = list(data_dir.glob("**/snapshots/*/*"))
    groups = Counter(path.parent for path in snapshots if path.suffix == ".snap")
    return [
        ("while a snapshot was written", any(path.suffix == ".tmp" for path in snapshots)),
        ("between a snapshot and the deletion of the one before", any(count > 1 for count in groups.values())),
        ("while a log segment was made", any(data_dir.glob("**/wal/*.tmp"))),
        ("with compacted logs", bool(groups)),
    ]


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> int:
    """Run the program."""
    arguments = parser(__doc__, rounds=10).parse_args()
    reason = why_not()
    if reason:
        say(f"cannot cut the power here: {reason}")
        return 2
    images: list[Image] = []

    @contextmanager
    def on_an_image(folder: Path) -> Iterator[Path]:
        image = Image(folder, IMAGE_BYTES * max(1, arguments.nodes - 1))
        images.append(image)
        try:
            image.create()
            yield image.mountpoint / "data"
        finally:
            image.close()

    def scenario(scene: Scene) -> None:
        scene.cluster.start()
        cuts = PowerCuts(scene, images[0], Values(arguments.pad_bytes))
        for number in range(arguments.rounds):
            cuts.round(number)
        scene.figures.update(cuts.found | cuts.books.figures())
        say(f"{cuts.books.summary()}; {', '.join(f'{name}: {count}' for name, count in cuts.found.items())}")

    return play(arguments, scenario, ground=on_an_image, environ=SMALL)


if __name__ == "__main__":
    sys.exit(main())
