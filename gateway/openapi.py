"""The OpenAPI 3.1 document, made from the table of routes and the table of errors, so that it cannot leave one out."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeAlias

from gateway.errors import MEANINGS, ApiCode
from gateway.limits import HttpLimits
from gateway.openapi_schemas import BODIES, QUERIES, REPLIES, SCHEMAS
from gateway.paths import Shape
from gateway.routes import EVERYWHERE, Route, Verb

Document: TypeAlias = dict[str, Any]

API_VERSION = "1"
_JSON = "application/json"
_KEYED = frozenset({Shape.KEY, Shape.TTL, Shape.TOUCH})
_BINARY = {
    "metrics": "text/plain",
    "watch": "text/event-stream",
    "docs": "text/html",
    "docs_script": "text/javascript",
    "docs_style": "text/css",
}


def describe(routes: Iterable[Route]) -> Document:
    """The document for a table of routes."""
    paths: Document = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Concord",
            "version": API_VERSION,
            "summary": "A strongly consistent, sharded key-value store",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": SCHEMAS | {"Error": _error_schema()},
            "parameters": _parameters(),
            "headers": _headers(),
        },
    }


def _operation(route: Route) -> Document:
    operation: Document = {
        "operationId": route.id,
        "summary": route.summary,
        "tags": ["keys" if route.verb is not Verb.NONE else "gateway"],
        "parameters": _operation_parameters(route),
        "responses": {"200": _success(route), **_failures(route)},
    }
    if route.id in BODIES:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": _ref(BODIES[route.id])}}}
    return operation


def _operation_parameters(route: Route) -> list[Document]:
    found: list[Document] = []
    if route.shape in _KEYED:
        found.append({"$ref": "#/components/parameters/key"})
    found += [{"name": name, "in": "query", **shape} for name, shape in QUERIES.get(route.id, {}).items()]
    if route.verb is Verb.WATCH:
        found.append({"$ref": "#/components/parameters/last_event_id"})
    elif route.verb is not Verb.NONE:
        found.append({"$ref": "#/components/parameters/timeout"})
    return found


def _success(route: Route) -> Document:
    if route.id in _BINARY:
        return {"description": "Success", "content": {_BINARY[route.id]: {"schema": {"type": "string"}}}}
    answer: Document = {"description": "Success", "content": {_JSON: {"schema": _ref(REPLIES.get(route.id, "Ok"))}}}
    if route.shape in _KEYED:
        answer["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
    return answer


def _failures(route: Route) -> Document:
    """One response for each status, naming every code behind it."""
    codes = {*route.codes, *EVERYWHERE} - ({ApiCode.TOO_MANY_REQUESTS} if route.always else set())
    by_status: dict[int, list[ApiCode]] = defaultdict(list)
    for code in sorted(codes):
        by_status[MEANINGS[code].status].append(code)
    return {str(status): _failure(members) for status, members in sorted(by_status.items())}


def _failure(codes: list[ApiCode]) -> Document:
    schema: Document = {
        "allOf": [
            _ref("Error"),
            {"properties": {"error": {"properties": {"code": {"enum": [code.value for code in codes]}}}}},
        ]
    }
    answer: Document = {
        "description": " ".join(f"`{code.value}`: {MEANINGS[code].text}" for code in codes),
        "content": {_JSON: {"schema": schema}},
    }
    if any(MEANINGS[code].status in (429, 503) for code in codes):
        answer["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return answer


def _error_schema() -> Document:
    return {
        "type": "object",
        "required": ["status", "error"],
        "properties": {
            "status": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["code", "message", "applied", "retryable"],
                "properties": {
                    "code": {"type": "string", "enum": [code.value for code in ApiCode]},
                    "message": {"type": "string"},
                    "applied": {"enum": [False, "unknown"]},
                    "retryable": {"type": "boolean"},
                },
            },
        },
    }


def _parameters() -> Document:
    return {
        "last_event_id": _LAST_EVENT_ID,
        "key": {
            "name": "key",
            "in": "path",
            "required": True,
            "description": "1..1024 bytes of UTF-8. `/` may stand as it is or as `%2F`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 1024},
        },
        "timeout": {
            "name": "X-Concord-Timeout-Ms",
            "in": "header",
            "description": "After how many milliseconds the client gives up.",
            "schema": {
                "type": "integer",
                "minimum": 1,
                "maximum": HttpLimits().timeout_ms_max,
                "default": HttpLimits().timeout_ms_default,
            },
        },
    }


_LAST_EVENT_ID: Document = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The last `id` that was seen: go on right after it. It counts more than `from`.",
    "schema": {"type": "string"},
}


def _headers() -> Document:
    return {
        "ETag": {"description": "The key's revision, in quotes.", "schema": {"type": "string"}},
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    }


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}
