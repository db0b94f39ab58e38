"""Keeps a MapHolder fresh by long polls, one at a time, against whoever answers.

The request says which epoch is known, so changing the server between two polls costs nothing. The watcher moves on after every
answer that brought nothing new, so that a server which itself hears no news cannot keep it in the dark; it stays
while the news flow. When nobody answers, the last map is kept and `age_s` grows.
"""

import asyncio
import enum
import logging
import random
from collections.abc import Sequence

import msgspec

from placement.maps import MapHolder, foreignness
from process.backoff import Backoff
from process.clock import Clock, Sleep, loop_time
from process.tasks import start_task, stop_task
from wire.errors import RpcError
from wire.messages import ClusterMap, WatchMapRequest
from wire.methods import WATCH_MAP
from wire.rpc import Channel, Connect

logger = logging.getLogger(__name__)


class WatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Pace of a MapWatcher, in seconds. In health `age_s` stays under `wait_s`.

    Attributes:
        wait_s: how long a server may hold a poll.
        slack_s: how much later than that the answer may come before the server is given up.
        pause_first_s: bound of the pause after one failure; it doubles from there.
        pause_max_s: bound of every pause.
    """

    wait_s: float = 3.0
    slack_s: float = 1.0
    pause_first_s: float = 0.05
    pause_max_s: float = 1.0


class _Poll(enum.Enum):
    """What became of one poll."""

    NEWS = enum.auto()
    QUIET = enum.auto()
    FAILED = enum.auto()  # nobody there, a foreign or older map, or an answer too hasty to ask again at once
    INTERRUPTED = enum.auto()


class MapWatcher:
    """Watches the cluster map from outside placement: gateways, and nodes through PlacementClient.

    Args:
        holder: where newer maps are published.
        seeds: addresses `host:port` to ask, at least one.
        connect: gives the shared channel to an address; the constructor lets through what it raises for the first seed, so
            that certificates that cannot be used end the start, not the task.
        rng: source of jitter and of the first server to ask.
        follow_nodes: also ask the nodes in the map, not only the seeds.
        settings: the pace.
        clock: the event loop's clock, in seconds.
        sleep: `asyncio.sleep`.

    Raises:
        ValueError: there is no seed.
    """

    def __init__(
        self,
        holder: MapHolder,
        seeds: Sequence[str],
        connect: Connect,
        *,
        rng: random.Random,
        follow_nodes: bool = True,
        settings: WatchSettings = WatchSettings(),  # noqa: B008 - frozen
        clock: Clock = loop_time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not seeds:
            raise ValueError("a watcher needs at least one address to ask")
        self._holder = holder
        self._seeds = tuple(seeds)
        connect(self._seeds[0])
        self._connect = connect
        self._rng = rng
        self._follow_nodes = follow_nodes
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._backoff = Backoff(settings.pause_first_s, settings.pause_max_s, rng)
        self._address = ""
        self._foreign: set[str] = set()
        self._confirmed_at = -float("inf")
        self._sought = 0
        self._interrupt: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def age_s(self) -> float:
        """Seconds since a server last confirmed that the present map is the newest it knows; infinite before the first."""
        return self._clock() - self._confirmed_at

    def start(self) -> None:
        """Begin to watch, on the running loop."""
        if self._task is None:
            self._task = start_task(self._run(), "map-watcher")

    async def close(self) -> None:
        """Stop; the holder keeps its map."""
        task, self._task = self._task, None
        if task is not None:
            await stop_task(task)

    def seek(self, epoch: int, address: str = "") -> None:
        """Someone (at `address`, when known) spoke of a map of this epoch: ask there now if it is news.

        Interrupts the present poll at most once for an epoch, so that a false rumour costs one poll.

        Args:
            epoch: the epoch heard of, as in a WRONG_GROUP failure.
            address: who knows it; else the next server in turn is asked.
        """
        if epoch <= max(self._holder.current.epoch, self._sought) or self._interrupt is None or self._interrupt.done():
            return
        self._sought = epoch
        self._address = address or self._next_address()
        self._interrupt.set_result(None)

    async def _run(self) -> None:
        self._address = self._rng.choice(self._addresses())
        while True:
            outcome = await self._poll(self._connect(self._address))
            if outcome in (_Poll.QUIET, _Poll.FAILED):
                self._address = self._next_address()
            if outcome is _Poll.FAILED:
                await self._sleep(self._backoff.next_s())
            else:
                self._backoff.reset()

    async def _poll(self, channel: Channel) -> _Poll:
        settings, epoch, asked_at = self._settings, self._holder.current.epoch, self._clock()
        request = WatchMapRequest(epoch=epoch, wait_ms=int(settings.wait_s * 1000))
        answer = channel.call(WATCH_MAP, request, settings.wait_s + settings.slack_s)
        self._interrupt = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((answer, self._interrupt), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                return _Poll.INTERRUPTED
            return self._take(answer.result(), epoch, self._clock() - asked_at)
        except RpcError:
            return _Poll.FAILED
        finally:
            answer.cancel()
            self._interrupt = None

    def _take(self, answer: ClusterMap, epoch: int, took_s: float) -> _Poll:
        known = self._holder.current
        if why := foreignness(known, answer):
            self._warn(why)
        if why or answer.epoch < known.epoch:
            return _Poll.FAILED
        self._holder.publish(answer)
        self._confirmed_at = self._clock()
        if answer.epoch > epoch:
            return _Poll.NEWS
        return _Poll.QUIET if took_s >= self._settings.wait_s / 2 else _Poll.FAILED

    def _warn(self, why: str) -> None:
        if self._address not in self._foreign:
            self._foreign.add(self._address)
            logger.warning("the map that %s gives is another cluster's and is not taken: %s", self._address, why)

    def _addresses(self) -> list[str]:
        nodes = [node.address for node in self._holder.current.nodes] if self._follow_nodes else []
        return list(dict.fromkeys((*self._seeds, *nodes)))

    def _next_address(self) -> str:
        addresses = self._addresses()
        if self._address not in addresses:
            return addresses[0]
        return addresses[(addresses.index(self._address) + 1) % len(addresses)]
