"""A process of clients: reads its orders from stdin and leaves its report in a file.

It says `ready` when its watch has begun, reads until when its clients are to live, and says `done` when they have ended.
"""

import asyncio
import random
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from concord import AsyncConcord, Concord, ConcordError, Event
from tests.chaos.sdk.blocking import Blocking, Client, driven, pause
from tests.chaos.sdk.helpers import Helpers
from tests.chaos.sdk.household import Household
from tests.chaos.sdk.notes import Notes, Report
from tests.chaos.sdk.steps import WATCHED, Keys, Single
from tests.chaos.sdk.together import Together
from tests.linearizability.watching import STATE, Told

TIMEOUTS_S = (10.0, 3.0, 1.0)
PAUSE_S_MAX = 0.05
WATCH_TIMEOUT_S = 60.0  # after the end
END = "end"


class Orders(msgspec.Struct, frozen=True):
    """What a process is to do.

    Attributes:
        kind: threads with `Concord`, or tasks with `AsyncConcord`.
        first: the number of the first client.
        clients: how many.
        urls: of the gateways.
        seed: of chance.
        began_ns: when the first period began, on the monotonic clock.
        ends: keys that are put to END when all clients have ended; then the watch has seen everything.
        report: where it goes.
    """

    kind: Literal["threads", "asyncio"]
    first: int
    clients: int
    urls: list[str]
    seed: str
    began_ns: int
    ends: list[str]
    report: str


class Sight:
    """What a watch has told: a list of events each time that it began with the state."""

    def __init__(self, ends: Sequence[str]) -> None:
        self.seen: list[list[Told]] = [[]]
        self._left = set(ends)
        self._is_synced = False
        self.begun = threading.Event()

    def take(self, event: Event[Any]) -> bool:
        """One more; whether it was the last that is of interest."""
        if event.kind == "synced":
            self._is_synced = True
            self.begun.set()
            return False
        if event.kind == STATE and self._is_synced:
            self.seen.append([])
            self._is_synced = False
        missed = event.kind == "delete" and event.revision == 0
        if not missed:
            value = "" if event.value is None else str(event.value)
            self.seen[-1].append(Told(event.key, event.kind, event.revision, value))
        if event.value == END:
            self._left.discard(event.key)
        return not self._left


async def live(single: Single, household: Household, sleep: Callable[[float], Awaitable[None]], until_ns: int) -> None:
    """One client, until it is time."""
    notes, rng = single.notes, single.rng
    together, helpers = Together(single, sleep), Helpers(single, sleep, household)
    steps, weights = zip(*single.weighted(), *together.weighted(), *helpers.weighted(), strict=True)
    while time.monotonic_ns() < until_ns:
        step = rng.choices(steps, weights)[0]
        try:
            await step()
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - what is not documented is what is looked for
            notes.fault(f"{step.__name__}: {traceback.format_exc()}")
        await sleep(rng.random() * PAUSE_S_MAX)


def _single(orders: Orders, number: int, client: Client) -> Single:
    timeout_s = TIMEOUTS_S[number % len(TIMEOUTS_S)]
    rng = random.Random(f"{orders.seed}/{number}")
    return Single(client, Notes(orders.first + number, timeout_s), rng, Keys(orders.began_ns))


def work_in_threads(orders: Orders) -> Report:
    """Threads that share clients."""
    shared = [Concord(orders.urls, timeout=timeout_s) for timeout_s in TIMEOUTS_S]
    singles = [_single(orders, n, Blocking(shared[n % len(shared)])) for n in range(orders.clients)]
    sight, faults = Sight(orders.ends), list[str]()
    watch = shared[0].watch(WATCHED)

    def look() -> None:
        try:
            if not any(sight.take(event) for event in watch):
                faults.append(f"a watch has not told everything within {WATCH_TIMEOUT_S} s")
        except ConcordError as error:
            faults.append(f"a watch raised {error!r}")

    home = Household(Blocking(shared[0]), orders.first, Notes(orders.first, TIMEOUTS_S[0]), pause)
    driven(home.open())
    watcher = threading.Thread(target=look)
    watcher.start()
    until_ns = _wait_for_the_others(sight)
    threads = [threading.Thread(target=driven, args=(live(one, home, pause, until_ns),)) for one in singles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _say("done")
    watcher.join(WATCH_TIMEOUT_S)
    watch.close()
    watcher.join()
    driven(home.close(Keys(orders.began_ns).all_flags()))
    for client in shared:
        client.close()
    return _reported([home.notes, *(single.notes for single in singles)], sight, faults)


async def work_in_tasks(orders: Orders) -> Report:
    """Tasks that share clients."""
    shared = [AsyncConcord(orders.urls, timeout=timeout_s) for timeout_s in TIMEOUTS_S]
    singles = [_single(orders, n, shared[n % len(shared)]) for n in range(orders.clients)]
    sight, faults = Sight(orders.ends), list[str]()

    async def look() -> None:
        try:
            async with shared[0].watch(WATCHED) as watch:
                async for event in watch:
                    if sight.take(event):
                        return
        except ConcordError as error:
            faults.append(f"a watch raised {error!r}")

    home = Household(shared[0], orders.first, Notes(orders.first, TIMEOUTS_S[0]), asyncio.sleep)
    await home.open()
    watcher = asyncio.create_task(look())
    until_ns = await asyncio.to_thread(_wait_for_the_others, sight)
    async with asyncio.TaskGroup() as group:
        for single in singles:
            group.create_task(live(single, home, asyncio.sleep, until_ns))
    _say("done")
    try:
        await asyncio.wait_for(watcher, WATCH_TIMEOUT_S)
    except TimeoutError:
        faults.append(f"a watch has not told everything within {WATCH_TIMEOUT_S} s")
    await home.close(Keys(orders.began_ns).all_flags())
    for client in shared:
        await client.close()
    return _reported([home.notes, *(single.notes for single in singles)], sight, faults)


def _wait_for_the_others(sight: Sight) -> int:
    """Until when to live: told when no watch misses any more what other processes write first."""
    if not sight.begun.wait(WATCH_TIMEOUT_S):
        raise TimeoutError("the watch has not begun")
    _say("ready")
    return int(sys.stdin.buffer.readline())


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _reported(notes: Sequence[Notes], sight: Sight, faults: list[str]) -> Report:
    report = Report(seen=[sight.seen], faults=faults)
    for one in notes:
        report.operations += one.operations
        report.written += one.written
        report.held += one.held
        report.guarded += one.guarded
        report.evidence.add(one.evidence)
        report.faults += one.faults
        report.overrun_s = max(report.overrun_s, one.overrun_s)
        for name, count in one.outcomes.items():
            report.outcomes[name] = report.outcomes.get(name, 0) + count
    return report


def main() -> None:
    """Run the process."""
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    report = work_in_threads(orders) if orders.kind == "threads" else asyncio.run(work_in_tasks(orders))
    Path(orders.report).write_bytes(msgspec.msgpack.encode(report))


if __name__ == "__main__":
    main()
