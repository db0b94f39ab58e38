"""What must hold of the answers of limiters, whoever asked. Pure.

A take was counted at some instant between its call and its answer, one with an unknown outcome at any time after its call or
never. Cluster time never runs faster than ours, though it may stand still (docs/semantics.md, "Times"): so much time here is
that much of the limit's at most, and GRAIN_NS more, as it counts whole milliseconds. No more than that is used, so none of it
can raise a false alarm. What is unknown is never counted as granted, and always as what may have used up the limit.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tests.chaos.sdk.evidence import Take

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
GRAIN_NS = 2 * MS_NS


def faults(takes: Iterable[Take]) -> Iterator[str]:
    """No more is granted than there is, and nothing is refused that must be there."""
    by_name: defaultdict[str, list[Take]] = defaultdict(list)
    for take in takes:
        by_name[take.name].append(take)
    for of_name in by_name.values():
        granted = [take for take in of_name if take.is_allowed]
        yield from _in_a_window(of_name, granted) if of_name[0].algorithm == "fixed" else _in_stretches(granted)
        yield from _refused(of_name)


def _in_a_window(takes: Iterable[Take], granted: Sequence[Take]) -> Iterator[str]:
    """`fixed`: at most the limit in each window.

    An answer that a window has `reset_ms` left was made between its call and its return; so the window does not end before the
    call and that time, and it did not begin after the return less what had passed of it. What was granted in between is in it.
    """
    for one in takes:
        if one.reset_ms is None:
            continue
        left_ns = one.reset_ms * MS_NS
        from_ns = one.returned_ns - (one.window_s * SECOND_NS - left_ns) + GRAIN_NS
        until_ns = one.called_ns + left_ns - GRAIN_NS
        cost = sum(take.cost for take in granted if from_ns <= take.called_ns and take.returned_ns <= until_ns)
        if cost > one.limit:
            yield f"{one.name} gave {cost} of {one.limit} in the window of {one}"
            return  # one of each limit says enough


def _in_stretches(granted: Sequence[Take]) -> Iterator[str]:
    """`gcra`: at most limit * (1 + t / window) in any stretch t; tried is each from a call to an answer."""
    for first in granted:
        cost = 0
        within = sorted((one for one in granted if one.called_ns >= first.called_ns), key=lambda one: one.returned_ns)
        for last in within:
            cost += last.cost
            stretch_ns = last.returned_ns - first.called_ns + GRAIN_NS
            window_ns = first.window_s * SECOND_NS
            if cost * window_ns > first.limit * (window_ns + stretch_ns):
                yield f"{first.name} gave {cost} of {first.limit} from {first} to {last}"
                return


def _refused(takes: Sequence[Take]) -> Iterator[str]:
    """What was not given was not there: all that may ever have been taken before leaves less than was asked for."""
    for one in takes:
        if one.is_allowed is False:
            used = sum(
                take.cost for take in takes if take.is_allowed is not False and take.called_ns <= one.returned_ns
            )
            if used + one.cost <= one.limit:
                yield f"{one.name} gave {used} of {one.limit} at most, and refused {one.cost}: {one}"
                return
