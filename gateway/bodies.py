"""Request bodies: JSON in, operations out, every limit checked before anything is sent to the cluster.

A value is kept as the bytes that came in (`msgspec.Raw`): msgspec checks its JSON grammar without building it, and what it
leaves out is checked here, namely UTF-8 and the depth. Unknown fields are refused, because a condition that is
silently ignored is worse than an error. Every message names the field and, in a bulk request, the item.
"""

import re
from collections.abc import Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

import msgspec

from gateway.conditions import Conditional
from gateway.data_limits import LIMIT_TTL_S, DataLimits
from gateway.errors import ApiCode, ApiError, invalid
from gateway.json_text import json_value
from gateway.paths import check_key
from gateway.whole import Positive, Whole, decoder
from wire.messages import (
    NEVER,
    Condition,
    Delete,
    IncrementItem,
    Put,
    PutItem,
    Touch,
    TouchItem,
)

_HALF_BYTES = 12
_HALF_A_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?:[^\\]|\\[^u]).{0,4}\Z", re.DOTALL)
"""Half of a surrogate pair and the rest of a body, which is too short for the other half; so many bytes at most."""

T = TypeVar("T")
EntryT = TypeVar("EntryT")
ItemT = TypeVar("ItemT")
BulkT = TypeVar("BulkT", Put, Delete, Touch)
_Take: TypeAlias = Callable[[EntryT, str, DataLimits], ItemT]


class Ttl(Positive):
    """Seconds to live; what a gateway allows may be less."""

    high = LIMIT_TTL_S


class PutBody(Conditional, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`PUT /kv/{key}`."""

    value: msgspec.Raw
    ttl: Ttl | None = None


class TouchBody(Conditional, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /kv/{key}/touch`."""

    ttl: Ttl


class IncrementBody(Conditional, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /kv/{key}/increment`."""

    by: Whole = Whole(1)
    initial: Whole = Whole(0)
    ttl: Ttl | None = None
    min: Whole | None = None
    max: Whole | None = None


class _PutEntry(PutBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    key: str


class _BulkPutBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operations: list[_PutEntry]
    atomic: bool = False


class _TouchEntry(TouchBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    key: str


class _BulkTouchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operations: list[_TouchEntry]
    atomic: bool = False


class _DeleteEntry(Conditional, frozen=True, forbid_unknown_fields=True, kw_only=True):
    key: str


class _BulkDeleteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[str | _DeleteEntry]
    atomic: bool = False


class BulkGetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /kv/bulk/get`."""

    keys: list[str]
    with_ttl: bool = False
    meta: bool = False


class Bulk(msgspec.Struct, Generic[BulkT], frozen=True):
    """A bulk write, and whether all of it or nothing shall be done."""

    operation: BulkT
    atomic: bool


_put = decoder(PutBody)
_increment = decoder(IncrementBody)
_conditional = decoder(Conditional)
_touch = decoder(TouchBody)
_bulk_put = decoder(_BulkPutBody)
_bulk_touch = decoder(_BulkTouchBody)
_bulk_delete = decoder(_BulkDeleteBody)
_bulk_get = decoder(BulkGetBody)


def parse_put(key: str, body: bytes, limits: DataLimits) -> PutItem:
    """The item of `PUT /kv/{key}`.

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    return put_item(key, "", decode(_put, body), limits)


def parse_condition(body: bytes, limits: DataLimits) -> Condition | None:
    """The condition in the body of `DELETE /kv/{key}`, which may be empty.

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    return decode(_conditional, body).condition("", limits) if body else None


def parse_touch(key: str, body: bytes, limits: DataLimits) -> TouchItem:
    """The item of `POST /kv/{key}/touch`.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    return touch_item(key, "", decode(_touch, body), limits)


def parse_increment(key: str, body: bytes, limits: DataLimits) -> IncrementItem:
    """The item of `POST /kv/{key}/increment`, whose body may be empty.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    return increment_item(key, "", decode(_increment, body or b"{}"), limits)


def parse_bulk_put(body: bytes, limits: DataLimits) -> Bulk[Put]:
    """The operation of `POST /kv/bulk`: all items are good or none is taken.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, VALUE_TOO_LARGE, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_put, body)
    check_count(len(parsed.operations), "operations", limits)
    return Bulk(Put(_each(parsed.operations, "operations", _put_entry, limits)), parsed.atomic)


def parse_bulk_touch(body: bytes, limits: DataLimits) -> Bulk[Touch]:
    """The operation of `POST /kv/bulk/touch`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_touch, body)
    check_count(len(parsed.operations), "operations", limits)
    return Bulk(Touch(_each(parsed.operations, "operations", _touch_entry, limits)), parsed.atomic)


def parse_bulk_delete(body: bytes, limits: DataLimits) -> Bulk[Delete]:
    """The operation of `POST /kv/bulk/delete`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, VALUE_TOO_LARGE, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_delete, body)
    check_count(len(parsed.keys), "keys", limits)
    keys = [entry if isinstance(entry, str) else entry.key for entry in parsed.keys]
    conditions = _each(parsed.keys, "keys", _delete_entry, limits)
    return Bulk(Delete(keys, conditions if any(conditions) else []), parsed.atomic)


def parse_bulk_get(body: bytes, limits: DataLimits) -> BulkGetBody:
    """The keys of `POST /kv/bulk/get`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_get, body)
    check_count(len(parsed.keys), "keys", limits)
    _each(parsed.keys, "keys", _key_entry, limits)
    return parsed


def _each(entries: Sequence[EntryT], field: str, take: _Take[EntryT, ItemT], limits: DataLimits) -> list[ItemT]:
    """What `take` makes of each entry of a bulk request. Where one stands is put into words only when it is refused.

    Raises:
        ApiError: as `take` does.
    """
    try:
        return [take(entry, "", limits) for entry in entries]
    except ApiError:
        return [take(entry, f"{field}[{index}].", limits) for index, entry in enumerate(entries)]


def _put_entry(entry: _PutEntry, where: str, limits: DataLimits) -> PutItem:
    check_key(entry.key, where + "key", limits)
    return put_item(entry.key, where, entry, limits)


def _touch_entry(entry: _TouchEntry, where: str, limits: DataLimits) -> TouchItem:
    check_key(entry.key, where + "key", limits)
    return touch_item(entry.key, where, entry, limits)


def _delete_entry(entry: str | _DeleteEntry, where: str, limits: DataLimits) -> Condition | None:
    if isinstance(entry, str):
        _key_entry(entry, where, limits)
        return None
    _key_entry(entry.key, where, limits)
    return entry.condition(where, limits)


def _key_entry(key: str, where: str, limits: DataLimits) -> None:
    check_key(key, where.removesuffix("."), limits)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """A body in JSON.

    Raises:
        ApiError: INVALID_REQUEST; the message names the field.
    """
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look into the strings of a Raw
        return decoder.decode(body)
    except UnicodeDecodeError:
        raise invalid("body: not UTF-8") from None
    except RecursionError:
        raise invalid("body: nested too deep") from None
    except msgspec.ValidationError as error:
        raise invalid(_message(error)) from None
    except msgspec.MsgspecError as error:
        if not body:
            raise invalid("body: it is empty, where JSON is expected") from None
        if _is_half_a_pair(str(error), body):
            raise invalid("body: half of a surrogate pair stands in a string, which is no character") from None
        raise invalid(_message(error)) from None


def _is_half_a_pair(fault: str, body: bytes) -> bool:
    """Whether that is the fault of malformed JSON, by msgspec's words for it: near the end it only misses the other half."""
    if "truncated" not in fault:
        return "surrogate" in fault or "end of hex escape" in fault
    found = _HALF_A_PAIR.search(body, max(0, len(body) - _HALF_BYTES))
    if found is None:
        return False
    before = body[: found.start()]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 0


def _message(error: msgspec.MsgspecError) -> str:
    """`Expected `int` >= 1 - at `$.operations[3].ttl`` as `operations[3].ttl: expected `int` >= 1`."""
    what, has_path, path = str(error).partition(" - at `$")
    if what[1:2].islower():  # "Expected", but not "JSON"
        what = what[:1].lower() + what[1:]
    field = path.removesuffix("`").lstrip(".")
    return f"{field or 'body'}: {what}" if has_path else f"body: {what}"


def put_item(key: str, where: str, body: PutBody, limits: DataLimits) -> PutItem:
    """A key to set; `where` names the item, with a dot behind, or is "".

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    value = json_value(body.value, where + "value", limits)
    return PutItem(key, value, "", milliseconds(body.ttl, where + "ttl", limits), body.condition(where, limits))


def touch_item(key: str, where: str, body: TouchBody, limits: DataLimits) -> TouchItem:
    """A key to keep for longer or shorter; `where` as above.

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    return TouchItem(key, milliseconds(body.ttl, where + "ttl", limits), body.condition(where, limits))


def milliseconds(ttl: int | None, where: str, limits: DataLimits) -> int:
    """A time to live of some seconds as the cluster has it; `where` names the field.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    if ttl is None:
        return NEVER
    if ttl > limits.ttl_s_max:
        raise invalid(f"{where}: expected `int` in 1..{limits.ttl_s_max}")
    return ttl * 1000


def increment_item(key: str, where: str, body: IncrementBody, limits: DataLimits) -> IncrementItem:
    """A number to change.

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    return IncrementItem(
        key,
        by=int(body.by),
        initial=int(body.initial),
        ttl_ms=milliseconds(body.ttl, where + "ttl", limits),
        minimum=None if body.min is None else int(body.min),
        maximum=None if body.max is None else int(body.max),
        condition=body.condition(where, limits),
    )


def check_count(count: int, where: str, limits: DataLimits) -> None:
    """Refuse an empty list, and one that is too long.

    Raises:
        ApiError: INVALID_REQUEST, BATCH_TOO_LARGE.
    """
    if count == 0:
        raise invalid(f"{where}: the list is empty")
    if count > limits.bulk_items:
        raise ApiError(ApiCode.BATCH_TOO_LARGE, f"{where}: over {limits.bulk_items} items")
