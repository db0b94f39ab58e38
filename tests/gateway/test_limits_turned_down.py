"""Limits that were turned down: each has its own error on every route, the document states it, and nothing is applied."""

import json
from typing import Any

import msgspec
import pytest

from gateway.data_limits import DataLimits
from gateway.errors import ApiCode
from gateway.openapi_schemas import BODIES
from gateway.routes import ROUTES, Route, Verb
from gateway.settings import GatewaySettings
from tests.gateway.double import NAME, Client, Reply, run
from tests.gateway.oversized import CODES, OWN, Place, places
from tests.gateway.placement_double import GUARDED, ROOT, GuardedCluster, bearer
from tests.gateway.test_access_matrix import SAMPLES, filled
from wire.messages import LIMIT_VALUE_BYTES, WriteRequest

DOWN = DataLimits(
    key_bytes=40,
    value_bytes=300,
    bulk_items=3,
    json_depth=2,
    list_items=4,
    list_bytes=1000,
    ttl_s_max=60,
    bulk_get_bytes=500,
)
TURNED_DOWN = msgspec.structs.replace(
    GUARDED, **msgspec.structs.asdict(DOWN), body_bytes=4096, timeout_ms=500, timeout_ms_max=700
)
PLACES = list(places())


def on_guarded(scenario: Any) -> GuardedCluster:
    cluster = GuardedCluster()

    async def ready(client: Client) -> None:
        await client.gateway.tokens.reached(1)  # type: ignore[union-attr]
        await scenario(client)

    run(ready, cluster, settings=TURNED_DOWN, started=True)
    return cluster


async def send(client: Client, route: Route, target: str, body: object, **more: Any) -> Reply:
    return await client.send(
        route.method, target, body, **{**more, "headers": [*bearer(ROOT), *more.get("headers", [])]}
    )


def sample(route: Route) -> tuple[str, Any]:
    """Target and body of a good request."""
    return filled(SAMPLES[route.id].target, OWN), filled(SAMPLES[route.id].body, OWN)


def refused(reply: Reply, code: str, limit: int) -> None:
    """With the code, and with the limit in the message."""
    assert (reply.code, reply.json["error"]["applied"]) == (code, False)
    assert str(limit) in reply.json["error"]["message"]


def test_every_limit_is_stated_for_some_request() -> None:
    assert {place.limit for place in PLACES} == set(CODES)
    assert {place.route.id for place in PLACES} >= set(BODIES) - {"lock_release", "token_create", "token_rotate"}
    assert set(CODES) | {"list_bytes", "bulk_get_bytes"} == set(DataLimits.__struct_fields__)


@pytest.mark.parametrize("route", sorted({place.route.id for place in PLACES}))
def test_one_more_than_a_limit_is_refused_wherever_it_counts_and_the_limit_itself_is_not(route: str) -> None:
    here = [place for place in PLACES if place.route.id == route]

    async def scenario(client: Client) -> None:
        for place in here:
            await try_out(client, place)

    on_guarded(scenario)


async def try_out(client: Client, place: Place) -> None:
    limit = getattr(DOWN, place.limit)
    target, body = place.request(DOWN, 1)
    before = len(client.cluster.requests(WriteRequest))
    refused(await send(client, place.route, target, body), place.code, limit)
    assert len(client.cluster.requests(WriteRequest)) == before, place
    target, body = place.request(DOWN, 0)
    if place.route.verb is Verb.WATCH:
        target += "&from=x"  # refused once it was let in: a stream has no end
    reply = await send(client, place.route, target, body)
    assert reply.status < 500, place
    assert reply.status in (200, 404, 409, 412) or "not an id" in reply.json["error"]["message"], (place, reply.body)


@pytest.mark.parametrize("atomic", [False, True])
def test_a_limit_counts_for_later_items_too(atomic: bool) -> None:  # noqa: FBT001 - drawn by pytest
    good = {"key": OWN, "value": 1}

    async def scenario(client: Client) -> None:
        [put] = [route for route in ROUTES if route.id == "bulk_put"]
        for bad, code, limit in (
            ({"key": OWN + "k" * 40, "value": 1}, "INVALID_KEY", 40),
            ({"key": OWN, "value": "v" * 299}, "VALUE_TOO_LARGE", 300),
            ({"key": OWN, "value": [[[]]]}, "INVALID_REQUEST", 2),
            ({"key": OWN, "value": 1, "ttl": 61}, "INVALID_REQUEST", 60),
        ):
            body = {"operations": [good, good, bad], "atomic": atomic}
            reply = await send(client, put, "/api/v1/kv/bulk", body)
            refused(reply, code, limit)
            assert "operations[2]" in reply.json["error"]["message"]
        assert not client.cluster.requests(WriteRequest)

    on_guarded(scenario)


def test_a_body_over_the_limit_is_refused_on_every_route_that_has_one() -> None:
    async def scenario(client: Client) -> None:
        for route in [route for route in ROUTES if route.id in BODIES]:
            target, body = sample(route)
            text = json.dumps(body or {}).encode()
            before = len(client.cluster.requests(WriteRequest))
            refused(await send(client, route, target, None, raw=text.ljust(4097)), "BODY_TOO_LARGE", 4096)
            refused(await send(client, route, target, None, chunks=[text, b" " * 4096]), "BODY_TOO_LARGE", 4096)
            assert len(client.cluster.requests(WriteRequest)) == before, route.id
            reply = await send(client, route, target, None, raw=text.ljust(4096))
            assert reply.status in (200, 404, 409), (route.id, reply.body)

    on_guarded(scenario)


def test_a_deadline_over_the_limit_is_refused_on_every_route_that_takes_one() -> None:
    asked = [("x-concord-timeout-ms", "701")]

    async def scenario(client: Client) -> None:
        routes = [route for route in ROUTES if ApiCode.TIMEOUT in route.codes and route.verb is not Verb.WATCH]
        assert len(routes) > 20
        for route in routes:
            refused(await send(client, route, *sample(route), headers=asked), "INVALID_REQUEST", 700)
        assert not client.cluster.requests(WriteRequest)

    cluster = on_guarded(scenario)
    assert len(cluster.machine.tokens.table.tokens) == 1, "a token was made, or the first one is gone"


def test_a_value_that_is_not_json_has_the_same_limits() -> None:
    binary = [("content-type", "application/octet-stream")]

    async def scenario(client: Client) -> None:
        [put] = [route for route in ROUTES if route.id == "put"]
        over = await send(client, put, "/api/v1/kv/a", None, raw=b"x" * 301, headers=binary)
        refused(over, "VALUE_TOO_LARGE", 300)
        late = await send(client, put, "/api/v1/kv/a?ttl=61", None, raw=b"x", headers=binary)
        refused(late, "INVALID_REQUEST", 60)
        fits = await send(client, put, "/api/v1/kv/a?ttl=60", None, raw=b"x" * 300, headers=binary)
        assert fits.status == 200

    on_guarded(scenario)


def test_what_is_registered_for_an_instance_is_no_larger_than_a_value() -> None:
    async def scenario(client: Client) -> None:
        [register] = [route for route in ROUTES if route.id == "instance_put"]
        body = {"address": "a" * 255, "port": 1, "ttl": 5, "metadata": "m" * 100}
        refused(await send(client, register, "/api/v1/services/web/i1", body), "VALUE_TOO_LARGE", 300)

    on_guarded(scenario)


PAGES = {
    "turned down": (DOWN, 5, 250, 3),  # each entry counts 64 bytes more, and its key
    "as it is": (DataLimits(), 5, LIMIT_VALUE_BYTES, 3),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_values_ends_before_its_limit_and_its_cursor_goes_on(name: str) -> None:
    limits, count, size, on_first = PAGES[name]
    settings = GatewaySettings(nodes=["127.0.0.1:1"], cluster=NAME, **msgspec.structs.asdict(limits))

    async def scenario(client: Client) -> None:
        keys = [f"k{number}" for number in range(count)]
        for key in keys:
            client.cluster.put(key, value=b'"' + b"v" * (size - 2) + b'"')
        page = (await client.send("GET", "/api/v1/kv?values=true&limit=4")).json
        assert [entry["key"] for entry in page["data"]] == keys[:on_first]
        rest = (await client.send("GET", f"/api/v1/kv?values=true&limit=4&cursor={page['cursor']}")).json
        assert [entry["key"] for entry in rest["data"]] == keys[on_first:]
        assert "cursor" not in rest
        assert (
            len((await client.send("GET", "/api/v1/kv?limit=4")).json["data"]) == 4
        )  # values do not count unless asked for

    run(scenario, settings=settings)


BULK_GETS = {
    "turned down": (msgspec.structs.replace(DOWN, bulk_items=500), 250, 2),
    "as it is": (DataLimits(), LIMIT_VALUE_BYTES, 64),
}


@pytest.mark.parametrize("name", BULK_GETS)
def test_a_bulk_get_is_refused_when_its_values_are_over_the_limit(name: str) -> None:
    limits, size, fits = BULK_GETS[name]
    settings = GatewaySettings(nodes=["127.0.0.1:1"], cluster=NAME, **msgspec.structs.asdict(limits))

    async def scenario(client: Client) -> None:
        keys = [f"k{number}" for number in range(fits + 1)]
        client.cluster.put(*keys, value=b'"' + b"v" * (size - 2) + b'"')
        over = await client.send("POST", "/api/v1/kv/bulk/get", {"keys": keys})
        assert over.status == 413
        refused(over, "BATCH_TOO_LARGE", limits.bulk_get_bytes)
        taken = await client.send("POST", "/api/v1/kv/bulk/get", {"keys": keys[1:]})
        assert (taken.status, taken.body.count(b'"status":"ok"')) == (200, 1 + fits)
        assert len(taken.body) > fits * size

    run(scenario, settings=settings)


def test_the_document_states_the_limits_of_its_gateway() -> None:
    async def scenario(client: Client) -> None:
        document = (await client.send("GET", "/api/v1/openapi.json")).json
        stated = document["x-concord-limits"]
        assert stated == msgspec.structs.asdict(DOWN) | {"body_bytes": 4096, "timeout_ms_max": 700, "query_fields": 16}
        schemas, parameters = document["components"]["schemas"], document["components"]["parameters"]
        items = schemas["BulkPutBody"]["properties"]["operations"]
        assert (items["maxItems"], items["items"]["properties"]["key"]["maxLength"]) == (3, 40)
        assert schemas["PutBody"]["properties"]["ttl"]["maximum"] == 60
        assert "300 bytes and 2 levels" in schemas["PutBody"]["properties"]["value"]["description"]
        assert schemas["LockRenewBody"]["properties"]["ttl"]["maximum"] == 60
        assert parameters["timeout"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 700, "default": 500}
        assert parameters["key"]["schema"]["maxLength"] == 40
        found = document["paths"]["/api/v1/kv"]["get"]["parameters"]
        [limit] = [parameter["schema"] for parameter in found if parameter.get("name") == "limit"]
        assert (limit["maximum"], limit["default"]) == (4, 4)

    on_guarded(scenario)
