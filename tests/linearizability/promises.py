"""A promise that can be held against a history directly, without a search for an order.

It says less than `check`, but what it says it says independently of it: by name, and in one pass.
"""

from collections.abc import Iterable

from tests.linearizability.check import by_key
from tests.linearizability.operation import Kind, Operation, lifetime_ns

_FOR_EVER = 1 << 62


def expired_early(operations: Iterable[Operation]) -> list[tuple[Operation, Operation]]:
    """Keys found gone before their time: the last write, and the operation that found nothing.

    A write is the last one when all others had returned before it was called or were called after the key was found gone;
    what overlaps leaves room for another explanation, and so does an unknown outcome called before.
    """
    found = []
    for history in by_key(operations).values():
        writes = sorted((one for one in history if _writes(one)), key=lambda one: one.called_ns)
        for gone in history:
            if _found_nothing(gone) and (last := _last_before(writes, gone)) is not None:
                due = _FOR_EVER if last.ttl_s is None else last.called_ns + lifetime_ns(last.ttl_s)
                if (gone.returned_ns or _FOR_EVER) < due:
                    found.append((last, gone))
    return found


def _writes(one: Operation) -> bool:
    if one.kind is Kind.GET:
        return False
    return one.returned_ns is None or one.result is not False


def _found_nothing(one: Operation) -> bool:
    if one.returned_ns is None:
        return False
    if one.kind is Kind.GET:
        return one.result is None
    return one.kind in {Kind.DELETE, Kind.TOUCH} and one.result is False


def _last_before(writes: list[Operation], gone: Operation) -> Operation | None:
    """The write that surely was the last before an operation, when it can be told and left a value."""
    assert gone.returned_ns is not None
    before = [one for one in writes if one.called_ns <= gone.returned_ns and one is not gone]
    if not before:
        return None
    last = before[-1]
    if last.kind is Kind.DELETE or last.returned_ns is None or last.returned_ns >= gone.called_ns:
        return None
    if last.kind in {Kind.TOUCH, Kind.CAS, Kind.INCREMENT} and last.result is None:
        return None
    if last.kind is Kind.INCREMENT or (isinstance(last.argument, tuple) and last.argument[1] is None):
        return None
    others = before[:-1]
    return last if all((one.returned_ns or _FOR_EVER) < last.called_ns for one in others) else None
