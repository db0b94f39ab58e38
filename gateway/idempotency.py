"""A client's own retry of a write, told by the header Idempotency-Key."""

import hashlib

import msgspec

from gateway.errors import invalid
from gateway.requests import Request

LIMIT_KEY_CHARACTERS = 200
_HEADER = b"idempotency-key"
_MEANT = (b"content-type", b"if-match", b"if-none-match")  # headers that are part of what is asked for


class Once(msgspec.Struct, frozen=True, gc=False):
    """The key that a client chose for a write, and the hash of what it asked for."""

    key: str
    digest: bytes


def once_of(request: Request, body: bytes = b"") -> Once | None:
    """What the request says of itself; None when it has no such header.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    header = request.header(_HEADER)
    if header is None:
        return None
    if not 1 <= len(header) <= LIMIT_KEY_CHARACTERS or not all(0x20 < byte < 0x7F for byte in header):
        raise invalid(f"idempotency-key: expected 1 to {LIMIT_KEY_CHARACTERS} visible ASCII characters")
    digest = hashlib.blake2b(digest_size=16)
    for part in (*request.target, *(request.header(name) or b"" for name in _MEANT), body):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return Once(header.decode(), digest.digest())
