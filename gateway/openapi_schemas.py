"""Bodies, queries and replies of the routes, as JSON Schema (draft 2020-12).

What a setting can turn down stands here as a `Limit`, or by its name in a `LimitText`; see openapi_limits.py.
"""

from typing import Any, TypeAlias

from gateway.data_limits import LIMIT_TTL_S
from gateway.locks import LIMIT_LOCK_S
from gateway.openapi_limits import Limit, LimitText
from gateway.quotas import LIMIT_WINDOW_S
from placement.tokens.text import NAME_PATTERN
from wire.messages import LIMIT_KEY_BYTES, LIMIT_QUOTA, LIMIT_WAIT_MS
from wire.token_messages import LIMIT_OVERLAP_MS, LIMIT_SCOPE_VERBS, LIMIT_TOKEN_NAME, LIMIT_TOKEN_SCOPES

Schema: TypeAlias = dict[str, Any]

_KEY: Schema = {"type": "string", "minLength": 1, "maxLength": Limit("key_bytes")}
_KEY_SHOWN: Schema = {"type": "string", "minLength": 1, "maxLength": LIMIT_KEY_BYTES}  # others may have written it
_TTL: Schema = {"type": "integer", "minimum": 1, "maximum": Limit("ttl_s_max"), "description": "Seconds."}
_TTL_OR_NULL: Schema = {
    "type": ["integer", "null"],
    "minimum": 1,
    "description": "Seconds, rounded up; null: never expires.",
}
_OPTIONAL_TTL: Schema = {**_TTL, "type": ["integer", "null"]}
_VALUE: Schema = {"description": LimitText("Any JSON, up to {value_bytes} bytes and {json_depth} levels.")}
_VALUE_SHOWN: Schema = {"description": "Any JSON."}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_NAME_OR_NULL: Schema = {"type": ["string", "null"]}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _closed(required: list[str], **properties: Schema) -> Schema:
    return {**_object(required, **properties), "additionalProperties": False}


def _bulk(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": Limit("bulk_items"), "items": items}


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
_COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0}
_HOST: Schema = {
    **_object(
        ["name", "address", "zone", "host", "reachable", "replicas", "leads"],
        name=_TEXT,
        address=_TEXT,
        zone=_TEXT,
        host=_TEXT,
        reachable={"type": "boolean"},
        durability=_NAME_OR_NULL,
        uptime_s={"type": ["number", "null"], "minimum": 0},
        memory=_COUNT_OR_NULL,
        log_bytes=_COUNT_OR_NULL,
        epoch=_COUNT_OR_NULL,
        replicas={**_COUNT, "description": "Of data groups, as the map says."},
        leads={**_COUNT, "description": "Of them, those that it leads."},
    ),
    "description": "null: only the node could say, and it does not answer.",
}
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
    key=_KEY_SHOWN,
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
    value=_VALUE_SHOWN,
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
    "if_value": {
        "description": LimitText(
            "The key's value is equal to this JSON, of {value_bytes} bytes and {json_depth} levels at most."
        )
    },
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
_LOCK_TTL: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": Limit("ttl_s_max", LIMIT_LOCK_S),
    "description": "Seconds.",
}
_QUOTA: Schema = {"type": "integer", "minimum": 1, "maximum": LIMIT_QUOTA}
_ORDER: Schema = {"enum": ["==", "!=", "<", ">"], "default": "=="}
_COMPARE: Schema = {
    "oneOf": [
        _closed(["key", "exists"], key=_KEY, exists={"type": "boolean"}, op={"enum": ["==", "!="], "default": "=="}),
        _closed(["key", "revision"], key=_KEY, revision=_POSITIVE, op=_ORDER),
        _closed(["key", "value"], key=_KEY, value=_VALUE, op=_ORDER),
    ]
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
_STEPS: Schema = {"type": "array", "maxItems": Limit("bulk_items"), "items": _STEP}
_INSTANCE: Schema = _object(
    ["instance", "ttl", "revision"],
    instance=_TEXT,
    address=_TEXT,
    port=_COUNT,
    metadata=_VALUE_SHOWN,
    ttl=_TTL_OR_NULL,
    revision=_COUNT,
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
    "TxnBody": {
        **_closed(
            [],
            compare={"type": "array", "maxItems": Limit("bulk_items"), "items": _COMPARE},
            success=_STEPS,
            failure=_STEPS,
        ),
        "anyOf": [
            {"required": [name], "properties": {name: {"minItems": 1}}} for name in ("compare", "success", "failure")
        ],
    },
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
        metadata={
            "description": LimitText(
                "Any JSON; the whole instance has up to {value_bytes} bytes and {json_depth} levels."
            )
        },
    ),
    "IncrementReply": _ok(_object(["value", "revision"], value=_INTEGER, revision=_COUNT)),
    "TxnReply": _ok(
        _object(
            ["succeeded", "results", "revision"],
            succeeded={"type": "boolean"},
            results={
                "type": "array",
                "items": _object(["key", "status"], key=_KEY_SHOWN, status={"enum": ["ok", "error"]}),
            },
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
    "GetReply": {
        "anyOf": [
            _ok(_object(["value"], value=_VALUE_SHOWN, ttl=_TTL_OR_NULL, **_META)),
            {"description": "With `raw=true`: the value itself."},
        ]
    },
    "DeleteReply": _ok(_object(["deleted"], deleted={"type": "boolean"}, revision=_COUNT)),
    "TtlReply": _ok(_object(["ttl"], ttl=_TTL_OR_NULL)),
    "BulkReply": _ok({"type": "array", "items": _ITEM}),
    "BulkGetReply": _ok({"type": "object", "additionalProperties": _MEMBER}),
    "ListReply": _ok(
        {
            "type": "array",
            "items": {
                "anyOf": [_KEY_SHOWN, _object(["key"], key=_KEY_SHOWN, ttl=_TTL_OR_NULL, value=_VALUE_SHOWN, **_META)]
            },
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
    "MembersReply": _ok({"type": "array", "items": _NODE}),
    "NodesReply": _ok({"type": "array", "items": _HOST}),
    "GroupsReply": _ok({"type": "array", "items": _GROUP}),
    "HealthReply": _object(
        ["status", "timestamp", "service"],
        status={"const": "healthy"},
        timestamp={"type": "string", "format": "date-time"},
        service=_TEXT,
    ),
    "ReadyReply": _object(["status"], status={"const": "ok"}, data=_CHECKS),
    "WatchEvent": {
        **_object(
            ["data"],
            event={"enum": ["state", "synced", "put", "delete", "expired", "resync", "goaway"]},
            data={"type": "string", "description": "An object as JSON text: key, value if there is one, revision."},
            id={"type": "string", "description": "Where to go on: `from`, or the header Last-Event-ID."},
            retry=_COUNT,
        ),
        "description": "One server-sent event.",
    },
    "Document": {"type": "object"},
    "TokenBody": _closed(
        ["name", "scopes"],
        name={"type": "string", "minLength": 1, "maxLength": LIMIT_TOKEN_NAME, "pattern": NAME_PATTERN},
        scopes=_SCOPES,
        expires_in={**_OPTIONAL_TTL, "maximum": LIMIT_TTL_S},
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
    "token_create": "TokenBody",
    "token_rotate": "RotateBody",
}
OPTIONAL_BODIES = frozenset({"delete", "increment", "instance_delete", "token_rotate"})
CONDITIONAL_BY_HEADER = frozenset({"put", "delete", "instance_put", "instance_delete"})

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
    "members": "MembersReply",
    "nodes": "NodesReply",
    "groups": "GroupsReply",
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
_FRESHNESS: dict[str, Schema] = {
    "consistency": _CONSISTENCY,
    "max_age_ms": {
        "description": "With `consistency=stale`: what is older is read again, from the leader.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 24 * 3600 * 1000},
    },
}
_META_SWITCH: Schema = {**_SWITCH, "description": "Say the revision, too."}
_RAW_SWITCH: Schema = {**_SWITCH, "description": "The value's bytes, with the content type that they were stored with."}
_PAGE: dict[str, Schema] = {
    "limit": {
        "schema": {"type": "integer", "minimum": 1, "maximum": Limit("list_items"), "default": Limit("list_items")}
    },
    "cursor": {"schema": _TEXT, "description": "From the page before."},
    "consistency": _CONSISTENCY,
}
_VERBOSE = {"verbose": {**_SWITCH, "description": "List the checks."}}

QUERIES: dict[str, dict[str, Schema]] = {
    "put": {
        "ttl": {"schema": _TTL, "description": "For a body that says none, such as one that is not JSON."},
    },
    "get": {"with_ttl": _SWITCH, "meta": _META_SWITCH, "raw": _RAW_SWITCH, **_FRESHNESS},
    "ttl": _FRESHNESS,
    "bulk_get": {"consistency": _CONSISTENCY},
    "list": {
        **_PAGE,
        "prefix": {"schema": {"type": "string", "maxLength": Limit("key_bytes"), "default": ""}},
        "with_ttl": _SWITCH,
        "values": _SWITCH,
        "meta": _META_SWITCH,
    },
    "watch": {
        "prefix": {"schema": {"type": "string", "maxLength": Limit("key_bytes"), "default": ""}},
        "from": {"schema": _TEXT, "description": "An `id` of an event: no state, but the changes right after it."},
    },
    "service": _PAGE,
    "livez": _VERBOSE,
    "readyz": _VERBOSE,
    "root_livez": _VERBOSE,
    "root_ready": _VERBOSE,
    "root_readyz": _VERBOSE,
}

_SAME_KEY = {"key": "$request.path.key"}
_SAME_LOCK = {"name": "$request.path.name"}
_SAME_INSTANCE = {"service": "$request.path.service", "instance": "$request.path.instance"}
_AS_HOLDER = {"owner": "$request.body#/owner", "fence": "$response.body#/data/fence"}

LINKS: dict[str, dict[str, Schema]] = {
    "put": {
        "read": {"operationId": "get", "parameters": _SAME_KEY},
        "ttl": {"operationId": "ttl", "parameters": _SAME_KEY},
        "touch": {"operationId": "touch", "parameters": _SAME_KEY},
        "delete": {"operationId": "delete", "parameters": _SAME_KEY},
    },
    "increment": {"read": {"operationId": "get", "parameters": _SAME_KEY}},
    "delete": {"read": {"operationId": "get", "parameters": _SAME_KEY}},
    "lock_acquire": {
        "renew": {"operationId": "lock_renew", "parameters": _SAME_LOCK, "requestBody": {**_AS_HOLDER, "ttl": 30}},
        "release": {"operationId": "lock_release", "parameters": _SAME_LOCK, "requestBody": _AS_HOLDER},
    },
    "instance_put": {
        "list": {"operationId": "service", "parameters": {"service": "$request.path.service"}},
        "heartbeat": {"operationId": "instance_touch", "parameters": _SAME_INSTANCE, "requestBody": {"ttl": 30}},
        "delete": {"operationId": "instance_delete", "parameters": _SAME_INSTANCE},
    },
}
"""What can be done next with what an answer was about."""
