"""The one table of routes. Dispatch, the header Allow, metrics, the auth check and OpenAPI all read it."""

import enum
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from gateway.answers import Answer, Stream
from gateway.errors import ApiCode
from gateway.paths import Shape
from gateway.requests import Request

Handler: TypeAlias = Callable[[Request], Awaitable[Answer | Stream]]


class Verb(enum.StrEnum):
    """What a route needs of a token's scopes. NONE is the rule of no route but the open ones."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    LOCK = "lock"
    WATCH = "watch"
    ADMIN = "admin"
    TOKEN = "token"  # noqa: S105 - any good token, whatever its scopes


CHANGES = frozenset({Verb.WRITE, Verb.LOCK, Verb.ADMIN})
"""The verbs of routes that change something, but for those that list tokens."""

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
        conditional: is about one key, and heeds If-Match and If-None-Match.
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
    conditional: bool = False
    codes: tuple[ApiCode, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether it may change anything."""
        return self.method != "GET" and self.verb in CHANGES


_AWAY = (ApiCode.CLUSTER_UNAVAILABLE, ApiCode.TIMEOUT)
_ONE = (ApiCode.INVALID_KEY, ApiCode.INVALID_REQUEST, *_AWAY)
_BODY = (ApiCode.BODY_TOO_LARGE, ApiCode.VALUE_TOO_LARGE)
_CHANGE = (*_ONE, *_BODY, ApiCode.CONFLICT, ApiCode.PRECONDITION_FAILED)
_BULK = (*_ONE, ApiCode.BODY_TOO_LARGE, ApiCode.BATCH_TOO_LARGE)
_BULK_CHANGE = (*_CHANGE, ApiCode.BATCH_TOO_LARGE, ApiCode.CROSS_GROUP, ApiCode.NOT_FOUND)
_KV = "/api/v1/kv"
_TOKENS = "/api/v1/tokens"
_TOKEN = (ApiCode.INVALID_REQUEST, ApiCode.CONFLICT, *_AWAY)

ROUTES = (
    Route("put", "PUT", _KV + "/{key}", Shape.KEY, "Set a key", Verb.WRITE, conditional=True, codes=_CHANGE),
    Route("get", "GET", _KV + "/{key}", Shape.KEY, "Read a key", Verb.READ, codes=(*_ONE, ApiCode.NOT_FOUND)),
    Route("delete", "DELETE", _KV + "/{key}", Shape.KEY, "Delete a key", Verb.WRITE, conditional=True, codes=_CHANGE),
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
        conditional=True,
        codes=(*_CHANGE, ApiCode.NOT_FOUND),
    ),
    Route(
        "increment",
        "POST",
        _KV + "/{key}/increment",
        Shape.INCREMENT,
        "Add to a number",
        Verb.WRITE,
        conditional=True,
        codes=_CHANGE,
    ),
    Route(
        "bulk_put",
        "POST",
        _KV + "/bulk",
        Shape.BULK,
        "Set many keys",
        Verb.WRITE,
        codes=_BULK_CHANGE,
    ),
    Route("bulk_get", "POST", _KV + "/bulk/get", Shape.BULK, "Read many keys", Verb.READ, codes=_BULK),
    Route("bulk_delete", "POST", _KV + "/bulk/delete", Shape.BULK, "Delete many keys", Verb.WRITE, codes=_BULK_CHANGE),
    Route(
        "bulk_touch",
        "POST",
        _KV + "/bulk/touch",
        Shape.BULK,
        "Set the time to live of many keys",
        Verb.WRITE,
        codes=_BULK_CHANGE,
    ),
    Route("list", "GET", _KV, Shape.LIST, "List keys in order", Verb.READ, codes=(ApiCode.INVALID_REQUEST, *_AWAY)),
    Route(
        "watch",
        "GET",
        "/api/v1/watch",
        Shape.PLAIN,
        "Follow changes",
        Verb.WATCH,
        codes=(ApiCode.INVALID_REQUEST, ApiCode.CLUSTER_UNAVAILABLE),
    ),
    Route(
        "txn",
        "POST",
        "/api/v1/txn",
        Shape.PLAIN,
        "Compare keys of one slot and change others of it, at once",
        Verb.WRITE,
        codes=_BULK_CHANGE,
    ),
    Route(
        "quota_take",
        "POST",
        "/api/v1/limits/{name}/acquire",
        Shape.QUOTA_TAKE,
        "Take something out of a rate limit",
        Verb.WRITE,
        codes=(*_ONE, ApiCode.BODY_TOO_LARGE, ApiCode.CONFLICT),
    ),
    Route(
        "lock_acquire",
        "POST",
        "/api/v1/locks/{name}/acquire",
        Shape.LOCK_ACQUIRE,
        "Take a lock, or wait for it",
        Verb.LOCK,
        codes=(*_ONE, ApiCode.BODY_TOO_LARGE, ApiCode.CONFLICT),
    ),
    Route(
        "lock_renew",
        "POST",
        "/api/v1/locks/{name}/renew",
        Shape.LOCK_RENEW,
        "Hold a lock for longer",
        Verb.LOCK,
        codes=(*_ONE, ApiCode.BODY_TOO_LARGE, ApiCode.CONFLICT),
    ),
    Route(
        "lock_release",
        "POST",
        "/api/v1/locks/{name}/release",
        Shape.LOCK_RELEASE,
        "Give a lock back",
        Verb.LOCK,
        codes=(*_ONE, ApiCode.BODY_TOO_LARGE, ApiCode.CONFLICT),
    ),
    Route(
        "service",
        "GET",
        "/api/v1/services/{service}",
        Shape.SERVICE,
        "The living instances of a service",
        Verb.READ,
        codes=_ONE,
    ),
    Route(
        "instance_put",
        "PUT",
        "/api/v1/services/{service}/{instance}",
        Shape.INSTANCE,
        "Register an instance of a service",
        Verb.WRITE,
        conditional=True,
        codes=_CHANGE,
    ),
    Route(
        "instance_delete",
        "DELETE",
        "/api/v1/services/{service}/{instance}",
        Shape.INSTANCE,
        "Take an instance out of its service",
        Verb.WRITE,
        conditional=True,
        codes=_CHANGE,
    ),
    Route(
        "instance_touch",
        "POST",
        "/api/v1/services/{service}/{instance}/touch",
        Shape.INSTANCE_TOUCH,
        "Heartbeat of an instance",
        Verb.WRITE,
        conditional=True,
        codes=(*_CHANGE, ApiCode.NOT_FOUND),
    ),
    Route(
        "status",
        "GET",
        "/api/v1/status",
        Shape.PLAIN,
        "The cluster, its nodes and groups",
        Verb.TOKEN,
        codes=(ApiCode.CLUSTER_UNAVAILABLE,),
    ),
    Route(
        "members",
        "GET",
        "/api/v1/members",
        Shape.PLAIN,
        "The nodes of the cluster, and what each is in placement's group",
        Verb.TOKEN,
        codes=(ApiCode.CLUSTER_UNAVAILABLE,),
    ),
    Route(
        "nodes",
        "GET",
        "/api/v1/nodes",
        Shape.PLAIN,
        "The nodes, with what each hosts and uses",
        Verb.TOKEN,
        codes=(ApiCode.CLUSTER_UNAVAILABLE,),
    ),
    Route(
        "groups",
        "GET",
        "/api/v1/groups",
        Shape.PLAIN,
        "The groups, with their leaders and replicas",
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

EVERYWHERE = (ApiCode.INVALID_REQUEST, ApiCode.INTERNAL)
"""Errors that every route can answer with."""

ADMITTED = (ApiCode.TOO_MANY_REQUESTS, ApiCode.CLUSTER_UNAVAILABLE)
"""Errors that every route which is not `always` admitted can answer with, besides."""

GUARDED = (ApiCode.UNAUTHORIZED, ApiCode.FORBIDDEN, ApiCode.TOO_MANY_REQUESTS, ApiCode.CLUSTER_UNAVAILABLE)
"""Errors that every route which is not open can answer with, besides."""
