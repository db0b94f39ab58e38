"""The one place where a request is let in or turned away, before its body is read.

Every request to a known route comes through here with its route and, if the path has one, its key. What it may do to
further keys is in the Access that it gets (see access.py). A token is looked up in the table that placement pushes; a gateway
that has not been told for `age_s_max` that its table is the newest refuses everything that needs a token, because
one of them may have been revoked. What a client sent as a token is compared and forgotten: it is in no message.
"""

import math
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

from gateway.access import Access, everybody
from gateway.errors import ApiCode, ApiError
from gateway.logins import FailedLogins
from gateway.paths import LISTING
from gateway.requests import Request
from gateway.routes import KEY_VERBS, Route, Verb
from placement.tokens import TokenIndex, TokenVerb, verify
from process.clock import Clock, loop_time
from wire.token_messages import Token

Guard: TypeAlias = Callable[[Route, Request], Access]
"""Says what a request may do; raises ApiError to turn it away."""

_BEARER = b"bearer "
_OF_KEYS = {verb: TokenVerb[verb.name] for verb in (*KEY_VERBS, Verb.ADMIN)}
"""What a token needs for a route, as its scopes say it."""


class Tokens(Protocol):
    """All tokens, and how many seconds ago they were certainly all."""

    @property
    def index(self) -> TokenIndex:
        """All tokens."""

    @property
    def age_s(self) -> float:
        """Seconds."""


def let_everyone_in(route: Route, request: Request) -> Access:
    """The guard of a gateway that asks for no tokens."""
    if route.verb not in KEY_VERBS:
        return everybody()
    access = Access(_OF_KEYS[route.verb], None)
    if request.key and route.shape not in LISTING:
        access.check((request.key,))
    return access


class TokenGuard:
    """The guard of a gateway that asks for tokens.

    Args:
        tokens: all tokens.
        age_s_max: how old they may be, in seconds.
        failed: what counts wrong tokens.
        on_wrong: told what became of each request with a wrong token: refused or throttled.
        now_ms: Unix time in ms.
        clock: the event loop's clock, in seconds.
    """

    def __init__(
        self,
        tokens: Tokens,
        age_s_max: float,
        failed: FailedLogins,
        *,
        on_wrong: Callable[[str], object] = lambda _: None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Clock = loop_time,
    ) -> None:
        self._on_wrong = on_wrong
        self._failed = failed
        self._clock = clock
        self._tokens = tokens
        self._age_s_max = age_s_max
        self._now_ms = now_ms

    def __call__(self, route: Route, request: Request) -> Access:
        """Let a request in or turn it away.

        Raises:
            ApiError: UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, CLUSTER_UNAVAILABLE.
        """
        if route.is_open:
            return everybody()
        text = shown_token(request)
        index, token = self._tokens.index, self._login(text, request.place.address)
        request.place.name_token(token.id)
        scopes, is_lasting = token.scopes, not token.expires_ms and not token.old_until_ms

        def renew() -> None:
            if self._tokens.index is not index or not is_lasting or not self.is_fresh:
                self._verify(text)

        if route.verb is Verb.TOKEN:
            return Access(None, scopes, renew)
        access = Access(_OF_KEYS[route.verb], scopes, renew)
        if request.key and route.shape not in LISTING:
            access.check((request.key,))
        elif route.verb is Verb.ADMIN:
            access.check(("",))
        return access

    @property
    def is_fresh(self) -> bool:
        """Whether the tokens are new enough to be trusted."""
        return self._tokens.age_s <= self._age_s_max

    def _login(self, text: bytes | None, address: str) -> Token:
        """Verify a token that a request shows for the first time; a wrong one counts against its address."""
        try:
            return self._verify(text)
        except ApiError as error:
            if error.code is not ApiCode.UNAUTHORIZED or text is None:
                raise
            wait_s = self._failed.failed(address, self._clock()) if address else 0.0
            self._on_wrong("throttled" if wait_s else "refused")
            if not wait_s:
                raise
            raise ApiError(
                ApiCode.TOO_MANY_REQUESTS,
                "too many wrong tokens came from this client address, and this is one more",
                retry_after_s=math.ceil(wait_s),
            ) from None

    def _verify(self, text: bytes | None) -> Token:
        if text is None:
            raise _unauthorized("the request has no token: send it as Authorization: Bearer … or X-API-Key: …")
        if not self.is_fresh:
            raise ApiError(ApiCode.CLUSTER_UNAVAILABLE, "whether the token is still good could not be confirmed lately")
        token = verify(self._tokens.index, text, self._now_ms())
        if token is None:
            raise _unauthorized("the token is not known, was revoked, or has expired")
        return token


def shown_token(request: Request) -> bytes | None:
    """What a request sends as its token, None when it sends none."""
    value = request.header(b"authorization")
    if value is not None and value[: len(_BEARER)].lower() == _BEARER:
        return value[len(_BEARER) :].strip()
    return request.header(b"x-api-key")


def _unauthorized(message: str) -> ApiError:
    return ApiError(ApiCode.UNAUTHORIZED, message, headers=((b"www-authenticate", b"Bearer"),))
