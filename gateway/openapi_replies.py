"""The answers of requests that succeeded, as JSON Schema (draft 2020-12): each member that an answer always has is required."""

from gateway.openapi_parts import COUNT, INTEGER, TEXT, Schema, object_of
from gateway.openapi_schemas import SCOPES
from wire.messages import LIMIT_KEY_BYTES

_KEY: Schema = {"type": "string", "minLength": 1, "maxLength": LIMIT_KEY_BYTES}  # others may have written it
_TTL: Schema = {"type": ["integer", "null"], "minimum": 1, "description": "Seconds, rounded up; null: never expires."}
_NAME_OR_NULL: Schema = {"type": ["string", "null"]}
_COUNT_OR_NULL: Schema = {"type": ["integer", "null"], "minimum": 0}
_YES_OR_NO: Schema = {"type": "boolean"}
_OK: Schema = {"const": "ok"}
_ERROR: Schema = {"const": "error"}
_REVISION: Schema = {**COUNT, "description": "Rises with each change of the key."}
_CURSOR: Schema = {"type": "string", "description": "There is more: give it back as `cursor`."}


def _ok(data: Schema, **beside: Schema) -> Schema:
    return object_of(["status", "data"], status=_OK, data=data, **beside)


def _many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _valued(required: list[str], **members: Schema) -> list[Schema]:
    """An object with a value beside other members: JSON as it is, bytes in base64 with their type."""
    base64 = {"type": "string", "contentEncoding": "base64"}
    kind = {"const": "base64", "description": "The value is not JSON but bytes with a content type."}
    return [
        object_of([*required, "value"], **members, value={"description": "Any JSON."}),
        object_of(
            [*required, "value", "encoding", "content_type"], **members, value=base64, encoding=kind, content_type=TEXT
        ),
    ]


CHECKS: Schema = object_of(
    ["checks"], checks=_many(object_of(["name", "ok", "detail"], name=TEXT, ok=_YES_OR_NO, detail=TEXT))
)
_NODE: Schema = object_of(
    ["name", "status", "address", "zone", "reachable"],
    name=TEXT,
    status={"enum": ["leader", "follower", "candidate"], "description": "What it is in placement's group."},
    address=TEXT,
    zone=TEXT,
    reachable=_YES_OR_NO,
)
_HOST: Schema = {
    **object_of(
        [
            *("name", "address", "zone", "host", "reachable", "durability"),
            *("uptime_s", "memory", "log_bytes", "epoch", "replicas", "leads"),
        ],
        name=TEXT,
        address=TEXT,
        zone=TEXT,
        host=TEXT,
        reachable=_YES_OR_NO,
        durability=_NAME_OR_NULL,
        uptime_s={"type": ["number", "null"], "minimum": 0},
        memory=_COUNT_OR_NULL,
        log_bytes=_COUNT_OR_NULL,
        epoch=_COUNT_OR_NULL,
        replicas={**COUNT, "description": "Of data groups, as the map says."},
        leads={**COUNT, "description": "Of them, those that it leads."},
    ),
    "description": "null: only the node could say, and it does not answer.",
}
_GROUP: Schema = object_of(
    [
        *("id", "leader", "replicas", "term", "commit_index", "applied_index"),
        *("keys", "bytes", "checked_index", "diverged", "fenced"),
    ],
    id=COUNT,
    leader=_NAME_OR_NULL,
    replicas=_many(TEXT),
    term=COUNT,
    commit_index=COUNT,
    applied_index=COUNT,
    keys=COUNT,
    bytes=COUNT,
    checked_index=COUNT,
    diverged={"type": "boolean", "description": "The newest comparison of the replicas' states found a difference."},
    fenced={"type": "array", "items": TEXT, "description": "Nodes whose replica was found wrong and serves nothing."},
)
_TOTALS = ("keys", "groups", "groups_without_leader", "groups_diverged", "nodes")
_TOTALS_OF_NODES = ("log_bytes", "log_syncs", "snapshots", "leader_changes")
_METRICS: Schema = object_of([*_TOTALS, *_TOTALS_OF_NODES], **dict.fromkeys((*_TOTALS, *_TOTALS_OF_NODES), COUNT))

_ITEM_ERRORS = ["not_found", "PRECONDITION_FAILED", "CONFLICT", "CLUSTER_UNAVAILABLE", "UNKNOWN"]
_ITEM: Schema = {
    "anyOf": [
        object_of(["key", "status"], key=_KEY, status=_OK),
        object_of(["key", "status", "error"], key=_KEY, status=_ERROR, error={"enum": _ITEM_ERRORS}),
    ]
}
_MEMBER: Schema = {
    "anyOf": [
        *_valued(["status"], status=_OK, ttl=_TTL, revision=_REVISION),
        object_of(["status", "error"], status=_ERROR, error={"enum": ["not_found", "CLUSTER_UNAVAILABLE", "UNKNOWN"]}),
    ]
}
_STEP_DONE: Schema = {
    "anyOf": [
        {**object_of(["key", "status"], key=_KEY, status=_OK), "description": "Of `put` and `touch`."},
        {
            **object_of(["key", "status", "deleted"], key=_KEY, status=_OK, deleted=_YES_OR_NO),
            "description": "Of `delete`: whether it was there.",
        },
        *(
            {**valued, "description": "Of `get` and `increment`."}
            for valued in _valued(["key", "status", "revision"], key=_KEY, status=_OK, revision=_REVISION)
        ),
        {
            **object_of(["key", "status", "error"], key=_KEY, status=_ERROR, error={"const": "not_found"}),
            "description": "Of `get`: there is no such key.",
        },
    ]
}
_LISTED: Schema = {
    "anyOf": [
        _KEY,
        object_of(["key"], key=_KEY, ttl=_TTL, revision=_REVISION),
        *_valued(["key"], key=_KEY, ttl=_TTL, revision=_REVISION),
    ]
}
_INSTANCE_NAME: Schema = {"instance": TEXT, "ttl": _TTL, "revision": _REVISION}
_INSTANCE: Schema = {
    "anyOf": [
        object_of(
            ["instance", "ttl", "revision", "address", "port", "metadata"],
            **_INSTANCE_NAME,
            address=TEXT,
            port=COUNT,
            metadata={"description": "Any JSON; null when none was given."},
        ),
        *(
            {**valued, "description": "What was put under the instance's key without being registered."}
            for valued in _valued(["instance", "ttl", "revision"], **_INSTANCE_NAME)
        ),
    ]
}
_LEFT: dict[str, Schema] = {
    "remaining": {**COUNT, "description": "What is left of the limit."},
    "reset_ms": {**COUNT, "description": "After how many milliseconds all of it is there again."},
}
_QUOTA: Schema = {
    "anyOf": [
        object_of(["allowed", "remaining", "reset_ms"], allowed={"const": True}, **_LEFT),
        object_of(
            ["allowed", "remaining", "reset_ms", "retry_after_ms"],
            allowed={"const": False},
            **_LEFT,
            retry_after_ms={**COUNT, "description": "After how many milliseconds the same may be allowed."},
        ),
    ]
}
_TIME: Schema = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
_TOKEN_MEMBERS: dict[str, Schema] = {
    "id": TEXT,
    "name": TEXT,
    "scopes": SCOPES,
    "created_at": _TIME,
    "expires_at": _TIME_OR_NULL,
    "rotated_at": _TIME_OR_NULL,
    "old_secret_until": _TIME_OR_NULL,
}
_SECRET: Schema = {"type": "string", "description": "With the secret: shown this once."}
_WATCH_ENDS = ["history", "slow", "shutdown", "unavailable", "gone", "forbidden"]
_WATCH_DATA: Schema = {
    "anyOf": [
        *(
            {**valued, "description": "Of `state` and `put`."}
            for valued in _valued(["key", "revision"], key=_KEY, revision=_REVISION)
        ),
        {
            **object_of(["key", "revision"], key=_KEY, revision=_REVISION),
            "description": "Of `delete` and `expired`: the revision of the deletion.",
        },
        {**object_of(["reason"], reason={"enum": _WATCH_ENDS}), "description": "Of `resync` and `goaway`."},
        {"type": "object", "maxProperties": 0, "description": "Of `synced`."},
    ]
}

REPLY_SCHEMAS: dict[str, Schema] = {
    "Ok": object_of(["status"], status=_OK),
    "PutReply": _ok(object_of(["revision"], revision=_REVISION)),
    "GetReply": _ok({"anyOf": _valued([], ttl=_TTL, revision=_REVISION)}),
    "DeleteReply": _ok(
        {
            "anyOf": [
                object_of(["deleted", "revision"], deleted={"const": True}, revision=_REVISION),
                {**object_of(["deleted"], deleted={"const": False}), "description": "There was no such key."},
            ]
        }
    ),
    "TtlReply": _ok(object_of(["ttl"], ttl=_TTL, revision=_REVISION)),
    "TouchReply": object_of(["status"], status=_OK, data=object_of(["revision"], revision=_REVISION)),
    "IncrementReply": _ok(object_of(["value", "revision"], value=INTEGER, revision=_REVISION)),
    "BulkReply": _ok({**_many(_ITEM), "description": "In the order of the request."}),
    "BulkGetReply": _ok({"type": "object", "additionalProperties": _MEMBER, "description": "By key."}),
    "ListReply": _ok(
        {**_many(_LISTED), "description": "Keys in order; as objects when more than the key was asked for."},
        cursor=_CURSOR,
    ),
    "TxnReply": _ok(
        object_of(
            ["succeeded", "results", "revision"],
            succeeded={"type": "boolean", "description": "Whether all comparisons held, so that `success` was done."},
            results={**_many(_STEP_DONE), "description": "Of the steps that were done, in their order."},
            revision=_REVISION,
        )
    ),
    "QuotaReply": _ok(_QUOTA),
    "LockReply": _ok(
        object_of(
            ["fence", "ttl"],
            fence={**COUNT, "description": "Rises each time that the lock changes hands."},
            ttl={**COUNT, "description": "Seconds that it is held for yet."},
        )
    ),
    "ServiceReply": _ok(_many(_INSTANCE), cursor=_CURSOR),
    "WatchEvent": {
        **object_of(
            ["data"],
            event={"enum": ["state", "synced", "put", "delete", "expired", "resync", "goaway"]},
            data={"type": "string", "contentMediaType": "application/json", "contentSchema": _WATCH_DATA},
            id={"type": "string", "description": "Where to go on: `from`, or the header Last-Event-ID."},
            retry=COUNT,
        ),
        "description": "One server-sent event.",
    },
    "StatusReply": _ok(
        object_of(
            ["cluster", "storage", "metrics", "groups", "epoch"],
            cluster=object_of(["name", "nodes", "leader"], name=TEXT, nodes=_many(_NODE), leader=_NAME_OR_NULL),
            storage=object_of(["size", "memory"], size=COUNT, memory=COUNT),
            metrics=_METRICS,
            groups=_many(_GROUP),
            epoch=COUNT,
        )
    ),
    "MembersReply": _ok(_many(_NODE)),
    "NodesReply": _ok(_many(_HOST)),
    "GroupsReply": _ok(_many(_GROUP)),
    "HealthReply": object_of(
        ["status", "timestamp", "service"],
        status={"const": "healthy"},
        timestamp=_TIME,
        service={"const": "concord-api"},
    ),
    "ReadyReply": object_of(["status"], status=_OK, data={**CHECKS, "description": "With `verbose`."}),
    "Document": {"type": "object"},
    "TokenReply": _ok(object_of([*_TOKEN_MEMBERS, "token"], **_TOKEN_MEMBERS, token=_SECRET)),
    "TokenListReply": _ok(_many(object_of([*_TOKEN_MEMBERS], **_TOKEN_MEMBERS))),
    "RevokeReply": _ok(object_of(["revoked"], revoked={"const": True})),
}

REPLIES = {
    "put": "PutReply",
    "get": "GetReply",
    "delete": "DeleteReply",
    "ttl": "TtlReply",
    "touch": "TouchReply",
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
    "instance_touch": "TouchReply",
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
