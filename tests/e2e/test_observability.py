"""One node and one gateway in this process: what a request leaves behind in spans and in figures."""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import Gateway
from gateway.settings import GatewaySettings
from raft import DataDirectory
from shard.figures import families
from shard.node import Node
from shard.running import running
from shard.settings import NodeSettings
from tests.e2e.cluster import free_port
from tests.gateway.double import Client, FakeCluster, until
from wire import RpcClient
from wire.tracing import Tracer

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HIDDEN = "never-in-a-span"

Scenario = Callable[[Client, Node], Awaitable[None]]


class Recorded:
    """Spans of gateway and node, in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(provider)

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def of(self, trace_id: str) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.spans() if format(span.context.trace_id, "032x") == trace_id}


async def house(directory: Path, recorded: Recorded | None, scenario: Scenario, **settings: Any) -> None:
    """Run a scenario with a node that leads its only group, and a gateway before it."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    known = NodeSettings(
        id="n1", data_dir=str(directory), placement=[f"n1={address}"], listen=address, cluster="c", expect_nodes=1, groups=1,
        replicas=1, metrics_listen="127.0.0.1:0", **settings,
    )  # fmt: skip
    tracer = recorded.tracer if recorded else None
    data = DataDirectory.open(directory, cluster="c", node="n1")
    async with running(known, data, lambda _: None, tracer) as node:
        await _with_gateway(node, address, tracer, scenario)


async def _with_gateway(node: Node, address: str, tracer: Tracer | None, scenario: Scenario) -> None:
    gateway = Gateway(
        GatewaySettings(nodes=[address], cluster="c"),
        lambda where: RpcClient(where, cluster="c", tracer=tracer),
        tracer=tracer,
    )
    await gateway.start()
    client = Client(gateway, FakeCluster())
    try:
        async with asyncio.timeout(30):
            while (await client.send("GET", "/readyz")).status != 200:  # noqa: ASYNC110 - readiness is asked for
                await asyncio.sleep(0.01)
            await scenario(client, node)
    finally:
        await gateway.close()


async def scraped(node: Node) -> dict[str, Any]:
    """The node's figures by family, as Prometheus would read them."""
    host, _, port = node.metrics_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    text = (await reader.read()).partition(b"\r\n\r\n")[2].decode()
    writer.close()
    return {family.name: family for family in text_string_to_metric_families(text)}


def total(read: dict[str, Any], name: str, **labels: str) -> float:
    chosen = [sample for sample in read[name].samples if labels.items() <= sample.labels.items()]
    return math.fsum(sample.value for sample in chosen if not sample.name.endswith(("_bucket", "_sum")))


def test_a_trace_goes_from_the_headers_of_a_request_to_the_entry_that_applied_it(tmp_path: Path) -> None:
    recorded = Recorded()

    async def scenario(client: Client, _: Node) -> None:
        headers = [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01"), ("authorization", f"Bearer {HIDDEN}")]
        reply = await client.send("PUT", f"/api/v1/kv/{HIDDEN}", {"value": HIDDEN}, headers=headers)
        assert reply.status == 200
        await until(lambda: len(recorded.of(TRACE_ID)) == 5)

    asyncio.run(house(tmp_path / "n1", recorded, scenario))
    spans = recorded.of(TRACE_ID)
    chain = ["PUT /api/v1/kv/{key}", "rpc write", "serve write"]
    assert set(spans) == {*chain, "raft replicate", "apply"}
    expected = int(PARENT_ID, 16)
    for name in chain:
        assert spans[name].parent is not None
        assert spans[name].parent.span_id == expected  # type: ignore[union-attr]
        expected = spans[name].context.span_id
    for name in ("raft replicate", "apply"):
        assert spans[name].parent.span_id == expected  # type: ignore[union-attr]
        assert spans[name].attributes["concord.outcome"] == "committed"  # type: ignore[index]
    assert spans["raft replicate"].end_time == spans["apply"].start_time
    assert spans["serve write"].events[0].name == "proposed"
    assert dict(spans[chain[0]].attributes or {}) == {
        "http.request.method": "PUT", "url.scheme": "http", "http.route": "/api/v1/kv/{key}", "http.response.status_code": 200,
    }  # fmt: skip
    assert HIDDEN not in " ".join(span.to_json() for span in recorded.spans())


@pytest.mark.parametrize(
    "header",
    ["", "00-" + "0" * 32 + f"-{PARENT_ID}-01", f"00-{TRACE_ID}-{PARENT_ID}-01" + "x" * 600, "nonsense\x00é", f"ff-{TRACE_ID}-{PARENT_ID}-01"],
)  # fmt: skip
def test_a_malformed_traceparent_begins_a_trace_of_its_own(header: str) -> None:
    recorded = Recorded()
    span = recorded.tracer.request("GET", header.encode("latin-1"))
    span.end()
    [ended] = recorded.spans()
    assert ended.parent is None
    assert format(ended.context.trace_id, "032x") != TRACE_ID


def test_a_request_that_its_client_does_not_sample_leaves_no_span_anywhere(tmp_path: Path) -> None:
    recorded = Recorded()

    async def scenario(client: Client, _: Node) -> None:
        headers = [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-00")]
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=headers)).status == 200
        assert (
            await client.send("GET", "/api/v1/kv/none")
        ).status == 404  # and one that does, to see that spans arrive
        await until(lambda: any(span.name == "serve read" for span in recorded.spans()))

    asyncio.run(house(tmp_path / "n1", recorded, scenario))
    assert not recorded.of(TRACE_ID)
    [failed] = [span for span in recorded.spans() if span.name == "GET /api/v1/kv/{key}"]
    assert (failed.attributes or {})["error.type"] == "NOT_FOUND"


def test_a_node_shows_what_it_did_and_every_family_of_its_table(tmp_path: Path) -> None:
    async def scenario(client: Client, node: Node) -> None:
        for number in range(40):
            assert (await client.send("PUT", f"/api/v1/kv/k{number}", {"value": "v" * 300})).status == 200
        assert (await client.send("GET", "/api/v1/kv/k0")).status == 200
        assert (await client.send("DELETE", "/api/v1/kv/k0")).status == 200
        lock = {"owner": "me", "ttl": 60}
        assert (await client.send("POST", "/api/v1/locks/l/acquire", lock)).status == 200
        read = await scraped(node)
        taken = -1.0
        while (
            not taken or total(read, "concord_group_snapshots_created", group="1") != taken
        ):  # until no more are taken
            taken = total(read, "concord_group_snapshots_created", group="1")
            await asyncio.sleep(0.3)  # what was rendered is kept for a moment
            read = await scraped(node)
        shown = {name.removesuffix("_total") for name in (family.name for family in families())}
        assert set(read) == shown
        assert total(read, "concord_group_leader_changes", group="1") == 1
        assert total(read, "concord_group_elections", group="1") == 1
        assert total(read, "concord_group_operations", group="1") == 42
        assert total(read, "concord_group_applied_entries", group="1") >= 42
        assert total(read, "concord_group_apply_seconds", group="1") > 0
        assert total(read, "concord_group_snapshots_created_bytes", group="1") > 4096
        assert total(read, "concord_snapshot_create_seconds") == total(read, "concord_group_snapshots_created")
        assert total(read, "concord_log_sync_seconds") == total(read, "concord_log_batches") > 0
        assert total(read, "concord_log_bytes") > 40 * 300
        assert total(read, "concord_rpc_calls", method="write", code="OK") == 42
        assert total(read, "concord_rpc_bytes", direction="received") > 40 * 300
        assert total(read, "concord_group_keys", group="1") == 40  # 39 keys and the lock
        assert total(read, "concord_group_kept", group="1", kind="lock") == 1
        assert total(read, "concord_group_role", group="1") == 2
        seen = (await client.send("GET", "/metrics")).body.decode()
        for route in ("put", "get", "delete"):
            assert re.search(rf'concord_gateway_request_seconds_count\{{route="{route}"\}} [1-9]', seen)
        assert 'concord_gateway_rpc_attempts_total{code="OK",method="write"} 42.0' in seen

    asyncio.run(house(tmp_path / "n1", None, scenario, snapshot_bytes=4096))


def test_the_span_of_a_request_whose_client_went_away_ends_and_says_so(tmp_path: Path) -> None:
    recorded = Recorded()

    async def scenario(client: Client, _: Node) -> None:
        request = asyncio.ensure_future(client.send("PUT", "/api/v1/kv/a", chunks=_halting()))
        with pytest.raises(asyncio.CancelledError):
            await request

    asyncio.run(house(tmp_path / "n1", recorded, scenario))
    [span] = [span for span in recorded.spans() if span.name == "PUT /api/v1/kv/{key}"]
    assert (span.attributes or {})["error.type"] == "client_gone"
    assert "http.response.status_code" not in (span.attributes or {})


def _halting() -> Iterator[bytes]:
    """A body whose sender is cancelled in the middle of it, as a server does when the connection is lost."""
    yield b"{"
    raise asyncio.CancelledError


def test_without_otel_nothing_of_a_trace_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a span was made for nobody")

    for name in ("request", "attempt", "served", "_call"):
        monkeypatch.setattr(Tracer, name, refuse)

    async def scenario(client: Client, _: Node) -> None:
        headers = [("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")]
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=headers)).status == 200
        assert json.loads((await client.send("GET", "/api/v1/kv/a")).body)["data"]["value"] == 1

    asyncio.run(house(tmp_path / "n1", None, scenario))
