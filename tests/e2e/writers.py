"""Clients that write all the time and remember what they were told: nothing acknowledged may be missing afterwards."""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from tests.e2e.cluster import Client, wait_until

KEYS = 8
BULK = 5
VERIFY_TIMEOUT_S = 30.0


class Served(Protocol):
    """A cluster that has a gateway on this machine."""

    @property
    def port(self) -> int:
        """Where the gateway listens."""


class Writer(threading.Thread):
    """Sets a few keys to ever higher numbers, one and many at a time.

    A key has one writer and its numbers only grow, so what is read afterwards must lie between the last number that was
    acknowledged and the last that was tried.
    """

    def __init__(self, port: int, name: str, first: int = 1) -> None:
        super().__init__(name=name, daemon=True)
        self.acknowledged: dict[str, int] = {}
        self.tried: dict[str, int] = {}
        self.count = 0
        self._number = first
        self._client = Client(port)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Write until told to stop; failures are what the tests make, so they are only not counted."""
        while not self._stopping.is_set():
            with suppress(ConnectionError):
                self._write_one()
                self._write_many()
        self._client.close()

    def stop(self) -> None:
        """End after the request under way."""
        self._stopping.set()
        self.join(VERIFY_TIMEOUT_S)
        assert not self.is_alive(), "a request had no outcome"

    def _next(self, key: str) -> int:
        self._number += 1
        self.tried[key] = self._number
        return self._number

    def _write_one(self) -> None:
        key = f"{self.name}/{self._number % KEYS}"
        number = self._next(key)
        if self._client.put(key, number).status == 200:
            self.acknowledged[key] = number
            self.count += 1

    def _write_many(self) -> None:
        numbers = {key: self._next(key) for key in (f"{self.name}/bulk/{i}" for i in range(BULK))}
        operations = [{"key": key, "value": number} for key, number in numbers.items()]
        reply = self._client.send("POST", "/kv/bulk", {"operations": operations})
        for item in reply.data if reply.status == 200 else []:
            if item["status"] == "ok":
                self.acknowledged[item["key"]] = numbers[item["key"]]
                self.count += 1


class Writers:
    """Some writers at once, as a context; `check` compares all they were told with what is there."""

    def __init__(self, cluster: Served, names: str = "abcd", first: int = 1) -> None:
        self._cluster = cluster
        self._writers = [Writer(cluster.port, name, first) for name in names]

    def __enter__(self) -> Self:
        for writer in self._writers:
            writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers:
            writer.stop()

    @property
    def count(self) -> int:
        """Writes acknowledged so far."""
        return sum(writer.count for writer in self._writers)

    def wait_for(self, more: int) -> None:
        """Wait until so many more writes have been acknowledged."""
        wanted = self.count + more
        wait_until(lambda: self.count >= wanted, f"{more} more writes are acknowledged", VERIFY_TIMEOUT_S)

    def check(self) -> None:
        """Read every key: nothing acknowledged is missing or older than it was."""
        reader = Client(self._cluster.port)
        for writer in self._writers:
            for key, number in writer.acknowledged.items():
                value = reader.get(key).data["value"]
                assert number <= value <= writer.tried[key], f"{key} is {value}, acknowledged was {number}"
        reader.close()
