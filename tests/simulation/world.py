"""A whole cluster in one thread on virtual time: event queue, network with faults, clocks that tick differently.

Knows nothing of the code under test, so that the library as shipped can be run in it as a control.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial


class Scheduled:
    """A future event; cancelled ones are skipped."""

    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


EVENTS_MAX = 400_000  # a run of five members has some 80,000


class World:
    """Virtual time in seconds and the events to come."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self._queue: list[tuple[float, int, Scheduled]] = []
        self._sequence = 0

    def at(self, time: float, callback: Callable[[], object]) -> Scheduled:
        event = Scheduled(callback)
        self._sequence = sequence = self._sequence + 1
        now = self.now
        heapq.heappush(self._queue, (max(now, time), sequence, event))
        return event

    def after(self, delay: float, callback: Callable[[], object]) -> Scheduled:
        return self.at(self.now + delay, callback)

    def run_until(self, time: float) -> None:
        """Let events happen until `time`.

        Raises:
            RuntimeError: there are so many that somebody must be talking in circles.
        """
        queue = self._queue
        while queue and queue[0][0] <= time:
            if self._sequence > EVENTS_MAX:
                raise RuntimeError(f"a storm: {EVENTS_MAX} events after {self.now:.1f} s")
            self.now, _, event = heapq.heappop(queue)
            if not event.cancelled:
                event.callback()
        self.now = time


class Life:
    """One incarnation of a process: an event loop that falls silent when it dies, stalls when it is stopped,
    and has a clock that ticks a little faster or slower than the others."""

    def __init__(self, world: World, rate: float) -> None:
        self._world = world
        self._rate = rate
        self.alive = True
        self.stopped_until = 0.0

    def clock(self) -> float:
        return 1000.0 + self._world.now * self._rate

    time = clock

    def call_soon(self, callback: Callable[[], object], /) -> Scheduled:
        return self.call_later(0.0, callback)

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Scheduled:
        world = self._world
        return world.at(world.now + delay / self._rate, partial(self.run, callback))

    def run(self, callback: Callable[[], object]) -> None:
        """Run now, after the stop (SIGSTOP … SIGCONT) if there is one, never if dead."""
        if not self.alive:
            return
        if self._world.now < self.stopped_until:
            self._world.at(self.stopped_until, partial(self.run, callback))
        else:
            callback()


@dataclass
class Link:
    """One direction between two nodes."""

    cut: bool = False
    loss: float = 0.0
    delay: float = 0.001
    jitter: float = 0.001
    duplicate: float = 0.0
    fifo: bool = True
    last_arrival: float = 0.0


@dataclass
class Network:
    """Links between all pairs; `deliver` is called at the receiver's side."""

    world: World
    names: list[str]
    deliver: Callable[[str, str, object], None]
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    sent: int = 0
    on_next_send: Callable[[str], object] | None = None

    def __post_init__(self) -> None:
        self.links = {(a, b): Link() for a in self.names for b in self.names if a != b}

    def send(self, sender: str, to: str, message: object) -> None:
        self.sent += 1
        if self.on_next_send is not None:
            heard, self.on_next_send = self.on_next_send, None
            heard(sender)
        world, link = self.world, self.links[sender, to]
        random = world.rng.random
        if link.cut or random() < link.loss:
            return
        for _ in range(2 if random() < link.duplicate else 1):
            arrival = world.now + link.delay + random() * link.jitter
            if link.fifo:
                arrival = link.last_arrival = max(arrival, link.last_arrival + 1e-6)
            world.at(arrival, partial(self._arrive, sender, to, message))

    def _arrive(self, sender: str, to: str, message: object) -> None:
        if not self.links[sender, to].cut:
            self.deliver(sender, to, message)

    def connected(self, a: str, b: str) -> bool:
        return not (self.links[a, b].cut or self.links[b, a].cut)

    def heal(self) -> None:
        for link in self.links.values():
            link.cut, link.loss, link.delay, link.jitter = False, 0.0, 0.001, 0.001
            link.duplicate, link.fifo = 0.0, True
