"""JSON that is kept as the text that came in: checked, but never built."""

import re

import msgspec

from gateway.errors import ApiCode, ApiError, invalid
from wire.messages import LIMIT_VALUE_BYTES

LIMIT_JSON_DEPTH = 64

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def json_value(raw: msgspec.Raw, where: str) -> bytes:
    """A value of a body, known to be well formed; `where` names the field.

    Raises:
        ApiError: VALUE_TOO_LARGE, INVALID_REQUEST when it nests too deep.
    """
    value = bytes(raw)
    check_size(len(value), where)
    if is_too_deep(value):
        raise invalid(f"{where}: nested over {LIMIT_JSON_DEPTH} levels")
    return value


def check_size(size: int, where: str) -> None:
    """Refuse a value that is too long.

    Raises:
        ApiError: VALUE_TOO_LARGE.
    """
    if size > LIMIT_VALUE_BYTES:
        raise ApiError(ApiCode.VALUE_TOO_LARGE, f"{where}: over {LIMIT_VALUE_BYTES} bytes")


def is_too_deep(raw: bytes) -> bool:
    """Whether JSON text (known to be well formed) nests arrays and objects over LIMIT_JSON_DEPTH levels."""
    if raw.count(b"[") + raw.count(b"{") <= LIMIT_JSON_DEPTH:
        return False
    brackets = _STRINGS.sub(b"", raw).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(LIMIT_JSON_DEPTH):  # each round takes the innermost level of every branch away
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
