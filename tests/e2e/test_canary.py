"""Secrets and values stay where they belong: told apart by canaries that are used in every way while all logs are at level DEBUG."""

import asyncio
import http.client
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shard.node import Node
from tests.e2e.cluster import Client, Reply
from tests.e2e.guarded import AUDIT_LOG, Guarded
from tests.e2e.test_observability import Recorded, house
from tests.gateway import double as gateway_double

LOGS = "logs"
STORED = re.compile(r"/n\d+/(?:\w+/)*(?:wal|snapshots)/")  # where a node keeps what was written


class Canaries(msgspec.Struct, frozen=True):
    """What was used, and what came back of it besides answers that hold the value by right."""

    token: str
    revoked: str
    mistyped: str
    value: str
    once: str
    trace: str
    errors: list[Reply]
    metrics: str

    @property
    def secrets(self) -> list[bytes]:
        """Each form in which a secret might be written."""
        parts = [text.split("_")[3] for text in (self.token, self.revoked, self.mistyped)]
        return [form for part in parts for form in (part.encode(), bytes.fromhex(part))]


@pytest.fixture(scope="module")
def used(guarded: Guarded) -> Iterator[Canaries]:
    """Canaries that have been through every route, rightly and wrongly, at each gateway."""
    clients = [Client(port) for port in guarded.ports]
    root = clients[0]
    scopes = [{"prefix": "canary/", "verbs": ["read", "write", "lock", "watch"]}]

    def make(name: str) -> dict[str, str]:
        made: dict[str, str] = guarded.ask(root, "POST", "/tokens", {"name": name, "scopes": scopes}).data
        return made

    token, doomed = make("canary")["token"], make("doomed")
    assert guarded.ask(root, "DELETE", f"/tokens/{doomed['id']}").status == 200
    mistyped = f"{token[:-1]}{'0' if token[-1] != '0' else '1'}"
    value, once, trace = (f"canary-{name}-{secrets.token_hex(16)}" for name in ("value", "once", "trace"))
    errors = [
        reply
        for client in clients
        for shown in (token, doomed["token"], mistyped)
        for reply in [*use(client, shown, value, once), *trace_through(client, shown, trace)]
        if reply.status != 200
    ]
    metrics = "".join(metrics_at(port, token) for port in guarded.ports)
    yield Canaries(token, doomed["token"], mistyped, value, once, trace, errors, metrics)
    for client in clients:
        client.close()


def use(client: Client, token: str, value: str, once: str) -> list[Reply]:
    """Ask for everything: what is right, what is malformed, what is not covered, and what does not hold.

    Not as the name of a field or parameter: errors name those.
    """
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": once}

    def send(method: str, path: str, body: object = None) -> Reply:
        return client.send(method, path, body, headers)

    key = "/kv/canary%2Fx"
    return [
        send("PUT", key, {"value": value}),
        send("PUT", key, {"value": [value]}),  # the same idempotency key: 409
        send("PUT", key, {"value": value, "ttl": value}),
        send("PUT", "/kv/other", {"value": value}),
        client.send("PUT", key, {"value": value, "if_value": f"not {value}"}, {"X-API-Key": token}),
        client.send("POST", f"{key}/increment", {"by": 1}, {"X-API-Key": token}),  # it is no number
        client.send("GET", f"/kv?prefix=canary/&cursor={value}", None, {"X-API-Key": token}),
        client.send("GET", f"{key}?with_ttl={value}", None, {"X-API-Key": token}),
        client.send("GET", key, None, {"X-API-Key": token, "X-Concord-Timeout-Ms": value}),
        client.send("GET", key, None, {"X-API-Key": token, "If-Match": value}),
        client.send("POST", "/kv/bulk", {"operations": [{"key": "canary/y", "value": value}, value]}, headers),
        client.send("POST", "/txn", {"compare": [{"key": "canary/x", "value": value}], "success": [value]}, headers),
        client.send("POST", "/locks/canary%2Fl/acquire", {"owner": value, "ttl": 1}, {"X-API-Key": token}),
        client.send("POST", "/tokens", {"name": value, "scopes": []}, headers),
        client.send("DELETE", f"/tokens/{token}", None, headers),
    ]


def trace_headers(trace: str, token: str) -> list[dict[str, str]]:
    """Headers of a distributed trace that carry canaries, well formed and not."""
    parent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    baggage = f"user={trace},token={token}"
    return [
        {"traceparent": parent, "tracestate": f"canary={trace}", "baggage": baggage},
        {"traceparent": trace, "tracestate": token, "baggage": trace},
        {"traceparent": f"{parent[:-2]}{trace}", "tracestate": f"{trace}=1,=", "baggage": ""},
        {"traceparent": "", "tracestate": f"canary={trace}", "baggage": "=" * 9000},
    ]


def trace_through(client: Client, token: str, trace: str) -> list[Reply]:
    """Take part in traces, with requests that are served and ones that are refused."""
    given = [{**headers, "Authorization": f"Bearer {token}"} for headers in trace_headers(trace, token)]
    requests: tuple[tuple[str, str, object], ...] = (
        ("PUT", "/kv/canary%2Ft", {"value": 1}),
        ("GET", "/kv/other", None),
        ("POST", "/kv/bulk", {"operations": 1}),
    )
    return [client.send(method, path, body, headers) for headers in given for method, path, body in requests]


def metrics_at(port: int, token: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics", headers={"X-API-Key": token})
    text = connection.getresponse().read().decode()
    connection.close()
    assert "concord_gateway_" in text
    return text


def files(guarded: Guarded) -> dict[str, bytes]:
    """Everything in the data directory, and what `concord up` wrote."""
    found = {str(path): path.read_bytes() for path in Path(guarded.cluster.data_dir).rglob("*") if path.is_file()}
    assert any(f"/{LOGS}/" in name for name in found)
    assert any(STORED.search(name) for name in found)
    return found | {"concord up": guarded.cluster.output.encode()}


def test_no_secret_is_in_any_log_or_file_or_answer(guarded: Guarded, used: Canaries) -> None:
    for name, content in files(guarded).items():
        assert not [secret for secret in used.secrets if secret in content], name
    for reply in used.errors:
        said = reply.body + repr(reply.headers).encode()
        assert not [secret for secret in used.secrets if secret in said], reply
    assert not [secret for secret in used.secrets if secret in used.metrics.encode()]


def test_values_and_idempotency_keys_are_in_what_nodes_store_and_nowhere_else(guarded: Guarded, used: Canaries) -> None:
    found = files(guarded)
    for canary in (used.value.encode(), used.once.encode()):
        assert not [name for name, content in found.items() if canary in content and not STORED.search(name)]
    assert not [name for name, content in found.items() if used.trace.encode() in content], "nobody stores a trace"
    for canary in (used.value.encode(), used.once.encode(), used.trace.encode()):
        assert canary not in used.metrics.encode()
    assert any(used.value.encode() in content for content in found.values()), "it was stored at all"


def test_no_error_repeats_what_it_was_told(used: Canaries) -> None:
    statuses = {reply.status for reply in used.errors}
    assert {400, 401, 403, 409, 412} <= statuses, statuses
    for reply in used.errors:
        assert used.value.encode() not in reply.body, reply
        assert used.once.encode() not in reply.body, reply
        assert used.trace not in str(reply), reply


def test_what_was_done_with_canaries_is_in_the_audit_log_without_them(guarded: Guarded, used: Canaries) -> None:
    """That no file holds a canary is shown above; here that the audit log is one of them, and tells of all that was done."""
    lines = [
        msgspec.json.decode(line) for line in (Path(guarded.cluster.data_dir) / AUDIT_LOG).read_bytes().splitlines()
    ]
    mine = [line for line in lines if "canary/x" in line.get("keys", ())]
    assert {line["status"] for line in mine} >= {200, 400, 401, 409, 412}, mine[:5]
    assert used.token.split("_")[2] in {line.get("token") for line in mine}, "who did it is told by the public part"


def test_a_span_holds_of_what_clients_send_no_more_than_the_trace_that_they_name(tmp_path: Path) -> None:
    recorded = Recorded()
    value, token = f"canary-value-{secrets.token_hex(16)}", f"sk_concord_{secrets.token_hex(40)}"

    async def scenario(client: gateway_double.Client, _: Node) -> None:
        for headers in trace_headers(value, token):
            given = [*headers.items(), ("authorization", f"Bearer {token}"), ("idempotency-key", value)]
            for method, target, body in (
                ("PUT", f"/api/v1/kv/{value}", {"value": value}),
                ("PUT", f"/api/v1/kv/{value}", {"value": [value]}),
                ("GET", f"/api/v1/kv/{value}?cursor={value}", None),
                ("POST", "/api/v1/txn", {"compare": [{"key": value, "value": value}]}),
                ("POST", f"/api/v1/locks/{value}/acquire", {"owner": value, "ttl": 1}),
                (value, f"/{value}", value),
            ):
                assert (await client.send(method, target, body, headers=given)).status < 500

    asyncio.run(house(tmp_path / "n1", recorded, scenario))
    spans = [span.to_json() for span in recorded.spans()]
    assert {"rpc write", "serve write", "apply"} <= {span.name for span in recorded.spans()}
    assert not [span for span in spans if token in span]
    # What the caller's own tracer wrote into `tracestate` belongs to the trace, and to nothing else of a span.
    assert not [span for span in spans if value in re.sub(r'"trace_state": "[^\n]*"', "", span)]
