"""A failing history cut down to what is wrong with it.

Cutting must not make a history fail that did not: without its put, any get of a value is wrong. So nothing is dropped that
others may rest on; it is *excused*. An excused get or other operation that changes nothing is gone, which takes away a
demand. An excused write becomes one with an unknown outcome, open to the end, which leaves every order possible that was
possible before. So when what is left has no order, the whole had none.

What is not excused in the end is the quarrel. Excused writes of a value that it speaks of are shown with it, so that nobody looks
for them in vain; all others have been tried and do not help.
"""

from collections.abc import Callable, Sequence

import msgspec

from tests.linearizability import model
from tests.linearizability.decide import decide
from tests.linearizability.operation import Kind, Operation, Scalar

TRIES_MAX = 400
TRY_STEPS_MAX = 30_000


def shrink(history: Sequence[Operation], stuck: Operation | None = None) -> list[Operation]:
    """Cut one key's failing history down.

    Args:
        history: the operations of a key that have no order.
        stuck: where the search ended; what was called after it had returned is tried without at first.

    Returns:
        A history that fails as well, by the order of calls; the whole when no part fails within the budget.
    """
    whole = sorted(history, key=lambda one: one.called_ns)
    tries = _Tries(whole)
    left = list(range(len(whole)))
    if stuck is not None and stuck.returned_ns is not None:
        until = stuck.returned_ns
        early = [at for at in left if whole[at].called_ns <= until]
        left = early if tries.fails(early) else left
    kept = _minimal(left, tries.fails)
    return tries.shown(kept)


class _Tries:
    """Whether a history still fails with all but some excused."""

    def __init__(self, whole: list[Operation]) -> None:
        self._whole = whole
        self._left = TRIES_MAX

    def fails(self, kept: list[int]) -> bool:
        self._left -= 1
        return self._left >= 0 and decide(self._excusing(kept), TRY_STEPS_MAX).found is False

    def _excusing(self, kept: list[int]) -> list[Operation]:
        told = set(kept)
        return [one if at in told else _excuse(one) for at, one in enumerate(self._whole) if at in told or _writes(one)]

    def shown(self, kept: list[int]) -> list[Operation]:
        """The quarrel, and the writes of values that it speaks of."""
        spoken = {value for at in kept for value in _found(self._whole[at])}
        named = [at for at, one in enumerate(self._whole) if at not in set(kept) and spoken & set(_written(one))]
        shown = [self._whole[at] for at in sorted([*kept, *named])]
        return shown if decide(shown, TRY_STEPS_MAX).found is False else [self._whole[at] for at in kept]


def _writes(one: Operation) -> bool:
    if one.kind is Kind.GET:
        return False
    return one.returned_ns is None or not model.is_passive(model.effects_of(one))


def _excuse(one: Operation) -> Operation:
    return msgspec.structs.replace(one, returned_ns=None, result=None, revision=None)


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
