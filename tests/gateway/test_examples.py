"""Every example of the OpenAPI document is sent, in its order, to an empty store: what it shows is what is answered.

The client of these tests compares every answer with the document besides.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest

from gateway.openapi_examples import BYTES_TYPE, EXAMPLES, JSON_TYPE, TOKEN_ID
from gateway.openapi_schemas import BODIES
from gateway.routes import ROUTES, Route
from tests.gateway.described import Json, document_of
from tests.gateway.double import Client, Reply, run, until
from tests.gateway.machines import MachineCluster
from tests.gateway.placement_double import GUARDED, ROOT, GuardedCluster, bearer

BY_ID = {route.id: route for route in ROUTES}
LIKE_IT = {"status", "members", "nodes", "groups", "health", "root_health", "readyz", "root_ready", "root_readyz"}
"""What is answered depends on the cluster or the clock: only its form is compared."""

UNTOLD = {"from", "Last-Event-ID"}
"""Parameters without an example: only an answer can give one."""


class Sent(msgspec.Struct, frozen=True):
    """An example as the document shows it: all that has its name in one operation."""

    target: str
    headers: list[tuple[str, str]]
    body: Json
    body_type: str
    answer: Json


def in_document(document: Json, route: Route, name: str) -> Sent:
    operation = document["paths"][route.path][route.method.lower()]
    given = {
        (parameter["in"], parameter["name"]): _text(parameter["examples"][name]["value"])
        for parameter in operation["parameters"]
        if name in parameter.get("examples", {})
    }
    target = route.path
    for (place, parameter), value in given.items():
        if place == "path":
            target = target.replace(f"{{{parameter}}}", quote(value, safe=""))
    query = urlencode([(parameter, value) for (place, parameter), value in given.items() if place == "query"])
    headers = [(parameter.lower(), value) for (place, parameter), value in given.items() if place == "header"]
    bodies = _named(operation.get("requestBody", {}), name)
    answers = _named(operation["responses"]["200"], name)
    [(body_type, body)] = bodies.items() or [("", None)]
    return Sent(target + (query and "?" + query), headers, body, body_type, next(iter(answers.values()), None))


def _named(holder: Json, name: str) -> dict[str, Json]:
    """The examples of a name, by content type."""
    content = holder.get("content", {})
    return {kind: of["examples"][name]["value"] for kind, of in content.items() if name in of.get("examples", {})}


def _text(value: Json) -> str:
    return json.dumps(value) if isinstance(value, bool | int) else value


async def send(client: Client, route: Route, sent: Sent) -> Reply:
    raw = None if sent.body is None else json.dumps(sent.body).encode() if sent.body_type == JSON_TYPE else sent.body
    raw = raw.encode() if isinstance(raw, str) else raw
    kind = [("content-type", sent.body_type)] if sent.body_type else []
    if route.id == "watch":
        return await watched(client, sent)
    return await client.send(route.method, sent.target, raw=raw, headers=[*bearer(ROOT), *kind, *sent.headers])


async def watched(client: Client, sent: Sent) -> Reply:
    """The first event of a watch, as one answer."""
    query = sent.target.removeprefix("/api/v1/watch")
    watcher = client.watch(query, headers=[*bearer(ROOT), *sent.headers])
    await watcher.until("synced")
    await watcher.leave()
    event = watcher.events[0]
    shown = {"event": event.event, "data": json.dumps(event.data, separators=(",", ":"))}
    return Reply(watcher.status, watcher.headers, json.dumps(shown).encode())


def arrange(cluster: GuardedCluster, answer: Json) -> None:
    """Let the next write have the revision, or the fence, that the example shows."""
    data = answer.get("data") if isinstance(answer, dict) else None
    shown = (data.get("revision") or data.get("fence")) if isinstance(data, dict) else None
    if shown is not None and shown > cluster.index:
        cluster.index = shown - 1


def form(value: Json) -> Json:
    """What a value consists of, without what it says."""
    if isinstance(value, dict):
        return {name: form(member) for name, member in value.items()}
    if isinstance(value, list):
        return form(value[-1]) if value else None
    return type(value)


def on_empty_store(scenario: Callable[[Client], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tokens.secrets.token_hex", lambda _: TOKEN_ID)
    cluster = GuardedCluster()

    async def ready(client: Client) -> None:
        await client.gateway.tokens.reached(1)  # type: ignore[union-attr]
        await until(lambda: client.gateway.health.ready)
        await scenario(client)

    run(ready, cluster, settings=GUARDED, started=True)


def examples() -> Iterable[tuple[Route, str]]:
    return ((BY_ID[operation], name) for operation, named in EXAMPLES.items() for name in named)


def test_every_example_works_and_is_answered_as_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(client: Client) -> None:
        document = (await client.send("GET", "/api/v1/openapi.json")).json
        for route, name in examples():
            sent = in_document(document, route, name)
            arrange(client.cluster, sent.answer)  # type: ignore[arg-type]
            reply = await send(client, route, sent)
            assert reply.status == 200, (route.id, name, reply.body)
            if sent.answer is None:
                continue
            if route.id in LIKE_IT or route.id.startswith("token_"):
                assert form(reply.json) == form(sent.answer), (route.id, name)
            else:
                assert reply.json == sent.answer, (route.id, name)

    on_empty_store(scenario, monkeypatch)


def shown(operation: Json) -> Iterable[tuple[Json, Json]]:
    """The examples of an operation, each with its schema; bytes have none."""
    contents = [operation.get("requestBody", {}), operation["responses"]["200"]]
    bodies = [of for content in contents for kind, of in content.get("content", {}).items() if kind != BYTES_TYPE]
    for holder in (*operation["parameters"], *bodies):
        yield from ((holder["schema"], example["value"]) for example in holder.get("examples", {}).values())


def test_every_example_is_as_its_schema_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(client: Client) -> None:
        described = document_of(client.gateway)
        document = (await client.send("GET", "/api/v1/openapi.json")).json
        for methods in document["paths"].values():
            for operation in methods.values():
                for schema, example in shown(operation):
                    described.check_json(schema, example)
        for parameter in document["components"]["parameters"].values():
            if "example" in parameter:
                described.check_json(parameter["schema"], parameter["example"])
        event = document["components"]["schemas"]["WatchEvent"]["properties"]["data"]
        described.check_json(event["contentSchema"], json.loads(EXAMPLES["watch"]["state"].answer["data"]))

    on_empty_store(scenario, monkeypatch)


def test_every_operation_body_and_parameter_has_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(client: Client) -> None:
        document = (await client.send("GET", "/api/v1/openapi.json")).json
        for route in ROUTES:
            operation = document["paths"][route.path][route.method.lower()]
            assert EXAMPLES[route.id]
            assert ("requestBody" in operation) == (route.id in BODIES)
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                assert body.get("examples"), (route.id, kind)
            missing = {
                parameter["name"]
                for parameter in operation["parameters"]
                if "$ref" not in parameter and not parameter.get("examples")
            }
            assert missing <= UNTOLD, route.id
            paths = {parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "path"}
            assert all(paths <= example.parameters.keys() for example in EXAMPLES[route.id].values()), route.id

    on_empty_store(scenario, monkeypatch)


def test_failures_look_as_their_examples_show() -> None:
    async def scenario(client: Client) -> None:
        schemas = (await client.send("GET", "/api/v1/openapi.json")).json["components"]["schemas"]
        error, conflict, not_ready = (schemas[name]["examples"][0] for name in ("Error", "LockConflict", "NotReady"))
        assert (await client.send("GET", "/api/v1/kv/absent")).json == error
        holder = conflict["error"]["holder"]
        client.cluster.index = holder["fence"] - 1
        asked = [{"owner": owner, "ttl": holder["ttl"]} for owner in (holder["owner"], "another")]
        assert (await client.send("POST", "/api/v1/locks/l/acquire", asked[0])).data["fence"] == holder["fence"]
        assert (await client.send("POST", "/api/v1/locks/l/acquire", asked[1])).json == conflict
        client.gateway.health.draining = True
        assert form((await client.send("GET", "/readyz?verbose")).json) == form(not_ready)

    run(scenario, MachineCluster())
