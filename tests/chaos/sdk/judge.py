"""What must hold of everything that all clients were told. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from tests.chaos.sdk.notes import Guarded, Held, Report
from tests.chaos.sdk.steps import WATCHED
from tests.linearizability import Kind, Operation, Scalar
from tests.linearizability.check import by_key
from tests.linearizability.watching import DELETE, EXPIRED, Told, Written, faults


def merged(reports: Iterable[Report]) -> Report:
    """All reports as one."""
    whole = Report()
    for report in reports:
        for name in ("operations", "written", "seen", "held", "guarded", "faults"):
            setattr(whole, name, getattr(whole, name) + getattr(report, name))
        whole.evidence.add(report.evidence)
        whole.outcomes = dict(Counter(whole.outcomes) + Counter(report.outcomes))
        whole.overrun_s = max(whole.overrun_s, report.overrun_s)
    return whole


def sums(operations: Iterable[Operation], final: Mapping[str, Scalar]) -> Iterator[str]:
    """Each number is what was added to it: what was acknowledged once, what is not known once or not at all."""
    for key, history in by_key(operations).items():
        added = [one for one in history if one.kind is Kind.INCREMENT]
        if added and key in final:
            sure = sum(_by(one) for one in added if one.returned_ns is not None)
            maybe = [_by(one) for one in added if one.returned_ns is None]
            if int(final[key] or 0) not in _reachable(sure, maybe):
                yield f"{key} is {final[key]}, acknowledged was {sure}, unknown {maybe}"


def _by(one: Operation) -> int:
    assert isinstance(one.argument, int)
    return one.argument


def _reachable(start: int, steps: Iterable[int]) -> set[int]:
    found = {start}
    for step in steps:
        found |= {number + step for number in found}
    return found


def sections(operations: Iterable[Operation], final: Mapping[str, Scalar]) -> Iterator[str]:
    """Each section under a lock counts once: no other one was between its read and its write."""
    for key, history in by_key(operations).items():
        if key.endswith("/section") and key in final:
            added = [one for one in history if one.kind is Kind.CAS and one.result is not False]
            sure = sum(one.returned_ns is not None for one in added)
            if not sure <= int(final[key] or 0) <= len(added):
                yield f"{key} is {final[key]}, {sure} sections are acknowledged, {len(added) - sure} unknown"


def fences(held: Iterable[Held], guarded: Iterable[Guarded]) -> Iterator[str]:
    """A fence is given once, later ones are greater, and no write under an older one comes after one under a newer."""
    for name, of_lock in _by_lock(held).items():
        for before, after in pairwise(of_lock):
            if after.fence <= before.fence:
                yield f"the lock {name} had fence {before.fence}, and then {after.fence}"
    newest: dict[str, int] = {}
    for write in sorted(guarded, key=lambda one: one.revision):
        if write.fence < newest.get(write.key, 0):
            yield f"{write.key} took a write under {write.fence} after one under {newest[write.key]}"
        newest[write.key] = write.fence


def held_twice_s(held: Iterable[Held]) -> float:
    """For how long a client did not know yet that another has its lock, at most."""
    overlaps = [
        (before.until_ns - after.from_ns) / 1e9
        for of_lock in _by_lock(held).values()
        for before, after in pairwise(of_lock)
    ]
    return max(0.0, *overlaps) if overlaps else 0.0


def _by_lock(held: Iterable[Held]) -> dict[str, list[Held]]:
    found: defaultdict[str, list[Held]] = defaultdict(list)
    for one in sorted(held, key=lambda one: one.from_ns):
        found[one.name].append(one)
    return found


def watched(written: Sequence[Written], seen: Sequence[Sequence[Told]]) -> list[str]:
    """A watch was told each change once and in order.

    When it had to begin anew, `seen` has more than one part. Changes between two parts may be missing; so of each only
    what it has is looked at, and of the last one the end.
    """
    if len(seen) == 1:
        return faults(written, seen[0])
    found: list[str] = []
    for part in seen:
        told = {(event.key, event.kind, event.revision) for event in part}
        mentioned = [
            one
            if one.revision is None or (one.key, one.kind, one.revision) in told
            else msgspec.structs.replace(one, revision=None)
            for one in written
        ]
        found += faults(mentioned, part)
    return [*found, *_ends(written, seen[-1])]


def deletes(operations: Iterable[Operation], seen: Sequence[Sequence[Told]]) -> Iterator[str]:
    """A watch that never had to begin anew was told each acknowledged deletion of what it watches."""
    if len(seen) > 1:
        return
    told = Counter(event.key for event in seen[0] if event.kind == DELETE)
    wanted = Counter(
        one.key for one in operations if one.kind is Kind.DELETE and one.result is True and one.key.startswith(WATCHED)
    )
    for key, count in wanted.items():
        if told[key] < count:
            yield f"{key} was deleted {count} times, told were {told[key]}"


def _ends(written: Sequence[Written], told: Iterable[Told]) -> Iterator[str]:
    """Where each key's last write is known and lasting, it is what was told last."""
    last = {write.key: write for write in written}
    is_open = {write.key for write in written if write.revision is None or write.is_mortal}
    shown = {event.key: "" if event.kind in {DELETE, EXPIRED} else event.value for event in told}
    for key, write in last.items():
        if key not in is_open and shown.get(key, "") != write.value:
            yield f"{key} was put to {write.value!r}, told last was {shown.get(key)!r}"
