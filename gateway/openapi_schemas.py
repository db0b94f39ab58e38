"""Bodies, queries and replies of the routes, as JSON Schema (draft 2020-12)."""

from typing import Any, TypeAlias

from gateway.bodies import LIMIT_TTL_S
from placement.tokens.text import NAME_PATTERN
from wire.messages import LIMIT_BULK_ITEMS, LIMIT_KEY_BYTES, LIMIT_LIST_ITEMS
from wire.token_messages import LIMIT_OVERLAP_MS, LIMIT_SCOPE_VERBS, LIMIT_TOKEN_NAME, LIMIT_TOKEN_SCOPES

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

_PREFIX: Schema = {"type": "string", "maxLength": LIMIT_KEY_BYTES, "description": "Of keys; empty for all."}


def _scope(prefix: Schema, *verbs: str) -> Schema:
    many = {"type": "array", "minItems": 1, "maxItems": LIMIT_SCOPE_VERBS, "items": {"enum": list(verbs)}}
    return _closed(["prefix", "verbs"], prefix=prefix, verbs=many)


_KEY_VERBS = ("read", "write", "lock", "watch")
_SCOPE: Schema = {"anyOf": [_scope(_PREFIX, *_KEY_VERBS), _scope({"const": ""}, *_KEY_VERBS, "admin")]}
_SCOPES: Schema = {"type": "array", "minItems": 1, "maxItems": LIMIT_TOKEN_SCOPES, "items": _SCOPE}
_TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
_TOKEN: Schema = _object(
    ["id", "name", "scopes", "created_at", "expires_at", "rotated_at", "old_secret_until"],
    id=_TEXT,
    name=_TEXT,
    scopes=_SCOPES,
    created_at={"type": "string", "format": "date-time"},
    expires_at=_TIME_OR_NULL,
    rotated_at=_TIME_OR_NULL,
    old_secret_until=_TIME_OR_NULL,
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
    "TokenBody": _closed(
        ["name", "scopes"],
        name={"type": "string", "minLength": 1, "maxLength": LIMIT_TOKEN_NAME, "pattern": NAME_PATTERN},
        scopes=_SCOPES,
        expires_in=_OPTIONAL_TTL,
    ),
    "RotateBody": _closed(
        [],
        overlap={
            "type": "integer",
            "minimum": 0,
            "maximum": LIMIT_OVERLAP_MS // 1000,
            "default": 0,
            "description": "For how many seconds the old secret stays good.",
        },
    ),
    "TokenReply": _ok(
        {
            "allOf": [
                _TOKEN,
                _object(["token"], token={"type": "string", "description": "With the secret: shown this once."}),
            ]
        }
    ),
    "TokenListReply": _ok({"type": "array", "items": _TOKEN}),
    "RevokeReply": _ok(_object(["revoked"], revoked={"const": True})),
}

BODIES = {
    "put": "PutBody",
    "touch": "TouchBody",
    "bulk_put": "BulkPutBody",
    "bulk_get": "BulkGetBody",
    "bulk_delete": "BulkDeleteBody",
    "bulk_touch": "BulkTouchBody",
    "token_create": "TokenBody",
    "token_rotate": "RotateBody",
}

OPTIONAL_BODIES = frozenset({"token_rotate"})

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
    "token_create": "TokenReply",
    "token_list": "TokenListReply",
    "token_revoke": "RevokeReply",
    "token_rotate": "TokenReply",
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
    "livez": _VERBOSE,
    "readyz": _VERBOSE,
    "root_livez": _VERBOSE,
    "root_ready": _VERBOSE,
    "root_readyz": _VERBOSE,
}
