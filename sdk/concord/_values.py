"""Values between Python and the wire: any JSON by msgspec, typed by `type=`; bytes as they are."""

import base64
import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from concord._errors import InvalidRequest, InvalidValue

T = TypeVar("T")
AS_STORED: Any = bytes | msgspec.Raw
"""For `type=`: the text of a value that is JSON, as a msgspec.Raw; the bytes of one that is bytes."""
RAW_KINDS = (bytes, bytearray, memoryview)  # a union would be built anew at each look
RAW_TYPE = "application/octet-stream"

encode_json = msgspec.json.Encoder().encode


def is_raw(value: object) -> bool:
    """Whether a value goes as bytes instead of as JSON."""
    return isinstance(value, RAW_KINDS)


def encode(value: object, key: str = "", what: str = "value") -> bytes:
    """JSON of a value, which an error calls `what`, of `key` if it is one's.

    Raises:
        InvalidRequest: there is no JSON of it.
    """
    try:
        text = encode_json(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidRequest(f"{_called(key, what)}: {error}") from error
    if b"null" in text and value is not None and has_no_number(value):
        raise InvalidRequest(f"{_called(key, what)}: there is no JSON of NaN and infinity")
    return text


def _called(key: str, what: str) -> str:
    return f"{what} of {key}" if key else what


_LISTS = frozenset({list, tuple, set, frozenset})


def has_no_number(value: object) -> bool:
    """Whether NaN or infinity is in what msgspec has made JSON of: it writes `null` for them."""
    waiting = [msgspec.to_builtins(value, enc_hook=lambda _: None)]  # of a msgspec.Raw nothing is known
    for one in waiting:  # which grows meanwhile
        kind = type(one)
        if kind is float:
            if not math.isfinite(one):
                return True
        elif kind is dict:
            waiting += one.values()
        elif kind in _LISTS:
            waiting += one
    return False


_decode_any = msgspec.json.Decoder().decode


def decode(raw: bytes | msgspec.Raw, encoding: str, kind: Any) -> Any:
    """The value in a body: `raw` is its JSON, base64 when `encoding` says so; `kind` is the type that is wanted.

    Raises:
        InvalidValue: it is not of that type.
    """
    if encoding == "base64":
        _check_takes_bytes(kind)
        return base64.b64decode(msgspec.json.decode(raw, type=str))
    return decode_json(raw, kind)


def decode_json(raw: bytes | msgspec.Raw, kind: Any) -> Any:
    """The value in JSON text.

    Raises:
        InvalidValue: it is not of that type.
    """
    try:
        return _reader(kind)(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValue(f"the value is not of the type asked for: {error}") from error


@functools.lru_cache(maxsize=256)
def _reader(kind: Any) -> Callable[[bytes | msgspec.Raw], Any]:
    """What makes a value of a type of JSON text; built once a type."""
    if kind is bytes:
        return _refuse_json
    return msgspec.json.Decoder(msgspec.Raw if kind == AS_STORED else kind).decode


def _refuse_json(_: bytes | msgspec.Raw) -> Any:
    raise InvalidValue("the value is JSON, not bytes")


def _check_takes_bytes(kind: Any) -> None:
    if kind is not bytes and kind is not Any and kind != AS_STORED:
        raise InvalidValue("the value is bytes, ask for it with type=bytes")


def decode_stored(value: bytes, content_type: str, kind: Any) -> Any:
    """A value as a store in this process keeps it: JSON text, or bytes of a content type.

    Raises:
        InvalidValue: it is not of that type.
    """
    if not content_type:
        return _decode_any(value) if kind is Any else decode_json(value, kind)
    _check_takes_bytes(kind)
    return value
