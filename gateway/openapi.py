"""The OpenAPI 3.1 document, made from the table of routes and the table of errors, so that it cannot leave one out."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from gateway import openapi_failures, openapi_headers
from gateway.errors import ApiCode
from gateway.idempotency import LIMIT_KEY_CHARACTERS
from gateway.limits import HttpLimits
from gateway.openapi_examples import BYTES_TYPE, EXAMPLES, JSON_TYPE, Example
from gateway.openapi_limits import Limit, LimitText, effective
from gateway.openapi_replies import REPLIES, REPLY_SCHEMAS
from gateway.openapi_schemas import BODIES, LINKS, OPTIONAL_BODIES, QUERIES, SCHEMAS
from gateway.openapi_text import ABOUT, DESCRIPTIONS
from gateway.routes import KEY_VERBS, Route, Verb

Document: TypeAlias = dict[str, Any]

API_VERSION = "1"
_TEXT_TYPES = {
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
    routes = tuple(routes)
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
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "x-concord-limits": _limits(limits),
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": SCHEMAS | REPLY_SCHEMAS | openapi_failures.schemas(),
            "parameters": _parameters(limits),
            "headers": openapi_headers.components(),
            "responses": openapi_failures.components(routes),
            "securitySchemes": _security_schemes(),
        },
    }


def _operation(route: Route, limits: HttpLimits) -> Document:
    operation: Document = {
        "operationId": route.id,
        "summary": route.summary,
        "tags": [_tag(route)],
        "parameters": _operation_parameters(route, _parameters(limits)),
        "responses": {"200": _success(route), **openapi_failures.of_route(route)},
    }
    if route.id in DESCRIPTIONS:
        operation["description"] = DESCRIPTIONS[route.id]
    if route.id in BODIES:
        operation["requestBody"] = {
            "description": f"At most {limits.body_bytes} bytes.",
            "required": route.id not in OPTIONAL_BODIES,
            "content": _bodies(route),
        }
    return operation


def _bodies(route: Route) -> Document:
    content: Document = {JSON_TYPE: {"schema": _ref(BODIES[route.id]), **_shown(_sent(route, JSON_TYPE))}}
    if route.id == "put":
        binary = {
            "type": "string",
            "format": "binary",
            "description": LimitText("Any type: kept with it. At most {value_bytes} bytes."),
        }
        content[BYTES_TYPE] = {"schema": binary, **_shown(_sent(route, BYTES_TYPE))}
    return content


def _sent(route: Route, body_type: str) -> dict[str, Document]:
    """The example bodies of a content type."""
    return {
        name: _example(example, example.body)
        for name, example in EXAMPLES[route.id].items()
        if example.body is not None and example.body_type == body_type
    }


def _example(example: Example, value: object) -> Document:
    return {"summary": example.summary, "value": value}


def _shown(examples: Mapping[str, Document]) -> Document:
    """What says the examples of something; nothing when there are none."""
    return {"examples": examples} if examples else {}


def _tag(route: Route) -> str:
    if route.verb in KEY_VERBS:
        return "keys"
    return "tokens" if route.verb is Verb.ADMIN else "gateway"


def _operation_parameters(route: Route, shared: Mapping[str, Document]) -> list[Document]:
    names = _PATH_PARAMETER.findall(route.path) + _shared_headers(route)
    queries = [{"name": name, "in": "query", **shape} for name, shape in QUERIES.get(route.id, {}).items()]
    return [_parameter(route, name, shared[name]) for name in names] + [
        {**query, **_shown(_given(route, query["name"]))} for query in queries
    ]


def _shared_headers(route: Route) -> list[str]:
    """The headers of requests that mean something to a route, by their names among the components."""
    found: list[str] = []
    if route.verb is Verb.WATCH:
        found.append("last_event_id")
    elif ApiCode.TIMEOUT in route.codes:
        found.append("timeout")
    if route.verb is Verb.WRITE:
        found.append("idempotency")
    if route.conditional:
        found += ["if_match", "if_none_match"]
    return found


def _parameter(route: Route, component: str, shared: Document) -> Document:
    """A shared parameter: as it is, unless the route has examples of its own for it."""
    given = _given(route, shared["name"])
    if not given:
        return {"$ref": f"#/components/parameters/{component}"}
    return {name: member for name, member in shared.items() if name != "example"} | _shown(given)


def _given(route: Route, parameter: str) -> dict[str, Document]:
    """The examples of a parameter."""
    return {
        name: _example(example, example.parameters[parameter])
        for name, example in EXAMPLES[route.id].items()
        if parameter in example.parameters
    }


def _success(route: Route) -> Document:
    answer: Document = {
        "description": "Success",
        "headers": openapi_headers.of_success(route.id),
        "content": _answers(route),
    }
    if route.id in LINKS:
        answer["links"] = LINKS[route.id]
    return answer


def _answers(route: Route) -> Document:
    shown = _shown(
        {
            name: _example(example, example.answer)
            for name, example in EXAMPLES[route.id].items()
            if example.answer is not None
        }
    )
    if route.id in _TEXT_TYPES:
        schema = _ref("WatchEvent") if route.id == "watch" else {"type": "string"}
        return {_TEXT_TYPES[route.id]: {"schema": schema, **shown}}
    schema = _ref(REPLIES.get(route.id, "Ok"))
    if route.id != "get":
        return {JSON_TYPE: {"schema": schema, **shown}}
    as_put = {"description": "With `raw`, or when `Accept` names its type: the value as it was put."}
    return {JSON_TYPE: {"schema": {"anyOf": [schema, as_put]}, **shown}, "*/*": {"schema": as_put}}


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
            "description": "Chosen by the client, for one write: for ten minutes the same request gets the same answer and is applied "
            "once; with another request it is a `409`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": LIMIT_KEY_CHARACTERS, "pattern": "^[!-~]+$"},
            "example": "3f9c1d2e-order-17",
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
            "example": min(500, limits.timeout_ms_max),
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


def _security_schemes() -> Document:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "sk_concord_<id>_<secret>_<checksum>"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}
