"""Every route against every verb, on keys of one's own and of others: who is let in, and that nothing of others is touched."""

import itertools
from typing import Any

import msgspec
import pytest

from gateway.routes import ROUTES, Verb
from placement.tokens import TokenVerb
from tests.gateway.double import Client, run
from tests.gateway.placement_double import GUARDED, GuardedCluster, bearer
from wire.messages import ListRequest, ReadRequest, WriteRequest

OWN, FOREIGN = "mine/", "other/"
VERBS = {verb.name.lower(): verb for verb in TokenVerb if verb.name}


class Sample(msgspec.Struct, frozen=True):
    """A good request of a route, and what its token needs. `{}` in target and body stands for a prefix of keys."""

    needs: str  # a verb; or "token": any; or "nothing"
    target: str
    body: Any = None
    own: str = OWN  # what scopes are on
    foreign: str = FOREIGN


KEY = "/api/v1/kv/{}a"
KEYS = {"keys": ["{}a", "{}b"]}
SERVICE = "/api/v1/services/web"
INSTANCE = {"address": "a", "port": 1, "ttl": 5}
OF_SERVICE = ("services/web/", "services/web2/")
LOCK = "/api/v1/locks/{}a/"
SAMPLES = {
    "put": Sample("write", KEY, {"value": 1}),
    "get": Sample("read", KEY),
    "delete": Sample("write", KEY),
    "ttl": Sample("read", KEY + "/ttl"),
    "touch": Sample("write", KEY + "/touch", {"ttl": 5}),
    "bulk_put": Sample("write", "/api/v1/kv/bulk", {"operations": [{"key": "{}a", "value": 1}]}),
    "bulk_get": Sample("read", "/api/v1/kv/bulk/get", KEYS),
    "bulk_delete": Sample("write", "/api/v1/kv/bulk/delete", KEYS),
    "bulk_touch": Sample("write", "/api/v1/kv/bulk/touch", {"operations": [{"key": "{}a", "ttl": 1}]}),
    "list": Sample("read", "/api/v1/kv?prefix={}"),
    "watch": Sample("watch", "/api/v1/watch?prefix={}&from=x"),  # refused once it was let in: a stream has no end
    "increment": Sample("write", KEY + "/increment"),
    "txn": Sample("write", "/api/v1/txn", {"success": [{"op": "delete", "key": "{}a"}]}),
    "quota_take": Sample("write", "/api/v1/limits/{}a/acquire", {"limit": 9, "window": 9}),
    "lock_acquire": Sample("lock", LOCK + "acquire", {"owner": "me", "ttl": 5}),
    "lock_renew": Sample("lock", LOCK + "renew", {"owner": "me", "fence": 1, "ttl": 5}),
    "lock_release": Sample("lock", LOCK + "release", {"owner": "me", "fence": 1}),
    "service": Sample("read", SERVICE, None, *OF_SERVICE),
    "instance_put": Sample("write", SERVICE + "/i1", INSTANCE, *OF_SERVICE),
    "instance_delete": Sample("write", SERVICE + "/i1", None, *OF_SERVICE),
    "instance_touch": Sample("write", SERVICE + "/i1/touch", {"ttl": 5}, *OF_SERVICE),
    "status": Sample("token", "/api/v1/status"),
    "members": Sample("token", "/api/v1/members"),
    "nodes": Sample("token", "/api/v1/nodes"),
    "groups": Sample("token", "/api/v1/groups"),
    "metrics": Sample("token", "/metrics"),
    "token_create": Sample("admin", "/api/v1/tokens", {"name": "x", "scopes": [{"prefix": "{}", "verbs": ["read"]}]}),
    "token_list": Sample("admin", "/api/v1/tokens"),
    "token_revoke": Sample("admin", "/api/v1/tokens/ffffffffffff"),
    "token_rotate": Sample("admin", "/api/v1/tokens/ffffffffffff/rotate"),
    **{
        route.id: Sample("nothing", route.path)
        for route in ROUTES
        if route.id.startswith(("root_", "docs")) or route.id in ("health", "livez", "readyz", "openapi")
    },
}


def filled(template: Any, prefix: str) -> Any:
    """The template with a prefix put in."""
    if isinstance(template, str):
        return template.replace("{}", prefix)
    if isinstance(template, list):
        return [filled(each, prefix) for each in template]
    if isinstance(template, dict):
        return {name: filled(each, prefix) for name, each in template.items()}
    return template


def test_every_route_has_a_rule_and_a_sample_that_agrees_with_it() -> None:
    assert {route.id for route in ROUTES} == set(SAMPLES)
    for route in ROUTES:
        needs = SAMPLES[route.id].needs
        assert needs == ("nothing" if route.is_open else route.verb.value), route.id
        assert route.is_open == (route.verb is Verb.NONE), route.id


def touched(cluster: GuardedCluster) -> list[object]:
    return [request for _, request in cluster.calls if isinstance(request, ReadRequest | WriteRequest | ListRequest)]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.id)
def test_a_route_lets_in_exactly_who_may(route: Any) -> None:
    sample = SAMPLES[route.id]
    cluster = GuardedCluster()
    combinations = list(itertools.product(VERBS, (sample.own, sample.foreign, "")))
    tokens: dict[tuple[str, str], str] = {}
    for number, (verb, prefix) in enumerate(combinations, start=1):
        if verb != "admin" or not prefix:
            tokens[verb, prefix] = cluster.add(number, (prefix, VERBS[verb]))

    async def scenario(client: Client) -> None:
        await client.gateway.tokens.reached(cluster.machine.tokens.table.revision)  # type: ignore[union-attr]
        target, body = filled(sample.target, sample.own), filled(sample.body, sample.own)
        for (verb, prefix), token in tokens.items():
            may = sample.needs in ("nothing", "token") or (verb == sample.needs and prefix in ("", sample.own))
            for headers in (bearer(token), [("x-api-key", token)]):
                cluster.calls.clear()
                reply = await client.send(route.method, target, body, headers=headers)
                assert (reply.status != 403) == may, (verb, prefix, reply.body)
                assert reply.status != 401
                assert may or (reply.code == "FORBIDDEN" and reply.json["error"]["applied"] is False)
                assert may or not touched(cluster)
                assert reply.status < 500 or route.id.endswith(("ready", "readyz"))
        spoilt = cluster.add(0)[:-1] + "x"
        for headers in ([], bearer("nonsense"), bearer(spoilt), [("authorization", "Basic YTpi")]):
            cluster.calls.clear()
            reply = await client.send(route.method, target, body, headers=headers)
            assert (reply.status == 401) == (sample.needs != "nothing")
            if reply.status == 401:
                assert reply.code == "UNAUTHORIZED"
                assert reply.headers["www-authenticate"] == "Bearer"
                assert not touched(cluster)

    run(scenario, cluster, settings=GUARDED, started=True)


MANY = {
    "/api/v1/kv/bulk": {"operations": [{"key": "mine/a", "value": 1}, {"key": "other/a", "value": 1}]},
    "/api/v1/kv/bulk/get": {"keys": ["mine/a", "other/a"]},
    "/api/v1/kv/bulk/delete": {"keys": ["mine/a", {"key": "mineral", "if_absent": True}], "atomic": True},
    "/api/v1/kv/bulk/touch": {"operations": [{"key": "mine/a", "ttl": 1}, {"key": "min", "ttl": 1}]},
    "/api/v1/txn": {
        "compare": [{"key": "other/{s}", "exists": True}],
        "success": [{"op": "delete", "key": "mine/{s}"}],
    },
}


def test_one_key_that_is_not_covered_refuses_the_whole_request() -> None:
    cluster = GuardedCluster()
    token = cluster.add(1, (OWN, 3), ("yours/", 3))

    async def scenario(client: Client) -> None:
        await client.gateway.tokens.reached(2)  # type: ignore[union-attr]
        for target, body in MANY.items():
            reply = await client.send("POST", target, body, headers=bearer(token))
            assert (reply.status, reply.code) == (403, "FORBIDDEN")
            assert "other/" not in reply.body.decode()
        for prefix in ("", "m", "mine", "other/"):
            reply = await client.send("GET", f"/api/v1/kv?prefix={prefix}", headers=bearer(token))
            assert reply.status == 403
        assert not touched(cluster)
        assert (await client.send("GET", "/api/v1/kv?prefix=mine/x", headers=bearer(token))).status == 200
        both = {"keys": ["mine/a", "yours/b"]}
        assert (await client.send("POST", "/api/v1/kv/bulk/get", both, headers=bearer(token))).status == 200

    run(scenario, cluster, settings=GUARDED, started=True)


def test_a_transaction_needs_read_for_what_it_shows_and_write_for_what_it_changes() -> None:
    cluster = GuardedCluster()
    reader, writer = cluster.add(1, ("", 1)), cluster.add(2, ("", 2))
    compare = [{"key": "{s}a", "exists": True}]
    shapes: list[tuple[dict[str, object], set[str]]] = [
        ({"compare": compare}, {"reader"}),
        ({"failure": [{"op": "get", "key": "{s}a"}]}, {"reader"}),
        ({"success": [{"op": "put", "key": "{s}a", "value": 1}]}, {"writer"}),
        ({"failure": [{"op": "increment", "key": "{s}b"}]}, {"writer"}),
        ({"compare": compare, "success": [{"op": "touch", "key": "{s}a", "ttl": 1}]}, set()),
        ({"success": [{"op": "get", "key": "{s}a"}, {"op": "delete", "key": "{s}a"}]}, set()),
    ]

    async def scenario(client: Client) -> None:
        await client.gateway.tokens.reached(3)  # type: ignore[union-attr]
        for body, may in shapes:
            replies = {
                name: await client.send("POST", "/api/v1/txn", body, headers=bearer(token))
                for name, token in (("reader", reader), ("writer", writer))
            }
            assert {name for name, reply in replies.items() if reply.status != 403} == may, body

    run(scenario, cluster, settings=GUARDED, started=True)
