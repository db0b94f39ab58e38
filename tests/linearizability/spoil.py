"""Answers and times of a history changed by chance: most of what comes out could not have happened."""

import random
from collections.abc import Sequence

import msgspec

from tests.linearizability.generate import MS
from tests.linearizability.operation import Answer, Kind, Operation

_SHIFT_NS = 20 * MS


def spoil(rng: random.Random, history: Sequence[Operation]) -> list[Operation]:
    """Change one or two operations that were answered."""
    spoiled = list(history)
    for _ in range(rng.choice((1, 2))):
        at = rng.randrange(len(spoiled))
        if spoiled[at].returned_ns is not None:
            spoiled[at] = _changed(rng, spoiled, spoiled[at])
    return spoiled


def _changed(rng: random.Random, history: Sequence[Operation], one: Operation) -> Operation:
    assert one.returned_ns is not None
    how = rng.random()
    if one.revision is not None and how < 0.2:
        return msgspec.structs.replace(one, revision=max(1, one.revision + rng.choice((-1, 1))))
    if one.kind is Kind.PUT or how < 0.4:
        shift = rng.randint(-_SHIFT_NS, _SHIFT_NS)
        called = max(0, one.called_ns + shift)
        return msgspec.structs.replace(one, called_ns=called, returned_ns=called + one.returned_ns - one.called_ns)
    return msgspec.structs.replace(one, result=_other(rng, history, one))


def _other(rng: random.Random, history: Sequence[Operation], one: Operation) -> Answer:
    if one.kind is Kind.GET:
        put = [other.argument for other in history if other.kind is Kind.PUT and not isinstance(other.argument, tuple)]
        return rng.choice([None, *put])
    if one.kind is Kind.INCREMENT:
        return rng.choice((one.result + 1, one.result - 1, None)) if isinstance(one.result, int) else None
    return rng.choice((not one.result, not one.result, None))
