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


class Verb(enum.Enum):
    """What a route does to keys; a token's scope will speak of it."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    WATCH = "watch"


class Route(msgspec.Struct, frozen=True):
    """One row.

    Attributes:
        id: its name in metrics and in OpenAPI.
        method: the HTTP method.
        path: the template, `{key}` for the key.
        shape: the shape that its paths parse to; PLAIN and BULK paths are compared as a whole.
        summary: one line for people.
        verb: what it does to keys.
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
        "watch",
        "GET",
        "/api/v1/watch",
        Shape.PLAIN,
        "Follow changes",
        Verb.WATCH,
        codes=(ApiCode.INVALID_REQUEST, ApiCode.CLUSTER_UNAVAILABLE),
    ),
    Route(
        "status",
        "GET",
        "/api/v1/status",
        Shape.PLAIN,
        "The cluster, its nodes and groups",
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
    Route("metrics", "GET", "/metrics", Shape.PLAIN, "Figures for Prometheus", always=True),
    Route("openapi", "GET", "/api/v1/openapi.json", Shape.PLAIN, "This description", is_open=True),
    Route("docs", "GET", "/api/docs", Shape.PLAIN, "A page that tries requests out", is_open=True),
    Route("docs_script", "GET", "/api/docs/docs.js", Shape.PLAIN, "The page's script", is_open=True),
    Route("docs_style", "GET", "/api/docs/docs.css", Shape.PLAIN, "The page's style", is_open=True),
)

EVERYWHERE = (ApiCode.INVALID_REQUEST, ApiCode.TOO_MANY_REQUESTS, ApiCode.INTERNAL)
"""Errors that every route can answer with (those that are `always` admitted never say TOO_MANY_REQUESTS)."""
