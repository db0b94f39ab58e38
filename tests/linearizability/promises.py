"""Promises that can be held against a history directly, without a search for an order.

They say less than `check`, but what they say they say independently of it: by name, and in one pass.
"""

from collections.abc import Iterable, Mapping

from tests.linearizability.check import by_key
from tests.linearizability.operation import Kind, Operation, Scalar, lifetime_ns

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


def lost(operations: Iterable[Operation], final: Mapping[str, Scalar]) -> list[str]:
    """Keys that in the end do not hold what was acknowledged.

    Args:
        operations: everything that was done, all of it returned or given up.
        final: what was read of each key at the end, None for absent; a key that is not in it was not read.
    """
    return sorted(
        key for key, history in by_key(operations).items() if key in final and not _may_hold(history, final[key])
    )


def _may_hold(history: list[Operation], value: Scalar) -> bool:
    """Whether a write of the value, or the absence of any, can have been the last."""
    writes = [one for one in history if _writes(one) and one.kind is not Kind.TOUCH]
    called_last = max((one.called_ns for one in writes if _surely(one)), default=None)
    if value is None and (called_last is None or any(one.ttl_s is not None for one in history)):
        return True
    if called_last is None:
        return any(value in _leaves(one) for one in writes)
    # A sure write that returned before another sure one was called has been replaced.
    return any((one.returned_ns or _FOR_EVER) >= called_last and value in _leaves(one) for one in writes)


def _writes(one: Operation) -> bool:
    if one.kind is Kind.GET:
        return False
    return one.returned_ns is None or one.result is not False


def _surely(one: Operation) -> bool:
    """Whether it is known to have replaced whatever there was."""
    known = one.returned_ns is not None
    return known and (one.kind in {Kind.PUT, Kind.DELETE} or one.result is not None)


class _Any:
    """Every number: what an increment leaves whose result is not known."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int)


def _leaves(one: Operation) -> tuple[Scalar, ...] | _Any:
    match one.kind, one.argument:
        case Kind.DELETE, _:
            return (None,)
        case Kind.INCREMENT, _:
            return (one.result,) if one.returned_ns is not None and one.result is not None else _Any()
        case _, (_, new):
            return (new,)
        case _, value:
            assert not isinstance(value, tuple)
            return (value,)


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
