"""Bodies, queries and replies of the routes, as JSON Schema (draft 2020-12)."""

from typing import Any, TypeAlias

from gateway.bodies import LIMIT_TTL_S
from gateway.locks import LIMIT_LOCK_S, LIMIT_WAIT_MS
from gateway.quotas import LIMIT_QUOTA, LIMIT_WINDOW_S
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
    error={"enum": ["not_found", "PRECONDITION_FAILED", "CONFLICT", "CLUSTER_UNAVAILABLE", "UNKNOWN"]},
)
_META: dict[str, Schema] = {
    "revision": _COUNT,
    "encoding": {"const": "base64", "description": "The value is not JSON but bytes with a content type."},
    "content_type": _TEXT,
}
_MEMBER: Schema = _object(
    ["status"],
    status={"enum": ["ok", "error"]},
    value=_VALUE,
    ttl=_TTL_OR_NULL,
    error={"enum": ["not_found", "CLUSTER_UNAVAILABLE", "UNKNOWN"]},
    **_META,
)

_INTEGER: Schema = {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1}
_POSITIVE: Schema = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}
_SWITCH_FIELD: Schema = {"type": "boolean", "default": False}
_NUMBER_OR_NULL: Schema = {**_INTEGER, "type": ["integer", "null"]}
_OPTIONAL: Schema = {**_POSITIVE, "type": ["integer", "null"]}
_CONDITIONS: dict[str, Schema] = {
    "if_absent": {"type": ["boolean", "null"], "description": "The key is not there (true), or is (false)."},
    "if_revision": {**_OPTIONAL, "description": "The key has this revision; 0: it is not there."},
    "if_value": {"description": "The key's value is equal to this as JSON."},
    "if_fence": {**_OPTIONAL, "description": "No greater fence was used on the key. It is remembered."},
}
_PUT: dict[str, Schema] = {"value": _VALUE, "ttl": _OPTIONAL_TTL, **_CONDITIONS}
_TOUCH: dict[str, Schema] = {"ttl": _TTL, **_CONDITIONS}
_INCREMENT: dict[str, Schema] = {
    "by": {**_INTEGER, "default": 1},
    "initial": {**_INTEGER, "default": 0, "description": "What a key that is not there counts as."},
    "ttl": {**_OPTIONAL_TTL, "description": "Seconds; only for a key that is not there yet."},
    "min": _NUMBER_OR_NULL,
    "max": _NUMBER_OR_NULL,
    **_CONDITIONS,
}
_OWNER: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
_LOCK_TTL: Schema = {"type": "integer", "minimum": 1, "maximum": LIMIT_LOCK_S, "description": "Seconds."}
_QUOTA: Schema = {"type": "integer", "minimum": 1, "maximum": LIMIT_QUOTA}
_COMPARE: Schema = {
    **_closed(
        ["key"],
        key=_KEY,
        exists={"type": ["boolean", "null"]},
        revision=_OPTIONAL,
        value=_VALUE,
        op={"enum": ["==", "!=", "<", ">"], "default": "=="},
    ),
    "description": "Exactly one of exists, revision and value.",
}
_STEP: Schema = {
    "oneOf": [
        _closed(["op", "key", "value"], op={"const": "put"}, key=_KEY, **_PUT),
        _closed(["op", "key"], op={"const": "get"}, key=_KEY),
        _closed(["op", "key"], op={"const": "delete"}, key=_KEY, **_CONDITIONS),
        _closed(["op", "key", "ttl"], op={"const": "touch"}, key=_KEY, **_TOUCH),
        _closed(["op", "key"], op={"const": "increment"}, key=_KEY, **_INCREMENT),
    ]
}
_STEPS: Schema = {"type": "array", "maxItems": LIMIT_BULK_ITEMS, "items": _STEP}
_INSTANCE: Schema = _object(
    ["instance", "ttl", "revision"],
    instance=_TEXT,
    address=_TEXT,
    port=_COUNT,
    metadata=_VALUE,
    ttl=_TTL_OR_NULL,
    revision=_COUNT,
)

SCHEMAS: dict[str, Schema] = {
    "PutBody": _closed(["value"], **_PUT),
    "Conditions": _closed([], **_CONDITIONS),
    "TouchBody": _closed(["ttl"], **_TOUCH),
    "IncrementBody": _closed([], **_INCREMENT),
    "BulkPutBody": _closed(
        ["operations"], operations=_bulk(_closed(["key", "value"], key=_KEY, **_PUT)), atomic=_SWITCH_FIELD
    ),
    "BulkGetBody": _closed(["keys"], keys=_bulk(_KEY), with_ttl=_SWITCH_FIELD, meta=_SWITCH_FIELD),
    "BulkDeleteBody": _closed(
        ["keys"],
        keys=_bulk({"anyOf": [_KEY, _closed(["key"], key=_KEY, **_CONDITIONS)]}),
        atomic=_SWITCH_FIELD,
    ),
    "BulkTouchBody": _closed(
        ["operations"], operations=_bulk(_closed(["key", "ttl"], key=_KEY, **_TOUCH)), atomic=_SWITCH_FIELD
    ),
    "TxnBody": _closed(
        [],
        compare={"type": "array", "maxItems": LIMIT_BULK_ITEMS, "items": _COMPARE},
        success=_STEPS,
        failure=_STEPS,
    ),
    "QuotaBody": _closed(
        ["limit", "window"],
        limit=_QUOTA,
        window={"type": "integer", "minimum": 1, "maximum": LIMIT_WINDOW_S, "description": "Seconds."},
        cost={**_QUOTA, "default": 1, "description": "At most the limit."},
        algorithm={"enum": ["fixed", "gcra"], "default": "fixed"},
    ),
    "LockAcquireBody": _closed(
        ["owner", "ttl"],
        owner=_OWNER,
        ttl=_LOCK_TTL,
        wait_ms={"type": "integer", "minimum": 0, "maximum": LIMIT_WAIT_MS, "default": 0},
    ),
    "LockRenewBody": _closed(["owner", "fence", "ttl"], owner=_OWNER, fence=_POSITIVE, ttl=_LOCK_TTL),
    "LockReleaseBody": _closed(["owner", "fence"], owner=_OWNER, fence=_POSITIVE),
    "InstanceBody": _closed(
        ["address", "port", "ttl"],
        address={"type": "string", "minLength": 1, "maxLength": 255},
        port={"type": "integer", "minimum": 1, "maximum": 65535},
        ttl=_TTL,
        metadata=_VALUE,
    ),
    "IncrementReply": _ok(_object(["value", "revision"], value=_INTEGER, revision=_COUNT)),
    "TxnReply": _ok(
        _object(
            ["succeeded", "results", "revision"],
            succeeded={"type": "boolean"},
            results={"type": "array", "items": _object(["key", "status"], key=_KEY, status={"enum": ["ok", "error"]})},
            revision=_COUNT,
        )
    ),
    "QuotaReply": _ok(
        _object(
            ["allowed", "remaining", "reset_ms"],
            allowed={"type": "boolean"},
            remaining=_COUNT,
            reset_ms=_COUNT,
            retry_after_ms=_COUNT,
        )
    ),
    "LockReply": _ok(_object(["fence", "ttl"], fence=_COUNT, ttl=_COUNT)),
    "ServiceReply": _ok({"type": "array", "items": _INSTANCE}, cursor=_TEXT),
    "Ok": _object(["status"], status={"const": "ok"}),
    "PutReply": _ok(_object(["revision"], revision=_COUNT)),
    "GetReply": _ok(_object(["value"], value=_VALUE, ttl=_TTL_OR_NULL, **_META)),
    "DeleteReply": _ok(_object(["deleted"], deleted={"type": "boolean"}, revision=_COUNT)),
    "TtlReply": _ok(_object(["ttl"], ttl=_TTL_OR_NULL)),
    "BulkReply": _ok({"type": "array", "items": _ITEM}),
    "BulkGetReply": _ok({"type": "object", "additionalProperties": _MEMBER}),
    "ListReply": _ok(
        {
            "type": "array",
            "items": {"anyOf": [_KEY, _object(["key"], key=_KEY, ttl=_TTL_OR_NULL, value=_VALUE, **_META)]},
        },
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
    "delete": "Conditions",
    "increment": "IncrementBody",
    "txn": "TxnBody",
    "quota_take": "QuotaBody",
    "lock_acquire": "LockAcquireBody",
    "lock_renew": "LockRenewBody",
    "lock_release": "LockReleaseBody",
    "instance_put": "InstanceBody",
    "instance_delete": "Conditions",
    "instance_touch": "TouchBody",
}
OPTIONAL_BODIES = frozenset({"delete", "increment", "instance_delete"})
CONDITIONAL_BY_HEADER = frozenset({"put", "delete", "instance_delete"})

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
    "increment": "IncrementReply",
    "txn": "TxnReply",
    "quota_take": "QuotaReply",
    "lock_acquire": "LockReply",
    "lock_renew": "LockReply",
    "service": "ServiceReply",
    "instance_put": "PutReply",
    "instance_delete": "DeleteReply",
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
_FRESHNESS: dict[str, Schema] = {
    "consistency": _CONSISTENCY,
    "max_age_ms": {
        "description": "Only with `consistency=stale`: what is older is read again, from the leader.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 24 * 3600 * 1000},
    },
}
_META_SWITCH: Schema = {**_SWITCH, "description": "Say the revision, too."}
_RAW_SWITCH: Schema = {**_SWITCH, "description": "The value's bytes, with the content type that they were stored with."}
_PAGE: dict[str, Schema] = {
    "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_LIST_ITEMS, "default": LIMIT_LIST_ITEMS}},
    "cursor": {"schema": _TEXT, "description": "From the page before."},
    "consistency": _CONSISTENCY,
}
_VERBOSE = {"verbose": {**_SWITCH, "description": "List the checks."}}

QUERIES: dict[str, dict[str, Schema]] = {
    "put": {
        "ttl": {"schema": _TTL, "description": "Only with a body that is not JSON, which has its own."},
    },
    "get": {"with_ttl": _SWITCH, "meta": _META_SWITCH, "raw": _RAW_SWITCH, **_FRESHNESS},
    "ttl": _FRESHNESS,
    "bulk_get": {"consistency": _CONSISTENCY},
    "list": {
        **_PAGE,
        "prefix": {"schema": {"type": "string", "maxLength": LIMIT_KEY_BYTES, "default": ""}},
        "with_ttl": _SWITCH,
        "values": _SWITCH,
        "meta": _META_SWITCH,
    },
    "watch": {
        "prefix": {"schema": {"type": "string", "maxLength": LIMIT_KEY_BYTES, "default": ""}},
        "from": {"schema": _TEXT, "description": "An `id` of an event: no state, but the changes right after it."},
    },
    "service": _PAGE,
    "livez": _VERBOSE,
    "readyz": _VERBOSE,
    "root_livez": _VERBOSE,
    "root_ready": _VERBOSE,
    "root_readyz": _VERBOSE,
}
