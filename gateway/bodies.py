"""Request bodies: JSON in, operations out, every limit checked before anything is sent to the cluster.

A value is kept as the bytes that came in (`msgspec.Raw`): msgspec checks its JSON grammar without building it, and what it
leaves out is checked here, namely UTF-8 and the depth. Unknown fields are refused, because a condition that is
silently ignored is worse than an error. Every message names the field and, in a bulk request, the item.
"""

import re
from typing import Annotated, TypeVar

import msgspec

from gateway.errors import ApiCode, ApiError, invalid
from gateway.paths import check_key
from wire.messages import (
    LIMIT_BULK_ITEMS,
    LIMIT_TTL_MS,
    LIMIT_VALUE_BYTES,
    NEVER,
    Delete,
    Put,
    PutItem,
    Touch,
    TouchItem,
)

LIMIT_JSON_DEPTH = 64
LIMIT_TTL_S = LIMIT_TTL_MS // 1000

Ttl = Annotated[int, msgspec.Meta(ge=1, le=LIMIT_TTL_S)]
T = TypeVar("T")

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


class PutBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /kv/{key}`."""

    value: msgspec.Raw
    ttl: Ttl | None = None


class TouchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /kv/{key}/touch`."""

    ttl: Ttl


class _PutEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    value: msgspec.Raw
    ttl: Ttl | None = None


class _BulkPutBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operations: list[_PutEntry]


class _TouchEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    ttl: Ttl


class _BulkTouchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operations: list[_TouchEntry]


class _BulkDeleteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[str]


class BulkGetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /kv/bulk/get`."""

    keys: list[str]
    with_ttl: bool = False


_put = msgspec.json.Decoder(PutBody)
_touch = msgspec.json.Decoder(TouchBody)
_bulk_put = msgspec.json.Decoder(_BulkPutBody)
_bulk_touch = msgspec.json.Decoder(_BulkTouchBody)
_bulk_delete = msgspec.json.Decoder(_BulkDeleteBody)
_bulk_get = msgspec.json.Decoder(BulkGetBody)


def parse_put(key: str, body: bytes) -> Put:
    """The operation of `PUT /kv/{key}`.

    Raises:
        ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
    """
    parsed = decode(_put, body)
    return Put([PutItem(key, _value(parsed.value, "value"), "", _milliseconds(parsed.ttl))])


def delete_of(key: str) -> Delete:
    """The operation of `DELETE /kv/{key}`."""
    return Delete([key])


def parse_touch(key: str, body: bytes) -> Touch:
    """The operation of `POST /kv/{key}/touch`.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    return Touch([TouchItem(key, decode(_touch, body).ttl * 1000)])


def parse_bulk_put(body: bytes) -> Put:
    """The operation of `POST /kv/bulk`: all items are good or none is taken.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, VALUE_TOO_LARGE, BATCH_TOO_LARGE.
    """
    entries = decode(_bulk_put, body).operations
    _check_count(len(entries), "operations")
    return Put([_put_item(index, entry) for index, entry in enumerate(entries)])


def parse_bulk_touch(body: bytes) -> Touch:
    """The operation of `POST /kv/bulk/touch`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, BATCH_TOO_LARGE.
    """
    entries = decode(_bulk_touch, body).operations
    _check_count(len(entries), "operations")
    for index, entry in enumerate(entries):
        check_key(entry.key, f"operations[{index}].key")
    return Touch([TouchItem(entry.key, entry.ttl * 1000) for entry in entries])


def parse_bulk_delete(body: bytes) -> Delete:
    """The operation of `POST /kv/bulk/delete`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, BATCH_TOO_LARGE.
    """
    return Delete(_checked_keys(decode(_bulk_delete, body).keys))


def parse_bulk_get(body: bytes) -> BulkGetBody:
    """The keys of `POST /kv/bulk/get`.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, BATCH_TOO_LARGE.
    """
    parsed = decode(_bulk_get, body)
    _checked_keys(parsed.keys)
    return parsed


def is_too_deep(raw: bytes) -> bool:
    """Whether JSON text (known to be well formed) nests arrays and objects over LIMIT_JSON_DEPTH levels."""
    if raw.count(b"[") + raw.count(b"{") <= LIMIT_JSON_DEPTH:
        return False
    brackets = _STRINGS.sub(b"", raw).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(LIMIT_JSON_DEPTH):  # each round takes the innermost level of every branch away
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The body of a request, checked.

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


def _put_item(index: int, entry: _PutEntry) -> PutItem:
    where = f"operations[{index}]"
    check_key(entry.key, where + ".key")
    return PutItem(entry.key, _value(entry.value, where + ".value"), "", _milliseconds(entry.ttl))


def _value(raw: msgspec.Raw, where: str) -> bytes:
    value = bytes(raw)
    if len(value) > LIMIT_VALUE_BYTES:
        raise ApiError(ApiCode.VALUE_TOO_LARGE, f"{where}: over {LIMIT_VALUE_BYTES} bytes")
    if is_too_deep(value):
        raise invalid(f"{where}: nested over {LIMIT_JSON_DEPTH} levels")
    return value


def _milliseconds(ttl: int | None) -> int:
    return NEVER if ttl is None else ttl * 1000


def _checked_keys(keys: list[str]) -> list[str]:
    _check_count(len(keys), "keys")
    for index, key in enumerate(keys):
        check_key(key, f"keys[{index}]")
    return keys


def _check_count(count: int, where: str) -> None:
    if count == 0:
        raise invalid(f"{where}: the list is empty")
    if count > LIMIT_BULK_ITEMS:
        raise ApiError(ApiCode.BATCH_TOO_LARGE, f"{where}: over {LIMIT_BULK_ITEMS} items")
