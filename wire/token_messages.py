"""What gateways and placement say to one another about API tokens.

Only hashes travel here, never a secret; still, the table is for gateways and nodes alone (placement checks the role in the
certificate). Times ending in `_ms` are Unix milliseconds, because a token's end is meant for people; durations say so.
"""

import enum
from typing import Annotated

import msgspec

LIMIT_TOKENS = 10_000
LIMIT_TOKEN_SCOPES = 64
LIMIT_SCOPE_VERBS = 5
LIMIT_TOKEN_NAME = 128  # characters
LIMIT_TOKEN_TABLE_BYTES = 8 << 20  # the table travels as one message
LIMIT_OVERLAP_MS = 30 * 24 * 3600 * 1000


class TokenScope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Verbs (bits of `placement.tokens.TokenVerb`) on all keys that begin with `prefix`, compared as UTF-8 bytes."""

    prefix: bytes
    verbs: int


Scopes = Annotated[list[TokenScope], msgspec.Meta(max_length=LIMIT_TOKEN_SCOPES)]


class Token(msgspec.Struct, frozen=True, array_like=True):
    """A token as placement keeps it.

    Attributes:
        id: its public part.
        name: what people call it.
        scopes: what it may do.
        hash: keyed hash of its secret; b"" where it is left out.
        created_ms: when it was made.
        expires_ms: from when on it is worth nothing; 0 is never.
        rotated_ms: when it got its present secret; 0 when it has its first.
        old_hash: keyed hash of the secret before that; b"" when there is none.
        old_until_ms: from when on that one is worth nothing.
    """

    id: str
    name: str
    scopes: Scopes
    hash: bytes
    created_ms: int
    expires_ms: int = 0
    rotated_ms: int = 0
    old_hash: bytes = b""
    old_until_ms: int = 0


class TokenTable(msgspec.Struct, frozen=True, array_like=True):
    """All tokens, sorted by id; `key` is what hashes are keyed with; every change raises `revision` by one."""

    revision: int = 0
    key: bytes = b""
    tokens: list[Token] = []


class WatchTokensRequest(msgspec.Struct, frozen=True, array_like=True):
    """Long poll: answered by placement's leader with a table newer than `revision`, or with the present one after `wait_ms`.

    Either way the leader has made sure, after the request came, that it leads: no change that was answered before the
    request was sent is missing. `watcher` tells those apart who ask, so that a revocation can wait for each of them; 0: one that
    says not who it is.
    """

    revision: int
    wait_ms: int
    watcher: int = 0


class CreateTokenRequest(msgspec.Struct, frozen=True, array_like=True):
    """Keep a new token; its secret stays with the caller. Repeating the same request changes nothing."""

    id: str
    name: str
    scopes: Scopes
    hash: bytes
    lifetime_ms: int = 0


class BootstrapTokensRequest(msgspec.Struct, frozen=True, array_like=True):
    """Keep the first token, with every verb on every key, and the key of all hashes. Refused when there is a token."""

    key: bytes
    id: str
    name: str
    hash: bytes


class RevokeTokenRequest(msgspec.Struct, frozen=True, array_like=True):
    """Forget a token."""

    id: str


class RotateTokenRequest(msgspec.Struct, frozen=True, array_like=True):
    """Give a token another secret; the old one stays good for `overlap_ms`."""

    id: str
    hash: bytes
    overlap_ms: int = 0


class TokenStatus(enum.IntEnum):
    """What became of a change of the tokens."""

    OK = 0
    NOT_FOUND = 1
    CONFLICT = 2  # it contradicts what is there
    INVALID = 3
    TOO_MANY = 4


class TokenReply(msgspec.Struct, frozen=True, array_like=True):
    """`revision` is the table's after the change; `token` the changed one, without hashes; `message` says why not."""

    status: TokenStatus
    revision: int = 0
    message: str = ""
    token: Token | None = None
