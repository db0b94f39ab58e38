"""The one table of routes. Dispatch, the header Allow, metrics, the auth check and OpenAPI all read it."""

import enum
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from gateway.answers import Answer
from gateway.errors import ApiCode
from gateway.paths import Shape
from gateway.requests import Request

Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]


class Verb(enum.Enum):
    """What a route needs of a token's scopes. NONE is the rule of no route but the open ones."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    LOCK = "lock"
    WATCH = "watch"
    ADMIN = "admin"
    TOKEN = "token"  # noqa: S105 - any good token, whatever its scopes


KEY_VERBS = frozenset({Verb.READ, Verb.WRITE, Verb.LOCK, Verb.WATCH})
"""The verbs of routes about keys: the key in the path is checked before the handler, all others by it (see access.py)."""


class Route(msgspec.Struct, frozen=True):
    """One row.

    Attributes:
        id: its name in metrics and in OpenAPI.
        method: the HTTP method.
        path: the template, `{key}` for the key.
        shape: the shape that its paths parse to; PLAIN and BULK paths are compared as a whole.
        summary: one line for people.
        verb: what it does, and so what a token must be good for.
        is_open: needs no token.
        always: is admitted even when the gateway is full, so that it can be watched.
        codes: the errors it can answer with, beside those that every route can.
    """

    id: str
    method: str
    path: str
    shape: Shape
    summary: str
    verb: Verb = Verb.NONE
    is_open: bool = False
    always: bool = False
    codes: tuple[ApiCode, ...] = ()


_AWAY = (ApiCode.CLUSTER_UNAVAILABLE, ApiCode.TIMEOUT)
_ONE = (ApiCode.INVALID_KEY, ApiCode.INVALID_REQUEST, *_AWAY)
_BODY = (ApiCode.BODY_TOO_LARGE,)
_BULK = (*_ONE, *_BODY, ApiCode.BATCH_TOO_LARGE)
_KV = "/api/v1/kv"
_TOKENS = "/api/v1/tokens"
_TOKEN = (ApiCode.INVALID_REQUEST, ApiCode.CONFLICT, *_AWAY)

ROUTES = (
    Route(
        "put", "PUT", _KV + "/{key}", Shape.KEY, "Set a key", Verb.WRITE, codes=(*_ONE, *_BODY, ApiCode.VALUE_TOO_LARGE)
    ),
    Route("get", "GET", _KV + "/{key}", Shape.KEY, "Read a key", Verb.READ, codes=(*_ONE, ApiCode.NOT_FOUND)),
    Route("delete", "DELETE", _KV + "/{key}", Shape.KEY, "Delete a key", Verb.WRITE, codes=_ONE),
    Route(
        "ttl",
        "GET",
        _KV + "/{key}/ttl",
        Shape.TTL,
        "Time to live of a key",
        Verb.READ,
        codes=(*_ONE, ApiCode.NOT_FOUND),
    ),
    Route(
        "touch",
        "POST",
        _KV + "/{key}/touch",
        Shape.TOUCH,
        "Set the time to live of a key",
        Verb.WRITE,
        codes=(*_ONE, *_BODY, ApiCode.NOT_FOUND),
    ),
    Route(
        "bulk_put",
        "POST",
        _KV + "/bulk",
        Shape.BULK,
        "Set many keys",
        Verb.WRITE,
        codes=(*_BULK, ApiCode.VALUE_TOO_LARGE),
    ),
    Route("bulk_get", "POST", _KV + "/bulk/get", Shape.BULK, "Read many keys", Verb.READ, codes=_BULK),
    Route("bulk_delete", "POST", _KV + "/bulk/delete", Shape.BULK, "Delete many keys", Verb.WRITE, codes=_BULK),
    Route(
        "bulk_touch",
        "POST",
        _KV + "/bulk/touch",
        Shape.BULK,
        "Set the time to live of many keys",
        Verb.WRITE,
        codes=_BULK,
    ),
    Route("list", "GET", _KV, Shape.LIST, "List keys in order", Verb.READ, codes=(ApiCode.INVALID_REQUEST, *_AWAY)),
    Route(
        "status",
        "GET",
        "/api/v1/status",
        Shape.PLAIN,
        "The cluster, its nodes and groups",
        Verb.TOKEN,
        codes=(ApiCode.CLUSTER_UNAVAILABLE,),
    ),
    Route("health", "GET", "/api/v1/health", Shape.PLAIN, "Liveness", is_open=True, always=True),
    Route("livez", "GET", "/api/v1/livez", Shape.PLAIN, "Liveness", is_open=True, always=True),
    Route(
        "readyz",
        "GET",
        "/api/v1/readyz",
        Shape.PLAIN,
        "Readiness",
        is_open=True,
        always=True,
        codes=(ApiCode.CLUSTER_UNAVAILABLE,),
    ),
    Route("root_health", "GET", "/health", Shape.PLAIN, "Liveness", is_open=True, always=True),
    Route("root_livez", "GET", "/livez", Shape.PLAIN, "Liveness", is_open=True, always=True),
    Route(
        "root_ready",
        "GET",
        "/ready",
        Shape.PLAIN,
        "Readiness",
        is_open=True,
        always=True,
        codes=(ApiCode.CLUSTER_UNAVAILABLE,),
    ),
    Route(
        "root_readyz",
        "GET",
        "/readyz",
        Shape.PLAIN,
        "Readiness",
        is_open=True,
        always=True,
        codes=(ApiCode.CLUSTER_UNAVAILABLE,),
    ),
    Route("metrics", "GET", "/metrics", Shape.PLAIN, "Figures for Prometheus", Verb.TOKEN, always=True),
    Route("openapi", "GET", "/api/v1/openapi.json", Shape.PLAIN, "This description", is_open=True),
    Route("docs", "GET", "/api/docs", Shape.PLAIN, "A page that tries requests out", is_open=True),
    Route("docs_script", "GET", "/api/docs/docs.js", Shape.PLAIN, "The page's script", is_open=True),
    Route("docs_style", "GET", "/api/docs/docs.css", Shape.PLAIN, "The page's style", is_open=True),
    Route("token_create", "POST", _TOKENS, Shape.PLAIN, "Make a token", Verb.ADMIN, codes=(*_TOKEN, *_BODY)),
    Route("token_list", "GET", _TOKENS, Shape.PLAIN, "List the tokens, without their secrets", Verb.ADMIN),
    Route(
        "token_revoke",
        "DELETE",
        _TOKENS + "/{id}",
        Shape.TOKEN,
        "Revoke a token",
        Verb.ADMIN,
        codes=(*_TOKEN, ApiCode.NOT_FOUND),
    ),
    Route(
        "token_rotate",
        "POST",
        _TOKENS + "/{id}/rotate",
        Shape.TOKEN_ROTATE,
        "Give a token another secret",
        Verb.ADMIN,
        codes=(*_TOKEN, *_BODY, ApiCode.NOT_FOUND),
    ),
)

EVERYWHERE = (ApiCode.INVALID_REQUEST, ApiCode.TOO_MANY_REQUESTS, ApiCode.INTERNAL)
"""Errors that every route can answer with (those that are `always` admitted never say TOO_MANY_REQUESTS)."""

GUARDED = (ApiCode.UNAUTHORIZED, ApiCode.FORBIDDEN, ApiCode.CLUSTER_UNAVAILABLE)
"""Errors that every route which is not open can answer with, besides."""
