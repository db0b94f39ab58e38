"""How many requests may be under way while the gateway's own processor is the bottleneck. The deciding part is pure.

The sign of it is that the event loop runs late: everything then takes its turn behind everything else, and each further
request only makes all of them slower, until answers come when nobody waits for them any more. So the limit falls by a factor
while the median delay of a window is too long (a single pause is no queue), and climbs back step by step. A gateway that waits for its cluster, through an election for instance, is not late and refuses nobody.
"""

import math
from collections import deque
from collections.abc import Callable

import msgspec

from process.clock import Clock, Timer, loop_call_later, loop_time


class ThrottlePace(msgspec.Struct, frozen=True, kw_only=True):
    """How the limit moves.

    Attributes:
        requests_min: the limit never falls below it.
        delay_s_max: a delay that is too long, in seconds.
        interval_s: between two looks.
        window: looks whose median delay counts.
        fall: what the limit is multiplied by.
        climb: what is added to it.
    """

    requests_min: int = 256
    delay_s_max: float = 0.025
    interval_s: float = 0.05
    window: int = 5
    fall: float = 0.7
    climb: int = 16


class Throttle:
    """The limit as it stands; `observe` moves it.

    Args:
        requests_max: the limit of a gateway that is not late.
        pace: see ThrottlePace.
    """

    def __init__(self, requests_max: int, pace: ThrottlePace = ThrottlePace()) -> None:  # noqa: B008 - frozen
        self.limit = requests_max
        self._max = requests_max
        self._min = min(requests_max, pace.requests_min)
        self._pace = pace
        self._delays: deque[float] = deque(maxlen=pace.window)

    def observe(self, delay_s: float, under_way: int) -> None:
        """The event loop was so late, with so many requests under way."""
        self._delays.append(delay_s)
        is_full = len(self._delays) == self._pace.window
        if is_full and sorted(self._delays)[self._pace.window // 2] > self._pace.delay_s_max:
            self.limit = max(self._min, int(self._pace.fall * min(self.limit, max(under_way, self._min))))
            self._delays.clear()
        elif delay_s <= self._pace.delay_s_max:
            self.limit = min(self._max, self.limit + self._pace.climb)


class LateLoop:
    """Looks how late the running event loop is, and tells a throttle. `start` begins it, `close` ends it."""

    def __init__(
        self,
        throttle: Throttle,
        under_way: Callable[[], int],
        pace: ThrottlePace = ThrottlePace(),  # noqa: B008 - frozen
        clock: Clock = loop_time,
    ) -> None:
        self._throttle = throttle
        self._under_way = under_way
        self._pace = pace
        self._clock = clock
        self._timer: Timer | None = None

    def start(self) -> None:
        """Begin to look."""
        self._timer = loop_call_later(self._pace.interval_s, self._look_at(self._clock() + self._pace.interval_s))

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, due: float) -> Callable[[], None]:
        def look() -> None:
            self._throttle.observe(self._clock() - due, self._under_way())
            self.start()

        return look


class RefusalPace:
    """When a refusal is sent: at once while there are few, later when refusing would cost more than serving. Pure.

    Whoever is refused and asks again at once takes about as much of the processor as one who is served. So beyond
    `per_s` refusals a second they are handed out one after the other, none later than `hold_s_max`.

    Args:
        per_s: refusals a second that are sent at once.
        burst: refusals at once.
        hold_s_max: the longest that one waits, in seconds.
    """

    def __init__(self, per_s: float = 200.0, burst: int = 200, hold_s_max: float = 1.0) -> None:
        self._interval_s = 1 / per_s
        self._ahead_s = burst / per_s
        self._hold_s_max = hold_s_max
        self._next_at = -math.inf

    def hold_s(self, now: float) -> float:
        """How long a refusal that is made at `now` waits before it is sent, in seconds."""
        hold_s = min(max(0.0, self._next_at - now - self._ahead_s), self._hold_s_max)
        self._next_at = min(max(self._next_at, now) + self._interval_s, now + self._ahead_s + self._hold_s_max)
        return hold_s
