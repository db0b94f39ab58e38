"""JSON that is kept as the text that came in: checked, but never built."""

import re

import msgspec

from gateway.data_limits import DataLimits
from gateway.errors import ApiCode, ApiError, invalid

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def json_value(raw: msgspec.Raw, where: str, limits: DataLimits) -> bytes:
    """A value of a body, known to be well formed; `where` names the field.

    Raises:
        ApiError: VALUE_TOO_LARGE, INVALID_REQUEST when it nests too deep.
    """
    value = bytes(raw)
    check_size(len(value), where, limits)
    if is_too_deep(value, limits.json_depth):
        raise invalid(f"{where}: nested over {limits.json_depth} levels")
    return value


def check_size(size: int, where: str, limits: DataLimits) -> None:
    """Refuse a value that is too long.

    Raises:
        ApiError: VALUE_TOO_LARGE.
    """
    if size > limits.value_bytes:
        raise ApiError(ApiCode.VALUE_TOO_LARGE, f"{where}: over {limits.value_bytes} bytes")


def is_too_deep(raw: bytes, levels: int) -> bool:
    """Whether JSON text (known to be well formed) nests arrays and objects deeper than so many levels."""
    if raw.count(b"[") + raw.count(b"{") <= levels:
        return False
    brackets = _STRINGS.sub(b"", raw).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(levels):  # each round takes the innermost level of every branch away
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
