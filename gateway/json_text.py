"""JSON that is kept as the text that came in: checked, but never built."""

import msgspec

from gateway.data_limits import DataLimits
from gateway.errors import ApiCode, ApiError, invalid
from wire.json_depth import is_too_deep


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
