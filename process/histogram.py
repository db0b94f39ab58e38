"""Durations counted by how long they were. Counting is a few additions, so that it can stand in the hottest place. Pure."""

from bisect import bisect_left


class Histogram:
    """Durations, counted by fixed upper bounds.

    Attributes:
        bounds: upper bounds in seconds, ascending; a bucket includes its bound.
        counts: how many durations are in each bucket, with one more for those over all bounds.
        sum_s: all of them together.
    """

    __slots__ = ("bounds", "counts", "sum_s")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, duration_s)] += 1
        self.sum_s += duration_s
