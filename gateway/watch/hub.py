"""Hands the changes of all groups to the watchers whom they concern.

One feed a group runs while there are watchers, and some seconds longer. An event is made into bytes once, with the position
of all feeds at that moment as its id, and the bytes are put into the buffer of every watcher with a prefix of its key.
Nothing here waits for a watcher, and handing a change out takes no task for any of them. What a stream's own tasks do
(`stream`) is to send what is in its buffer, and to notice that its client is gone.

A watcher that has registered is given every change after the positions of the feeds at that moment; what came before
is its own affair (`joining`).
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable

import msgspec

from gateway.caller import GroupCaller
from gateway.errors import ApiCode, ApiError
from gateway.shares import Shares
from gateway.watch import buffer, cursor, frames
from gateway.watch.buffer import Buffer
from gateway.watch.cursor import Layout
from gateway.watch.feed import Feed, Placed
from gateway.watch.prefixes import PrefixIndex
from process.backoff import Backoff
from process.clock import Clock, Sleep, Timer, loop_call_later, loop_time
from wire.messages import ClusterMap
from wire.positions import Position

_NOWHERE = Layout(b"", b"", ())


class WatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of watching.

    Attributes:
        watchers: streams at once.
        watchers_per_token: those of one token.
        watchers_per_address: those of one client address.
        buffer_bytes: what may wait to be sent to one of them.
        page_items: keys that are read at once when a state is told.
        pages_at_once: pages of states that are being read for all watchers together.
    """

    watchers: int = 4096
    watchers_per_token: int = 2048
    watchers_per_address: int = 2048
    buffer_bytes: int = 4 << 20
    page_items: int = 500
    pages_at_once: int = 32


class WatchPace(msgspec.Struct, frozen=True, kw_only=True):
    """Times, in seconds.

    Attributes:
        wait_s: how long a leader waits for changes before it answers that there are none.
        heartbeat_s: between two comments to a quiet watcher.
        renew_s: between two looks whether watchers may still watch.
        linger_s: how long feeds go on without watchers.
        patience_s: for a group to answer while a watcher begins.
        stall_s: for a watcher's connection to take what is sent.
        pause_first_s: after a first failed call of a feed; doubles with every further one.
        pause_max_s: the longest such pause.
    """

    wait_s: float = 0.6
    heartbeat_s: float = 10.0
    renew_s: float = 0.25
    linger_s: float = 5.0
    patience_s: float = 10.0
    stall_s: float = 10.0
    pause_first_s: float = 0.02
    pause_max_s: float = 0.5


class _Watcher(msgspec.Struct, frozen=True, gc=False):
    """What the hub knows of a watcher; see `Hub.enter`."""

    prefix: str
    renew: Callable[[], object]
    address: str
    token: str


class Hub:
    """The feeds and the watchers of one gateway.

    Args:
        caller: reaches the groups.
        rng: source of the jitter.
        on_end: told why a watcher has ended.
        on_events: told of how many changes somebody wanted.
        limits: see WatchLimits.
        pace: see WatchPace.
        clock: the event loop's clock, in seconds.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        caller: GroupCaller,
        rng: random.Random,
        *,
        on_end: Callable[[str], object],
        on_events: Callable[[int], object],
        limits: WatchLimits = WatchLimits(),  # noqa: B008 - frozen
        pace: WatchPace = WatchPace(),  # noqa: B008 - frozen
        clock: Clock = loop_time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.limits = limits
        self.pace = pace
        self.layout = _NOWHERE
        self.feeds: dict[int, Feed] = {}
        self.reading = asyncio.Semaphore(limits.pages_at_once)  # held while a page of a state is read
        self._caller = caller
        self._rng = rng
        self._on_end = on_end
        self._on_events = on_events
        self._clock = clock
        self._sleep = sleep
        self._watchers: dict[Buffer, _Watcher] = {}  # all of them
        self._by_token = Shares(limits.watchers_per_token)
        self._by_address = Shares(limits.watchers_per_address)
        self._registered: PrefixIndex[Buffer] = PrefixIndex()
        self._closing: set[asyncio.Task[None]] = set()
        self._timers: dict[Callable[[], None], Timer] = {}
        self._draining = False

    # --- watchers

    @property
    def watchers(self) -> int:
        """How many there are, beginning ones included."""
        return len(self._watchers)

    def check(self) -> None:
        """Whether a watcher may enter.

        Raises:
            ApiError: CLUSTER_UNAVAILABLE.
        """
        if self._draining or not self.layout.groups:
            raise ApiError(ApiCode.CLUSTER_UNAVAILABLE, "no cluster map yet, or shutting down")
        if len(self._watchers) >= self.limits.watchers:
            raise ApiError(ApiCode.CLUSTER_UNAVAILABLE, "the gateway has as many watchers as it allows")

    def enter(self, prefix: str, renew: Callable[[], object], address: str = "", token: str = "") -> Buffer:
        """A watcher begins, after a `check`; `leave` must follow.

        Args:
            prefix: of the keys that it watches.
            renew: raises ApiError once it may watch no longer.
            address: whose it is, by address; "" when that is not known.
            token: the id of its token; "" when it has none.

        Raises:
            ApiError: TOO_MANY_REQUESTS.
        """
        if not self._by_address.take(address):
            raise ApiError(ApiCode.TOO_MANY_REQUESTS, "this client address has too many watchers")
        if not self._by_token.take(token):
            self._by_address.give_back(address)
            raise ApiError(ApiCode.TOO_MANY_REQUESTS, "this token has too many watchers")
        watcher = Buffer(self.limits.buffer_bytes)
        self._watchers[watcher] = _Watcher(prefix, renew, address, token)
        self._start()
        return watcher

    def register(self, watcher: Buffer) -> dict[int, Position]:
        """From now on the watcher gets every change after the positions that are returned, one for each group."""
        positions = self.positions()
        self._registered.add(self._watchers[watcher].prefix, watcher)
        return positions

    def leave(self, watcher: Buffer) -> None:
        """A watcher has ended."""
        if watcher not in self._watchers:
            return
        known = self._watchers.pop(watcher)
        self._by_address.give_back(known.address)
        self._by_token.give_back(known.token)
        watcher.end(buffer.GONE)
        self._on_end(watcher.ended or buffer.GONE)
        self._registered.remove(known.prefix, watcher)
        if not self._watchers:
            self._later(self.pace.linger_s, self._stop_if_unused)

    def positions(self) -> dict[int, Position]:
        """Where the feeds stand; all of them have begun."""
        return {group: feed.position for group, feed in self.feeds.items() if feed.position is not None}

    # --- life

    def map_changed(self, newer: ClusterMap) -> None:
        """Take a map. When keys have come to live in other groups, every watcher has to begin anew."""
        layout = cursor.layout_of(newer)
        if layout != self.layout:
            self.layout = layout
            self._end_all(buffer.RESYNC)
            self._stop()

    def drain(self) -> None:
        """Take no more watchers, and send those away who are there."""
        self._draining = True
        self._end_all(buffer.SHUTDOWN)

    async def close(self) -> None:
        """Stop everything."""
        self.drain()
        self._stop()
        await asyncio.gather(*self._closing)

    def _start(self) -> None:
        if self.feeds:
            return
        for group in self.layout.groups:
            self.feeds[group] = Feed(
                group,
                self._caller,
                int(self.pace.wait_s * 1000),
                deliver=self._deliver,
                lost=self._lost,
                backoff=Backoff(self.pace.pause_first_s, self.pace.pause_max_s, self._rng),
                clock=self._clock,
                sleep=self._sleep,
            )
        self._later(self.pace.heartbeat_s, self._beat)
        self._later(self.pace.renew_s, self._renew)

    def _stop_if_unused(self) -> None:
        if not self._watchers:
            self._stop()

    def _stop(self) -> None:
        for feed in self.feeds.values():
            task = asyncio.get_running_loop().create_task(feed.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self.feeds = {}
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _later(self, delay_s: float, callback: Callable[[], None]) -> None:
        if callback in self._timers:
            self._timers[callback].cancel()
        self._timers[callback] = loop_call_later(delay_s, callback)

    def _end_all(self, reason: str) -> None:
        for watcher in self._watchers:
            watcher.end(reason)

    def _renew(self) -> None:
        """Send those away who may watch no longer, or of whom that is not known, with nothing of what waits for them."""
        for watcher, known in self._watchers.items():
            try:
                known.renew()
            except ApiError as error:
                watcher.discard()
                is_known = error.code in (ApiCode.UNAUTHORIZED, ApiCode.FORBIDDEN)
                watcher.end(buffer.FORBIDDEN if is_known else buffer.UNAVAILABLE)
        self._later(self.pace.renew_s, self._renew)

    # --- events

    def _lost(self) -> None:
        """Changes were missed that those who have registered should have been given."""
        for watcher in self._registered:
            watcher.end(buffer.RESYNC)

    def _beat(self) -> None:
        """Tell all watchers that nothing was missed, and where they stand now."""
        positions = self.positions()
        if len(positions) == len(self.layout.groups):
            beat = frames.heartbeat(cursor.encode(self.layout, positions))
            for watcher in self._registered:
                watcher.push(beat)
        self._later(self.pace.heartbeat_s, self._beat)

    def _deliver(self, group: int, placed: Placed) -> None:
        """Give changes of a group to whoever wants them, in order."""
        positions = self.positions()
        if len(positions) < len(self.layout.groups):
            return  # not all feeds have begun, so nobody has registered
        groups = self.layout.groups
        parts = [cursor.part_of(positions[other]) for other in groups]
        own = groups.index(group)
        chunks: defaultdict[str, list[bytes]] = defaultdict(list)
        for position, event in placed:
            prefixes = self._registered.prefixes_of(event.key)
            if prefixes:
                parts[own] = cursor.part_of(position)
                frame = frames.change(event, cursor.join(self.layout, parts))
                for prefix in prefixes:
                    chunks[prefix].append(frame)
        for prefix, made in chunks.items():
            self._on_events(len(made))
            chunk = b"".join(made)
            for watcher in self._registered.at(prefix):
                watcher.push(chunk)
