"""Kill a process that has a store inside it, again and again during writes: what it was told is kept is there, and nothing is half.

`python -m tests.chaos.embedded --kills 200` forks a writer with four threads over one data directory, kills it with SIGKILL at
some moment, opens the store and compares, round after round. Limits are small, so that segments, snapshots and
compactions are as often under way as writes. Each thread writes one thing after another and says so once it was told
that it is durable; so of each the store has what was acknowledged last, or the one after it.

With a broken promise the exit code is 1 and the data stays.
"""

import argparse
import os
import random
import select
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from concord import Embedded, Txn
from concord._local.store import LocalStore
from shard.embedded import Durability, open_engine
from shard.embedded.limits import EngineLimits

LIMITS = EngineLimits(segment_bytes=64 << 10, snapshot_bytes=96 << 10, snapshot_entries=300, log_bytes=8 << 20)
BATCH = 40
LIFE_S_MAX = 0.4
TOLD = struct.Struct("<BI")
Kind = Callable[[Embedded, int, int], object]


def put(db: Embedded, thread: int, number: int) -> None:
    """One key."""
    db.put(f"put/{thread}", {"number": number, "pad": "x" * (number * 37 % 900)})


def put_many(db: Embedded, thread: int, number: int) -> None:
    """Keys of one entry: all or none."""
    db.put_many({f"many/{thread}/{key}": number for key in range(BATCH)}).check()


def increment(db: Embedded, thread: int, number: int) -> None:
    """Its own number, and one that all share, at once."""
    del number
    txn = Txn()
    txn.then.increment(f"{{n}}{thread}").increment("{n}all")
    db.commit(txn)


def move(db: Embedded, thread: int, number: int) -> None:
    """The next key is there, with a ttl that does not end, and then the one before is not."""
    db.put(f"move/{thread}/{number}", number, ttl=3600)
    db.delete(f"move/{thread}/{number - 1}")


KINDS: tuple[Kind, ...] = (put, put_many, increment, move)


class Figures(msgspec.Struct):
    """What `--json` writes: rounds, writes that were acknowledged, snapshots that were found, and broken promises."""

    kills: int = 0
    acknowledged: int = 0
    snapshots: int = 0
    violations: list[str] = []


def opened(folder: Path) -> Embedded:
    """The store with small limits."""
    return Embedded(LocalStore(open_engine(folder, Durability.FSYNC, limits=LIMITS)))


def write_for_ever(folder: Path, told: int, begin: Sequence[int]) -> None:
    """The writer: never returns."""
    db = opened(folder)

    def run(thread: int) -> None:
        number = begin[thread]
        while True:
            number += 1
            KINDS[thread](db, thread, number)
            os.write(told, TOLD.pack(thread, number))

    threads = [threading.Thread(target=run, args=(thread,), daemon=True) for thread in range(len(KINDS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Killing:
    """The rounds over one data directory."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.figures = Figures()
        self._folder = folder
        self._rng = random.Random(seed)
        self._acknowledged = [0] * len(KINDS)

    def round(self) -> None:
        """Write, kill, compare."""
        self._write_and_kill()
        with opened(self._folder) as db:
            self._compare(db)
        self.figures.kills += 1
        self.figures.snapshots = sum(1 for _ in (self._folder / "snapshots").rglob("*.snap"))

    def _write_and_kill(self) -> None:
        here, there = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(here)
            try:
                write_for_ever(self._folder, there, self._acknowledged)
            finally:
                os._exit(1)
        os.close(there)
        first = self._listen(here, time.monotonic() + 30.0, until_first=True)
        rest = self._listen(here, time.monotonic() + self._rng.uniform(0, LIFE_S_MAX))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        last = self._listen(here, time.monotonic() + 30.0)
        os.close(here)
        heard = first + rest + last
        for at in range(0, len(heard) - len(heard) % TOLD.size, TOLD.size):
            thread, number = TOLD.unpack_from(heard, at)
            self._acknowledged[thread] = number
            self.figures.acknowledged += 1
        if not heard:
            self._violate("the writer said nothing")

    def _listen(self, pipe: int, until: float, *, until_first: bool = False) -> bytes:
        heard = b""
        while (left_s := until - time.monotonic()) > 0 and not (until_first and heard):
            if select.select([pipe], [], [], left_s)[0]:
                part = os.read(pipe, 1 << 16)
                if not part:
                    break
                heard += part
        return heard

    def _compare(self, db: Embedded) -> None:
        """Each thread goes on from what is there: the write that was under way may be."""
        found = [
            (db.get("put/0") or {"number": 0})["number"],
            self._of_batch(db),
            db.get("{n}2", default=0, type=int),
            self._of_moves(db),
        ]
        for thread, (told, there) in enumerate(zip(self._acknowledged, found, strict=True)):
            if there not in {told, told + 1}:
                self._violate(f"{KINDS[thread].__name__}: {told} was acknowledged, {there} is there")
        if db.get("{n}all", default=0, type=int) != found[2]:
            self._violate(f"a transaction was done by half: {db.get('{n}all')} and {found[2]}")
        self._acknowledged = found

    def _of_batch(self, db: Embedded) -> int:
        entries = db.get_many([f"many/1/{key}" for key in range(BATCH)]).check()
        numbers = set(entries.values.values()) | ({0} if entries.missing else set())
        if len(numbers) != 1:
            self._violate(f"a batch was done by half: {sorted(numbers)}")
        return int(max(numbers))

    def _of_moves(self, db: Embedded) -> int:
        told = self._acknowledged[3]
        numbers = [entry.value for entry in db.scan("move/3/", type=int)]
        if told and not numbers:
            self._violate(f"move: nothing is there of {told}")
        if any(number not in {told, told + 1} for number in numbers):
            self._violate(f"move: {told} was acknowledged, {numbers} are there")
        for number in numbers:
            if number != max(numbers):  # the writer that goes on deletes only the one before its own
                db.delete(f"move/3/{number}")
        return max(numbers, default=0)

    def _violate(self, text: str) -> None:
        self.figures.violations.append(f"round {self.figures.kills}: {text}")
        print(f"VIOLATION: {self.figures.violations[-1]}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="rounds (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file")
    arguments = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="concord-embedded-", dir=Path.cwd()))
    killing = Killing(folder / "data", arguments.seed)
    for _ in range(arguments.kills):
        killing.round()
    figures = killing.figures
    print(
        f"{figures.kills} kills with seed {arguments.seed}, {figures.acknowledged} writes acknowledged, "
        f"{len(figures.violations)} violations"
    )
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.encode(figures))
    if figures.violations:
        print(f"the data is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
