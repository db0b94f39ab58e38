"""Doubles with the smallest behaviour that placement relies on: time that tests move, and servers that tests answer for."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wire.errors import Applied, Code, Failure, RpcError
from wire.messages import ClusterMap, NodeInfo
from wire.rpc import Call, Method, Peer

Req = TypeVar("Req")
Rep = TypeVar("Rep")


@dataclass
class Timer:
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Time:
    """A clock and its timers."""

    now: float = 100.0
    _timers: list[tuple[float, int, Timer, Callable[[], object]]] = field(default_factory=list)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)

    def clock(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        timer = Timer()
        heapq.heappush(self._timers, (self.now + delay, next(self._order), timer, callback))
        return timer

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, timer, callback = heapq.heappop(self._timers)
            if not timer.cancelled:
                callback()
        self.now = end


@dataclass
class Desk:
    """Collects what a handler answered."""

    replies: list[Any] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def answer(self, call: Call[Any, Any], value: object) -> None:
        del call
        self.replies.append(value)

    def refuse(self, call: Call[Any, Any], failure: Failure) -> None:
        del call
        self.failures.append(failure)


def call_of(request: Any, deadline: float = 1e9, peer: Peer = Peer()) -> tuple[Call[Any, Any], Desk]:  # noqa: B008 - frozen
    desk = Desk()
    return Call(request=request, peer=peer, deadline=deadline, correlation=1, size=1, desk=desk), desk


@dataclass
class Sent:
    """One call that a fake server has received."""

    address: str
    method: str
    request: Any
    answer: "asyncio.Future[Any]"

    def fail(self, code: Code, *, message: str = "no", leader: str = "") -> None:
        self.answer.set_exception(RpcError(Failure(code, message, Applied.NO, leader=leader)))


class Network:
    """All fake servers. Calls queue up, and the test answers them one by one."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Sent] = asyncio.Queue()

    def connect(self, address: str) -> "FakeChannel":
        return FakeChannel(self, address)

    async def next(self, method: str) -> Sent:
        """The next call of a method; others are put back."""
        others = []
        while (sent := await asyncio.wait_for(self.sent.get(), 10)).method != method:
            others.append(sent)
        for other in others:
            self.sent.put_nowait(other)
        return sent


@dataclass
class FakeChannel:
    network: Network
    address: str

    def call(self, method: Method[Req, Rep], request: Req, timeout_s: float) -> "asyncio.Future[Rep]":
        del timeout_s
        answer: asyncio.Future[Rep] = asyncio.get_running_loop().create_future()
        self.network.sent.put_nowait(Sent(self.address, method.name, request, answer))
        return answer


def node(number: int, zone: str = "z", host: str = "h", incarnation: str = "i1") -> NodeInfo:
    return NodeInfo(f"n{number}", f"127.0.0.1:{7000 + number}", zone, host, incarnation)


def map_of(epoch: int, *nodes: NodeInfo, cluster: str = "c") -> ClusterMap:
    return ClusterMap(cluster, epoch, list(nodes), [], [])
