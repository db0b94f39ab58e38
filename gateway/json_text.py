"""JSON that is kept as the text that came in: checked, but never built."""

import msgspec

from gateway.errors import ApiCode, ApiError, invalid
from wire.json_depth import LIMIT_JSON_DEPTH, is_too_deep
from wire.messages import LIMIT_VALUE_BYTES


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
