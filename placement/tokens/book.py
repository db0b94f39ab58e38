"""The tokens, as a part of placement's state machine: what may change them, and how.

Invariants: the revision grows by exactly one with each change and never otherwise; the key of the hashes is set once, with
the first token; from then on there is a token with `admin` that never expires, so that nobody is locked out for good; all
limits hold. A command that is repeated is accepted and changes nothing, so that a retry of an unknown outcome is safe. The
times in tokens are the leader's, from the command; that a token has expired is decided by whoever checks it, except that expired ones make room in a full table.
"""

from collections.abc import Callable

import msgspec

from placement.commands import (
    BootstrapTokens,
    CreateToken,
    Rejected,
    Rejection,
    RevokeToken,
    RotateToken,
    TokenCommand,
    TokenResult,
    TokensChanged,
)
from placement.tokens.scopes import TokenVerb, scopes_problem
from placement.tokens.text import HASH_BYTES, KEY_BYTES, is_id, is_name
from wire.token_messages import LIMIT_TOKEN_NAME, LIMIT_TOKEN_TABLE_BYTES, LIMIT_TOKENS, Token, TokenTable

TOKEN_BYTES = 160  # of a row, beside its name and scopes
SCOPE_BYTES = 8


class TokenBook:
    """Keeps the tokens; `apply` is deterministic and total."""

    def __init__(self) -> None:
        self._table = TokenTable()
        self._tokens: dict[str, Token] = {}
        self._listeners: list[Callable[[], object]] = []

    @property
    def table(self) -> TokenTable:
        """All tokens; immutable."""
        return self._table

    def subscribe(self, listener: Callable[[], object]) -> None:
        """Call `listener` after each change; it must not raise."""
        self._listeners.append(listener)

    def apply(self, command: TokenCommand) -> TokenResult:
        """Apply a committed command."""
        if isinstance(command, CreateToken):
            return self._create(command.token)
        if isinstance(command, BootstrapTokens):
            return self._bootstrap(command)
        token = self._tokens.get(command.id)
        if token is None:
            return Rejected(Rejection.NO_SUCH_TOKEN, "There is no such token.")
        return self._revoke(token) if isinstance(command, RevokeToken) else self._rotate(token, command)

    def replace(self, table: TokenTable) -> None:
        """Take another state, of a snapshot."""
        self._tokens = {token.id: token for token in table.tokens}
        self._table = table
        for listener in self._listeners:
            listener()

    def _bootstrap(self, command: BootstrapTokens) -> TokenResult:
        token = command.token
        known = self._tokens.get(token.id)
        if known is not None and known.hash == token.hash:
            return TokensChanged(self._table.revision, known)
        if self._tokens or self._table.key:
            return Rejected(Rejection.TOKENS_EXIST, "The cluster has had its first token already.")
        if len(command.key) != KEY_BYTES:
            return Rejected(Rejection.INVALID_TOKEN, f"The key of the hashes has {KEY_BYTES} bytes.")
        problem = token_problem(token)
        if problem or not _is_lasting_admin(token):
            return Rejected(Rejection.INVALID_TOKEN, problem or "The first token has admin and never expires.")
        return self._change({token.id: token}, token, command.key)

    def _create(self, token: Token) -> TokenResult:
        known = self._tokens.get(token.id)
        if not self._table.key:
            return Rejected(
                Rejection.NO_TOKENS, "The cluster has no first token yet: concord token bootstrap makes it."
            )
        if known is not None:
            if known.hash == token.hash:
                return TokensChanged(self._table.revision, known)
            return Rejected(Rejection.OTHER_TOKEN, "Another token has this id.")
        if problem := token_problem(token):
            return Rejected(Rejection.INVALID_TOKEN, problem)
        tokens = self._tokens
        if _is_full([*tokens.values(), token]):
            tokens = {held.id: held for held in tokens.values() if _is_good(held, token.created_ms)}
        if _is_full([*tokens.values(), token]):
            return Rejected(
                Rejection.TOO_MANY_TOKENS,
                f"There are {LIMIT_TOKENS} tokens, or {LIMIT_TOKEN_TABLE_BYTES} bytes of them: revoke some.",
            )
        return self._change(tokens | {token.id: token}, token)

    def _revoke(self, token: Token) -> TokenResult:
        rest = {held.id: held for held in self._tokens.values() if held.id != token.id}
        if not any(map(_is_lasting_admin, rest.values())):
            return Rejected(
                Rejection.LAST_LASTING_ADMIN,
                "It is the last token with admin that never expires: make another one first, or rotate this one.",
            )
        return self._change(rest, token)

    def _rotate(self, token: Token, command: RotateToken) -> TokenResult:
        if token.hash == command.hash:
            return TokensChanged(self._table.revision, token)
        if len(command.hash) != HASH_BYTES:
            return Rejected(Rejection.INVALID_TOKEN, f"A hash has {HASH_BYTES} bytes.")
        overlaps = command.old_until_ms > command.now_ms
        rotated = msgspec.structs.replace(
            token,
            hash=command.hash,
            rotated_ms=command.now_ms,
            old_hash=token.hash if overlaps else b"",
            old_until_ms=command.old_until_ms if overlaps else 0,
        )
        return self._change(self._tokens | {token.id: rotated}, rotated)

    def _change(self, tokens: dict[str, Token], token: Token, key: bytes = b"") -> TokensChanged:
        in_order = sorted(tokens.values(), key=lambda each: each.id)
        self.replace(TokenTable(self._table.revision + 1, key or self._table.key, in_order))
        return TokensChanged(self._table.revision, token)


def token_problem(token: Token) -> str:
    """What is wrong with a new token, as a sentence; "" when nothing is."""
    if not is_id(token.id):
        return "id: expected 12 hexadecimal digits"
    if not is_name(token.name):
        return f"name: expected 1 to {LIMIT_TOKEN_NAME} characters, none of them for control"
    if len(token.hash) != HASH_BYTES or token.old_hash:
        return f"hash: expected {HASH_BYTES} bytes, and no older one"
    if token.created_ms < 0 or (token.expires_ms and token.expires_ms <= token.created_ms):
        return "expires_in: the token would have expired when it is made"
    return scopes_problem(token.scopes)


def _is_full(tokens: list[Token]) -> bool:
    return len(tokens) > LIMIT_TOKENS or sum(map(_size, tokens)) > LIMIT_TOKEN_TABLE_BYTES


def _size(token: Token) -> int:
    """An upper bound of the bytes that a token takes in a message."""
    return TOKEN_BYTES + 4 * len(token.name) + sum(SCOPE_BYTES + len(scope.prefix) for scope in token.scopes)


def _is_good(token: Token, now_ms: int) -> bool:
    return not token.expires_ms or token.expires_ms > now_ms


def _is_lasting_admin(token: Token) -> bool:
    return not token.expires_ms and any(scope.verbs & TokenVerb.ADMIN for scope in token.scopes)
