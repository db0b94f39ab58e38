"""Is an answer what the served OpenAPI document says of it? Asked of every answer that a client of these tests gets.

The document allows answers to gain members. Here none may have any that it does not name: every object with named members is closed.
"""

import json
from functools import cache, cached_property
from typing import Any, TypeAlias

import jsonschema_rs
import msgspec

from gateway.app import Gateway
from gateway.errors import ApiError
from gateway.paths import parse

Json: TypeAlias = Any

OF_HTTP = {"content-type", "content-length", "date", "server", "connection", "transfer-encoding"}
"""Headers that HTTP has on every answer, and that the document does not name."""

PARSED_BYTES_MAX = 1 << 20


class Described:
    """One document."""

    def __init__(self, document: bytes) -> None:
        self._document = msgspec.json.decode(document)
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def response(self, path: str, method: str, status: int) -> Json:
        """What is said of a route's answers with a status; path "" for what has no route."""
        if path:
            responses = self._document["paths"][path][method.lower()]["responses"]
            assert str(status) in responses, f"{method} {path}: {status} is not described"
            return self._resolved(responses[str(status)])
        components = self._document["components"]["responses"]
        return components[_NOWHERE[status]]

    def check(self, response: Json, headers: dict[str, str], body: bytes, *, has_raw_value: bool = False) -> None:
        """Compare an answer with what is said of it."""
        self._check_headers(response.get("headers", {}), headers)
        kind = headers["content-type"].partition(";")[0]
        content = response["content"]
        described = content.get(kind, content.get("*/*"))
        assert described is not None, f"{kind} is not described"
        if body and kind == "application/json" and not has_raw_value and len(body) <= PARSED_BYTES_MAX:
            self.check_json(described["schema"], json.loads(body))

    def check_json(self, schema: Json, value: Json) -> None:
        """Compare a body with its schema; that of a value in JSON leaves out that it may be raw."""
        schema = schema["anyOf"][0] if schema.get("anyOf", [{}])[-1].keys() == {"description"} else schema
        self._validator(json.dumps(schema)).validate(value)

    def _check_headers(self, described: Json, headers: dict[str, str]) -> None:
        known = {name.lower(): self._resolved(header) for name, header in described.items()}
        unknown = headers.keys() - known.keys() - OF_HTTP
        assert not unknown, f"{unknown} are not described"
        for name, header in known.items():
            assert name in headers or not header["required"], f"{name} is missing"
            if name in headers:
                value = int(headers[name]) if header["schema"].get("type") == "integer" else headers[name]
                self._validator(json.dumps(header["schema"])).validate(value)

    def _resolved(self, node: Json) -> Json:
        if "$ref" not in node:
            return node
        found = self._document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return found

    def _validator(self, schema: str) -> jsonschema_rs.Validator:
        if schema not in self._validators:
            whole = {**_closed(json.loads(schema)), "components": {"schemas": self._schemas}}
            self._validators[schema] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[schema]

    @cached_property
    def _schemas(self) -> Json:
        return _closed(self._document["components"]["schemas"])


_NOWHERE = {
    404: "NoSuchRoute",
    405: "NoSuchMethod",
    503: "503.CLUSTER_UNAVAILABLE",  # a full gateway does not look at the path
}


def check_answer(
    gateway: Gateway, method: str, path: str, *, status: int, headers: dict[str, str], body: bytes
) -> None:
    """Compare an answer of a gateway with its own document; `path` is undecoded and without the query."""
    described, method, raw_path = document_of(gateway), "GET" if method == "HEAD" else method, path.encode()
    try:
        route = gateway.dispatcher._find(method, parse(method, raw_path), raw_path).route.path
    except ApiError:
        route = ""
    described.check(
        described.response(route, method, status), headers, body, has_raw_value="content-security-policy" in headers
    )


def document_of(gateway: Gateway) -> Described:
    """The document that a gateway serves."""
    docs: Any = gateway.dispatcher._by_path[b"/api/v1/openapi.json"]["GET"].handler
    return _described(docs.__self__._openapi.body)


_described = cache(Described)


def _closed(node: Json) -> Json:
    """A schema whose objects have no members but those that are named."""
    if isinstance(node, list):
        return [_closed(member) for member in node]
    if not isinstance(node, dict):
        return node
    whole = {name: _closed(member) for name, member in node.items()}
    if whole.get("type") == "object" and isinstance(whole.get("properties"), dict):
        whole.setdefault("additionalProperties", False)
    return whole
