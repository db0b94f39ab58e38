"""Whether a text is a token that is good now, and for what. Pure, once a TokenIndex has been made of the table."""

import hmac

import msgspec

from placement.tokens.text import digest, parse
from wire.token_messages import Token, TokenTable


class TokenIndex(msgspec.Struct, frozen=True):
    """A table, looked up by id."""

    revision: int
    key: bytes
    by_id: dict[str, Token]


NO_TOKENS = TokenIndex(0, b"", {})


def index_of(table: TokenTable) -> TokenIndex:
    """The index of a table."""
    return TokenIndex(table.revision, table.key, {token.id: token for token in table.tokens})


def verify(index: TokenIndex, text: bytes, now_ms: int) -> Token | None:
    """The token that a client shows, None when it is none, unknown, revoked, expired or has another secret.

    Args:
        index: all tokens.
        text: what the client sent, of any length.
        now_ms: Unix time, in ms.
    """
    shown = parse(text)
    token = index.by_id.get(shown.id) if shown is not None else None
    if shown is None or token is None or (token.expires_ms and token.expires_ms <= now_ms):
        return None
    seen = digest(index.key, shown)
    if hmac.compare_digest(seen, token.hash):
        return token
    return token if now_ms < token.old_until_ms and hmac.compare_digest(seen, token.old_hash) else None
