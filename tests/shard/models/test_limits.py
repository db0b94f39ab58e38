"""Rate limits against a book of everything that they gave."""

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from tests.shard.build import quota_info
from tests.shard.models.replicas import IN_THE_SUITE, STEPS_MS, Replicas
from wire.messages import Algorithm, QuotaInfo, Status, TakeQuota

NAMES = ["a", "{t}b"]
WINDOWS_MS = [7, 10]
LIMITS = st.sampled_from([3, 3, 3, 3, 3, 1, 2, 4, 6])  # mostly unchanged
ASKS = st.tuples(st.sampled_from(["a", "a", *NAMES]), st.sampled_from([7, *WINDOWS_MS]), LIMITS, st.integers(1, 4))
PAUSES_MS = st.integers(0, 4) | st.integers(0, 4) | STEPS_MS


class Grant(NamedTuple):
    """So much was given when the limit was that."""

    at_ms: int
    cost: int
    limit: int


class Limits(Replicas):
    """Every name and window counts for itself; `limit` and `cost` are those of each request."""

    algorithm: Algorithm

    def __init__(self) -> None:
        super().__init__()
        self.book: dict[tuple[str, int], list[Grant]] = {
            (name, window_ms): [] for name in NAMES for window_ms in WINDOWS_MS
        }

    @rule(step_ms=PAUSES_MS, asks=st.lists(ASKS, min_size=1, max_size=3))
    def take(self, step_ms: int, asks: list[tuple[str, int, int, int]]) -> None:
        self.now_ms += step_ms
        asked = [
            TakeQuota(name, limit, window_ms, min(cost, limit), self.algorithm) for name, window_ms, limit, cost in asks
        ]
        expected = [self.expect(one) for one in asked]
        for [result], (granted, info) in zip(self.write(asked), expected, strict=True):
            assert result.status is (Status.OK if granted else Status.QUOTA_EXCEEDED)
            assert quota_info(result) == info

    def expect(self, asked: TakeQuota) -> tuple[bool, QuotaInfo]:
        raise NotImplementedError

    def note(self, asked: TakeQuota) -> None:
        self.book[asked.name, asked.window_ms].append(Grant(self.now_ms, asked.cost, asked.limit))


class FixedLimits(Limits):
    algorithm = Algorithm.FIXED

    def expect(self, asked: TakeQuota) -> tuple[bool, QuotaInfo]:
        begin_ms = self.now_ms - self.now_ms % asked.window_ms
        taken = sum(one.cost for one in self.book[asked.name, asked.window_ms] if one.at_ms >= begin_ms)
        reset_ms = begin_ms + asked.window_ms - self.now_ms
        if taken + asked.cost > asked.limit:
            return False, QuotaInfo(max(asked.limit - taken, 0), reset_ms, reset_ms)
        self.note(asked)
        return True, QuotaInfo(asked.limit - taken - asked.cost, reset_ms, 0)


class GcraLimits(Limits):
    """Each take fills its share of a bucket, which empties in a window."""

    algorithm = Algorithm.GCRA

    def __init__(self) -> None:
        super().__init__()
        self.empty_ms: dict[tuple[str, int], tuple[Fraction, int]] = {}  # when the bucket is empty; the limit then

    def expect(self, asked: TakeQuota) -> tuple[bool, QuotaInfo]:
        bucket = asked.name, asked.window_ms
        share_ms = Fraction(asked.window_ms, asked.limit)
        empty_ms, limit = self.empty_ms.get(bucket, (Fraction(0), asked.limit))
        if limit != asked.limit:  # is taken over in parts of the new limit, never to the advantage of who asks
            empty_ms = Fraction(ceil(empty_ms * asked.limit), asked.limit)
        filled_ms = max(empty_ms - self.now_ms, Fraction(0))
        missing_ms = filled_ms + asked.cost * share_ms - asked.window_ms
        if missing_ms <= 0:
            filled_ms += asked.cost * share_ms
            self.empty_ms[bucket] = self.now_ms + filled_ms, asked.limit
            self.note(asked)
        remaining = max(floor((asked.window_ms - filled_ms) / share_ms), 0)
        return missing_ms <= 0, QuotaInfo(remaining, ceil(filled_ms), max(ceil(missing_ms), 0))

    @invariant()
    def no_stretch_gives_more_than_it_may(self) -> None:
        for (_, window_ms), grants in self.book.items():
            for at, first in enumerate(grants):
                shares = Fraction(0)
                for one in grants[at:]:
                    shares += Fraction(one.cost, one.limit)
                    assert shares <= 1 + Fraction(one.at_ms - first.at_ms, window_ms)


TestFixedLimits = FixedLimits.TestCase
TestGcraLimits = GcraLimits.TestCase
TestFixedLimits.settings = TestGcraLimits.settings = IN_THE_SUITE
