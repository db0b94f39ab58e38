"""The routes under `/api/v1/tokens`. Secrets are made here, shown once, and forgotten; placement gets their hashes."""

import asyncio
import datetime as dt
import secrets
from typing import Annotated, Literal, TypeVar

import msgspec

from gateway.answers import Answer, data
from gateway.bodies import Ttl, decode
from gateway.errors import ApiCode, ApiError, from_failure, invalid
from gateway.requests import Request
from gateway.whole import Natural, decoder
from placement.leader import LeaderCaller
from placement.tokens import names_of, scopes_problem, verbs_of
from placement.tokens.text import ID_BYTES, SECRET_BYTES, TokenText, digest, is_id, is_name, write
from placement.tokens.watcher import TokenWatcher
from process.clock import loop_time
from wire.errors import RpcError
from wire.methods import CREATE_TOKEN, REVOKE_TOKEN, ROTATE_TOKEN
from wire.rpc import Method
from wire.token_messages import (
    LIMIT_OVERLAP_MS,
    LIMIT_SCOPE_VERBS,
    LIMIT_TOKEN_NAME,
    LIMIT_TOKEN_SCOPES,
    CreateTokenRequest,
    RevokeTokenRequest,
    RotateTokenRequest,
    Token,
    TokenReply,
    TokenScope,
    TokenStatus,
)

LIMIT_OVERLAP_S = LIMIT_OVERLAP_MS // 1000
OWN_TABLE_WAIT_S = 1.0

Req = TypeVar("Req", bound=msgspec.Struct)

_CODES = {
    TokenStatus.NOT_FOUND: ApiCode.NOT_FOUND,
    TokenStatus.INVALID: ApiCode.INVALID_REQUEST,
}  # all others: CONFLICT


class _Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prefix: str
    verbs: Annotated[
        list[Literal["read", "write", "lock", "watch", "admin"]], msgspec.Meta(max_length=LIMIT_SCOPE_VERBS)
    ]


class _CreateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    scopes: Annotated[list[_Scope], msgspec.Meta(max_length=LIMIT_TOKEN_SCOPES)]
    expires_in: Ttl | None = None


class _Overlap(Natural):
    high = LIMIT_OVERLAP_S


class _RotateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    overlap: _Overlap = _Overlap(0)


class _Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token as people see it; `token`, which has the secret, only in the answer that it was made for."""

    id: str
    name: str
    scopes: list[_Scope]
    created_at: str
    expires_at: str | None
    rotated_at: str | None
    old_secret_until: str | None
    token: str = ""


_create = decoder(_CreateBody)
_rotate = decoder(_RotateBody)


class TokenRoutes:
    """Makes, lists, revokes and rotates tokens.

    Args:
        caller: reaches placement's leader.
        watcher: this gateway's table; None when it asks for no tokens. Then it makes none either: whoever reaches it now
            would be an administrator for ever.
    """

    def __init__(self, caller: LeaderCaller, watcher: TokenWatcher | None) -> None:
        self._caller = caller
        self._own = watcher

    async def create(self, request: Request) -> Answer:
        """`POST /tokens`."""
        request.query()
        watcher = self._watcher()
        body = decode(_create, await request.body())
        scopes = [TokenScope(scope.prefix.encode(), int(verbs_of(scope.verbs))) for scope in body.scopes]
        if problem := scopes_problem(scopes):
            raise invalid(problem)
        if not is_name(body.name):
            raise invalid(f"name: expected 1 to {LIMIT_TOKEN_NAME} characters, none of them for control")
        made = TokenText(secrets.token_hex(ID_BYTES), secrets.token_bytes(SECRET_BYTES))
        lifetime_ms = (body.expires_in or 0) * 1000
        asked = CreateTokenRequest(made.id, body.name, scopes, digest(watcher.index.key, made), lifetime_ms)
        return _answer(await self._change(CREATE_TOKEN, asked, request), made)

    async def list(self, request: Request) -> Answer:
        """`GET /tokens`: those that have expired, too, for as long as there is room for them."""
        request.query()
        shown = [_shown(token) for token in self._watcher().table.tokens]
        return Answer(data(msgspec.json.encode(shown)))

    async def revoke(self, request: Request) -> Answer:
        """`DELETE /tokens/{id}`."""
        request.query()
        await self._change(REVOKE_TOKEN, RevokeTokenRequest(_id(request)), request)
        return Answer(data(b'{"revoked":true}'))

    async def rotate(self, request: Request) -> Answer:
        """`POST /tokens/{id}/rotate`; the body may be left out."""
        request.query()
        watcher = self._watcher()
        raw = await request.body()
        body = decode(_rotate, raw) if raw else _RotateBody()
        made = TokenText(_id(request), secrets.token_bytes(SECRET_BYTES))
        asked = RotateTokenRequest(made.id, digest(watcher.index.key, made), body.overlap * 1000)
        return _answer(await self._change(ROTATE_TOKEN, asked, request), made)

    def _watcher(self) -> TokenWatcher:
        if self._own is None:
            raise ApiError(ApiCode.FORBIDDEN, "this gateway asks for no tokens: manage them at one with --auth on")
        return self._own

    async def _change(self, method: Method[Req, TokenReply], asked: Req, request: Request) -> Token:
        """Have placement change the tokens, and wait until this gateway's own table shows it."""
        watcher = self._watcher()
        deadline = request.deadline()
        try:
            reply, repeated = await self._caller.call(method, asked, deadline)
        except RpcError as error:
            raise from_failure(error.failure) from None
        if reply.status is TokenStatus.NOT_FOUND and repeated and isinstance(asked, RevokeTokenRequest):
            return Token(asked.id, "", [], b"", 0)  # gone, as was asked for: an attempt before this one had done it
        if reply.status is not TokenStatus.OK or reply.token is None:
            raise ApiError(_CODES.get(reply.status, ApiCode.CONFLICT), reply.message)
        try:
            async with asyncio.timeout(min(OWN_TABLE_WAIT_S, deadline - loop_time())):
                await watcher.reached(reply.revision)
        except TimeoutError:
            pass  # the change is made all the same
        return reply.token


def _id(request: Request) -> str:
    if not is_id(request.name):
        raise ApiError(ApiCode.NOT_FOUND, "there is no such token")
    return request.name


def _answer(token: Token, made: TokenText) -> Answer:
    shown = msgspec.structs.replace(_shown(token), token=write(bytes.fromhex(made.id), made.secret))
    return Answer(data(msgspec.json.encode(shown)))


def _shown(token: Token) -> _Shown:
    return _Shown(
        id=token.id,
        name=token.name,
        scopes=[_Scope(scope.prefix.decode(), names_of(scope.verbs)) for scope in token.scopes],  # type: ignore[arg-type] # the names are these
        created_at=_stamp(token.created_ms) or "",
        expires_at=_stamp(token.expires_ms),
        rotated_at=_stamp(token.rotated_ms),
        old_secret_until=_stamp(token.old_until_ms),
    )


def _stamp(unix_ms: int) -> str | None:
    """ISO 8601, None for 0."""
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC).isoformat(timespec="milliseconds") if unix_ms else None
