"""Whether what a client expects of a key holds. Pure.

Values are compared as JSON: white space, the order of members and the way a number is written do not count (`1.0` is
not `1`, though: one is a whole number). They are parsed only when their bytes differ, and never kept parsed. Texts over
64 KiB are compared byte by byte: a request of a few kilobytes could have 500 of a mebibyte parsed, which takes minutes.
"""

import msgspec

from shard.machine.record import Record
from wire.messages import LIMIT_COMPARED_BYTES, Comparison, Condition, Relation


def holds(condition: Condition, record: Record | None) -> bool:
    """Whether a key, visible or not, fulfils a condition."""
    revision = 0 if record is None else record.revision
    return (
        (condition.exists is None or condition.exists == (record is not None))
        and (condition.revision is None or condition.revision == revision)
        and (
            condition.value is None
            or (record is not None and _is_json(record) and is_same(condition.value, record.value))
        )
        and (condition.fence is None or record is None or condition.fence >= record.fence)
    )


def compares(comparison: Comparison, record: Record | None) -> bool:
    """Whether a key, visible or not, is as a transaction wants it."""
    if comparison.exists is not None:
        return _related(record is not None, comparison.exists, comparison.relation)
    if comparison.revision is not None:
        return _related(0 if record is None else record.revision, comparison.revision, comparison.relation)
    if comparison.value is None or record is None or not _is_json(record):
        return comparison.relation is Relation.NOT_EQUAL
    if comparison.relation in {Relation.EQUAL, Relation.NOT_EQUAL}:
        return is_same(comparison.value, record.value) == (comparison.relation is Relation.EQUAL)
    if not _is_short(record.value, comparison.value):
        return False
    return _ordered(_parse(record.value), _parse(comparison.value), comparison.relation)


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two JSON texts say the same."""
    return one == other or (_is_short(one, other) and _canonical(one) == _canonical(other))


def _is_short(*texts: bytes) -> bool:
    return all(len(text) <= LIMIT_COMPARED_BYTES for text in texts)


def _is_json(record: Record) -> bool:
    return not record.content_type


def _related(found: int, wanted: int, relation: Relation) -> bool:
    if relation is Relation.EQUAL:
        return found == wanted
    if relation is Relation.NOT_EQUAL:
        return found != wanted
    return found < wanted if relation is Relation.LESS else found > wanted


def _ordered(found: object, wanted: object, relation: Relation) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (found, wanted))
    strings = isinstance(found, str) and isinstance(wanted, str)
    if not numbers and not strings:
        return False
    less = found < wanted  # type: ignore[operator] # two numbers or two strings
    return less if relation is Relation.LESS else found != wanted and not less


def _parse(text: bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None


def _canonical(text: bytes) -> bytes:
    """JSON text with the members of objects in order and everything else in one way of writing; what is none stays."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted")
    except (ValueError, RecursionError):
        return text
