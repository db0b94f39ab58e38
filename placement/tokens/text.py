"""How a token looks: `sk_concord_<id>_<secret>_<checksum>`, all in lower-case hexadecimal digits.

The fixed beginning and lengths are for secret scanners, the checksum (CRC-32 of all before it) is for typing errors: both
tell a token from other text without asking anyone. The id is public and finds the token's row; the 32 random bytes of
the secret are known to its owner alone. What is kept of them is a keyed BLAKE2b (RFC 7693), the key being the cluster's: a
third of the cost of an HMAC here. A slow hash would protect nothing: 256 random bits cannot be guessed.
"""

import hashlib
import re
import zlib

import msgspec

from wire.token_messages import LIMIT_TOKEN_NAME

ID_BYTES = 6
SECRET_BYTES = 32
KEY_BYTES = 32
HASH_BYTES = 32
TOKEN_LENGTH = 97

NAME_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]+$"
"""What people may call a token: nothing that would move the cursor, end a line or turn the direction of writing."""

_TOKEN = re.compile(rb"(sk_concord_([0-9a-f]{12})_([0-9a-f]{64}))_([0-9a-f]{8})")
_ID = re.compile(r"[0-9a-f]{12}")
_NAME = re.compile(NAME_PATTERN)


class TokenText(msgspec.Struct, frozen=True, gc=False):
    """A well-formed token. It holds the secret, so it has no readable form."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"TokenText({self.id!r}, …)"


def write(token_id: bytes, secret: bytes) -> str:
    """The token of ID_BYTES and SECRET_BYTES random bytes."""
    body = f"sk_concord_{token_id.hex()}_{secret.hex()}"
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def parse(text: bytes) -> TokenText | None:
    """The token that a text is; None for any other text. What it costs does not grow with the text."""
    if len(text) != TOKEN_LENGTH:
        return None
    match = _TOKEN.fullmatch(text)
    if match is None or zlib.crc32(match[1]) != int(match[4], 16):
        return None
    return TokenText(match[2].decode(), bytes.fromhex(match[3].decode()))


def is_id(text: str) -> bool:
    """Whether a text has the form of a token's id."""
    return _ID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a text can be a token's name."""
    return len(text) <= LIMIT_TOKEN_NAME and _NAME.search(text) is not None and not text.endswith("\n")


def digest(key: bytes, token: TokenText) -> bytes:
    """What is kept of a token's secret; the id goes into it, so that a hash is worth nothing in another row."""
    return hashlib.blake2b(token.id.encode() + token.secret, key=key, digest_size=HASH_BYTES).digest()
