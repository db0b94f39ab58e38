"""Whole numbers in JSON: a number without a fraction is one, however it is written (`60`, `60.0`, `6e1`), as in JSON Schema."""

from typing import ClassVar, TypeVar

import msgspec

T = TypeVar("T")

_INTEGER_MIN, _INTEGER_MAX = -(1 << 63), (1 << 63) - 1


class Whole(int):
    """A whole number in `low..high`: of a body that is decoded by a `decoder`."""

    low: ClassVar[int] = _INTEGER_MIN
    high: ClassVar[int] = _INTEGER_MAX


class Natural(Whole):
    """From zero on."""

    low = 0


class Positive(Whole):
    """From one on."""

    low = 1


def decoder(body: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder of JSON bodies whose whole numbers are of the types above."""
    return msgspec.json.Decoder(body, dec_hook=_hook)


def _hook(kind: type, decoded: object) -> object:
    """What msgspec calls for a type that it does not know; it turns a ValueError into its own error, with the place."""
    if not issubclass(kind, Whole):
        raise NotImplementedError(kind)
    if isinstance(decoded, float) and decoded.is_integer():
        decoded = int(decoded)
    if not isinstance(decoded, int) or isinstance(decoded, bool):
        message = f"Expected `int`, got `{_name(decoded)}`"
        raise ValueError(message)  # noqa: TRY004 - the error that msgspec turns into its own
    if not kind.low <= decoded <= kind.high:
        message = f"Expected `int` in {kind.low}..{kind.high}"
        raise ValueError(message)
    return kind(decoded)


def _name(value: object) -> str:
    names = {str: "str", bool: "bool", list: "array", dict: "object", float: "float"}
    return names.get(type(value), "null")
