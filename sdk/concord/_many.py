"""Any number of keys: split into requests within the limits, and the outcomes put together again. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from concord import _calls, _values
from concord._calls import LINEARIZABLE, Call, Freshness, Outcomes
from concord._core import OwnWrites, Plan
from concord._errors import ConcordError, InvalidRequest, NotFound, TooLarge
from concord._responses import Entry

T = TypeVar("T")

BATCH_ITEMS = 500
BATCH_BYTES = 4 << 20  # half of what a gateway takes, so that keys and names of fields fit in


class Read(msgspec.Struct, Generic[T], frozen=True):
    """What came of reading many keys. Each key is in one of the three.

    Attributes:
        entries: those that were there.
        missing: those that were not.
        errors: those that could not be read, and why.
    """

    entries: dict[str, Entry[T]]
    missing: list[str]
    errors: dict[str, ConcordError]

    @property
    def values(self) -> dict[str, T]:
        """The values of those that were there."""
        return {key: entry.value for key, entry in self.entries.items()}

    def check(self) -> "Read[T]":
        """Itself; raises the first error if there is one."""
        for error in self.errors.values():
            raise error
        return self


class Written(msgspec.Struct, frozen=True):
    """What came of writing many keys. Each key is in one of the two.

    Attributes:
        done: those that were written (deleted, touched).
        errors: the others, and why; `.applied` says whether it may have happened all the same.
    """

    done: list[str]
    errors: dict[str, ConcordError]

    def check(self) -> "Written":
        """Itself; raises the first error if there is one."""
        for error in self.errors.values():
            raise error
        return self


class Put(msgspec.Struct, frozen=True):
    """A value for `put_many` that has more than the others.

    Attributes:
        value: any JSON, or bytes.
        ttl: seconds to live; None for those that all have.
        content_type: of a value of bytes.
        if_fence: no greater fence was used on the key, and this one is remembered; None for that of all. A value of bytes cannot have one.
    """

    value: object
    ttl: int | None = None
    content_type: str | None = None
    if_fence: int | None = None


class Batch(msgspec.Struct, Generic[T], frozen=True):
    """Keys, and the plan that does something to them."""

    keys: Sequence[str]
    plan: Callable[[], Plan[Mapping[str, T]]]


def read(batches: Iterable[Mapping[str, Entry[T] | ConcordError]]) -> Read[T]:
    """All batches' outcomes as one."""
    result: Read[T] = Read({}, [], {})
    for batch in batches:
        for key, outcome in batch.items():
            if isinstance(outcome, Entry):
                result.entries[key] = outcome
            elif isinstance(outcome, NotFound):
                result.missing.append(key)
            else:
                result.errors[key] = outcome
    return result


def written(batches: Iterable[Mapping[str, ConcordError | None]]) -> Written:
    """All batches' outcomes as one."""
    result = Written([], {})
    for batch in batches:
        for key, error in batch.items():
            if error is None:
                result.done.append(key)
            else:
                result.errors[key] = error
    return result


def one_after_another(call: Call[T]) -> Plan[T]:
    """The plan of a single call."""
    result: T = yield call
    return result


def get_batches(keys: Iterable[str], kind: Any, fresh: Freshness, own: OwnWrites) -> Iterator[Batch[Any]]:
    """Batches of a get_many. Keys that this client wrote lately are never read stale."""
    unique = list(dict.fromkeys(keys))
    wanted = [(fresh, unique)]
    if fresh != LINEARIZABLE:
        written_lately = [key for key in unique if own.includes(key)]
        wanted = [(LINEARIZABLE, written_lately), (fresh, [key for key in unique if not own.includes(key)])]
    for level, some in wanted:
        for part in parts([(key, len(key)) for key in some]):
            yield Batch(part, lambda part=part, level=level: _get(part, kind, level))  # type: ignore[misc] # bound early


def _get(keys: Sequence[str], kind: Any, fresh: Freshness) -> Plan[dict[str, Any]]:
    """Read keys; in halves when their values are too large for one answer."""
    try:
        found: dict[str, Any] = yield _calls.bulk_get(keys, kind, fresh)
    except TooLarge:
        if len(keys) == 1:
            raise
        half = len(keys) // 2
        found = yield from _get(keys[:half], kind, fresh)
        rest = yield from _get(keys[half:], kind, fresh)
        return found | rest
    return found


def put_batches(items: Mapping[str, object], ttl: int | None, fence: int | None = None) -> Iterator[Batch[Any]]:
    """Batches of a put_many. Values of bytes go one by one, because a bulk request is JSON."""
    sized = []
    for key, item in items.items():
        put = item if isinstance(item, Put) else Put(item)
        own_ttl = ttl if put.ttl is None else put.ttl
        own_fence = fence if put.if_fence is None else put.if_fence
        if _values.is_raw(put.value):
            call = _calls.put(key, put.value, own_ttl, _calls.fenced(own_fence), put.content_type)
            yield Batch([key], lambda call=call, key=key: _single(call, key))  # type: ignore[misc] # bound early
        else:
            sized.append((_operation(key, put, own_ttl, own_fence), key))
    yield from _operation_batches("bulk", sized)


def _single(call: Call[Any], key: str) -> Plan[Outcomes]:
    yield call
    return {key: None}


def touch_batches(keys: Iterable[str], ttl: int, fence: int | None = None) -> Iterator[Batch[Any]]:
    """Batches of a touch_many."""
    members = {"ttl": ttl} if fence is None else {"ttl": ttl, "if_fence": fence}
    operations = [(_values.encode({"key": key, **members}), key) for key in dict.fromkeys(keys)]
    yield from _operation_batches("bulk/touch", operations)


def delete_batches(keys: Iterable[str], fence: int | None = None) -> Iterator[Batch[Any]]:
    """Batches of a delete_many."""
    for part in parts([(key, len(key)) for key in dict.fromkeys(keys)]):
        named: list[Any] = part if fence is None else [{"key": key, "if_fence": fence} for key in part]
        call = _calls.bulk_write("bulk/delete", _values.encode({"keys": named}), part)
        yield Batch(part, lambda call=call: one_after_another(call))  # type: ignore[misc] # bound early


def _operation(key: str, put: Put, ttl: int | None, fence: int | None) -> bytes:
    if put.content_type is not None:
        raise InvalidRequest(f"{key}: only values of bytes have a content_type")
    end = b"}" if ttl is None else b',"ttl":%d}' % ttl
    if fence is not None:
        end = b',"if_fence":' + _values.encode(fence) + end
    return b'{"key":' + _values.encode(key) + b',"value":' + _values.encode(put.value, key) + end


def _operation_batches(target: str, operations: list[tuple[bytes, str]]) -> Iterator[Batch[Any]]:
    for part in parts([((rendered, key), len(rendered)) for rendered, key in operations]):
        body = b'{"operations":[' + b",".join(rendered for rendered, _ in part) + b"]}"
        keys = [key for _, key in part]
        call = _calls.bulk_write(target, body, keys)
        yield Batch(keys, lambda call=call: one_after_another(call))  # type: ignore[misc] # bound early


def parts(
    items: Iterable[tuple[T, int]], items_max: int = BATCH_ITEMS, bytes_max: int = BATCH_BYTES
) -> Iterator[list[T]]:
    """Items with sizes, split into lists within both limits; a larger item is alone."""
    part: list[T] = []
    size = 0
    for item, item_size in items:
        if part and (len(part) == items_max or size + item_size > bytes_max):
            yield part
            part, size = [], 0
        part.append(item)
        size += item_size
    if part:
        yield part
