"""A counter under one key, written and read through the gateway all the time, and what each read of it may return."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.chaos.scene import JOIN_TIMEOUT_S, Caller, Outcome, Scene

DEADLINE_MS = 500


class Register:
    """A counter with one writer, and what a read of it may return."""

    def __init__(self, scene: Scene, group: int, key: str) -> None:
        self.group = group
        self.key = key
        self.acknowledged = 0
        self.tried = 0
        self.floor = 0  # a read that begins now must not return less
        self.staleness_max = 0
        self.reads: Counter[str] = Counter()
        self.resumed_at = 0.0
        self._scene = scene
        self._lock = threading.Lock()

    def known(self, number: int) -> None:
        """A write was acknowledged, or a read returned it."""
        with self._lock:
            self.floor = max(self.floor, number)

    def check(self, way: str, floor: int, number: int) -> None:
        """A read that began when `floor` was known has returned `number`."""
        self.reads[way] += 1
        self.known(number)
        self.staleness_max = max(self.staleness_max, floor - number)
        if not floor <= number <= self.tried:
            after_s = time.monotonic() - self.resumed_at if self.resumed_at else -1.0
            self._scene.violate(
                f"group {self.group}, {way}: read {number}, known before it began was {floor}, tried {self.tried}; "
                f"{after_s:.3f} s after SIGCONT (-1: not yet)"
            )


class Client(threading.Thread):
    """Does one thing again and again through the gateway, and knows when it worked."""

    def __init__(self, name: str, step: Callable[[], bool]) -> None:
        super().__init__(name=name, daemon=True)
        self.times: list[float] = []
        self._step = step
        self._stopping = threading.Event()

    def run(self) -> None:
        """Go on until told to stop."""
        while not self._stopping.is_set():
            if self._step():
                self.times.append(time.monotonic())

    def stop(self) -> None:
        """End after the request under way."""
        self._stopping.set()
        self.join(JOIN_TIMEOUT_S)
        assert not self.is_alive(), f"{self.name}: a request had no outcome"

    def longest_gap_s(self) -> float:
        """The longest time between two successes."""
        return max((after - before for before, after in pairwise(self.times)), default=float("inf"))


def writing(scene: Scene, register: Register) -> Callable[[], bool]:
    """Counts up by one write."""
    caller = Caller(scene, DEADLINE_MS)

    def write() -> bool:
        number = register.tried = register.tried + 1
        done = caller.put(register.key, number) is Outcome.DONE
        if done:
            register.acknowledged = number
            register.known(number)
        return done

    return write


def reading(scene: Scene, register: Register, way: str) -> Callable[[], bool]:
    """Reads the counter in one of the ways of the HTTP API."""
    caller = Caller(scene, DEADLINE_MS)
    key = register.key
    ways: dict[str, Callable[[], int | None]] = {
        "get": lambda: _data(caller, "GET", f"/kv/{key}", lambda data: data["value"]),
        "bulk get": lambda: _data(
            caller, "POST", "/kv/bulk/get", lambda data: data[key].get("value"), {"keys": [key, "other"]}
        ),
        "list": lambda: _data(
            caller,
            "GET",
            f"/kv?prefix={key}&values=true",
            lambda data: next(i["value"] for i in data if i["key"] == key),
        ),
    }

    def read() -> bool:
        floor = register.floor
        number = ways[way]()
        if number is not None:
            register.check(way, floor, number)
        return number is not None

    return read


def _data(caller: Caller, method: str, path: str, take: Callable[[Any], int | None], body: object = None) -> int | None:
    reply = caller.send(method, path, body)
    return take(reply.data) if reply is not None and reply.status == 200 else None
