"""What one item of an operation does to a key. Pure: a view in, a result out; a refused item changes nothing."""

import re

from shard.machine.conditions import holds
from shard.machine.listing import remaining_ms
from shard.machine.record import Record
from shard.machine.store import View, expires_ms
from wire.messages import (
    Condition,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    ItemResult,
    Put,
    PutItem,
    Status,
    Step,
    TouchItem,
)

INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1

_INTEGER = re.compile(rb"\s*(-?(?:0|[1-9][0-9]{0,18}))\s*")
_NOT_FOUND = ItemResult(Status.NOT_FOUND)
_WRONG_GROUP = ItemResult(Status.WRONG_GROUP)


def take_step(view: View, step: Step) -> list[ItemResult]:
    """Do what an operation says, item by item."""
    if isinstance(step, Put):
        return [put(view, item) for item in step.items]
    if isinstance(step, Delete):
        conditions = step.conditions or [None] * len(step.keys)
        return [delete(view, key, condition) for key, condition in zip(step.keys, conditions, strict=False)]
    if isinstance(step, Increment):
        return [increment(view, item) for item in step.items]
    if isinstance(step, Fetch):
        return [fetch(view, key) for key in step.keys]
    return [touch(view, item) for item in step.items]


def put(view: View, item: PutItem) -> ItemResult:
    """Set a key. Its fence is kept, or raised by the condition's."""
    if not view.owns(item.key):
        return _WRONG_GROUP
    old = view.get(item.key)
    if item.condition is not None and not holds(item.condition, old):
        return _refused(old)
    fence = _fence(item.condition, old)
    record = Record(item.value, item.content_type, view.index, expires_ms(view, item.ttl_ms), fence)
    view.put(item.key, record)
    return ItemResult(Status.OK, view.index)


def delete(view: View, key: str, condition: Condition | None) -> ItemResult:
    """Remove a key, and the memory of its fence with it."""
    if not view.owns(key):
        return _WRONG_GROUP
    old = view.get(key)
    if condition is not None and not holds(condition, old):
        return _refused(old)
    if old is None:
        return _NOT_FOUND
    view.remove(key)
    return ItemResult(Status.OK, view.index)


def touch(view: View, item: TouchItem) -> ItemResult:
    """Set the time to live of a key that is there."""
    if not view.owns(item.key):
        return _WRONG_GROUP
    old = view.get(item.key)
    if old is None:
        return _NOT_FOUND
    if item.condition is not None and not holds(item.condition, old):
        return _refused(old)
    due_ms, fence = expires_ms(view, item.ttl_ms), _fence(item.condition, old)
    view.put(item.key, Record(old.value, old.content_type, view.index, due_ms, fence))
    return ItemResult(Status.OK, view.index)


def increment(view: View, item: IncrementItem) -> ItemResult:
    """Add to a whole number; a key that is not there is made."""
    if not view.owns(item.key):
        return _WRONG_GROUP
    old = view.get(item.key)
    if item.condition is not None and not holds(item.condition, old):
        return _refused(old)
    revision = 0 if old is None else old.revision
    present = item.initial if old is None else whole_number(old)
    if present is None:
        return ItemResult(Status.NOT_A_NUMBER, revision)
    total = present + item.by
    low = INTEGER_MIN if item.minimum is None else max(INTEGER_MIN, item.minimum)
    high = INTEGER_MAX if item.maximum is None else min(INTEGER_MAX, item.maximum)
    if not low <= total <= high:
        return ItemResult(Status.OUT_OF_RANGE, revision, b"%d" % present)
    due_ms = expires_ms(view, item.ttl_ms) if old is None else old.expires_ms
    view.put(item.key, Record(b"%d" % total, "", view.index, due_ms, _fence(item.condition, old)))
    return ItemResult(Status.OK, view.index, b"%d" % total)


def fetch(view: View, key: str) -> ItemResult:
    """Read a key as it is now."""
    if not view.owns(key):
        return _WRONG_GROUP
    record = view.get(key)
    if record is None:
        return _NOT_FOUND
    return ItemResult(Status.OK, record.revision, record.value, record.content_type, remaining_ms(record, view.now_ms))


def whole_number(record: Record) -> int | None:
    """The value as a whole number of signed 64 bits; None when it is something else."""
    match = None if record.content_type else _INTEGER.fullmatch(record.value)
    number = None if match is None else int(match[1])
    return number if number is not None and INTEGER_MIN <= number <= INTEGER_MAX else None


def _refused(record: Record | None) -> ItemResult:
    return ItemResult(Status.PRECONDITION_FAILED, 0 if record is None else record.revision)


def _fence(condition: Condition | None, record: Record | None) -> int:
    """The fence that a record has after a change under a condition that held."""
    kept = 0 if record is None else record.fence
    return kept if condition is None or condition.fence is None else max(kept, condition.fence)
