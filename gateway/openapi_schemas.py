"""Bodies and queries of the routes, and links between them, as JSON Schema (draft 2020-12).

What a setting can turn down stands here as a `Limit`, or by its name in a `LimitText`; see openapi_limits.py.
"""

from gateway.data_limits import LIMIT_TTL_S
from gateway.locks import LIMIT_LOCK_S
from gateway.openapi_limits import Limit, LimitText
from gateway.openapi_parts import INTEGER, TEXT, Schema, closed
from gateway.quotas import LIMIT_WINDOW_S
from placement.tokens.text import NAME_PATTERN
from wire.messages import LIMIT_KEY_BYTES, LIMIT_QUOTA, LIMIT_WAIT_MS
from wire.token_messages import LIMIT_OVERLAP_MS, LIMIT_SCOPE_VERBS, LIMIT_TOKEN_NAME, LIMIT_TOKEN_SCOPES

_KEY: Schema = {"type": "string", "minLength": 1, "maxLength": Limit("key_bytes")}
_TTL: Schema = {"type": "integer", "minimum": 1, "maximum": Limit("ttl_s_max"), "description": "Seconds."}
_OPTIONAL_TTL: Schema = {**_TTL, "type": ["integer", "null"]}
_VALUE: Schema = {"description": LimitText("Any JSON, up to {value_bytes} bytes and {json_depth} levels.")}


def _bulk(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "maxItems": Limit("bulk_items"), "items": items}


_POSITIVE: Schema = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}
_SWITCH_FIELD: Schema = {"type": "boolean", "default": False}
_NUMBER_OR_NULL: Schema = {**INTEGER, "type": ["integer", "null"]}
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
    "by": {**INTEGER, "default": 1},
    "initial": {**INTEGER, "default": 0, "description": "What a key that is not there counts as."},
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
        closed(["key", "exists"], key=_KEY, exists={"type": "boolean"}, op={"enum": ["==", "!="], "default": "=="}),
        closed(["key", "revision"], key=_KEY, revision=_POSITIVE, op=_ORDER),
        closed(["key", "value"], key=_KEY, value=_VALUE, op=_ORDER),
    ]
}
_STEP: Schema = {
    "oneOf": [
        closed(["op", "key", "value"], op={"const": "put"}, key=_KEY, **_PUT),
        closed(["op", "key"], op={"const": "get"}, key=_KEY),
        closed(["op", "key"], op={"const": "delete"}, key=_KEY, **_CONDITIONS),
        closed(["op", "key", "ttl"], op={"const": "touch"}, key=_KEY, **_TOUCH),
        closed(["op", "key"], op={"const": "increment"}, key=_KEY, **_INCREMENT),
    ]
}
_STEPS: Schema = {"type": "array", "maxItems": Limit("bulk_items"), "items": _STEP}
_PREFIX: Schema = {"type": "string", "maxLength": LIMIT_KEY_BYTES, "description": "Of keys; empty for all."}


def _scope(prefix: Schema, *verbs: str) -> Schema:
    many = {"type": "array", "minItems": 1, "maxItems": LIMIT_SCOPE_VERBS, "items": {"enum": list(verbs)}}
    return closed(["prefix", "verbs"], prefix=prefix, verbs=many)


_KEY_VERBS = ("read", "write", "lock", "watch")
_SCOPE: Schema = {"anyOf": [_scope(_PREFIX, *_KEY_VERBS), _scope({"const": ""}, *_KEY_VERBS, "admin")]}
SCOPES: Schema = {"type": "array", "minItems": 1, "maxItems": LIMIT_TOKEN_SCOPES, "items": _SCOPE}

SCHEMAS: dict[str, Schema] = {
    "PutBody": closed(["value"], **_PUT),
    "Conditions": closed([], **_CONDITIONS),
    "TouchBody": closed(["ttl"], **_TOUCH),
    "IncrementBody": closed([], **_INCREMENT),
    "BulkPutBody": closed(
        ["operations"], operations=_bulk(closed(["key", "value"], key=_KEY, **_PUT)), atomic=_SWITCH_FIELD
    ),
    "BulkGetBody": closed(["keys"], keys=_bulk(_KEY), with_ttl=_SWITCH_FIELD, meta=_SWITCH_FIELD),
    "BulkDeleteBody": closed(
        ["keys"],
        keys=_bulk({"anyOf": [_KEY, closed(["key"], key=_KEY, **_CONDITIONS)]}),
        atomic=_SWITCH_FIELD,
    ),
    "BulkTouchBody": closed(
        ["operations"], operations=_bulk(closed(["key", "ttl"], key=_KEY, **_TOUCH)), atomic=_SWITCH_FIELD
    ),
    "TxnBody": {
        **closed(
            [],
            compare={"type": "array", "maxItems": Limit("bulk_items"), "items": _COMPARE},
            success=_STEPS,
            failure=_STEPS,
        ),
        "anyOf": [
            {"required": [name], "properties": {name: {"minItems": 1}}} for name in ("compare", "success", "failure")
        ],
    },
    "QuotaBody": closed(
        ["limit", "window"],
        limit=_QUOTA,
        window={"type": "integer", "minimum": 1, "maximum": LIMIT_WINDOW_S, "description": "Seconds."},
        cost={**_QUOTA, "default": 1, "description": "At most the limit."},
        algorithm={"enum": ["fixed", "gcra"], "default": "fixed"},
    ),
    "LockAcquireBody": closed(
        ["owner", "ttl"],
        owner=_OWNER,
        ttl=_LOCK_TTL,
        wait_ms={"type": "integer", "minimum": 0, "maximum": LIMIT_WAIT_MS, "default": 0},
    ),
    "LockRenewBody": closed(["owner", "fence", "ttl"], owner=_OWNER, fence=_POSITIVE, ttl=_LOCK_TTL),
    "LockReleaseBody": closed(["owner", "fence"], owner=_OWNER, fence=_POSITIVE),
    "InstanceBody": closed(
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
    "TokenBody": closed(
        ["name", "scopes"],
        name={"type": "string", "minLength": 1, "maxLength": LIMIT_TOKEN_NAME, "pattern": NAME_PATTERN},
        scopes=SCOPES,
        expires_in={**_OPTIONAL_TTL, "maximum": LIMIT_TTL_S},
    ),
    "RotateBody": closed(
        [],
        overlap={
            "type": "integer",
            "minimum": 0,
            "maximum": LIMIT_OVERLAP_MS // 1000,
            "default": 0,
            "description": "For how many seconds the old secret stays good.",
        },
    ),
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
_META_ALWAYS: Schema = {**_SWITCH, "description": "The revision is answered in any case."}
_RAW_SWITCH: Schema = {**_SWITCH, "description": "The value's bytes, with the content type that they were stored with."}
_PAGE: dict[str, Schema] = {
    "limit": {
        "schema": {"type": "integer", "minimum": 1, "maximum": Limit("list_items"), "default": Limit("list_items")}
    },
    "cursor": {"schema": TEXT, "description": "From the page before."},
    **_FRESHNESS,
}
_VERBOSE = {"verbose": {**_SWITCH, "description": "List the checks."}}

QUERIES: dict[str, dict[str, Schema]] = {
    "put": {
        "ttl": {"schema": _TTL, "description": "For a body that says none, such as one that is not JSON."},
        "meta": _META_ALWAYS,
    },
    "get": {"with_ttl": _SWITCH, "meta": _META_SWITCH, "raw": _RAW_SWITCH, **_FRESHNESS},
    "ttl": {"meta": _META_SWITCH, **_FRESHNESS},
    "delete": {"meta": _META_ALWAYS},
    "touch": {"meta": _META_SWITCH},
    "increment": {"meta": _META_ALWAYS},
    "bulk_get": _FRESHNESS,
    "list": {
        **_PAGE,
        "prefix": {"schema": {"type": "string", "maxLength": Limit("key_bytes"), "default": ""}},
        "with_ttl": _SWITCH,
        "values": _SWITCH,
        "meta": _META_SWITCH,
    },
    "watch": {
        "prefix": {"schema": {"type": "string", "maxLength": Limit("key_bytes"), "default": ""}},
        "from": {"schema": TEXT, "description": "An `id` of an event: no state, but the changes right after it."},
    },
    "service": _PAGE,
    "instance_put": {"meta": _META_ALWAYS},
    "instance_delete": {"meta": _META_ALWAYS},
    "instance_touch": {"meta": _META_SWITCH},
    "metrics": {"name[]": {"schema": TEXT, "description": "Only the figures of this name."}},
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
