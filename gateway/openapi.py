"""The OpenAPI 3.1 document, made from the table of routes and the table of errors, so that it cannot leave one out."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from gateway.errors import MEANINGS, ApiCode
from gateway.idempotency import LIMIT_KEY_CHARACTERS
from gateway.limits import HttpLimits
from gateway.openapi_limits import Limit, LimitText, effective
from gateway.openapi_schemas import BODIES, CONDITIONAL_BY_HEADER, LINKS, OPTIONAL_BODIES, QUERIES, REPLIES, SCHEMAS
from gateway.paths import KEYED
from gateway.routes import ADMITTED, EVERYWHERE, GUARDED, KEY_VERBS, Route, Verb

Document: TypeAlias = dict[str, Any]

API_VERSION = "1"
_JSON = "application/json"
_BINARY = {
    "metrics": "text/plain",
    "watch": "text/event-stream",
    "docs": "text/html",
    "docs_script": "text/javascript",
    "docs_style": "text/css",
}
_PATH_PARAMETER = re.compile(r"{(\w+)}")
_ETAG_PATTERN = r'^(\*|"[0-9]{1,18}"|[0-9]{1,18})$'
_SERVICE_NAME = {"maxLength": 200, "pattern": "^[A-Za-z0-9._~-]+$"}


def describe(routes: Iterable[Route], limits: HttpLimits, *, has_auth: bool) -> Document:
    """The document for a table of routes, of a gateway with these limits that asks for tokens or does not."""
    described: Document = effective(_describe(routes, limits, has_auth=has_auth), limits.data)
    return described


def _describe(routes: Iterable[Route], limits: HttpLimits, *, has_auth: bool) -> Document:
    """The same, with placeholders for the limits of data."""
    paths: Document = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, limits)
        if has_auth and not route.is_open:
            paths[route.path][route.method.lower()]["security"] = [{"bearer": []}, {"apiKey": []}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Concord",
            "version": API_VERSION,
            "summary": "A strongly consistent, sharded key-value store",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "x-concord-limits": _limits(limits),
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": SCHEMAS | {"Error": _error_schema()},
            "parameters": _parameters(limits),
            "headers": _headers(),
            "securitySchemes": _security_schemes(),
        },
    }


def _operation(route: Route, limits: HttpLimits) -> Document:
    operation: Document = {
        "operationId": route.id,
        "summary": route.summary,
        "tags": [_tag(route)],
        "parameters": _operation_parameters(route),
        "responses": {"200": _success(route), **_failures(route)},
    }
    if route.id in BODIES:
        content: Document = {_JSON: {"schema": _ref(BODIES[route.id])}}
        if route.id == "put":
            binary = {
                "type": "string",
                "format": "binary",
                "description": LimitText("Any type: kept with it. At most {value_bytes} bytes."),
            }
            content["application/octet-stream"] = {"schema": binary}
        operation["requestBody"] = {
            "description": f"At most {limits.body_bytes} bytes.",
            "required": route.id not in OPTIONAL_BODIES,
            "content": content,
        }
    return operation


def _tag(route: Route) -> str:
    if route.verb in KEY_VERBS:
        return "keys"
    return "tokens" if route.verb is Verb.ADMIN else "gateway"


def _operation_parameters(route: Route) -> list[Document]:
    found: list[Document] = []
    found += [{"$ref": f"#/components/parameters/{name}"} for name in _PATH_PARAMETER.findall(route.path)]
    found += [{"name": name, "in": "query", **shape} for name, shape in QUERIES.get(route.id, {}).items()]
    if route.verb is Verb.WATCH:
        found.append({"$ref": "#/components/parameters/last_event_id"})
    elif ApiCode.TIMEOUT in route.codes:
        found.append({"$ref": "#/components/parameters/timeout"})
    if route.verb is Verb.WRITE:
        found.append({"$ref": "#/components/parameters/idempotency"})
    if route.id in CONDITIONAL_BY_HEADER:
        found += [{"$ref": f"#/components/parameters/{name}"} for name in ("if_match", "if_none_match")]
    return found


def _success(route: Route) -> Document:
    if route.id in _BINARY:
        schema = _ref("WatchEvent") if route.id == "watch" else {"type": "string"}
        return {"description": "Success", "content": {_BINARY[route.id]: {"schema": schema}}}
    answer: Document = {"description": "Success", "content": {_JSON: {"schema": _ref(REPLIES.get(route.id, "Ok"))}}}
    if route.id == "get":
        as_put = {"description": "With `raw`, or when `Accept` names its type: the value as it was put."}
        answer["content"] = {_JSON: {"schema": {"anyOf": [_ref("GetReply"), as_put]}}, "*/*": {"schema": as_put}}
    if route.id in LINKS:
        answer["links"] = LINKS[route.id]
    if route.shape in KEYED:
        answer["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
    return answer


def _failures(route: Route) -> Document:
    """One response for each status, naming every code behind it."""
    guarded = () if route.is_open else GUARDED
    admitted = () if route.always else ADMITTED
    slow = () if route.method == "GET" else (ApiCode.REQUEST_TIMEOUT,)
    codes = {*route.codes, *EVERYWHERE, *guarded, *admitted, *slow}
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
    if ApiCode.UNAUTHORIZED in codes:
        answer["headers"] = {"WWW-Authenticate": {"$ref": "#/components/headers/WWW-Authenticate"}}
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


def _limits(limits: HttpLimits) -> Document:
    """Those that a client may want to know, all in one place: by the names of the settings of a gateway."""
    stated = {name: getattr(limits, name) for name in ("body_bytes", "timeout_ms_max", "query_fields")}
    return msgspec.structs.asdict(limits.data) | stated


def _parameters(limits: HttpLimits) -> Document:
    return {
        "last_event_id": _LAST_EVENT_ID,
        "key": {
            "name": "key",
            "in": "path",
            "required": True,
            "description": LimitText("1..{key_bytes} bytes of UTF-8. `/` may stand as it is or as `%2F`."),
            "schema": {"type": "string", "minLength": 1, "maxLength": Limit("key_bytes")},
        },
        "id": _name("id", "The public part of a token: what stands between its second and its third `_`.", {}),
        "name": _name("name", "Of a lock or a limit.", {"maxLength": Limit("key_bytes")}),
        "service": _name("service", "Of a service.", _SERVICE_NAME),
        "instance": _name("instance", "Of an instance, unique in its service.", _SERVICE_NAME),
        "if_match": {
            "name": "If-Match",
            "in": "header",
            "description": "The key must have this revision: its ETag; `*`: it must be there.",
            "schema": {"type": "string", "pattern": _ETAG_PATTERN},
        },
        "if_none_match": {
            "name": "If-None-Match",
            "in": "header",
            "description": "`*`: the key must not be there.",
            "schema": {"const": "*"},
        },
        "idempotency": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Chosen by the client: for ten minutes the same request gets the same answer and is applied once.",
            "schema": {"type": "string", "minLength": 1, "maxLength": LIMIT_KEY_CHARACTERS, "pattern": "^[!-~]+$"},
        },
        "timeout": {
            "name": "X-Concord-Timeout-Ms",
            "in": "header",
            "description": "After how many milliseconds the client gives up.",
            "schema": {
                "type": "integer",
                "minimum": 1,
                "maximum": limits.timeout_ms_max,
                "default": limits.timeout_ms_default,
            },
        },
    }


_LAST_EVENT_ID: Document = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The last `id` that was seen: go on right after it. It counts more than `from`.",
    "schema": {"type": "string"},
}


def _name(name: str, description: str, schema: Document) -> Document:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1, **schema},
    }


def _headers() -> Document:
    return {
        "ETag": {"description": "The key's revision, in quotes.", "schema": {"type": "string"}},
        "WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}},
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
    }


def _security_schemes() -> Document:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "sk_concord_<id>_<secret>_<checksum>"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}
