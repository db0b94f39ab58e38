"""Writers that put, overwrite and delete, one key and many at a time, and the comparison of what is there with what they know."""

import argparse
import random
import threading
from collections import Counter
from collections.abc import Sequence

from tests.chaos import scene as scenes
from tests.chaos.ledger import ABSENT, Entry, Values
from tests.chaos.scene import JOIN_TIMEOUT_S, Caller, Outcome, Scene, name_keys
from tests.e2e.cluster import Reply, wait_until

PAD_BYTES = 1500
WRITERS = 4
RETRY_S = 0.05
DEADLINES_MS = (None, 200, 1000)  # the shorter, the more outcomes are unknown
HOT_KEYS = 3
COLD_KEYS = 150
BULK_MAX = 60
READ_MAX = 250
READ_BYTES_MAX = 4 << 20
PAD_BYTES_MAX = 100_000  # with BULK_MAX below the limit of a request


def parser(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The flags of programs that have writers."""
    flags = scenes.parser(description, rounds=rounds)
    text = f"longest value, at most {PAD_BYTES_MAX}, which makes the log turn over often (%(default)s)"
    flags.add_argument("--pad-bytes", type=_pad_bytes, default=PAD_BYTES, metavar="N", help=text)
    return flags


def _pad_bytes(text: str) -> int:
    number = int(text)
    if not 1 <= number <= PAD_BYTES_MAX:
        raise ValueError
    return number


class Writer(threading.Thread):
    """Writes to its own keys until told to stop."""

    def __init__(
        self, scene: Scene, ledger: dict[str, Entry], values: Values, name: str, *, rng: random.Random, number: int
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.number = number
        self._values = values
        self.outcomes: Counter[Outcome] = Counter()
        self._scene = scene
        self._caller = Caller(scene, rng.choice(DEADLINES_MS))
        self._ledger = ledger
        self._rng = rng
        self._stopping = threading.Event()

    def run(self) -> None:
        """Write."""
        steps = (self._put_hot, self._put, self._bulk_put, self._delete, self._bulk_delete)
        while not self._stopping.is_set():
            self._rng.choices(steps, (4, 3, 3, 1, 1))[0]()
            if self._caller.refused:  # there is no gateway
                self._stopping.wait(RETRY_S)
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
        if reply is not None and whole is Outcome.DONE and not name_keys(reply.data, keys):
            self._scene.violate(f"a bulk answer does not name the keys that were sent: {reply.body[:300]!r}")
            whole = Outcome.UNKNOWN
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


class Books:
    """Writers, round by round over the same keys, and all that they know."""

    def __init__(self, scene: Scene, values: Values) -> None:
        self._scene = scene
        self._values = values
        self._keys_a_read = max(1, min(READ_MAX, READ_BYTES_MAX // values.pad_bytes_max))
        self._ledgers = {f"w{i}": {f"w{i}/hot/{n}": Entry() for n in range(HOT_KEYS)} for i in range(WRITERS)}
        self._numbers = dict.fromkeys(self._ledgers, 0)
        self._writers: list[Writer] = []
        self.outcomes: Counter[Outcome] = Counter()
        self.keys_read = 0

    def begin(self, round_: int) -> None:
        """Start the writers."""
        self._writers = [
            Writer(
                self._scene,
                ledger,
                self._values,
                name,
                rng=self._scene.chance(round_, name),
                number=self._numbers[name],
            )
            for name, ledger in self._ledgers.items()
        ]
        for writer in self._writers:
            writer.start()

    @property
    def acknowledged(self) -> int:
        """Keys that this round's writers were told are written or deleted."""
        return sum(writer.outcomes[Outcome.DONE] for writer in self._writers)

    def wait_for(self, more: int) -> None:
        """Wait until so many more are acknowledged."""
        wanted = self.acknowledged + more
        wait_until(lambda: self.acknowledged >= wanted, f"{more} more keys are written", JOIN_TIMEOUT_S)

    def end(self) -> None:
        """Stop the writers; their last requests have outcomes then."""
        for writer in self._writers:
            writer.stop()
        for writer in self._writers:
            writer.join(JOIN_TIMEOUT_S)
            if writer.is_alive():
                self._scene.violate("a request had no outcome")
            self.outcomes += writer.outcomes
            self._numbers[writer.name] = writer.number

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

    def figures(self) -> dict[str, int]:
        """What was done."""
        names = {Outcome.DONE: "acknowledged", Outcome.NOT_DONE: "refused", Outcome.UNKNOWN: "unknown"}
        return {**{name: self.outcomes[outcome] for outcome, name in names.items()}, "read back": self.keys_read}

    def summary(self) -> str:
        """What was done, in one line."""
        writes = ", ".join(f"{self.outcomes[outcome]} {outcome.name}" for outcome in Outcome)
        return f"keys written: {writes}; keys read back: {self.keys_read}"
