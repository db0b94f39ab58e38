"""How one request looks in the audit log. Pure.

A line is one JSON object in printable ASCII: whatever a key holds, it ends no line, moves no cursor and turns no direction of
writing. It is never longer than LINE_BYTES_MAX: of many keys only the first are shown, and how many there were.
"""

import datetime as dt
import enum
import hashlib
import json
from collections.abc import Collection
from itertools import islice

import msgspec

LINE_BYTES_MAX = 8192
KEYS_MAX = 16
KEYS_BYTES_MAX = 7168  # the longest key of 1024 bytes takes 6146 here
HASH_KEY_BYTES_MAX = 64
HASH_BYTES = 16


class KeyForm(enum.Enum):
    """How keys are shown."""

    PLAIN = "plain"
    HASH = "hash"
    NONE = "none"


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one request was and what came of it.

    Attributes:
        at_ms: when it had ended, Unix time.
        request: its id.
        address: the client's address; "" when it is not known.
        token: the id of its token; "" when it showed no good one.
        verb: what its route does.
        method: the HTTP method.
        route: the route's id.
        keys: the keys, names or prefixes that it named.
        status: the HTTP status; 0 when the client was gone.
        code: the error code; "" for a success.
        unknown: a write may or may not have been applied.
        revision: the revision of the one change that was made, or the fence of the lock; 0 for none.
    """

    at_ms: int
    request: str
    address: str
    token: str
    verb: str
    method: str
    route: str
    keys: Collection[str]
    status: int
    code: str = ""
    unknown: bool = False
    revision: int = 0


class Lines:
    """Makes lines.

    Args:
        form: how keys are shown.
        hash_key: for KeyForm.HASH: up to 64 secret bytes; the same key on every gateway makes equal hashes of equal keys.
    """

    def __init__(self, form: KeyForm, hash_key: bytes = b"") -> None:
        self._form = form
        self._hash_key = hash_key

    def line(self, event: Event) -> bytes:
        """The line of a request, its end included."""
        fields: dict[str, object] = {
            "time": stamp(event.at_ms),
            "request": event.request,
            "token": event.token,
            "address": event.address,
            "verb": event.verb,
            "method": event.method,
            "route": event.route,
            "status": event.status,
            "code": event.code or "OK",
            "applied": "unknown" if event.unknown else None,
            "revision": event.revision or None,
            "key_count": len(event.keys) or None,
        }
        shown = {name: value for name, value in fields.items() if value not in (None, "")}
        if event.keys and self._form is not KeyForm.NONE:
            shown["keys"] = self._keys(event.keys)
        return encoded(shown)

    def _keys(self, keys: Collection[str]) -> list[str]:
        """The first keys, as many as there is room for."""
        shown, room = list[str](), KEYS_BYTES_MAX
        for key in islice(keys, KEYS_MAX):
            text = self._hashed(key) if self._form is KeyForm.HASH else key
            room -= len(json.dumps(text)) + 2
            if room < 0:
                break
            shown.append(text)
        return shown

    def _hashed(self, key: str) -> str:
        return hashlib.blake2b(key.encode(), key=self._hash_key, digest_size=HASH_BYTES).hexdigest()


def dropped_line(at_ms: int, count: int) -> bytes:
    """The line that says how many are missing before it."""
    return encoded({"time": stamp(at_ms), "code": "DROPPED", "dropped": count})


def encoded(fields: dict[str, object]) -> bytes:
    """One line of printable ASCII."""
    return json.dumps(fields, separators=(",", ":")).replace("\x7f", "\\u007f").encode("ascii") + b"\n"


def stamp(at_ms: int) -> str:
    """ISO 8601 in UTC, with milliseconds."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
