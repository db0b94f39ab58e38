"""The newest cluster map that this process knows.

Maps are immutable and totally ordered by epoch, so whoever brings one, and in whatever order, the highest epoch wins.
Invariants: the epoch of `current` never falls; a map of another cluster is never taken, also of one that has the same name;
everyone who waits is answered exactly once, and no more than `waiters_max` wait.
"""

import itertools
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from process.clock import CallLater, Clock, Timer, loop_call_later, loop_time
from wire.messages import ClusterMap, WatchMapRequest
from wire.rpc import Call

WAIT_MAX_S = 10.0
WAITERS_MAX = 1024

Listener: TypeAlias = Callable[[ClusterMap], object]


class _Waiter(msgspec.Struct, frozen=True):
    epoch: int
    done: Listener
    timer: Timer


class MapHolder:
    """Holds the newest map, tells listeners of each newer one, and answers long polls for it.

    Args:
        cluster: name of the cluster; maps of any other are not taken.
        load: gives the map that an earlier process saved, or None.
        save: keeps a map for the next process; called for each newer map before anyone is told. A cache: it must
            deal with its own errors.
        clock: the event loop's clock, in seconds.
        call_later: the event loop's timer.
        waiters_max: how many may wait; one more is answered at once with the present map.
    """

    def __init__(
        self,
        cluster: str,
        *,
        load: Callable[[], ClusterMap | None] | None = None,
        save: Listener | None = None,
        clock: Clock = loop_time,
        call_later: CallLater = loop_call_later,
        waiters_max: int = WAITERS_MAX,
    ) -> None:
        self._cluster = cluster
        self._save = save
        self._clock = clock
        self._call_later = call_later
        self._waiters_max = waiters_max
        self._waiters: dict[int, _Waiter] = {}
        self._tickets = itertools.count()
        self._listeners: list[Listener] = []
        saved = load() if load is not None else None
        self._current = saved if saved is not None and saved.cluster == cluster else empty_map(cluster)

    @property
    def cluster(self) -> str:
        """Name of the cluster whose maps are held."""
        return self._cluster

    @property
    def current(self) -> ClusterMap:
        """The newest map; its epoch is 0 while none is known."""
        return self._current

    @property
    def waiting(self) -> int:
        """How many wait for a newer map."""
        return len(self._waiters)

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each newer map from now on, in order of epoch; it must not raise."""
        self._listeners.append(listener)

    def publish(self, newer: ClusterMap) -> bool:
        """Take a map if it is newer than the present one and of this cluster; says whether it was taken."""
        if newer.epoch <= self._current.epoch or foreignness(self._current, newer):
            return False
        self._current = newer
        if self._save is not None:
            self._save(newer)
        for listener in self._listeners:
            listener(newer)
        for ticket in [ticket for ticket, waiter in self._waiters.items() if waiter.epoch < newer.epoch]:
            self._answer(ticket)
        return True

    def wait(self, epoch: int, deadline: float, done: Listener) -> None:
        """Call `done` once: with a map newer than `epoch` as soon as there is one, else with the present one.

        Args:
            epoch: what the caller has.
            deadline: when to answer all the same, on the holder's clock; never more than WAIT_MAX_S from now.
            done: may be called before this returns; it must not raise.
        """
        wait_s = min(deadline - self._clock(), WAIT_MAX_S)
        if self._current.epoch > epoch or wait_s <= 0 or len(self._waiters) >= self._waiters_max:
            done(self._current)
            return
        ticket = next(self._tickets)
        timer = self._call_later(wait_s, lambda: self._answer(ticket))
        self._waiters[ticket] = _Waiter(epoch, done, timer)

    def watch(self, call: Call[WatchMapRequest, ClusterMap]) -> None:
        """Serve WATCH_MAP: a long poll that ends no later than its caller gives up."""
        wanted = self._clock() + call.request.wait_ms / 1000
        self.wait(call.request.epoch, min(wanted, call.deadline), call.reply)

    def close(self) -> None:
        """Answer everyone who waits with the present map."""
        for ticket in list(self._waiters):
            self._answer(ticket)

    def _answer(self, ticket: int) -> None:
        waiter = self._waiters.pop(ticket, None)
        if waiter is not None:
            waiter.timer.cancel()
            waiter.done(self._current)


def foreignness(known: ClusterMap, other: ClusterMap) -> str:
    """Why a map is of another cluster than the known one, "" when it need not be.

    A node keeps its data directory, and with it its incarnation, for ever, and never all nodes of a cluster are new at once.
    """
    if other.cluster != known.cluster:
        return f"it belongs to cluster {other.cluster!r}, not {known.cluster!r}"
    incarnations = {node.id: node.incarnation for node in known.nodes}
    shared = [node for node in other.nodes if node.id in incarnations]
    for node in shared:
        if node.incarnation != incarnations[node.id]:
            return f"node {node.id} has another data directory there"
    return "none of the nodes that are known here is there" if incarnations and other.nodes and not shared else ""


def addresses(known: ClusterMap) -> dict[str, str]:
    """Node id → address `host:port` of all nodes in a map."""
    return {node.id: node.address for node in known.nodes}


def empty_map(cluster: str) -> ClusterMap:
    """The map before anything was decided: epoch 0."""
    return ClusterMap(cluster=cluster, epoch=0, nodes=[], groups=[], slots=[])
