"""How deep JSON text nests, without building what it says. Pure."""

import re

LIMIT_JSON_DEPTH = 64

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def is_too_deep(raw: bytes, levels: int) -> bool:
    """Whether JSON text (known to be well formed) nests arrays and objects deeper than so many levels."""
    if raw.count(b"[") + raw.count(b"{") <= levels:
        return False
    brackets = _STRINGS.sub(b"", raw).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(levels):  # each round takes the innermost level of every branch away
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
