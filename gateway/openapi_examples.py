"""Requests that work, one after the other as they stand here, and what an empty store answers them.

Each is a whole request under a name: the document shows its parameters, body and answer as examples of that name. A test sends them all.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from gateway.errors import MEANINGS, ApiCode

Json: TypeAlias = Any

JSON_TYPE, BYTES_TYPE = "application/json", "application/octet-stream"


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A request and its answer.

    Attributes:
        summary: what it is for.
        parameters: of path, query and header, by name.
        body: None when there is none.
        body_type: its content type.
        answer: its body; None when that is not shown.
    """

    summary: str
    parameters: Mapping[str, str | int | bool] = {}
    body: Json = None
    body_type: str = JSON_TYPE
    answer: Json = None


_OK: Json = {"status": "ok"}
_FLAG, _VISITS, _SESSION, _LOCK = "flags/dark-mode", "visits/home", "session/ada", "nightly"
_ON = {"enabled": True, "share": 0.25}
_HALF = {"enabled": True, "share": 0.5}
_PRIMARY, _STANDBY = "{db}primary", "{db}standby"
_ONE = {"service": "web", "instance": "one"}
_ADDRESS = {"address": "10.0.0.1", "port": 8080, "metadata": {"zone": "a"}}
TOKEN_ID = "5f3a9c0e71d2"  # noqa: S105 - public
_MADE = "2026-11-27T12:00:00.000+00:00"
_SCOPES = [{"prefix": "app/", "verbs": ["read", "write"]}]
_TOKEN = {
    "id": TOKEN_ID,
    "name": "app",
    "scopes": _SCOPES,
    "created_at": _MADE,
    "expires_at": "2026-11-28T12:00:00.000+00:00",
    "rotated_at": None,
    "old_secret_until": None,
}
_SECRET = {"token": f"sk_concord_{TOKEN_ID}_<secret>_<checksum>"}
_NODE = {"name": "n1", "status": "leader", "address": "127.0.0.1:4101", "zone": "z1", "reachable": True}
_HOST = {
    "name": "n1",
    "address": "127.0.0.1:4101",
    "zone": "z1",
    "host": "localhost",
    "reachable": True,
    "durability": "fsync",
    "uptime_s": 86400.0,
    "memory": 52428800,
    "log_bytes": 1048576,
    "epoch": 1,
    "replicas": 1,
    "leads": 1,
}
_GROUP = {
    "id": 1,
    "leader": "n1",
    "replicas": ["n1", "n2", "n3"],
    "term": 2,
    "commit_index": 57,
    "applied_index": 57,
    "keys": 5,
    "bytes": 320,
    "checked_index": 50,
    "diverged": False,
    "fenced": [],
}
_STATUS = {
    "cluster": {"name": "local", "nodes": [_NODE], "leader": "n1"},
    "storage": {"size": 320, "memory": 52428800},
    "metrics": {
        "keys": 5,
        "groups": 1,
        "groups_without_leader": 0,
        "groups_diverged": 0,
        "nodes": 1,
        "log_bytes": 1048576,
        "log_syncs": 57,
        "snapshots": 0,
        "leader_changes": 1,
    },
    "groups": [_GROUP],
    "epoch": 1,
}
_HEALTHY = {"status": "healthy", "timestamp": _MADE, "service": "concord-api"}
_CHECKS = [{"name": "serving", "ok": True, "detail": ""}, {"name": "map_known", "ok": True, "detail": ""}]


def _ok(data: Json) -> Json:
    return {"status": "ok", "data": data}


_ALIVE = {"alive": Example(summary="The process is alive", parameters={"verbose": False}, answer=_OK)}
_HEALTH = {"alive": Example(summary="The process is alive", answer=_HEALTHY)}
_READY = {
    "ready": Example(summary="For a load balancer", answer=_OK),
    "checks": Example(
        summary="What is checked", parameters={"verbose": True}, answer={**_OK, "data": {"checks": _CHECKS}}
    ),
}


def _error(code: ApiCode, message: str, **further: Json) -> Json:
    error = {"code": code.value, "message": message, "applied": False, "retryable": MEANINGS[code].retryable, **further}
    return {"status": "error", "error": error}


FAILURES: dict[str, Json] = {
    "Error": _error(ApiCode.NOT_FOUND, "there is no such key"),
    "LockConflict": _error(
        ApiCode.CONFLICT, "another holds the lock", holder={"owner": "worker-1", "fence": 70, "ttl": 30}
    ),
    "NotReady": {
        **_error(ApiCode.CLUSTER_UNAVAILABLE, "not ready: serving"),
        "data": {"checks": [{"name": "serving", "ok": False, "detail": "shutting down"}, *_CHECKS[1:]]},
    },
}
"""Bodies of failures, by the name of their schema."""

_OF_KEYS: dict[str, dict[str, Example]] = {
    "put": {
        "set": Example(
            summary="Any JSON",
            parameters={"key": _FLAG, "meta": False},
            body={"value": _ON},
            answer=_ok({"revision": 42}),
        ),
        "unchanged": Example(
            summary="Only if nobody else has changed it, and for a minute",
            parameters={"key": _FLAG, "If-Match": '"42"'},
            body={"value": _HALF, "ttl": 60},
            answer=_ok({"revision": 43}),
        ),
        "new": Example(
            summary="Only if it is not there, applied once however often it is sent",
            parameters={
                "key": "user/1",
                "If-None-Match": "*",
                "Idempotency-Key": "3f9c1d2e-user-1",
                "X-Concord-Timeout-Ms": 500,
            },
            body={"value": "Ada"},
            answer=_ok({"revision": 44}),
        ),
        "bytes": Example(
            summary="Any bytes, kept with their content type",
            parameters={"key": _SESSION, "ttl": 60},
            body="cart=3",
            body_type=BYTES_TYPE,
            answer=_ok({"revision": 45}),
        ),
    },
    "get": {
        "read": Example(
            summary="With its time to live",
            parameters={"key": _FLAG, "with_ttl": True},
            answer=_ok({"value": _HALF, "ttl": 60}),
        ),
        "stale": Example(
            summary="From any replica, and how new it is",
            parameters={"key": _FLAG, "consistency": "stale", "max_age_ms": 60000, "meta": True},
            answer=_ok({"value": _HALF, "revision": 43}),
        ),
        "bytes": Example(
            summary="Bytes, in JSON",
            parameters={"key": _SESSION},
            answer=_ok({"value": "Y2FydD0z", "encoding": "base64", "content_type": BYTES_TYPE}),
        ),
        "raw": Example(summary="The bytes themselves", parameters={"key": _SESSION, "raw": True}),
    },
    "ttl": {
        "read": Example(summary="How long it lives yet", parameters={"key": _FLAG}, answer=_ok({"ttl": 60})),
        "stale": Example(
            summary="From any replica, with the revision",
            parameters={"key": _FLAG, "consistency": "stale", "max_age_ms": 60000, "meta": True},
            answer=_ok({"ttl": 60, "revision": 43}),
        ),
    },
    "touch": {
        "longer": Example(summary="Half a minute from now on", parameters={"key": _FLAG}, body={"ttl": 30}, answer=_OK),
        "unchanged": Example(
            summary="Only if nobody has changed it, and which revision it has now",
            parameters={"key": _FLAG, "meta": True, "If-Match": "*"},
            body={"ttl": 30},
            answer=_ok({"revision": 47}),
        ),
    },
    "increment": {
        "count": Example(
            summary="A counter that begins at 0",
            parameters={"key": _VISITS, "meta": False},
            body={"by": 1, "initial": 0},
            answer=_ok({"value": 1, "revision": 48}),
        ),
        "bounded": Example(
            summary="Never over 100",
            parameters={"key": _VISITS},
            body={"by": 1, "max": 100},
            answer=_ok({"value": 2, "revision": 49}),
        ),
    },
    "bulk_put": {
        "each": Example(
            summary="Each by itself",
            body={"operations": [{"key": "user/1", "value": "Ada"}, {"key": "user/2", "value": "Grace", "ttl": 60}]},
            answer=_ok([{"key": "user/1", "status": "ok"}, {"key": "user/2", "status": "ok"}]),
        ),
        "atomic": Example(
            summary="All or nothing: keys of one slot, by a common {tag}",
            body={"operations": [{"key": "{ada}cart", "value": []}, {"key": "{ada}seen", "value": 0}], "atomic": True},
            answer=_ok([{"key": "{ada}cart", "status": "ok"}, {"key": "{ada}seen", "status": "ok"}]),
        ),
    },
    "bulk_get": {
        "each": Example(
            summary="Two that are there and one that is not",
            parameters={"consistency": "stale", "max_age_ms": 60000},
            body={"keys": ["user/1", "user/2", "user/3"], "with_ttl": True},
            answer=_ok(
                {
                    "user/1": {"status": "ok", "value": "Ada", "ttl": None},
                    "user/2": {"status": "ok", "value": "Grace", "ttl": 60},
                    "user/3": {"status": "error", "error": "not_found"},
                }
            ),
        ),
    },
    "bulk_touch": {
        "each": Example(
            summary="One that is there and one that is not",
            body={"operations": [{"key": "user/2", "ttl": 60}, {"key": "user/3", "ttl": 60}]},
            answer=_ok([{"key": "user/2", "status": "ok"}, {"key": "user/3", "status": "error", "error": "not_found"}]),
        ),
    },
    "list": {
        "first": Example(
            summary="The first page",
            parameters={"prefix": "user/", "limit": 1},
            answer={**_ok(["user/1"]), "cursor": "dXNlci8x"},
        ),
        "next": Example(
            summary="The page after it, with values",
            parameters={
                "prefix": "user/",
                "limit": 2,
                "cursor": "dXNlci8x",
                "values": True,
                "with_ttl": True,
                "meta": False,
                "consistency": "stale",
                "max_age_ms": 60000,
            },
            answer=_ok([{"key": "user/2", "ttl": 60, "value": "Grace"}]),
        ),
    },
    "watch": {
        "state": Example(
            summary="All keys with a prefix, and then every change",
            parameters={"prefix": "flags/"},
            answer={
                "event": "state",
                "data": '{"key":"flags/dark-mode","value":{"enabled":true,"share":0.5},"revision":47}',
            },
        ),
    },
}

_OF_SEVERAL: dict[str, dict[str, Example]] = {
    "txn": {
        "elect": Example(
            summary="Take a place that is free, else see who has it",
            body={
                "compare": [{"key": _PRIMARY, "exists": False}],
                "success": [
                    {"op": "put", "key": _PRIMARY, "value": "a"},
                    {"op": "put", "key": _STANDBY, "value": "b"},
                ],
                "failure": [{"op": "get", "key": _PRIMARY}],
            },
            answer=_ok(
                {
                    "succeeded": True,
                    "results": [{"key": _PRIMARY, "status": "ok"}, {"key": _STANDBY, "status": "ok"}],
                    "revision": 60,
                }
            ),
        ),
        "change": Example(
            summary="One of each kind of step",
            body={
                "compare": [{"key": _PRIMARY, "value": "a"}],
                "success": [
                    {"op": "get", "key": _PRIMARY},
                    {"op": "increment", "key": "{db}changes"},
                    {"op": "touch", "key": _STANDBY, "ttl": 60},
                    {"op": "delete", "key": _PRIMARY},
                    {"op": "get", "key": _PRIMARY},
                ],
            },
            answer=_ok(
                {
                    "succeeded": True,
                    "results": [
                        {"key": _PRIMARY, "status": "ok", "value": "a", "revision": 60},
                        {"key": "{db}changes", "status": "ok", "value": 1, "revision": 61},
                        {"key": _STANDBY, "status": "ok"},
                        {"key": _PRIMARY, "status": "ok", "deleted": True},
                        {"key": _PRIMARY, "status": "error", "error": "not_found"},
                    ],
                    "revision": 61,
                }
            ),
        ),
    },
    "quota_take": {
        "allowed": Example(
            summary="One of ten a minute",
            parameters={"name": "mail-ada"},
            body={"limit": 10, "window": 60, "cost": 1, "algorithm": "gcra"},
            answer=_ok({"allowed": True, "remaining": 9, "reset_ms": 6000}),
        ),
        "refused": Example(
            summary="More than is left",
            parameters={"name": "mail-ada"},
            body={"limit": 10, "window": 60, "cost": 10, "algorithm": "gcra"},
            answer=_ok({"allowed": False, "remaining": 9, "reset_ms": 6000, "retry_after_ms": 6000}),
        ),
    },
    "lock_acquire": {
        "wait": Example(
            summary="Wait for it for a second, if need be",
            parameters={"name": _LOCK},
            body={"owner": "worker-1", "ttl": 30, "wait_ms": 1000},
            answer=_ok({"fence": 70, "ttl": 30}),
        ),
    },
    "lock_renew": {
        "renew": Example(
            summary="With the fence that `acquire` answered",
            parameters={"name": _LOCK},
            body={"owner": "worker-1", "fence": 70, "ttl": 30},
            answer=_ok({"fence": 70, "ttl": 30}),
        ),
    },
    "lock_release": {
        "release": Example(
            summary="With the fence that `acquire` answered",
            parameters={"name": _LOCK},
            body={"owner": "worker-1", "fence": 70},
            answer=_OK,
        ),
    },
    "instance_put": {
        "register": Example(
            summary="Living for half a minute, unless it is touched",
            parameters={**_ONE, "meta": False},
            body={**_ADDRESS, "ttl": 30},
            answer=_ok({"revision": 80}),
        ),
    },
    "instance_touch": {
        "heartbeat": Example(
            summary="Half a minute from now on, and its revision",
            parameters={**_ONE, "meta": True},
            body={"ttl": 30},
            answer=_ok({"revision": 81}),
        ),
    },
    "service": {
        "living": Example(
            summary="Those that live",
            parameters={"service": "web", "limit": 2, "consistency": "stale", "max_age_ms": 60000},
            answer=_ok([{"instance": "one", "ttl": 30, "revision": 81, **_ADDRESS}]),
        ),
        "next": Example(
            summary="Those after `one`",
            parameters={"service": "web", "cursor": "c2VydmljZXMvd2ViL29uZQ"},
            answer=_ok([]),
        ),
    },
}

_DELETIONS: dict[str, dict[str, Example]] = {
    "instance_delete": {
        "leave": Example(
            summary="Only if nobody has changed it since",
            parameters={**_ONE, "meta": False},
            body={"if_revision": 81},
            answer=_ok({"deleted": True, "revision": 90}),
        ),
    },
    "delete": {
        "unchanged": Example(
            summary="Only if it has this value",
            parameters={"key": _FLAG, "meta": False},
            body={"if_value": _HALF},
            answer=_ok({"deleted": True, "revision": 91}),
        ),
        "absent": Example(
            summary="A key that is not there",
            parameters={"key": _FLAG},
            answer=_ok({"deleted": False}),
        ),
    },
    "bulk_delete": {
        "each": Example(
            summary="One, and one only if it has this value",
            body={"keys": ["user/1", {"key": "user/2", "if_value": "Grace"}]},
            answer=_ok([{"key": "user/1", "status": "ok"}, {"key": "user/2", "status": "ok"}]),
        ),
    },
}

_OF_THE_GATEWAY: dict[str, dict[str, Example]] = {
    "status": {"all": Example(summary="All of it", answer=_ok(_STATUS))},
    "members": {"all": Example(summary="All nodes", answer=_ok([_NODE]))},
    "nodes": {"all": Example(summary="All nodes", answer=_ok([_HOST]))},
    "groups": {"all": Example(summary="All groups", answer=_ok([_GROUP]))},
    "health": _HEALTH,
    "livez": _ALIVE,
    "readyz": _READY,
    "root_health": _HEALTH,
    "root_livez": _ALIVE,
    "root_ready": _READY,
    "root_readyz": _READY,
    "metrics": {
        "all": Example(summary="Text for Prometheus"),
        "one": Example(summary="One figure", parameters={"name[]": "concord_gateway_requests_in_flight"}),
    },
    "openapi": {"all": Example(summary="This document")},
    "docs": {"page": Example(summary="For a browser")},
    "docs_script": {"page": Example(summary="For the page")},
    "docs_style": {"page": Example(summary="For the page")},
}

_OF_TOKENS: dict[str, dict[str, Example]] = {
    "token_create": {
        "app": Example(
            summary="For a day, for the keys of one application",
            body={"name": "app", "scopes": _SCOPES, "expires_in": 86400},
            answer=_ok({**_TOKEN, **_SECRET}),
        ),
    },
    "token_list": {"all": Example(summary="Without their secrets", answer=_ok([_TOKEN]))},
    "token_rotate": {
        "overlap": Example(
            summary="The old secret is good for another hour",
            parameters={"id": TOKEN_ID},
            body={"overlap": 3600},
            answer=_ok({**_TOKEN, "rotated_at": _MADE, "old_secret_until": "2026-11-27T13:00:00.000+00:00", **_SECRET}),
        ),
    },
    "token_revoke": {
        "revoke": Example(summary="At once", parameters={"id": TOKEN_ID}, answer=_ok({"revoked": True})),
    },
}

EXAMPLES: dict[str, dict[str, Example]] = _OF_KEYS | _OF_SEVERAL | _DELETIONS | _OF_THE_GATEWAY | _OF_TOKENS
"""By operation, and by a name that is its own within it; in the order in which they work."""
