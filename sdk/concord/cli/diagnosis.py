"""What a check of `concord doctor` comes to."""

from typing import Literal, TypeAlias

import msgspec

Level: TypeAlias = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One check.

    Attributes:
        check: what was looked at, in a word or two.
        level: `fail`: something does not work, or data is at risk now; `warn`: it may, when something else fails.
        message: what was found.
        hint: what to do; "" when there is nothing to do.
    """

    check: str
    level: Level
    message: str
    hint: str = ""


def ok(check: str, message: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", message)


def warn(check: str, message: str, hint: str) -> Finding:
    """Something to look at."""
    return Finding(check, "warn", message, hint)


def fail(check: str, message: str, hint: str) -> Finding:
    """Something is wrong."""
    return Finding(check, "fail", message, hint)
