"""What operators see: probes, status, metrics, the OpenAPI document and its page."""

import asyncio
import datetime as dt
import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.errors import MEANINGS, ApiCode
from gateway.routes import ROUTES
from tests.gateway.double import Client, run, until
from wire.errors import Code, Failure
from wire.messages import ReadRequest

LIVE = ["/api/v1/livez", "/livez"]
READY = ["/api/v1/readyz", "/ready", "/readyz"]


@pytest.mark.parametrize("target", ["/api/v1/health", "/health"])
def test_health_has_its_fixed_shape(target: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("GET", target)
        assert list(reply.json) == ["status", "timestamp", "service"]
        assert (reply.json["status"], reply.json["service"]) == ("healthy", "concord-api")
        assert dt.datetime.fromisoformat(reply.json["timestamp"]).tzinfo is not None

    run(scenario, knows_map=False)


@pytest.mark.parametrize("target", LIVE)
def test_a_live_process_says_so_without_a_cluster(target: str) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.send("GET", target)).json == {"status": "ok"}

    run(scenario, knows_map=False)


@pytest.mark.parametrize("target", READY)
def test_a_gateway_is_ready_when_the_map_is_fresh_and_every_group_answers(target: str) -> None:
    async def scenario(client: Client) -> None:
        first = await client.send("GET", target + "?verbose")
        assert first.status == 503
        assert {check["name"]: check["ok"] for check in first.data["checks"]} == {
            "serving": True, "map_known": False, "map_fresh": False, "groups_answer": True,
        }  # fmt: skip
        await client.gateway.start()
        await _ready(client)
        assert (await client.send("GET", target)).json == {"status": "ok"}
        verbose = await client.send("GET", target + "?verbose")
        assert all(check["ok"] for check in verbose.data["checks"])
        client.gateway.health.draining = True
        assert (await client.send("GET", target)).status == 503

    run(scenario, knows_map=False)


def test_a_group_without_a_quorum_makes_the_gateway_not_ready_until_it_answers() -> None:
    async def scenario(client: Client) -> None:
        group = client.cluster.groups[1]
        client.cluster.broken[group] = Failure(Code.UNAVAILABLE, "no quorum")
        await client.gateway.start()
        await until(lambda: client.gateway.health.silent_groups(6.0) == [group])
        reply = await client.send("GET", "/readyz?verbose")
        assert reply.status == 503
        assert f"no leader answers for {group}" in [check["detail"] for check in reply.data["checks"]]
        del client.cluster.broken[group]
        await _ready(client)

    run(scenario)


def test_groups_with_traffic_are_not_probed() -> None:
    async def scenario(client: Client) -> None:
        for group in client.cluster.groups:
            await client.send("GET", "/api/v1/kv/" + client.cluster.key_in(group))
        client.cluster.calls.clear()
        await client.gateway.health.probe()
        assert not client.cluster.requests(ReadRequest)

    run(scenario)


def test_status_has_its_fixed_shape_and_the_groups() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        await client.send("PUT", "/api/v1/kv/a", {"value": "x" * 98})
        reply = await client.send("GET", "/api/v1/status")
        assert reply.status == 200
        data = reply.data
        assert data["cluster"]["name"] == "test"
        assert data["cluster"]["leader"] == "n1"
        assert [(node["name"], node["status"]) for node in data["cluster"]["nodes"]] == [
            ("n1", "leader"), ("n2", "follower"), ("n3", "follower"),
        ]  # fmt: skip
        assert data["cluster"]["nodes"][0]["address"] == "127.0.0.1:1"
        assert data["storage"] == {"size": 100, "memory": 300}
        assert data["metrics"]["keys"] == 1
        assert data["epoch"] == 1
        assert {group["id"]: group["leader"] for group in data["groups"]} == cluster.leaders
        assert data["groups"][0]["replicas"] == cluster.nodes

    run(scenario)


def test_members_nodes_and_groups_are_parts_of_the_status() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.down.add("n3")
        status = (await client.send("GET", "/api/v1/status")).data
        assert (await client.send("GET", "/api/v1/members")).data == status["cluster"]["nodes"]
        assert (await client.send("GET", "/api/v1/groups")).data == status["groups"]
        nodes = (await client.send("GET", "/api/v1/nodes")).data
        assert [(node["name"], node["reachable"], node["memory"]) for node in nodes] == [
            ("n1", True, 100), ("n2", True, 100), ("n3", False, None),
        ]  # fmt: skip
        led = {name: list(client.cluster.leaders.values()).count(name) for name in ("n1", "n2")}
        assert {node["name"]: node["leads"] for node in nodes if node["reachable"]} == led
        assert {node["replicas"] for node in nodes} == {len(client.cluster.groups)}
        client.cluster.down.update(client.cluster.nodes)
        for route in ("members", "nodes", "groups"):
            assert (await client.send("GET", f"/api/v1/{route}")).code == "CLUSTER_UNAVAILABLE"
            assert (await client.send("GET", f"/api/v1/{route}?x=1")).code == "INVALID_REQUEST"

    run(scenario)


def test_status_shows_nodes_that_do_not_answer() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.down.add("n1")
        data = (await client.send("GET", "/api/v1/status")).data
        assert [node["reachable"] for node in data["cluster"]["nodes"]] == [False, True, True]
        assert data["cluster"]["leader"] is None
        client.cluster.down.update(client.cluster.nodes)
        assert (await client.send("GET", "/api/v1/status")).code == "CLUSTER_UNAVAILABLE"

    run(scenario)


def test_a_fenced_replica_shows_in_the_status_and_raises_the_alarm_also_when_its_node_is_down() -> None:
    async def scenario(client: Client) -> None:
        async def alarm() -> str:
            text = (await client.send("GET", "/metrics")).body.decode()
            return text.split("\nconcord_gateway_state_divergence ")[1].partition("\n")[0]

        assert await alarm() == "0.0"
        client.cluster.fenced.add(("n2", 3))
        data = (await client.send("GET", "/api/v1/status")).data
        assert {group["id"]: group["fenced"] for group in data["groups"] if group["fenced"]} == {3: ["n2"]}
        assert data["metrics"]["groups_diverged"] == 1
        assert {group["checked_index"] for group in data["groups"]} == {7}
        await client.gateway.divergence.look()
        assert await alarm() == "1.0"
        client.cluster.down.add("n2")
        await client.gateway.divergence.look()
        assert await alarm() == "1.0"
        client.cluster.down.clear()
        client.cluster.fenced.clear()
        await client.gateway.divergence.look()
        assert await alarm() == "0.0"

    run(scenario)


def test_metrics_count_requests_retries_and_the_map() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        await client.send("GET", "/api/v1/kv/none")
        await client.send("GET", "/nowhere")
        one = await client.send("GET", "/metrics?name[]=concord_gateway_requests_in_flight")
        shown = [line.split()[0] for line in one.body.decode().splitlines() if not line.startswith("#")]
        assert shown == ["concord_gateway_requests_in_flight"]
        reply = await client.send("GET", "/metrics")
        assert reply.headers["content-type"].startswith("text/plain")
        text = reply.body.decode()
        assert 'concord_gateway_requests_total{route="put",status="200"} 1.0' in text
        assert 'concord_gateway_requests_total{route="get",status="404"} 1.0' in text
        assert 'concord_gateway_requests_total{route="none",status="404"} 1.0' in text
        assert 'concord_gateway_request_seconds_count{route="put"} 1.0' in text
        assert re.search(r'concord_gateway_rpc_attempts_total\{code="NOT_LEADER",method="write"\} \d', text)
        assert re.search(r'concord_gateway_rpc_attempts_total\{code="OK",method="read"\} \d', text)
        assert "concord_gateway_map_epoch 1.0" in text
        assert "concord_gateway_requests_in_flight 0.0" in text
        assert f"concord_gateway_groups_without_leader {len(client.cluster.groups) - 1}.0" in text

    run(scenario)


def test_the_description_is_valid_openapi_and_covers_every_route_status_and_error() -> None:
    async def scenario(client: Client) -> None:
        document = (await client.send("GET", "/api/v1/openapi.json")).json
        OpenAPIV31SpecValidator(document).validate()
        described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
        assert described == {(route.path, route.method) for route in ROUTES}
        for route in ROUTES:
            responses = document["paths"][route.path][route.method.lower()]["responses"]
            assert {str(MEANINGS[code].status) for code in route.codes} | {"200", "400", "500"} <= set(responses)
        text = str(document)
        assert all(code.value in text for code in ApiCode)

    run(scenario)


def test_the_page_loads_nothing_that_the_gateway_does_not_serve() -> None:
    async def scenario(client: Client) -> None:
        page = await client.send("GET", "/api/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
        assert linked
        for target in linked:
            asset = await client.send("GET", target)
            assert asset.status == 200, target
            assert b"http://" not in asset.body
            assert b"https://" not in asset.body

    run(scenario)


def test_a_deadline_is_described_where_it_can_pass() -> None:
    async def scenario(client: Client) -> None:
        document = (await client.send("GET", "/api/v1/openapi.json")).json
        timeout = {"$ref": "#/components/parameters/timeout"}
        for route in ROUTES:
            described = document["paths"][route.path][route.method.lower()]["parameters"]
            names = {parameter.get("name") for parameter in described}
            is_described = timeout in described or "X-Concord-Timeout-Ms" in names
            assert is_described == (ApiCode.TIMEOUT in route.codes), route.id

    run(scenario)


async def _ready(client: Client) -> None:
    async with asyncio.timeout(10):
        while (await client.send("GET", "/readyz")).status != 200:  # noqa: ASYNC110 - readiness is asked for
            await asyncio.sleep(0.002)
