"""A node's side of placement: make oneself known, say every second what one is doing, take advice, keep the map fresh.

Nothing here is needed to serve data. While placement is away the client goes on trying, and the node goes on with the
last map.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from placement.leader import LeaderGuess
from placement.maps import MapHolder, foreignness
from placement.watcher import MapWatcher
from process.backoff import Backoff
from process.clock import Clock, Sleep, loop_time
from process.tasks import start_task, stop_task
from wire.errors import Applied, Code, Failure, RpcError
from wire.messages import GroupBeat, HeartbeatRequest, NodeInfo, RegisterRequest, Transfer, WatchMapRequest
from wire.methods import HEARTBEAT, REGISTER, WATCH_MAP
from wire.rpc import Connect, Method

Req = TypeVar("Req")
Rep = TypeVar("Rep")


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Pace of a PlacementClient, in seconds.

    Attributes:
        heartbeat_s: between two heartbeats.
        timeout_s: how long to wait for one answer.
        pause_first_s: bound of the pause after one failure; it doubles from there.
        pause_max_s: bound of every pause.
    """

    heartbeat_s: float = 1.0
    timeout_s: float = 2.0
    pause_first_s: float = 0.05
    pause_max_s: float = 1.0


class PlacementClient:
    """Registers a node and keeps in touch.

    Args:
        node: who registers.
        placement: node id → address `host:port` of the nodes that host placement, at least one.
        holder: where newer maps are published.
        connect: gives the shared channel to an address.
        beats: what this node's replicas are doing now.
        on_transfers: takes advice to hand groups over; called on the event loop, must not raise. The same advice
            comes with each heartbeat until it was followed or expired.
        on_fatal: called once, with a sentence for a person, when this node is refused for good.
        rng: source of jitter and of the first server to ask.
        settings: the pace.
        clock: the event loop's clock, in seconds.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        node: NodeInfo,
        placement: Mapping[str, str],
        holder: MapHolder,
        connect: Connect,
        *,
        beats: Callable[[], list[GroupBeat]],
        on_transfers: Callable[[Sequence[Transfer]], object],
        on_fatal: Callable[[str], object],
        rng: random.Random,
        settings: ClientSettings = ClientSettings(),  # noqa: B008 - frozen
        clock: Clock = loop_time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._node = node
        self._placement = dict(placement)
        self._holder = holder
        self._connect = connect
        self._beats = beats
        self._on_transfers = on_transfers
        self._on_fatal = on_fatal
        self._settings = settings
        self._sleep = sleep
        self._backoff = Backoff(settings.pause_first_s, settings.pause_max_s, rng)
        self._guess = LeaderGuess(list(self._placement.values()), lambda: self._placement, rng)
        self._registered = False
        self._task: asyncio.Task[None] | None = None
        others = [address for name, address in self._placement.items() if name != node.id]
        self._watcher = (
            MapWatcher(holder, others, connect, rng=rng, follow_nodes=False, clock=clock, sleep=sleep)
            if others
            else None
        )

    @property
    def registered(self) -> bool:
        """Whether placement has this node in its map, as far as is known."""
        return self._registered

    def start(self) -> None:
        """Begin, on the running loop."""
        if self._task is None:
            self._task = start_task(self._run(), "placement-client")
            if self._watcher is not None:
                self._watcher.start()

    async def close(self) -> None:
        """Stop; placement will see this node as down after a while."""
        if self._watcher is not None:
            await self._watcher.close()
        task, self._task = self._task, None
        if task is not None:
            await stop_task(task)

    async def _run(self) -> None:
        while True:
            try:
                if self._registered:
                    await self._beat()
                else:
                    await self._register()
            except RpcError as error:
                if self._is_fatal(error.failure):
                    self._on_fatal(error.failure.message)
                    return
                self._follow(error.failure)
                await self._sleep(self._backoff.next_s())
            else:
                self._backoff.reset()
                await self._sleep(self._settings.heartbeat_s)

    async def _register(self) -> None:
        await self._compare()
        reply = await self._call(REGISTER, RegisterRequest(self._node))
        self._registered = True
        self._holder.publish(reply.map)

    async def _compare(self) -> None:
        """See that the server is of the cluster whose map is known, before it hears of this node and keeps it for ever."""
        known = self._holder.current
        if not known.nodes:
            return
        found = await self._call(WATCH_MAP, WatchMapRequest(epoch=0, wait_ms=0))
        if why := foreignness(known, found):
            message = f"The placement at {self._guess.address} is another cluster's: {why}. Correct the addresses in --placement."
            raise RpcError(Failure(Code.INVALID, message, Applied.NO))

    async def _beat(self) -> None:
        node, epoch = self._node, self._holder.current.epoch
        reply = await self._call(HEARTBEAT, HeartbeatRequest(node.id, node.incarnation, epoch, self._beats()))
        if reply.transfers:
            self._on_transfers(reply.transfers)
        if self._watcher is not None:
            self._watcher.seek(reply.epoch, self._guess.address)

    async def _call(self, method: Method[Req, Rep], request: Req) -> Rep:
        return await self._connect(self._guess.address).call(method, request, self._settings.timeout_s)

    def _is_fatal(self, failure: Failure) -> bool:
        return failure.code is Code.INVALID and not self._registered

    def _follow(self, failure: Failure) -> None:
        """Choose whom to ask next."""
        if failure.code is Code.INVALID:
            self._registered = False  # the leader does not know us: register there
        else:
            self._guess.correct(failure)
