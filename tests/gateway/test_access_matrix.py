"""Every route against every verb, on keys of one's own and of others: who is let in, and that nothing of others is touched."""

import itertools
from typing import Any

import msgspec
import pytest

from gateway.routes import KEY_VERBS, ROUTES, Verb
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


KEY = "/api/v1/kv/{}a"
KEYS = {"keys": ["{}a", "{}b"]}
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
    "status": Sample("token", "/api/v1/status"),
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
        assert (needs in {verb.value for verb in KEY_VERBS}) == ("{}" in str(SAMPLES[route.id])) or needs == "admin"


def touched(cluster: GuardedCluster) -> list[object]:
    return [request for _, request in cluster.calls if isinstance(request, ReadRequest | WriteRequest | ListRequest)]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.id)
def test_a_route_lets_in_exactly_who_may(route: Any) -> None:
    sample = SAMPLES[route.id]
    cluster = GuardedCluster()
    combinations = list(itertools.product(VERBS, (OWN, FOREIGN, "")))
    tokens: dict[tuple[str, str], str] = {}
    for number, (verb, prefix) in enumerate(combinations, start=1):
        if verb != "admin" or not prefix:
            tokens[verb, prefix] = cluster.add(number, (prefix, VERBS[verb]))

    async def scenario(client: Client) -> None:
        await client.gateway.tokens.reached(cluster.machine.tokens.table.revision)  # type: ignore[union-attr]
        target, body = filled(sample.target, OWN), filled(sample.body, OWN)
        for (verb, prefix), token in tokens.items():
            may = sample.needs in ("nothing", "token") or (verb == sample.needs and prefix in ("", OWN))
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
    "bulk_put": {"operations": [{"key": "mine/a", "value": 1}, {"key": "other/a", "value": 1}]},
    "bulk_get": {"keys": ["mine/a", "other/a"]},
    "bulk_delete": {"keys": ["mine/a", "mineral"]},
    "bulk_touch": {"operations": [{"key": "mine/a", "ttl": 1}, {"key": "min", "ttl": 1}]},
}


def test_one_key_that_is_not_covered_refuses_the_whole_request() -> None:
    cluster = GuardedCluster()
    token = cluster.add(1, (OWN, 3), ("yours/", 3))

    async def scenario(client: Client) -> None:
        await client.gateway.tokens.reached(2)  # type: ignore[union-attr]
        for name, body in MANY.items():
            reply = await client.send("POST", SAMPLES[name].target, body, headers=bearer(token))
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
