"""Bodies, queries and replies of the routes, as JSON Schema (draft 2020-12)."""

from typing import Any, TypeAlias

from gateway.bodies import LIMIT_TTL_S
from wire.messages import LIMIT_BULK_ITEMS, LIMIT_KEY_BYTES, LIMIT_LIST_ITEMS

Schema: TypeAlias = dict[str, Any]

_KEY: Schema = {"type": "string", "minLength": 1, "maxLength": LIMIT_KEY_BYTES}
_TTL: Schema = {"type": "integer", "minimum": 1, "maximum": LIMIT_TTL_S, "description": "Seconds."}
_TTL_OR_NULL: Schema = {
    "type": ["integer", "null"],
    "minimum": 1,
    "description": "Seconds, rounded up; null: never expires.",
}
_OPTIONAL_TTL: Schema = {**_TTL, "type": ["integer", "null"]}
_VALUE: Schema = {"description": "Any JSON, up to 1 MiB and 64 levels."}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_NAME_OR_NULL: Schema = {"type": ["string", "null"]}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _closed(required: list[str], **properties: Schema) -> Schema:
    return {**_object(required, **properties), "additionalProperties": False}


def _bulk(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": LIMIT_BULK_ITEMS, "items": items}


def _ok(data: Schema, **beside: Schema) -> Schema:
    return _object(["status", "data"], status={"const": "ok"}, data=data, **beside)


_CHECKS: Schema = _object(
    ["checks"],
    checks={
        "type": "array",
        "items": _object(["name", "ok", "detail"], name=_TEXT, ok={"type": "boolean"}, detail=_TEXT),
    },
)
_NODE: Schema = _object(
    ["name", "status", "address"],
    name=_TEXT,
    status={"enum": ["leader", "follower", "candidate"]},
    address=_TEXT,
    zone=_TEXT,
    reachable={"type": "boolean"},
)
_GROUP: Schema = _object(
    ["id", "leader", "replicas"],
    id=_COUNT,
    leader=_NAME_OR_NULL,
    replicas={"type": "array", "items": _TEXT},
    term=_COUNT,
    commit_index=_COUNT,
    applied_index=_COUNT,
    keys=_COUNT,
    bytes=_COUNT,
    checked_index=_COUNT,
    diverged={"type": "boolean", "description": "The newest comparison of the replicas' states found a difference."},
    fenced={"type": "array", "items": _TEXT, "description": "Nodes whose replica was found wrong and serves nothing."},
)
_ITEM: Schema = _object(
    ["key", "status"],
    key=_KEY,
    status={"enum": ["ok", "error"]},
    error={"enum": ["not_found", "CLUSTER_UNAVAILABLE", "UNKNOWN"]},
)
_MEMBER: Schema = _object(
    ["status"],
    status={"enum": ["ok", "error"]},
    value=_VALUE,
    ttl=_TTL_OR_NULL,
    error={"enum": ["not_found", "CLUSTER_UNAVAILABLE", "UNKNOWN"]},
)

SCHEMAS: dict[str, Schema] = {
    "PutBody": _closed(["value"], value=_VALUE, ttl=_OPTIONAL_TTL),
    "TouchBody": _closed(["ttl"], ttl=_TTL),
    "BulkPutBody": _closed(
        ["operations"], operations=_bulk(_closed(["key", "value"], key=_KEY, value=_VALUE, ttl=_OPTIONAL_TTL))
    ),
    "BulkGetBody": _closed(["keys"], keys=_bulk(_KEY), with_ttl={"type": "boolean", "default": False}),
    "BulkDeleteBody": _closed(["keys"], keys=_bulk(_KEY)),
    "BulkTouchBody": _closed(["operations"], operations=_bulk(_closed(["key", "ttl"], key=_KEY, ttl=_TTL))),
    "Ok": _object(["status"], status={"const": "ok"}),
    "PutReply": _ok(_object(["revision"], revision=_COUNT)),
    "GetReply": _ok(_object(["value"], value=_VALUE, ttl=_TTL_OR_NULL)),
    "DeleteReply": _ok(_object(["deleted"], deleted={"type": "boolean"}, revision=_COUNT)),
    "TtlReply": _ok(_object(["ttl"], ttl=_TTL_OR_NULL)),
    "BulkReply": _ok({"type": "array", "items": _ITEM}),
    "BulkGetReply": _ok({"type": "object", "additionalProperties": _MEMBER}),
    "ListReply": _ok(
        {"type": "array", "items": {"anyOf": [_KEY, _object(["key"], key=_KEY, ttl=_TTL_OR_NULL, value=_VALUE)]}},
        cursor={"type": "string", "description": "There is more: give it back as `cursor`."},
    ),
    "StatusReply": _ok(
        _object(
            ["cluster", "storage", "metrics", "groups", "epoch"],
            cluster=_object(
                ["name", "nodes", "leader"], name=_TEXT, nodes={"type": "array", "items": _NODE}, leader=_NAME_OR_NULL
            ),
            storage=_object(["size", "memory"], size=_COUNT, memory=_COUNT),
            metrics={"type": "object", "additionalProperties": _COUNT},
            groups={"type": "array", "items": _GROUP},
            epoch=_COUNT,
        )
    ),
    "HealthReply": _object(
        ["status", "timestamp", "service"],
        status={"const": "healthy"},
        timestamp={"type": "string", "format": "date-time"},
        service=_TEXT,
    ),
    "ReadyReply": _object(["status"], status={"const": "ok"}, data=_CHECKS),
    "Document": {"type": "object"},
}

BODIES = {
    "put": "PutBody",
    "touch": "TouchBody",
    "bulk_put": "BulkPutBody",
    "bulk_get": "BulkGetBody",
    "bulk_delete": "BulkDeleteBody",
    "bulk_touch": "BulkTouchBody",
}

REPLIES = {
    "put": "PutReply",
    "get": "GetReply",
    "delete": "DeleteReply",
    "ttl": "TtlReply",
    "bulk_put": "BulkReply",
    "bulk_get": "BulkGetReply",
    "bulk_delete": "BulkReply",
    "bulk_touch": "BulkReply",
    "list": "ListReply",
    "status": "StatusReply",
    "health": "HealthReply",
    "root_health": "HealthReply",
    "readyz": "ReadyReply",
    "root_ready": "ReadyReply",
    "root_readyz": "ReadyReply",
    "openapi": "Document",
}

_SWITCH: Schema = {"schema": {"type": "boolean", "default": False}, "allowEmptyValue": True}
_CONSISTENCY: Schema = {
    "description": "`stale`: any replica may answer, with its age in X-Concord-Age-Ms.",
    "schema": {"enum": ["linearizable", "stale"], "default": "linearizable"},
}
_VERBOSE = {"verbose": {**_SWITCH, "description": "List the checks."}}

QUERIES: dict[str, dict[str, Schema]] = {
    "get": {"with_ttl": _SWITCH, "consistency": _CONSISTENCY},
    "ttl": {"consistency": _CONSISTENCY},
    "bulk_get": {"consistency": _CONSISTENCY},
    "list": {
        "limit": {
            "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_LIST_ITEMS, "default": LIMIT_LIST_ITEMS}
        },
        "prefix": {"schema": {"type": "string", "maxLength": LIMIT_KEY_BYTES, "default": ""}},
        "cursor": {"schema": _TEXT, "description": "From the page before."},
        "with_ttl": _SWITCH,
        "values": _SWITCH,
        "consistency": _CONSISTENCY,
    },
    "watch": {
        "prefix": {"schema": {"type": "string", "maxLength": LIMIT_KEY_BYTES, "default": ""}},
        "from": {"schema": _TEXT, "description": "An `id` of an event: no state, but the changes right after it."},
    },
    "livez": _VERBOSE,
    "readyz": _VERBOSE,
    "root_livez": _VERBOSE,
    "root_ready": _VERBOSE,
    "root_readyz": _VERBOSE,
}
