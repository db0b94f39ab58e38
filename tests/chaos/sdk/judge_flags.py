"""What must hold of flags that are read from copies in memory. Pure.

Every value is written once, so a value names its write. That copies agree with the cluster once it is quiet is looked at by
`household.py`, which has them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from tests.chaos.sdk.evidence import Glance
from tests.linearizability import Kind, Operation
from tests.linearizability.check import by_key

SECOND_NS = 1_000_000_000
LAG_S = 30.0
"""How much older than its `age_s` a flag may be. A gateway that is heard may itself wait for a group whose leader was struck; nobody
promises how long, and a strike with the election after it takes some seconds, so this is far above."""


class _Key(msgspec.Struct):
    """The writes of a key: those that put each value, and those that took it away or may have."""

    puts: dict[str, Operation]
    deletes: list[Operation]

    @property
    def sure(self) -> list[Operation]:
        """Puts that were acknowledged, in the order in which they were applied."""
        return sorted((put for put in self.puts.values() if put.own_revision), key=lambda put: put.own_revision)


def faults(glances: Sequence[Glance], operations: Iterable[Operation]) -> Iterator[str]:
    """Each value was written, none came back when a later one had been seen in the same copy, none is too old."""
    keys = _keys(operations)
    yield from _never_written(glances, keys)
    yield from _backwards(glances, keys)
    for glance, behind_s in _behind(glances, keys):
        if behind_s > LAG_S:
            yield f"{glance} is {behind_s:.3f} s older than its age"


def behind_s(glances: Iterable[Glance], operations: Iterable[Operation]) -> float:
    """How much older than its age a flag was, at most."""
    return max((seconds for _, seconds in _behind(glances, _keys(operations))), default=0.0)


def _keys(operations: Iterable[Operation]) -> Mapping[str, _Key]:
    found = {}
    for key, history in by_key(operations).items():
        puts = {str(one.argument): one for one in history if one.kind is Kind.PUT}
        found[key] = _Key(puts, [one for one in history if one.kind is Kind.DELETE and one.result is not False])
    return found


def _never_written(glances: Iterable[Glance], keys: Mapping[str, _Key]) -> Iterator[str]:
    for glance in glances:
        if glance.value is not None:
            put = keys[glance.key].puts.get(glance.value) if glance.key in keys else None
            if put is None or put.called_ns > glance.returned_ns:
                yield f"{glance} was not written by then"


def _backwards(glances: Iterable[Glance], keys: Mapping[str, _Key]) -> Iterator[str]:
    """Only a look that had ended before the next began is known to be earlier: threads share a copy."""
    by_copy: defaultdict[tuple[int, str], list[Glance]] = defaultdict(list)
    for glance in glances:
        by_copy[glance.copy, glance.key].append(glance)
    for (_, key), looks in by_copy.items():
        puts = keys[key].puts if key in keys else {}
        ended = sorted(looks, key=lambda one: one.returned_ns, reverse=True)
        newest = 0
        for glance in sorted(looks, key=lambda one: one.called_ns):
            while ended and ended[-1].returned_ns <= glance.called_ns:
                newest = max(newest, _revision(ended.pop(), puts))
            if 0 < _revision(glance, puts) < newest:
                yield f"{glance} is of revision {_revision(glance, puts)}, {newest} was seen before"


def _revision(glance: Glance, puts: Mapping[str, Operation]) -> int:
    """That of the value; 0 when it is not known."""
    put = None if glance.value is None else puts.get(glance.value)
    return 0 if put is None else put.own_revision


def _behind(glances: Iterable[Glance], keys: Mapping[str, _Key]) -> Iterator[tuple[Glance, float]]:
    """How long ago, less its age, a value that was given had surely been replaced."""
    for glance in glances:
        if glance.key in keys and (replaced_ns := _replaced_ns(glance, keys[glance.key])) is not None:
            yield glance, (glance.called_ns - replaced_ns) / SECOND_NS - glance.age_s


def _replaced_ns(glance: Glance, key: _Key) -> int | None:
    """When a later value had been acknowledged, at the latest; of "absent": a value that no delete can have taken away since."""
    if glance.value is not None:
        revision = _revision(glance, key.puts)
        return min((put.returned_ns or 0 for put in key.sure if 0 < revision < put.own_revision), default=None)
    ended = [one.returned_ns for one in key.deletes if one.called_ns <= glance.returned_ns]
    if None in ended:
        return None
    last_ns = max((at_ns for at_ns in ended if at_ns is not None), default=0)
    return min((put.returned_ns or 0 for put in key.sure if put.called_ns > last_ns), default=None)
