"""From the undecoded path of a request to what it names: a plain route, or a key and a sub-route.

Keys may hold any UTF-8, `/` too, so a path under `/api/v1/kv/` is ambiguous by nature. The rule: a sub-route wins only
on its exact, undecoded shape and only for its own method, everything else is a key. Whoever means a key of such a shape
writes one character of it with `%`: `GET /api/v1/kv/x%2Fttl` reads the key `x/ttl`.
"""

import enum
import re
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.data_limits import DataLimits
from gateway.errors import ApiCode, ApiError, invalid
from wire.names import SERVICE_NAME, SERVICE_NAME_MESSAGE, SERVICE_PREFIX

KV = b"/api/v1/kv"
_KV_KEY = KV + b"/"
_HEX = frozenset(b"0123456789abcdefABCDEF")


class Shape(enum.IntEnum):
    """What a path has the form of, given the method. Numbers, as these are looked up several times for each request."""

    PLAIN = enum.auto()  # outside of the keys: compared as a whole
    LIST = enum.auto()
    KEY = enum.auto()
    TTL = enum.auto()
    TOUCH = enum.auto()
    INCREMENT = enum.auto()
    BULK = enum.auto()  # `rest` says which
    QUOTA_TAKE = enum.auto()
    LOCK_ACQUIRE = enum.auto()
    LOCK_RENEW = enum.auto()
    LOCK_RELEASE = enum.auto()
    SERVICE = enum.auto()
    INSTANCE = enum.auto()
    INSTANCE_TOUCH = enum.auto()
    TOKEN = enum.auto()
    TOKEN_ROTATE = enum.auto()


KEYED = frozenset(Shape) - {Shape.PLAIN, Shape.LIST, Shape.BULK, Shape.TOKEN, Shape.TOKEN_ROTATE}
"""Shapes of paths that name a key, a lock, a limit, a service or an instance."""
LISTING = frozenset({Shape.LIST, Shape.SERVICE})
"""Shapes of paths that stand for all keys with a prefix."""


class Target(msgspec.Struct, frozen=True, gc=False):
    """A parsed path: its shape, and the undecoded name in it, or the whole path (PLAIN, LIST, BULK)."""

    shape: Shape
    rest: bytes


_BULK_PATHS = frozenset(_KV_KEY + name for name in (b"bulk", b"bulk/get", b"bulk/delete", b"bulk/touch"))
_TTL_END, _TOUCH_END, _INCREMENT_END = b"/ttl", b"/touch", b"/increment"
_TOKEN_PATH = re.compile(rb"/api/v1/tokens/([^/]+)(/rotate)?")


_NAMED: dict[bytes, dict[bytes, Shape]] = {
    b"/api/v1/limits/": {b"/acquire": Shape.QUOTA_TAKE},
    b"/api/v1/locks/": {
        b"/acquire": Shape.LOCK_ACQUIRE,
        b"/renew": Shape.LOCK_RENEW,
        b"/release": Shape.LOCK_RELEASE,
    },
}
_OF_SERVICES = frozenset({Shape.SERVICE, Shape.INSTANCE, Shape.INSTANCE_TOUCH})
_SERVICES = b"/api/v1/services/"


def parse(method: str, raw_path: bytes) -> Target:
    """The target of a request; `raw_path` is undecoded and without the query."""
    if raw_path.startswith(_KV_KEY):
        return _parse_key(method, raw_path)
    if raw_path == KV:
        return Target(Shape.LIST, raw_path)
    for prefix, suffixes in _NAMED.items():
        if raw_path.startswith(prefix):
            rest = raw_path[len(prefix) :]
            for suffix, shape in suffixes.items():
                if rest.endswith(suffix) and len(rest) > len(suffix):
                    return Target(shape, rest[: -len(suffix)])
    if raw_path.startswith(_SERVICES):
        return _parse_service(method, raw_path)
    if token := _TOKEN_PATH.fullmatch(raw_path):
        return Target(Shape.TOKEN_ROTATE if token[2] else Shape.TOKEN, token[1])
    return Target(Shape.PLAIN, raw_path)


def _parse_service(method: str, raw_path: bytes) -> Target:
    rest = raw_path[len(_SERVICES) :]
    parts = rest.split(b"/")
    if len(parts) == 1:
        return Target(Shape.SERVICE, rest)
    if len(parts) == 3 and parts[2] == b"touch" and method == "POST":
        return Target(Shape.INSTANCE_TOUCH, rest[: -len(_TOUCH_END)])
    return Target(Shape.INSTANCE if len(parts) == 2 else Shape.PLAIN, rest if len(parts) == 2 else raw_path)


def _parse_key(method: str, raw_path: bytes) -> Target:
    rest = raw_path[len(_KV_KEY) :]
    if method == "POST":
        if raw_path in _BULK_PATHS:
            return Target(Shape.BULK, raw_path)
        if rest.endswith(_TOUCH_END) and len(rest) > len(_TOUCH_END):
            return Target(Shape.TOUCH, rest[: -len(_TOUCH_END)])
        if rest.endswith(_INCREMENT_END) and len(rest) > len(_INCREMENT_END):
            return Target(Shape.INCREMENT, rest[: -len(_INCREMENT_END)])
    elif method in ("GET", "HEAD") and rest.endswith(_TTL_END) and len(rest) > len(_TTL_END):
        return Target(Shape.TTL, rest[: -len(_TTL_END)])
    return Target(Shape.KEY, rest)


def key_in(target: Target, limits: DataLimits) -> str:
    """The key, lock or limit that a path names; an instance of a service is the key that it is kept as.

    Raises:
        ApiError: INVALID_KEY.
    """
    if target.shape not in _OF_SERVICES:
        return decode_key(target.rest, limits)
    names = [decode_key(raw, limits) for raw in target.rest.split(b"/")]
    if not all(map(SERVICE_NAME.fullmatch, names)):
        raise ApiError(ApiCode.INVALID_KEY, SERVICE_NAME_MESSAGE)
    key = SERVICE_PREFIX + "/".join(names)
    check_key(key, "services", limits)
    return key


def decode_key(raw: bytes, limits: DataLimits) -> str:
    """The key that an undecoded part of a path spells.

    Raises:
        ApiError: INVALID_KEY.
    """
    if b"%" in raw:
        if not _escapes_are_whole(raw):
            raise ApiError(ApiCode.INVALID_KEY, "the key has a % that is not followed by two hexadecimal digits")
        raw = unquote_to_bytes(raw)
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        raise ApiError(ApiCode.INVALID_KEY, "the key is not UTF-8") from None
    if not 0 < len(raw) <= limits.key_bytes:
        raise ApiError(ApiCode.INVALID_KEY, _size_message(len(raw), limits))
    return key


def check_key(key: str, where: str, limits: DataLimits) -> None:
    """Refuse a key of a body that is empty or over the limit; `where` names the field.

    Raises:
        ApiError: INVALID_KEY.
    """
    if len(key) * 4 <= limits.key_bytes and key:  # four bytes a character at most
        return
    size = len(key.encode())
    if not 0 < size <= limits.key_bytes:
        raise ApiError(ApiCode.INVALID_KEY, f"{where}: {_size_message(size, limits)}")


def check_prefix(prefix: str, limits: DataLimits) -> None:
    """Refuse a prefix that no key can have.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    if len(prefix.encode()) > limits.key_bytes:
        raise invalid(f"prefix: over {limits.key_bytes} bytes")


def _size_message(size: int, limits: DataLimits) -> str:
    return "the key is empty" if size == 0 else f"the key is over {limits.key_bytes} bytes"


def _escapes_are_whole(raw: bytes) -> bool:
    return all(len(part) >= 2 and part[0] in _HEX and part[1] in _HEX for part in raw.split(b"%")[1:])
