"""SIGKILL every process at once during writes, again and again: nothing acknowledged may be missing afterwards.

`python -m tests.chaos.kill_all` starts a cluster of its own. Writers put, overwrite and delete, one key and many at a
time; then all nodes, the gateway and `concord up` itself are killed in one stroke, in some rounds once more while they
start. After each start every key ever written is read and compared with what its writer was told.
"""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from tests.chaos.ledger import ABSENT, Entry, Values
from tests.chaos.scene import JOIN_TIMEOUT_S, Caller, Outcome, Scene, parser, play, say
from tests.e2e.cluster import Reply, wait_until

WRITERS = 4
HOT_KEYS = 3
COLD_KEYS = 150
BULK_MAX = 60
READ_MAX = 250
READ_BYTES_MAX = 4 << 20
PAD_BYTES_MAX = 100_000  # with BULK_MAX below the limit of a request
START_AGAIN_CHANCE = 0.3


class Writer(threading.Thread):
    """Writes to its own keys until told to stop."""

    def __init__(
        self, scene: Scene, ledger: dict[str, Entry], values: Values, name: str, *, rng: random.Random, number: int
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.number = number
        self._values = values
        self.outcomes: Counter[Outcome] = Counter()
        self._caller = Caller(scene)
        self._ledger = ledger
        self._rng = rng
        self._stopping = threading.Event()

    def run(self) -> None:
        """Write."""
        steps = (self._put_hot, self._put, self._bulk_put, self._delete, self._bulk_delete)
        while not self._stopping.is_set():
            self._rng.choices(steps, (4, 3, 3, 1, 1))[0]()
            if self._caller.refused:  # everything is dead
                self._stopping.wait(JOIN_TIMEOUT_S)
        self._caller.close()

    def stop(self) -> None:
        """End after the request under way."""
        self._stopping.set()

    def _put_hot(self) -> None:
        self._put_one(f"{self.name}/hot/{self._rng.randrange(HOT_KEYS)}")

    def _put(self) -> None:
        self._put_one(self._cold_key())

    def _put_one(self, key: str) -> None:
        number = self._attempt(key)
        self._conclude(key, self._caller.put(key, self._values.of(number)))

    def _delete(self) -> None:
        key = self._cold_key()
        self._ledger[key].attempt(ABSENT)
        self._conclude(key, self._caller.outcome(self._caller.send("DELETE", f"/kv/{key}")))

    def _bulk_put(self) -> None:
        keys = self._some_keys()
        operations = [{"key": key, "value": self._values.of(self._attempt(key))} for key in keys]
        self._conclude_all(keys, self._caller.send("POST", "/kv/bulk", {"operations": operations}))

    def _bulk_delete(self) -> None:
        keys = self._some_keys()
        for key in keys:
            self._ledger[key].attempt(ABSENT)
        self._conclude_all(keys, self._caller.send("POST", "/kv/bulk/delete", {"keys": keys}))

    def _conclude_all(self, keys: Sequence[str], reply: Reply | None) -> None:
        whole = self._caller.outcome(reply)
        if reply is None or whole is not Outcome.DONE:
            for key in keys:
                self._conclude(key, whole)
            return
        for key, item in zip(keys, reply.data, strict=True):
            done = item["status"] == "ok"
            known = item.get("error") == "CLUSTER_UNAVAILABLE"
            self._conclude(key, Outcome.DONE if done else Outcome.NOT_DONE if known else Outcome.UNKNOWN)

    def _attempt(self, key: str) -> int:
        self.number += 1
        self._ledger[key].attempt(self.number)
        return self.number

    def _conclude(self, key: str, outcome: Outcome) -> None:
        self._ledger[key].conclude(outcome)
        self.outcomes[outcome] += 1

    def _cold_key(self) -> str:
        key = f"{self.name}/{self._rng.randrange(COLD_KEYS)}"
        self._ledger.setdefault(key, Entry())
        return key

    def _some_keys(self) -> list[str]:
        return list(dict.fromkeys(self._cold_key() for _ in range(self._rng.randint(2, BULK_MAX))))


class KillAll:
    """The rounds, and what is known about every key."""

    def __init__(self, scene: Scene, values: Values) -> None:
        self._scene = scene
        self._values = values
        self._keys_a_read = max(1, min(READ_MAX, READ_BYTES_MAX // values.pad_bytes_max))
        self._ledgers = {f"w{i}": {f"w{i}/hot/{n}": Entry() for n in range(HOT_KEYS)} for i in range(WRITERS)}
        self._numbers = dict.fromkeys(self._ledgers, 0)
        self.outcomes: Counter[Outcome] = Counter()
        self.keys_read = 0
        self.start_seconds: list[float] = []

    def round(self, number: int) -> None:
        """Write, kill everything, start, compare."""
        rng = self._scene.chance("round", number)
        writers = [
            Writer(
                self._scene,
                ledger,
                self._values,
                name,
                rng=self._scene.chance(number, name),
                number=self._numbers[name],
            )
            for name, ledger in self._ledgers.items()
        ]
        wanted = rng.randint(50, 3000)
        for writer in writers:
            writer.start()
        wait_until(lambda: _done(writers) >= wanted, f"{wanted} keys are written", JOIN_TIMEOUT_S)
        spread_ms = self.kill_everything(rng)
        for writer in writers:
            writer.stop()
            writer.join(JOIN_TIMEOUT_S)
            if writer.is_alive():
                self._scene.violate("a request had no outcome")
            self.outcomes += writer.outcomes
            self._numbers[writer.name] = writer.number
        again = rng.random() < START_AGAIN_CHANCE
        if again:
            self._kill_while_starting(rng)
        self.start_and_compare()
        say(
            f"round {number}: killed within {spread_ms:.1f} ms after {_done(writers)} keys were written"
            f"{', and again while starting' if again else ''}; ready in {self.start_seconds[-1]:.1f} s"
        )

    def kill_everything(self, rng: random.Random) -> float:
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

    def start_and_compare(self) -> None:
        """Start, and read every key ever written."""
        began = time.monotonic()
        self._scene.cluster.start()
        self.start_seconds.append(time.monotonic() - began)
        self.compare()

    def compare(self) -> None:
        """Read every key ever written."""
        caller = Caller(self._scene)
        for ledger in self._ledgers.values():
            keys = list(ledger)
            for at in range(0, len(keys), self._keys_a_read):
                self._compare(caller, ledger, keys[at : at + self._keys_a_read])
            self._compare_one(caller, ledger, self._scene.rng.choice(keys))
        caller.close()

    def _compare(self, caller: Caller, ledger: dict[str, Entry], keys: list[str]) -> None:
        reply = caller.send("POST", "/kv/bulk/get", {"keys": keys})
        assert reply is not None, "the gateway is gone"
        for key, item in reply.data.items():
            if item["status"] == "ok":
                self._observe(ledger, key, self._values.number(item["value"]))
            elif item["error"] == "not_found":
                self._observe(ledger, key, ABSENT)
            else:
                self._scene.violate(f"{key} cannot be read although the cluster is ready: {item}")

    def _compare_one(self, caller: Caller, ledger: dict[str, Entry], key: str) -> None:
        reply = caller.send("GET", f"/kv/{key}")
        assert reply is not None, "the gateway is gone"
        self._observe(ledger, key, ABSENT if reply.status == 404 else self._values.number(reply.data["value"]))

    def _observe(self, ledger: dict[str, Entry], key: str, state: int) -> None:
        self.keys_read += 1
        wrong = ledger[key].observe(state)
        if wrong:
            self._scene.violate(f"{key} {wrong}")

    def _kill_while_starting(self, rng: random.Random) -> None:
        """Start, and kill at one of the moments between the first process and the last."""
        cluster, scene = self._scene.cluster, self._scene
        ready_files = rng.choice(["cluster.json", "processes.json"])
        before = (cluster.data_dir / ready_files).stat().st_mtime_ns
        cluster.launch()
        if ready_files == "processes.json":
            wait_until(lambda: (cluster.data_dir / ready_files).stat().st_mtime_ns > before, "processes are listed")
            caller = Caller(scene)
            if rng.random() < 0.5:
                wait_until(lambda: caller.send("GET", "/livez") is not None, "the gateway answers")
            caller.close()
        else:
            wanted = rng.randint(1, 4)
            wait_until(lambda: len(scene.processes()) >= wanted, f"{wanted} processes run")
        self.kill_everything(rng)


def _done(writers: Sequence[Writer]) -> int:
    return sum(writer.outcomes[Outcome.DONE] for writer in writers)


def main() -> int:
    """Run the program."""
    flags = parser(__doc__, rounds=10)
    flags.add_argument(
        "--pad-bytes", type=int, default=1500, help="longest value; 100000 makes the log turn over often"
    )
    arguments = flags.parse_args()
    if not 1 <= arguments.pad_bytes <= PAD_BYTES_MAX:
        flags.error(f"--pad-bytes is in 1..{PAD_BYTES_MAX}")

    def scenario(scene: Scene) -> None:
        scene.cluster.start()
        killing = KillAll(scene, Values(arguments.pad_bytes))
        for number in range(arguments.rounds):
            killing.round(number)
        scene.cluster.stop()
        killing.start_and_compare()
        say(", ".join(f"{n} writes {outcome.name}" for outcome, n in killing.outcomes.items()))
        say(f"{killing.keys_read} keys read back, longest start {max(killing.start_seconds):.1f} s")

    return play(arguments, scenario)


if __name__ == "__main__":
    sys.exit(main())
