"""Percentiles and medians. Pure."""

import math
from collections.abc import Sequence

import msgspec


class Latencies(msgspec.Struct, frozen=True):
    """Request times in milliseconds; all 0 when there were no requests."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0..1) of them do not exceed: the nearest-rank percentile.

    Raises:
        ValueError: there are no values, or `share` is not between 0 and 1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def latencies(times_ms: Sequence[float]) -> Latencies:
    """Sum up request times."""
    if not times_ms:
        return Latencies(0, 0.0, 0.0, 0.0)
    return Latencies(len(times_ms), percentile(times_ms, 0.5), percentile(times_ms, 0.99), max(times_ms))


def spread(values: Sequence[float]) -> float:
    """How far rounds lie apart: (largest - smallest) / median, 0 when the median is."""
    middle = percentile(values, 0.5)
    return (max(values) - min(values)) / middle if middle else 0.0


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, thousands separated, never in exponents: `12,300`, `4.56`, `0.123`."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    return f"{rounded:,.{max(0, decimals)}f}"
