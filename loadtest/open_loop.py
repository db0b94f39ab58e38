"""Load on one address, over raw connections: a closed loop, and an open one that does not care what comes back.

What a phase cost is counted beside what came of it, because on one machine the load takes from those who serve it: goodput for each
second of the servers' CPU tells what refusing costs them, whatever else the machine does.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle

import msgspec

from loadtest.figures import Latencies, latencies

TICK_S = 0.002
DRAIN_S = 5.0
GATEWAY, NODES, LOAD, OTHERS = "gateway", "nodes", "load generator", "others"
Meter = Callable[[], Mapping[str, float]]
"""CPU seconds so far, by who spent them."""
Observer = Callable[[float, float, bytes], None]
"""Told of each answer: when its request was due (time.perf_counter, which Linux counts as time.monotonic), after how many ms it came, its status."""


class Phase(msgspec.Struct, frozen=True):
    """What came of one load.

    Attributes:
        connections: how many there were.
        seconds: how long it took.
        due: requests that were to be sent.
        given_up: those of them that were not, because no connection was free.
        good: successful answers in time.
        late: successful answers that nobody waited for any more.
        refused: answers 429 and 503.
        failed: all others.
        statuses: answers by status.
        cpu_s: CPU seconds by who spent them.
    """

    connections: int
    seconds: float
    due: int
    given_up: int
    good: Latencies
    late: int
    refused: Latencies
    failed: int
    statuses: dict[str, int]
    cpu_s: dict[str, float] = {}

    @property
    def goodput_per_s(self) -> float:
        """Good answers a second."""
        return self.good.count / self.seconds

    @property
    def server_cpu_s(self) -> float:
        """What gateway and nodes spent; 0 when nobody counted."""
        return self.cpu_s.get(GATEWAY, 0.0) + self.cpu_s.get(NODES, 0.0)

    @property
    def good_per_cpu_s(self) -> float:
        """Good answers for each second of the servers' CPU; 0 when nobody counted."""
        return self.good.count / self.server_cpu_s if self.server_cpu_s else 0.0


class Tally:
    """Counts the answers of one phase.

    Args:
        patience_s: a good answer that took longer is late.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_ms = patience_s * 1000
        self.good: list[float] = []
        self.refused: list[float] = []
        self.late = 0
        self.failed = 0
        self.statuses: dict[str, int] = {}

    def add(self, status: bytes, took_ms: float) -> None:
        """An answer has come; a status of "" stands for a connection that broke."""
        name = status.decode() or "broken"
        self.statuses[name] = self.statuses.get(name, 0) + 1
        if status == b"200":
            if took_ms <= self._patience_ms:
                self.good.append(took_ms)
            else:
                self.late += 1
        elif status in (b"429", b"503"):
            self.refused.append(took_ms)
        else:
            self.failed += 1

    def phase(self, connections: int, seconds: float, due: int, given_up: int, cpu_s: dict[str, float]) -> Phase:
        """All of it."""
        return Phase(
            connections,
            seconds,
            due,
            given_up,
            latencies(self.good),
            self.late,
            latencies(self.refused),
            self.failed,
            self.statuses,
            cpu_s,
        )


class Connection(asyncio.Protocol):
    """One connection with at most one request under way; reads no more of an answer than its status and length."""

    def __init__(self, on_answer: Callable[["Connection", bytes], None]) -> None:
        self.due_at = 0.0
        self.is_busy = False
        self._on_answer = on_answer
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = transport  # type: ignore[assignment]  # TCP gives a Transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        del exc
        self.is_open = False
        self._on_answer(self, b"")
        self.is_busy = False

    def send(self, request: bytes, due_at: float) -> None:
        """Send a request that was due at a moment of `time.perf_counter`."""
        self.due_at, self.is_busy = due_at, True
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        head, gap, body = self._buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        if _is_whole(head.lower(), body):
            self._buffer, self.is_busy = b"", False  # before the answer is told, which may send the next request
            self._on_answer(self, head[9:12])

    def close(self) -> None:
        """Close it, without a word to anybody."""
        self._on_answer = lambda *_: None
        if self._transport is not None:
            self._transport.abort()


def _is_whole(head: bytes, body: bytes) -> bool:
    """Whether all of an answer has come, of which nothing follows: so many bytes, or chunks (RFC 9112, 7.1), whose data has no line ends."""
    if b"transfer-encoding: chunked" in head:
        return (b"\r\n" + body).endswith(b"\r\n0\r\n\r\n")
    at = head.find(b"content-length: ")
    return len(body) >= (int(head[at + 16 :].partition(b"\r\n")[0]) if at >= 0 else 0)


class _Queue:
    """Requests that are due, in their order, and connections that are free for them."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.due_at: deque[float] = deque()
        self.idle: list[Connection] = []
        self._requests = requests

    def free(self, connection: Connection) -> None:
        """A connection has its answer."""
        self.idle.append(connection)
        self.send()

    def send(self) -> None:
        """Send as many as there are free connections for; those that the server has closed are left out."""
        while self.due_at and self.idle:
            if (connection := self.idle.pop()).is_open:
                connection.send(next(self._requests), self.due_at.popleft())

    def give_up(self, backlog: int) -> int:
        """Forget the newest above so many; how many those were."""
        count = max(0, len(self.due_at) - backlog)
        for _ in range(count):
            self.due_at.pop()
        return count


class Load:
    """Sends requests to one address.

    Args:
        address: `host:port`.
        requests: what is sent, over and over again.
        patience_s: see Tally.
        meter: what has been spent so far.
        observe: told of each answer.
    """

    def __init__(
        self,
        address: str,
        requests: Sequence[bytes],
        patience_s: float,
        meter: Meter = dict,
        observe: Observer = lambda *_: None,
    ) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host, int(port)
        self._requests = cycle(requests)
        self._patience_s = patience_s
        self._meter = meter
        self._observe = observe

    async def closed(self, connections: int, seconds: float) -> Phase:
        """Each connection sends its next request when the answer to the last has come."""
        tally = Tally(self._patience_s)
        ends_at = time.perf_counter() + seconds

        def answered(connection: Connection, status: bytes) -> None:
            now = time.perf_counter()
            self._count(tally, connection, status, now)
            if now < ends_at and connection.is_open:
                connection.send(next(self._requests), now)

        opened = await self._open(connections, answered)
        before, began = self._meter(), time.perf_counter()
        ends_at = began + seconds
        for connection in opened:
            connection.send(next(self._requests), began)
        await asyncio.sleep(seconds)
        count = sum(tally.statuses.values())
        phase = tally.phase(connections, seconds, count, 0, spent(before, self._meter()))
        _close(opened)
        return phase

    async def open(self, connections: int, per_s: float, seconds: float, backlog: int = 0) -> Phase:
        """Requests are due at a steady rate; at most one is under way on each connection.

        As many as `backlog` wait for a connection that is free, and their time counts from when they were due. With a backlog the end
        waits, for as long as the patience lasts, until all are answered.
        """
        tally = Tally(self._patience_s)
        queue = _Queue(self._requests)
        again: set[asyncio.Task[None]] = set()
        is_over = False

        def answered(connection: Connection, status: bytes) -> None:
            if is_over:
                return
            if status or connection.is_busy:
                self._count(tally, connection, status, time.perf_counter())
            if connection.is_open:
                queue.free(connection)
            else:
                again.add(task := asyncio.ensure_future(reopen()))
                task.add_done_callback(again.discard)

        async def reopen() -> None:
            queue.idle.extend(new := await self._open(1, answered))
            opened.extend(new)

        opened = await self._open(connections, answered)
        queue.idle.extend(opened)
        due = given_up = 0
        before, began = self._meter(), time.perf_counter()
        while (now := time.perf_counter()) < began + seconds:
            while due < (now - began) * per_s:
                queue.due_at.append(began + due / per_s)
                due += 1
            queue.send()
            given_up += queue.give_up(backlog)
            await asyncio.sleep(TICK_S)
        if backlog:
            await _drained(queue, opened, time.perf_counter() + self._patience_s)
        is_over = True
        phase = tally.phase(connections, seconds, due, given_up, spent(before, self._meter()))
        for task in again:
            task.cancel()
        _close(opened)
        return phase

    def _count(self, tally: Tally, connection: Connection, status: bytes, now: float) -> None:
        took_ms = (now - connection.due_at) * 1000
        tally.add(status, took_ms)
        self._observe(connection.due_at, took_ms, status)

    async def _open(self, count: int, answered: Callable[[Connection, bytes], None]) -> list[Connection]:
        loop = asyncio.get_running_loop()
        opened = []
        for _ in range(count):
            async with asyncio.timeout(DRAIN_S):
                _, protocol = await loop.create_connection(lambda: Connection(answered), self._host, self._port)
            opened.append(protocol)
        return opened


async def _drained(queue: _Queue, opened: Sequence[Connection], until: float) -> None:
    """Wait until all is answered, or a moment of `time.perf_counter`."""
    while time.perf_counter() < until:
        if not queue.due_at and not any(connection.is_busy for connection in opened):
            break
        await asyncio.sleep(TICK_S)


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was spent between two looks at a meter."""
    return {name: after[name] - before.get(name, 0.0) for name in after}


def _close(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()
