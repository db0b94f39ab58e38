"""A failing history cut down to what is wrong with it.

Cutting must not make a history fail that did not: without its put, any get of a value is wrong. So nothing is dropped that
others may rest on; it is *excused*. An excused get or other operation that changes nothing is gone, which takes away a
demand. An excused write becomes one with an unknown outcome, open to the end, and a compare-and-set one that does not
compare, which leaves every order possible that was possible before. So when what is left has no order, the whole had none.

What is not excused in the end is the quarrel. Excused writes of a value that it speaks of are shown with it, so that nobody looks
for them in vain; all others have been tried and do not help.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from tests.linearizability import model
from tests.linearizability.decide import decide
from tests.linearizability.operation import Kind, Operation, Scalar

STEPS_MAX = 200_000
NEAR = 40
WITNESSES = 8
TRY_STEPS_MAX = 3_000


class Quarrel(msgspec.Struct, frozen=True):
    """A failing history that is as small as it could be made, where it fails and why."""

    operations: list[Operation]
    stuck: Operation
    reason: str


def shrink(history: Sequence[Operation], stuck: Operation, reason: str) -> Quarrel:
    """Cut one key's failing history down.

    Args:
        history: the operations of a key that have no order.
        stuck: where the search ended.
        reason: what it said.

    Returns:
        A history that fails as well, by the order of calls; the whole when no part fails within the budget.
    """
    whole = sorted(history, key=lambda one: one.called_ns)
    tries = _Tries(whole)
    for kept in _guesses(whole, stuck):
        if tries.fails(kept):
            return tries.quarrel(_minimal(kept, tries.fails))
    return Quarrel(whole, stuck, reason)


def _guesses(whole: list[Operation], stuck: Operation) -> Iterator[list[int]]:
    """Where the quarrel may be, the smaller first: it is mostly about one value, and near to where the search ended."""
    here = whole.index(stuck)
    yield [here]
    nearest = sorted(range(len(whole)), key=lambda at: abs(at - here))
    for value in dict.fromkeys(value for at in nearest[:NEAR] for value in _named(whole[at])):
        about = [at for at, one in enumerate(whole) if value in _named(one)]
        yield sorted({*about, here})
        yield sorted({*about, *_between(whole, about)})
    size = 4
    while size < len(whole):
        yield sorted(nearest[:size])
        size *= 2
    yield list(range(len(whole)))


def _named(one: Operation) -> list[Scalar]:
    return [value for value in (*_found(one), *_written(one)) if value is not None]


def _between(whole: list[Operation], about: list[int]) -> list[int]:
    """A few writes that surely came after the first of some operations and before the last, the shortest first."""
    first, last = whole[about[0]], whole[about[-1]]
    found = [
        (one.returned_ns - one.called_ns, at)
        for at, one in enumerate(whole)
        if one.returned_ns is not None
        and one.returned_ns < last.called_ns
        and one.called_ns > (first.returned_ns or first.called_ns)
        and _writes(one)
    ]
    return [at for _, at in sorted(found)[:WITNESSES]]


class _Tries:
    """Whether a history still fails with all but some excused."""

    def __init__(self, whole: list[Operation]) -> None:
        self._whole = whole
        self._steps_left = STEPS_MAX

    def fails(self, kept: list[int]) -> bool:
        if self._steps_left <= 0:
            return False
        decision = decide(self._excusing(kept), TRY_STEPS_MAX)
        self._steps_left -= decision.steps + len(self._whole)  # to get ready costs about as much as a step for each
        return decision.found is False

    def _excusing(self, kept: list[int]) -> list[Operation]:
        told = set(kept)
        return [one if at in told else _excuse(one) for at, one in enumerate(self._whole) if at in told or _writes(one)]

    def quarrel(self, kept: list[int]) -> Quarrel:
        """What is kept, and the writes of values that it speaks of."""
        told = set(kept)
        spoken = {value for at in kept for value in _found(self._whole[at])}
        shown = [one for at, one in enumerate(self._whole) if at in told or spoken & set(_written(one))]
        decision = decide(self._excusing(kept), TRY_STEPS_MAX)
        assert decision.stuck is not None
        place = (decision.stuck.client, decision.stuck.called_ns)
        stuck = next((one for one in shown if (one.client, one.called_ns) == place), shown[-1])
        return Quarrel(shown, stuck, decision.reason)


def _writes(one: Operation) -> bool:
    if one.kind is Kind.GET:
        return False
    return one.returned_ns is None or not model.is_passive(model.effects_of(one))


def _excuse(one: Operation) -> Operation:
    kind, argument = one.kind, one.argument
    if isinstance(argument, tuple):
        kind, argument = (Kind.DELETE, None) if argument[1] is None else (Kind.PUT, argument[1])
    return msgspec.structs.replace(one, kind=kind, argument=argument, returned_ns=None, result=None, revision=None)


def _found(one: Operation) -> list[Scalar]:
    if one.kind is Kind.GET:
        return [] if one.result is None else [one.result]
    if one.kind is Kind.CAS and isinstance(one.argument, tuple):
        return [] if one.argument[0] is None else [one.argument[0]]
    return []


def _written(one: Operation) -> list[Scalar]:
    if one.kind is Kind.CAS and isinstance(one.argument, tuple):
        return [one.argument[1]]
    return [one.argument] if one.kind is Kind.PUT and not isinstance(one.argument, tuple) else []


def _minimal(whole: list[int], fails: Callable[[list[int]], bool]) -> list[int]:
    """Zeller and Hildebrandt's delta debugging, by complements: take parts away for as long as the rest fails."""
    left, parts = whole, 2
    while len(left) > 1:
        size = -(-len(left) // parts)
        for begin in range(0, len(left), size):
            rest = left[:begin] + left[begin + size :]
            if fails(rest):
                left, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(left))
    return left
