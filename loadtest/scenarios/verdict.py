"""Whether a scenario passed, from what Locust counted. Pure."""

import math
from collections.abc import Sequence

import msgspec

SHARE_ASKED = 0.95
"""So much of the requests that were due has to be sent: with less, the load was not what it is said to be."""
EVENT = "event"


class Entry(msgspec.Struct, frozen=True):
    """A name's figures in the file that Locust writes with `--json-file`; times in ms, rounded by Locust, → how many."""

    name: str
    method: str
    num_requests: int
    num_failures: int
    max_response_time: float
    response_times: dict[str, int]


class Bounds(msgspec.Struct, frozen=True):
    """What a scenario has to keep: the longest p99 in ms, and the largest share of failures."""

    p99_ms: float
    failures: float = 0.0


class Verdict(msgspec.Struct, frozen=True):
    """What came of a scenario; `faults` are what it did not keep, none when it passed."""

    scenario: str
    requests: int
    events: int
    failed: int
    per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    faults: list[str]


def judge(scenario: str, entries: Sequence[Entry], bounds: Bounds, *, due: float, seconds: float) -> Verdict:
    """Sum up and hold against the bounds.

    Args:
        scenario: its name.
        entries: everything that Locust counted.
        bounds: what is to be kept, by requests and by events alike.
        due: how many requests the whole load was to be.
        seconds: how long it took.
    """
    asked = [entry for entry in entries if entry.name != EVENT]
    requests = sum(entry.num_requests for entry in asked)
    events = sum(entry.num_requests for entry in entries) - requests
    failed = sum(entry.num_failures for entry in entries)
    faults = []
    if requests < SHARE_ASKED * due:
        faults.append(f"only {requests:,} of {due:,.0f} requests were asked")
    if failed > bounds.failures * (requests + events):
        faults.append(f"{failed:,} failed")
    faults += [
        f"p99 of {entry.name!r} is {p99:,.0f} ms, over {bounds.p99_ms:,.0f}"
        for entry in entries
        if (p99 := percentile(entry.response_times, 0.99)) > bounds.p99_ms
    ]
    times: dict[str, int] = {}
    for entry in entries:
        for time_ms, count in entry.response_times.items():
            times[time_ms] = times.get(time_ms, 0) + count
    return Verdict(
        scenario=scenario,
        requests=requests,
        events=events,
        failed=failed,
        per_s=requests / seconds,
        p50_ms=percentile(times, 0.5),
        p99_ms=percentile(times, 0.99),
        max_ms=max((entry.max_response_time for entry in entries), default=0.0),
        faults=faults,
    )


def percentile(times: dict[str, int], share: float) -> float:
    """The nearest-rank percentile of times with their numbers; 0 when there are none."""
    left = max(1, math.ceil(share * sum(times.values())))
    for time_ms, count in sorted((float(time_ms), count) for time_ms, count in times.items()):
        left -= count
        if left <= 0:
            return time_ms
    return 0.0


HEADINGS = ("SCENARIO", "REQUESTS", "EVENTS", "FAILED", "PER S", "p50 / p99 / MAX ms", "VERDICT")


def row(verdict: Verdict) -> list[str]:
    """A line of the summary."""
    times = f"{verdict.p50_ms:.0f} / {verdict.p99_ms:.0f} / {verdict.max_ms:.0f}"
    counts = [f"{count:,}" for count in (verdict.requests, verdict.events, verdict.failed)]
    return [verdict.scenario, *counts, f"{verdict.per_s:,.0f}", times, "; ".join(verdict.faults) or "passed"]
