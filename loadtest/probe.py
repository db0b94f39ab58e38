"""Asking a cluster at a steady pace how fast it answers, from a process of its own.

The pace does not wait for answers (an open loop): a time counts from the moment when the request was due, so a server that
stalls for a second shows in every request that was due in it, and the longest time is the longest pause.

`python -m loadtest.probe get …` reads keys through a gateway, linearizably; `node …` asks nodes for their status over
RPC, which needs a turn of the node's event loop and nothing else. Both go on until their standard input ends, then write
what they saw to standard output.
"""

import argparse
import asyncio
import itertools
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Self

import msgspec

from loadtest.client import HttpClient
from loadtest.dialects import ConcordDialect, Request
from loadtest.errors import LoadtestError
from wire import RpcClient
from wire.messages import NodeStatus, StatusRequest
from wire.methods import STATUS

TIMEOUT_S = 30.0
END_S = 2 * TIMEOUT_S
CONNECTIONS = 64
PROBE_KEYS = [f"probe/{number}" for number in range(64)]


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One request: when it was due (time.monotonic, the same clock in every process), and how long it took from then."""

    due_s: float
    took_ms: float
    ok: bool


class Prober:
    """A probing process, as a context manager."""

    def __init__(self, kind: str, addresses: Sequence[str], every_s: float) -> None:
        command = [sys.executable, "-m", "loadtest.probe", kind, "--every-s", str(every_s), *addresses]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def finish(self) -> list[Sample]:
        """End the probing and return what was seen.

        Raises:
            LoadtestError: the process failed.
        """
        written, _ = self._process.communicate(timeout=END_S)
        if self._process.returncode:
            raise LoadtestError(f"the prober ended with {self._process.returncode}")
        return msgspec.json.decode(written, type=list[Sample])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def between(samples: Sequence[Sample], began_s: float, ended_s: float) -> list[Sample]:
    """Those that were due in a span of time."""
    return [sample for sample in samples if began_s <= sample.due_s < ended_s]


def probe_gateway(address: str, every_s: float) -> list[Sample]:
    """Read PROBE_KEYS in turn, over as many connections as it takes, until standard input ends."""
    samples: list[Sample] = []
    clients: SimpleQueue[HttpClient] = SimpleQueue()
    for _ in range(CONNECTIONS):
        clients.put(HttpClient(address, TIMEOUT_S))

    def read(request: Request, due_s: float) -> None:
        client = clients.get()
        try:
            ok = client.send(request).status == 200
        except OSError:
            ok = False
        samples.append(_sample(due_s, ok=ok))
        clients.put(client)

    requests = itertools.cycle([ConcordDialect().get(key) for key in PROBE_KEYS])
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        due_s = time.monotonic()
        while not select.select([sys.stdin], [], [], max(0.0, due_s - time.monotonic()))[0]:
            pool.submit(read, next(requests), due_s)
            due_s += every_s
    return samples


async def probe_nodes(addresses: Sequence[str], every_s: float) -> list[Sample]:
    """Ask every node for its status until standard input ends."""
    samples: list[Sample] = []
    tasks = [asyncio.create_task(_probe_node(address, every_s, samples)) for address in addresses]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return samples


async def _probe_node(address: str, every_s: float, samples: list[Sample]) -> None:
    client, due_s = RpcClient(address), time.monotonic()

    def record(due_s: float, answer: asyncio.Future[NodeStatus]) -> None:
        if not answer.cancelled():
            samples.append(_sample(due_s, ok=answer.exception() is None))

    while True:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        client.call(STATUS, StatusRequest(), TIMEOUT_S).add_done_callback(partial(record, due_s))
        due_s += every_s


def _sample(due_s: float, *, ok: bool) -> Sample:
    return Sample(due_s, (time.monotonic() - due_s) * 1000, ok)


def main() -> None:
    """Probe and write the samples."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.probe", description=__doc__)
    parser.add_argument("kind", choices=["get", "node"])
    parser.add_argument("addresses", nargs="+", metavar="host:port")
    parser.add_argument("--every-s", type=float, default=0.005)
    options = parser.parse_args()
    if options.kind == "get":
        samples = probe_gateway(options.addresses[0], options.every_s)
    else:
        samples = asyncio.run(probe_nodes(options.addresses, options.every_s))
    sys.stdout.buffer.write(msgspec.json.encode(samples))


if __name__ == "__main__":
    main()
