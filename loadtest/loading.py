"""Loading very many keys through Concord's bulk route, from several connections at once.

`python -m loadtest.loading ADDRESS --keys N` gives these keys new values over one connection until its standard input ends: the
part of a full load that fills logs, in a process of its own.
"""

import argparse
import random
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec

from loadtest.client import HttpClient
from loadtest.dialects import ConcordDialect, Expectation, Item, Operation, Request
from loadtest.errors import LoadtestError
from loadtest.workloads import value

BULK_ITEMS = 500
CONNECTIONS = 4
ATTEMPTS = 50
RETRY_S = 0.05
TIMEOUT_S = 40.0
TEXTS = 997
STAMP = 8


class Loaded(msgspec.Struct, frozen=True):
    """What came of it; `repeated` requests were no full success the first time, `failure` shows the first of them."""

    puts: int
    seconds: float
    repeated: int
    failure: str

    @property
    def per_s(self) -> float:
        """Keys put in a second."""
        return self.puts / self.seconds


class BulkLoader:
    """Puts keys `million/00000000` and so on, BULK_ITEMS a request; every round over them gives them new values."""

    def __init__(self, address: str, connections: int = CONNECTIONS) -> None:
        self._address = address
        self._connections = connections
        rng = random.Random(0)
        self._texts = [value(rng)[STAMP:] for _ in range(TEXTS)]
        self._dialect = ConcordDialect()
        self._lock = threading.Lock()
        self._repeated = 0
        self._failure = ""
        self._rounds = 0

    def load(self, keys: int, stop: threading.Event | None = None) -> Loaded:
        """Put every key below `keys` once, or until told to stop.

        Raises:
            LoadtestError: a request had no full success in ATTEMPTS attempts.
        """
        self._rounds += 1
        self._repeated, self._failure = 0, ""
        self._next, self._stop = iter(range(0, keys, BULK_ITEMS)), stop or threading.Event()
        began = time.monotonic()
        with ThreadPoolExecutor(self._connections) as pool:
            puts = sum(pool.map(self._work, [keys] * self._connections))
        return Loaded(puts, time.monotonic() - began, self._repeated, self._failure)

    def _work(self, keys: int) -> int:
        client, count = HttpClient(self._address, TIMEOUT_S), 0
        while not self._stop.is_set():
            with self._lock:
                first = next(self._next, None)
            if first is None:
                break
            numbers = range(first, min(first + BULK_ITEMS, keys))
            self._put(client, [self._item(number) for number in numbers])
            count += len(numbers)
        client.close()
        return count

    def _item(self, number: int) -> Item:
        return f"million/{number:08}", f"{number:0{STAMP}}{self._texts[(number + self._rounds) % TEXTS]}"

    def _put(self, client: HttpClient, items: list[Item]) -> None:
        request = self._dialect.bulk(items)
        expected = self._dialect.expectation(Operation.BULK, len(items))
        for _ in range(ATTEMPTS):
            fault = _fault(client, request, expected)
            if not fault:
                return
            self._note(fault)
            time.sleep(RETRY_S)
        self._stop.set()
        raise LoadtestError(f"a bulk request failed {ATTEMPTS} times, first with {self._failure}")

    def _note(self, fault: str) -> None:
        with self._lock:
            self._repeated += 1
            self._failure = self._failure or fault


def _fault(client: HttpClient, request: Request, expected: Expectation) -> str:
    """Why a request was no full success, "" when it was."""
    try:
        answer = client.send(request)
    except OSError as error:
        return f"{type(error).__name__} {error}"
    if answer.status == 200 and expected.holds(answer.body):
        return ""
    return f"{answer.status} {_shown(answer.body)}"


def _shown(body: bytes) -> str:
    """The part of an answer that says what failed."""
    at = max(0, body.find(b'"error"') - 80)
    return body[at : at + 200].decode(errors="replace")


@contextmanager
def overwriting(address: str, keys: int) -> Iterator[None]:
    """New values for all keys, again and again over one connection, by another process.

    Raises:
        LoadtestError: it failed.
    """
    command = [sys.executable, "-m", "loadtest.loading", address, "--keys", str(keys)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
        process.communicate(timeout=2 * TIMEOUT_S)
        if process.returncode:
            raise LoadtestError(f"the process that overwrites keys ended with {process.returncode}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def main() -> None:
    """Overwrite until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.loading", description=__doc__)
    parser.add_argument("address", metavar="host:port")
    parser.add_argument("--keys", type=int, required=True)
    options = parser.parse_args()
    loader, stop = BulkLoader(options.address, connections=1), threading.Event()

    def overwrite() -> None:
        while not stop.is_set():
            loader.load(options.keys, stop)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(overwrite)
        while not working.done() and not select.select([sys.stdin], [], [], 0.2)[0]:
            pass
        stop.set()
        working.result()


if __name__ == "__main__":
    main()
