"""Request bodies: JSON in, operations out, every limit checked before anything is sent to the cluster.

A value is kept as the bytes that came in (`msgspec.Raw`): msgspec checks its JSON grammar without building it, and what it
leaves out is checked here, namely UTF-8 and the depth. Unknown fields are refused, because a condition that is
silently ignored is worse than an error. Every message names the field and, in a bulk request, the item.
"""

from typing import Generic, TypeVar

import msgspec

from gateway.conditions import Conditional
from gateway.errors import ApiCode, ApiError, invalid
from gateway.json_text import json_value
from gateway.paths import check_key
from gateway.whole import Positive, Whole, decoder
from wire.json_depth import LIMIT_JSON_DEPTH
from wire.messages import (
    LIMIT_BULK_ITEMS,
    LIMIT_TTL_MS,
    NEVER,
    Condition,
    Delete,
    Increment,
    IncrementItem,
    Put,
    PutItem,
    Touch,
    TouchItem,
)

LIMIT_TTL_S = LIMIT_TTL_MS // 1000

T = TypeVar("T")
BulkT = TypeVar("BulkT", Put, Delete, Touch)


class Ttl(Positive):
    """Seconds to live."""

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


def parse_put(key: str, body: bytes) -> PutItem:
    """The item of `PUT /kv/{key}`.

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    return put_item(key, "", decode(_put, body))


def parse_condition(body: bytes) -> Condition | None:
    """The condition in the body of `DELETE /kv/{key}`, which may be empty.

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    return decode(_conditional, body).condition("") if body else None


def parse_touch(key: str, body: bytes) -> Touch:
    """The operation of `POST /kv/{key}/touch`.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    parsed = decode(_touch, body)
    return Touch([TouchItem(key, parsed.ttl * 1000, parsed.condition(""))])


def parse_increment(key: str, body: bytes) -> Increment:
    """The operation of `POST /kv/{key}/increment`, whose body may be empty.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    return Increment([increment_item(key, "", decode(_increment, body or b"{}"))])


def parse_bulk_put(body: bytes) -> Bulk[Put]:
    """The operation of `POST /kv/bulk`: all items are good or none is taken.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, VALUE_TOO_LARGE, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_put, body)
    entries = parsed.operations
    check_count(len(entries), "operations")
    items = []
    for index, entry in enumerate(entries):
        where = f"operations[{index}]."
        check_key(entry.key, where + "key")
        items.append(put_item(entry.key, where, entry))
    return Bulk(Put(items), parsed.atomic)


def parse_bulk_touch(body: bytes) -> Bulk[Touch]:
    """The operation of `POST /kv/bulk/touch`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_touch, body)
    entries = parsed.operations
    check_count(len(entries), "operations")
    items = []
    for index, entry in enumerate(entries):
        where = f"operations[{index}]."
        check_key(entry.key, where + "key")
        items.append(TouchItem(entry.key, entry.ttl * 1000, entry.condition(where)))
    return Bulk(Touch(items), parsed.atomic)


def parse_bulk_delete(body: bytes) -> Bulk[Delete]:
    """The operation of `POST /kv/bulk/delete`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, VALUE_TOO_LARGE, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_delete, body)
    check_count(len(parsed.keys), "keys")
    keys: list[str] = []
    conditions: list[Condition | None] = []
    for index, entry in enumerate(parsed.keys):
        key = entry if isinstance(entry, str) else entry.key
        check_key(key, f"keys[{index}]")
        keys.append(key)
        conditions.append(None if isinstance(entry, str) else entry.condition(f"keys[{index}]."))
    return Bulk(Delete(keys, conditions if any(conditions) else []), parsed.atomic)


def parse_bulk_get(body: bytes) -> BulkGetBody:
    """The keys of `POST /kv/bulk/get`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_get, body)
    _checked_keys(parsed.keys)
    return parsed


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
        raise invalid(f"body: nested over {LIMIT_JSON_DEPTH} levels") from None
    except msgspec.MsgspecError as error:
        raise invalid(_message(error)) from None


def _message(error: msgspec.MsgspecError) -> str:
    """`Expected `int` >= 1 - at `$.operations[3].ttl`` as `operations[3].ttl: expected `int` >= 1`."""
    what, has_path, path = str(error).partition(" - at `$")
    what = what[:1].lower() + what[1:]
    field = path.removesuffix("`").lstrip(".")
    return f"{field or 'body'}: {what}" if has_path else f"body: {what}"


def put_item(key: str, where: str, body: PutBody) -> PutItem:
    """A key to set; `where` names the item, with a dot behind, or is "".

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    value = json_value(body.value, where + "value")
    return PutItem(key, value, "", _milliseconds(body.ttl), body.condition(where))


def _milliseconds(ttl: int | None) -> int:
    return NEVER if ttl is None else ttl * 1000


def _checked_keys(keys: list[str]) -> list[str]:
    check_count(len(keys), "keys")
    for index, key in enumerate(keys):
        check_key(key, f"keys[{index}]")
    return keys


def increment_item(key: str, where: str, body: IncrementBody) -> IncrementItem:
    """A number to change.

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    return IncrementItem(
        key,
        by=int(body.by),
        initial=int(body.initial),
        ttl_ms=_milliseconds(body.ttl),
        minimum=None if body.min is None else int(body.min),
        maximum=None if body.max is None else int(body.max),
        condition=body.condition(where),
    )


def check_count(count: int, where: str) -> None:
    """Refuse an empty list, and one that is too long.

    Raises:
        ApiError: INVALID_REQUEST, BATCH_TOO_LARGE.
    """
    if count == 0:
        raise invalid(f"{where}: the list is empty")
    if count > LIMIT_BULK_ITEMS:
        raise ApiError(ApiCode.BATCH_TOO_LARGE, f"{where}: over {LIMIT_BULK_ITEMS} items")
