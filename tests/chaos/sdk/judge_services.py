"""What must hold of instances that are registered and kept by heartbeats, as listings show them. Pure.

What was answered took effect between its call and its answer. Cluster time never runs faster than ours, though it may stand still
(docs/semantics.md, "Times"). No more than that is used, so none of it can raise a false alarm; but for `absent`, see BACK_S.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from tests.chaos.sdk.evidence import Listing, Stay

SECOND_NS = 1_000_000_000
GAP_S = 1.0  # the cluster answers all the time when listings that took no longer are no further apart
BACK_S = 15.0
"""How long heartbeats may take to bring back an instance while the cluster answers all the time. A beat is two calls that take a
third of a ttl at most, and after one that failed comes the next within a ninth: with 3 s, the longest, six have failed by then,
while in each second a listing of the same group got through."""


def faults(stays: Sequence[Stay], listings: Sequence[Listing]) -> Iterator[str]:
    """All that is wrong."""
    yield from shown(stays, listings)
    yield from never_early(stays, listings)
    yield from absent(stays, listings)


def longest_absence_s(stays: Iterable[Stay], listings: Sequence[Listing]) -> float:
    """For how long an instance was not there while its holder was, at most."""
    return max((absence_s(stay, listings) for stay in stays), default=0.0)


def shown(stays: Iterable[Stay], listings: Iterable[Listing]) -> Iterator[str]:
    """What is listed was registered: it was asked for before, not refused, and not taken out before the listing began."""
    by_number = {stay.number: stay for stay in stays}
    for listing in listings:
        for instance, number in listing.numbers.items():
            stay = by_number.get(number)
            if stay is None or stay.instance != instance or stay.called_ns > listing.returned_ns or stay.is_refused:
                yield f"{instance} is listed with number {number}, which nobody registered by then: {stay}"
            elif stay.left_ns is not None and stay.left_ns < listing.called_ns:
                late_s = (listing.called_ns - stay.left_ns) / SECOND_NS
                yield f"{instance} is listed {late_s:.3f} s after it was taken out: {stay}"


def never_early(stays: Iterable[Stay], listings: Sequence[Listing]) -> Iterator[str]:
    """A registered instance is listed for its ttl, and for what a listing said that it had left.

    The leader began to count after the call of `register`; a listing's `ttl` counts from after its call, and is rounded up, so
    there is a second less of it. A later listing is one that was called when that one had returned.
    """
    ordered = sorted(listings, key=lambda one: one.called_ns)
    for stay in stays:
        sure_until_ns = stay.called_ns + stay.ttl_s * SECOND_NS
        sights: list[Listing] = []
        for listing in _within(stay, ordered):
            for sight in [one for one in sights if one.returned_ns <= listing.called_ns]:
                left_ns = (sight.left_s[stay.instance] - 1) * SECOND_NS
                sure_until_ns = max(sure_until_ns, sight.called_ns + left_ns)
                sights.remove(sight)
            if _shows(listing, stay):
                sights.append(listing)
            elif listing.returned_ns < sure_until_ns:
                yield f"{stay.instance} is gone {(sure_until_ns - listing.returned_ns) / SECOND_NS:.3f} s early: {stay}"


def absent(stays: Iterable[Stay], listings: Sequence[Listing]) -> Iterator[str]:
    """Heartbeats bring an instance back."""
    for stay in stays:
        if (missed_s := absence_s(stay, listings)) > BACK_S:
            yield f"{stay.instance} is not listed for {missed_s:.3f} s while it is registered: {stay}"


def absence_s(stay: Stay, listings: Sequence[Listing]) -> float:
    """For how long at least an instance was not there while its holder was and the cluster answered all the time."""
    longest_ns, stretch = 0, list[Listing]()
    ordered = sorted(listings, key=lambda one: one.called_ns)
    told = (one for one in _within(stay, ordered) if _shows(one, stay) or _took_ns(one) <= GAP_S * SECOND_NS)
    for is_shown, some in groupby(told, key=lambda one: _shows(one, stay)):
        stretch = []
        for listing in () if is_shown else some:
            if stretch and listing.returned_ns - stretch[-1].called_ns > GAP_S * SECOND_NS:
                stretch = []
            stretch.append(listing)
            longest_ns = max(longest_ns, listing.called_ns - stretch[0].returned_ns)
    return longest_ns / SECOND_NS


def _took_ns(listing: Listing) -> int:
    return listing.returned_ns - listing.called_ns


def _shows(listing: Listing, stay: Stay) -> bool:
    return listing.numbers.get(stay.instance) == stay.number


def _within(stay: Stay, ordered: Sequence[Listing]) -> Iterator[Listing]:
    """The listings that lie wholly within a stay, in the order of their calls."""
    if stay.entered_ns is None or stay.leaving_ns is None:
        return
    for listing in ordered[bisect_left(ordered, stay.entered_ns, key=lambda one: one.called_ns) :]:
        if listing.called_ns > stay.leaving_ns:
            return
        if listing.returned_ns <= stay.leaving_ns:
            yield listing
