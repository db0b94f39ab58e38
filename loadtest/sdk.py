"""What the clients of the SDK cost: operations a second beside the bare HTTP library, in the same run.

`python -m loadtest.sdk http://127.0.0.1:4000` against a cluster that runs; keys with the prefix `loadtest/sdk/` are written
and deleted. Rounds alternate, and each figure is the best of its rounds: what disturbs only ever makes it slower. Below are
figures of this process alone: a read of a flag beside one of a dict, and what a call costs with tracing beside one without,
over a network that answers at once.
"""

import argparse
import asyncio
import time
import timeit
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import msgspec
import urllib3
from opentelemetry.sdk.trace import TracerProvider
from yarl import URL

from concord import AsyncConcord, Concord
from concord._transports import Request, Response, Stream

KEY = "loadtest/sdk/key"
PATH = "/api/v1/kv/loadtest%2Fsdk%2Fkey?meta=true&with_ttl=true"
IN_FLIGHT = 64
BULK_KEYS = 10_000
SINGLE_KEYS = 500
FLAGS = "loadtest/sdk/flags/"
CALLS = 20_000


def rate(run: Callable[[float], int], seconds: float) -> float:
    """Operations a second of `run(until)`, which says how many it did."""
    began = time.perf_counter()
    return run(began + seconds) / (time.perf_counter() - began)


def repeated(operation: Callable[[], object]) -> Callable[[float], int]:
    """The operation again and again."""

    def run(until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            operation()
            count += 1
        return count

    return run


def in_threads(operation: Callable[[], object]) -> Callable[[float], int]:
    """The same in 64 threads."""

    def run(until: float) -> int:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return sum(pool.map(lambda _: repeated(operation)(until), range(IN_FLIGHT)))

    return run


async def rate_async(operation: Callable[[], Awaitable[object]], in_flight: int, seconds: float) -> float:
    """Operations a second of `in_flight` tasks."""
    began = time.perf_counter()

    async def run() -> int:
        count = 0
        while time.perf_counter() < began + seconds:
            await operation()
            count += 1
        return count

    counts = await asyncio.gather(*(run() for _ in range(in_flight)))
    return sum(counts) / (time.perf_counter() - began)


def show(name: str, bare: float, ours: float) -> None:
    """One line: the bare library, the client, and the ratio."""
    print(f"{name:<28} {bare:>9.0f} {ours:>9.0f} {ours / bare:>6.2f}", flush=True)


def measure_sync(url: str, seconds: float, rounds: int) -> None:
    """urllib3 and Concord, one request at a time and 64."""
    with Concord(url) as client:
        client.put(KEY, {"enabled": True, "share": 0.25})
        pool = urllib3.connection_from_url(url, maxsize=IN_FLIGHT)
        bare = lambda: pool.urlopen("GET", PATH, retries=False).data  # noqa: E731 - beside its twin
        ours = lambda: client.get(KEY)  # noqa: E731 - beside its twin
        for name, how in (("get, sync, 1", repeated), ("get, sync, 64 threads", in_threads)):
            pairs = [(rate(how(bare), seconds), rate(how(ours), seconds)) for _ in range(rounds)]
            show(name, max(one for one, _ in pairs), max(other for _, other in pairs))


async def measure_async(url: str, seconds: float, rounds: int) -> None:
    """Aiohttp and AsyncConcord, one request at a time and 64."""
    async with AsyncConcord(url) as client, aiohttp.ClientSession() as session:
        address = URL(url + PATH, encoded=True)

        async def bare() -> bytes:
            async with session.get(address) as answer:
                return await answer.read()

        async def ours() -> object:
            return await client.get(KEY)

        for in_flight in (1, IN_FLIGHT):
            pairs = [
                (await rate_async(bare, in_flight, seconds), await rate_async(ours, in_flight, seconds))
                for _ in range(rounds)
            ]
            show(f"get, async, {in_flight}", max(one for one, _ in pairs), max(other for _, other in pairs))


def measure_many(url: str) -> None:
    """Keys a second, one by one (in the column of the bare library) and 10,000 at once."""
    keys = [f"loadtest/sdk/{number}" for number in range(BULK_KEYS)]
    with Concord(url, timeout=30.0) as client:
        try:
            one_put = _keys_per_s(lambda: [client.put(key, 1) for key in keys[:SINGLE_KEYS]], SINGLE_KEYS)
            many_put = _keys_per_s(lambda: client.put_many(dict.fromkeys(keys, 1)).check(), BULK_KEYS)
            show("put one by one, put_many", one_put, many_put)
            one_get = _keys_per_s(lambda: [client.get(key) for key in keys[:SINGLE_KEYS]], SINGLE_KEYS)
            many_get = _keys_per_s(lambda: client.get_many(keys).check(), BULK_KEYS)
            show("get one by one, get_many", one_get, many_get)
        finally:
            client.delete_many([*keys, KEY]).check()


class Flag(msgspec.Struct):
    """A flag with a type."""

    enabled: bool
    share: float


def measure_flags(url: str, rounds: int) -> None:
    """Nanoseconds of a read from memory, with a dict in the column of the bare library."""
    with Concord(url) as client:
        client.put(f"{FLAGS}dark", {"enabled": True, "share": 0.25})
        off, plain = Flag(enabled=False, share=0.0), {"dark": {"enabled": True}}
        try:
            with client.flags(FLAGS) as flags:
                cases = {
                    "flag": lambda: flags.get("dark"),
                    "flag that is not there": lambda: flags.get("none", default=False),
                    "flag, type=": lambda: flags.get("dark", off, type=Flag),
                    "age_s": lambda: flags.age_s,
                }
                show_ns(lambda: plain.get("dark"), cases, rounds)
        finally:
            client.delete(f"{FLAGS}dark")


class AtOnce:
    """A network whose answer is always the same."""

    def send(self, _: str, __: Request, ___: float) -> Response:
        """The answer."""
        return Response(200, {}, b'{"status":"ok","data":{"value":1,"ttl":null,"revision":7}}')

    def stream(self, base_url: str, request: Request, silence_s: float) -> Stream:
        """Nobody asks for it."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


def measure_tracing(rounds: int) -> None:
    """Nanoseconds of a get, without tracing in the column of the bare library."""
    with (
        Concord(transport=AtOnce()) as plain,
        Concord(transport=AtOnce(), tracing=True) as no_provider,
        Concord(transport=AtOnce(), tracing=TracerProvider(shutdown_on_exit=False)) as recorded,
    ):
        cases = {
            "get, traced by nobody": lambda: no_provider.get("k"),
            "get, recorded": lambda: recorded.get("k"),
        }
        show_ns(lambda: plain.get("k"), cases, rounds)


def show_ns(bare: Callable[[], object], cases: dict[str, Callable[[], object]], rounds: int) -> None:
    """Nanoseconds of CPU, the least of the rounds, which alternate; the call of the measured function is in all of them."""
    least: dict[str, float] = {}
    for _ in range(rounds):
        for name, operation in {"": bare, **cases}.items():
            timer = timeit.Timer(operation, timer=time.thread_time)
            least[name] = min(least.get(name, float("inf")), timer.timeit(CALLS) / CALLS * 1e9)
    for name in cases:
        show(name, least[""], least[name])


def _keys_per_s(work: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    print(f"{'operations/s':<28} {'bare':>9} {'Concord':>9} {'ratio':>6}")
    measure_sync(arguments.url, arguments.seconds, arguments.rounds)
    asyncio.run(measure_async(arguments.url, arguments.seconds, arguments.rounds))
    measure_many(arguments.url)
    print(f"\n{'ns of CPU':<28} {'bare':>9} {'Concord':>9} {'ratio':>6}")
    measure_flags(arguments.url, arguments.rounds)
    measure_tracing(arguments.rounds)


if __name__ == "__main__":
    main()
