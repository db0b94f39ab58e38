"""From the tables behind openapi.json: every place in a request that a limit is stated for, and a request that is over it there.

A schema is walked to each of its placeholders. Then the smallest body that has the place is made, with what the place
holds at the limit, or one over it.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec

from gateway.data_limits import DataLimits
from gateway.openapi_limits import Limit, LimitText
from gateway.openapi_schemas import BODIES, QUERIES, SCHEMAS
from gateway.routes import ROUTES, Route
from tests.gateway.test_access_matrix import SAMPLES, filled

Schema: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]
OWN = "{k}"  # with it every key of a body is in one slot

CODES = {
    "key_bytes": "INVALID_KEY",
    "value_bytes": "VALUE_TOO_LARGE",
    "bulk_items": "BATCH_TOO_LARGE",
    "json_depth": "INVALID_REQUEST",
    "ttl_s_max": "INVALID_REQUEST",
    "list_items": "INVALID_REQUEST",
}


class Place(msgspec.Struct, frozen=True):
    """Where a limit is stated.

    Attributes:
        route: whose request it is.
        limit: the field of DataLimits.
        path: of the place in the body's schema; empty: not in the body.
        query: the parameter, if it is one.
        atomic: the body asks for all or nothing.
    """

    route: Route
    limit: str
    path: Path = ()
    query: str = ""
    atomic: bool = False

    def __str__(self) -> str:
        where = self.query or ".".join(str(step) for step in self.path if step != "properties") or "path"
        return f"{self.route.id}-{where}-{self.limit}{'-atomic' * self.atomic}"

    @property
    def code(self) -> str:
        """The error of more than the limit."""
        return "INVALID_REQUEST" if self.query else CODES[self.limit]

    def request(self, limits: DataLimits, beyond: int) -> tuple[str, Any]:
        """Target and body of a request with `beyond` more than the limit here."""
        sample = SAMPLES[self.route.id]
        target, size = filled(sample.target, OWN), getattr(limits, self.limit) + beyond
        if self.query:
            value = "k" * size if self.limit == "key_bytes" else str(size)
            return target.partition("?")[0] + f"?{self.query}={value}", filled(sample.body, OWN)
        if not self.path:
            return _with_name(target, size), filled(sample.body, OWN)
        schema = SCHEMAS[BODIES[self.route.id]]
        if "metadata" in self.path:  # what is kept, and limited, is the whole instance
            size -= {"value_bytes": len(_instance_around(schema)), "json_depth": 1}[self.limit]
        body = _made(schema, self.path, self.limit, size)
        return target, {**body, "atomic": True} if self.atomic else body


def places() -> Iterator[Place]:
    """All of them."""
    for route in ROUTES:
        if route.id in BODIES:
            schema = SCHEMAS[BODIES[route.id]]
            for path, limit in _stated(schema):
                yield Place(route, limit, path)
                if "atomic" in schema["properties"]:
                    yield Place(route, limit, path, atomic=True)
        for name, parameter in QUERIES.get(route.id, {}).items():
            yield from (Place(route, limit, query=name) for limit in {limit for _, limit in _stated(parameter)})
        if any(part in route.path for part in ("{key}", "{name}", "{service}")):
            yield Place(route, "key_bytes")


def _stated(node: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    if isinstance(node, Limit):
        yield path[:-1], node.name
    elif isinstance(node, LimitText):
        yield from ((path[:-1], name) for name in ("value_bytes", "json_depth"))
    elif isinstance(node, dict | list):
        for step, member in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _stated(member, (*path, step))


def _with_name(target: str, size: int) -> str:
    """The target with a name of so many bytes in place of its own; a service's is kept as `services/<service>/…`."""
    if "/services/" in target:
        head, _, rest = target.partition("/services/web")
        kept = "services/" + "/" * rest.startswith("/") + "i1" * rest.startswith("/")
        return f"{head}/services/{'w' * (size - len(kept))}{rest}"
    name = OWN + "a"
    return target.replace(name, quote(OWN + "a" * (size - len(OWN))))


def _instance_around(schema: Schema) -> bytes:
    """What is kept of an instance beside its metadata."""
    least: dict[str, Any] = _least_object(schema, "metadata")
    return msgspec.json.encode({"address": least["address"], "port": least["port"], "metadata": msgspec.Raw(b"")})


def _made(schema: Schema, path: Path, limit: str, size: int) -> Any:
    """The smallest thing that a schema allows and that has the place at the end of the path, of the size."""
    if not path:
        return _sized(schema, limit, size)
    step, rest = path[0], path[1:]
    if step in ("oneOf", "anyOf"):
        return _made(schema[step][rest[0]], rest[1:], limit, size)
    if step == "items":
        return [_made(schema["items"], rest, limit, size)]
    name, rest = str(rest[0]), rest[1:]
    return {**_least_object(schema, name), name: _made(schema["properties"][name], rest, limit, size)}


def _sized(schema: Schema, limit: str, size: int) -> Any:
    match limit:
        case "key_bytes":
            return OWN + "k" * (size - len(OWN))
        case "value_bytes":
            return "v" * (size - 2)  # with its quotes
        case "json_depth":
            return json.loads("[" * size + "]" * size)
        case "bulk_items":
            return [_least(schema["items"])] * size
        case _:
            return size


def _least(schema: Schema) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    branches: list[Schema] = schema.get("oneOf") or schema.get("anyOf") or []
    if branches and "type" not in schema:
        return _least(branches[0])
    kind = schema.get("type", "null")
    if kind == "object":
        return _least_object(schema, "")
    if kind == "array":
        return [_least(schema["items"])] * schema.get("minItems", 0)
    return {"string": OWN + "k", "boolean": True, "integer": schema.get("minimum", 0)}.get(kind)


def _least_object(schema: Schema, present: str) -> dict[str, Any]:
    """All that is required beside `present`, and one of what is wanted."""
    wanted = [branch["required"] for branch in schema.get("oneOf", ())]
    chosen: list[str] = next((names for names in wanted if present in names), next(iter(wanted), []))
    names = dict.fromkeys([*schema["required"], *chosen])
    return {name: _least(schema["properties"][name]) for name in names if name != present}
