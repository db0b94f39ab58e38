"""Conditional writes, counters, client's own retries and values that are not JSON, over HTTP."""

import base64
import re
from collections.abc import Awaitable, Callable

import pytest

from gateway.routes import ROUTES, Route
from tests.gateway.double import Client, Reply, run
from tests.gateway.machines import MachineCluster

KEY = "/api/v1/kv/k"


def play(scenario: Callable[[Client], Awaitable[None]]) -> None:
    run(scenario, MachineCluster())


async def put(client: Client, value: object = 1, target: str = KEY, **more: object) -> Reply:
    return await client.send("PUT", target, {"value": value, **more})


def header(name: str, value: str) -> list[tuple[str, str]]:
    return [(name, value)]


def test_a_revision_from_one_answer_is_a_condition_of_the_next() -> None:
    async def scenario(client: Client) -> None:
        first = await put(client, 1)
        read = await client.send("GET", KEY + "?meta=true")
        assert read.headers["etag"] == first.headers["etag"] == f'"{read.data["revision"]}"'
        second = await client.send("PUT", KEY, {"value": 2}, headers=header("if-match", first.headers["etag"]))
        assert second.status == 200
        late = await client.send("PUT", KEY, {"value": 3}, headers=header("if-match", first.headers["etag"]))
        assert (late.status, late.code, late.headers["etag"]) == (412, "PRECONDITION_FAILED", second.headers["etag"])
        assert late.json["error"]["applied"] is False
        late = await client.send("DELETE", KEY, headers=header("if-match", first.headers["etag"]))
        assert late.status == 412
        assert (await client.send("GET", KEY)).data == {"value": 2}
        assert (await client.send("DELETE", KEY, headers=header("if-match", "*"))).status == 200
        assert (await client.send("DELETE", KEY, headers=header("if-match", "*"))).status == 412

    play(scenario)


def test_only_the_first_of_two_creates_a_key() -> None:
    async def scenario(client: Client) -> None:
        create = header("if-none-match", "*")
        assert (await client.send("PUT", KEY, {"value": 1}, headers=create)).status == 200
        assert (await client.send("PUT", KEY, {"value": 2}, headers=create)).status == 412
        assert (await put(client, 3, if_absent=True)).status == 412
        assert (await put(client, 3, if_revision=0)).status == 412
        assert (await put(client, 3, if_absent=False)).status == 200
        assert (await put(client, 1, "/api/v1/kv/other", if_absent=False)).status == 412

    play(scenario)


def test_a_value_is_compared_as_json_not_as_text() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", KEY, raw=b'{"value": {"b": [1, 2],  "a": null}}')
        assert (await put(client, 2, if_value={"a": None, "b": [2, 1]})).status == 412
        assert (await put(client, 2, if_value={"a": None, "b": [1, 2]})).status == 200
        assert (await put(client, 3, if_value=True)).status == 412
        assert (await put(client, None, if_value=2)).status == 200
        assert (await put(client, 4, if_value=None)).status == 200

    play(scenario)


def test_a_holder_of_an_older_fence_cannot_write_once_its_successor_has() -> None:
    async def scenario(client: Client) -> None:
        assert (await put(client, "old", if_fence=5)).status == 200
        assert (await put(client, "new", if_fence=9)).status == 200
        assert (await put(client, "late", if_fence=5)).status == 412
        await put(client, "by somebody without a fence")
        assert (await put(client, "late", if_fence=8)).status == 412
        assert (await client.send("POST", KEY + "/touch", {"ttl": 5, "if_fence": 8})).status == 412
        assert (await client.send("DELETE", KEY, {"if_fence": 8})).status == 412
        assert (await client.send("DELETE", KEY, {"if_fence": 9})).status == 200

    play(scenario)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("if-match", '5"'),
        ("if-match", '"x"'),
        ("if-match", 'W/"5"'),
        ("if-match", '"1", "2"'),
        ("if-match", '"99999999999999999999"'),
        ("if-none-match", '"5"'),
        ("if-none-match", "x"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_condition_that_cannot_be_checked_is_refused(method: str, name: str, value: str) -> None:
    async def scenario(client: Client) -> None:
        body = {"value": 1} if method == "PUT" else None
        reply = await client.send(method, KEY, body, headers=header(name, value))
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert name in reply.json["error"]["message"]
        assert not client.cluster.calls

    play(scenario)


def test_conditions_that_contradict_one_another_do_not_hold() -> None:
    async def scenario(client: Client) -> None:
        both = [("if-match", '"5"'), ("if-none-match", "*")]
        assert (await client.send("PUT", KEY, {"value": 1}, headers=both)).status == 412
        body = {"value": 1, "if_absent": False}
        assert (await client.send("PUT", KEY, body, headers=header("if-none-match", "*"))).status == 412
        body = {"value": 1, "if_revision": 4}
        assert (await client.send("PUT", KEY, body, headers=header("if-match", '"5"'))).status == 412

    play(scenario)


def test_items_of_a_bulk_request_have_conditions_of_their_own() -> None:
    async def scenario(client: Client) -> None:
        await put(client, 1, "/api/v1/kv/a")
        operations = [{"key": "a", "value": 2, "if_absent": True}, {"key": "b", "value": 2, "if_absent": True}]
        reply = await client.send("POST", "/api/v1/kv/bulk", {"operations": operations})
        assert reply.data == [
            {"key": "a", "status": "error", "error": "PRECONDITION_FAILED"},
            {"key": "b", "status": "ok"},
        ]
        keys = ["a", {"key": "b", "if_value": 3}, {"key": "c"}]
        reply = await client.send("POST", "/api/v1/kv/bulk/delete", {"keys": keys})
        assert [item["status"] for item in reply.data] == ["ok", "error", "ok"]
        touches = [{"key": "b", "ttl": 9, "if_value": 2}, {"key": "b", "ttl": 9, "if_value": 3}]
        reply = await client.send("POST", "/api/v1/kv/bulk/touch", {"operations": touches})
        assert [item["status"] for item in reply.data] == ["ok", "error"]
        read = await client.send("POST", "/api/v1/kv/bulk/get", {"keys": ["b"], "meta": True})
        assert read.data["b"]["revision"] > 0

    play(scenario)


def test_an_atomic_bulk_request_is_done_whole_or_not_at_all() -> None:
    async def scenario(client: Client) -> None:
        def bulk(*items: dict[str, object]) -> dict[str, object]:
            return {"operations": list(items), "atomic": True}

        good, bad = {"key": "{t}a", "value": 1}, {"key": "{t}b", "value": 1, "if_absent": False}
        reply = await client.send("POST", "/api/v1/kv/bulk", bulk(good, bad))
        assert (reply.status, reply.code) == (412, "PRECONDITION_FAILED")
        assert "item 1" in reply.json["error"]["message"]
        assert (await client.send("GET", "/api/v1/kv/%7Bt%7Da")).status == 404
        reply = await client.send("POST", "/api/v1/kv/bulk", bulk(good, {"key": "{t}b", "value": 2}))
        assert reply.data == [{"key": "{t}a", "status": "ok"}, {"key": "{t}b", "status": "ok"}]
        touches = {"operations": [{"key": "{t}a", "ttl": 5}, {"key": "{t}gone", "ttl": 5}], "atomic": True}
        assert (await client.send("POST", "/api/v1/kv/bulk/touch", touches)).status == 404
        assert (await client.send("GET", "/api/v1/kv/%7Bt%7Da/ttl")).data == {"ttl": None}
        reply = await client.send("POST", "/api/v1/kv/bulk/delete", {"keys": ["{t}a", "{t}gone"], "atomic": True})
        assert reply.data == [{"key": "{t}a", "status": "ok"}, {"key": "{t}gone", "status": "ok"}]
        calls = len(client.cluster.calls)
        apart = await client.send("POST", "/api/v1/kv/bulk/delete", {"keys": ["a", "b"], "atomic": True})
        assert (apart.status, apart.code, len(client.cluster.calls)) == (422, "CROSS_GROUP", calls)

    play(scenario)


def test_a_counter_adds_up_within_its_bounds() -> None:
    async def scenario(client: Client) -> None:
        async def add(**body: object) -> Reply:
            return await client.send("POST", KEY + "/increment", body or None)

        reply = await add()
        assert (reply.data["value"], reply.headers["etag"]) == (1, f'"{reply.data["revision"]}"')
        assert (await add(by=-5)).data["value"] == -4
        assert (await add(by=10, max=5)).code == "CONFLICT"
        assert (await add(by=(1 << 63) - 1)).data["value"] == (1 << 63) - 5
        assert (await add(by=100)).code == "CONFLICT"
        assert (await client.send("GET", KEY)).data == {"value": (1 << 63) - 5}
        await put(client, "text")
        assert (await add()).status == 409
        made = await client.send("POST", "/api/v1/kv/new/increment", {"initial": 40, "by": 2, "ttl": 60})
        assert made.data["value"] == 42
        await client.send("POST", "/api/v1/kv/new/increment", {"ttl": 600})
        assert (await client.send("GET", "/api/v1/kv/new?with_ttl=1")).data == {"value": 43, "ttl": 60}

    play(scenario)


@pytest.mark.parametrize(
    "body", [b'{"by":1.5}', b'{"by":"1"}', b'{"by":9223372036854775808}', b'{"ttl":0}', b'{"x":1}', b"[]", b"{"]
)
def test_a_bad_increment_is_refused(body: bytes) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("POST", KEY + "/increment", raw=body)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert not client.cluster.calls

    play(scenario)


def test_a_key_may_be_named_like_the_sub_route() -> None:
    async def scenario(client: Client) -> None:
        await put(client, 1, "/api/v1/kv/x/increment")
        assert (await client.send("GET", "/api/v1/kv/x%2Fincrement")).data == {"value": 1}
        assert (await client.send("POST", "/api/v1/kv/x%2Fincrement/increment")).data["value"] == 2

    play(scenario)


@pytest.mark.parametrize("other", ["text/html", None])
def test_what_headers_ask_for_belongs_to_the_request_that_is_repeated(other: str | None) -> None:
    async def scenario(client: Client) -> None:
        first = {"content-type": "text/plain", "idempotency-key": "abc"}
        again = {**first, "content-type": other} if other else {**first, "if-none-match": "*"}
        assert (await client.send("PUT", KEY, raw=b"x", headers=list(first.items()))).status == 200
        reply = await client.send("PUT", KEY, raw=b"x", headers=list(again.items()))
        assert (reply.status, reply.code) == (409, "CONFLICT")

    play(scenario)


def test_what_a_transaction_only_reads_is_not_kept_for_a_retry() -> None:
    cluster = MachineCluster()

    async def scenario(client: Client) -> None:
        await client.send("PUT", KEY, {"value": 1})
        body = {"success": [{"op": "get", "key": KEY.rpartition("/")[2]}]}
        for _ in range(2):
            reply = await client.send("POST", "/api/v1/txn", body, headers=header("idempotency-key", "abc"))
            assert [result["value"] for result in reply.data["results"]] == [1]
        assert not any(machine.kept("i") for machine in cluster.machines.values())

    run(scenario, cluster)


def test_a_retry_with_the_same_idempotency_key_is_answered_from_memory() -> None:
    async def scenario(client: Client) -> None:
        once = header("idempotency-key", "abc")
        first = await client.send("POST", KEY + "/increment", {"by": 5}, headers=once)
        again = await client.send("POST", KEY + "/increment", {"by": 5}, headers=once)
        assert (again.status, again.body) == (first.status, first.body)
        other = await client.send("POST", KEY + "/increment", {"by": 6}, headers=once)
        assert (other.status, other.code) == (409, "CONFLICT")
        assert (await client.send("GET", KEY)).data == {"value": 5}
        bulk = {"operations": [{"key": f"k{number}", "value": number} for number in range(20)]}
        assert (
            await client.send("POST", "/api/v1/kv/bulk", bulk, headers=header("idempotency-key", "b"))
        ).status == 200
        bulk["operations"][0]["value"] = 99
        reply = await client.send("POST", "/api/v1/kv/bulk", bulk, headers=header("idempotency-key", "b"))
        assert {item["error"] for item in reply.data} == {"CONFLICT"}
        for bad in ("", "x" * 201, "a b", "a\tb", "é"):
            reply = await client.send("POST", KEY + "/increment", headers=header("idempotency-key", bad))
            assert reply.status == 400, bad

    play(scenario)


def test_bytes_come_back_as_they_came_with_their_type() -> None:
    data = bytes(range(256))

    async def scenario(client: Client) -> None:
        kind = "image/png; name=x"
        reply = await client.send("PUT", KEY + "?ttl=60", raw=data, headers=header("content-type", kind))
        assert reply.status == 200
        for headers, query in ((header("accept", "image/*, text/plain"), ""), ([], "?raw=true")):
            reply = await client.send("GET", KEY + query, headers=headers)
            assert (reply.body, reply.headers["content-type"]) == (data, kind)
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in reply.headers["content-security-policy"]
        shown = {"value": base64.b64encode(data).decode(), "encoding": "base64", "content_type": kind}
        for headers in ([], header("accept", "*/*"), header("accept", "application/json")):
            assert (await client.send("GET", KEY, headers=headers)).data == shown
        assert (await client.send("GET", KEY + "/ttl")).data == {"ttl": 60}
        read = await client.send("POST", "/api/v1/kv/bulk/get", {"keys": ["k"]})
        assert read.data == {"k": {"status": "ok", **shown}}
        listed = await client.send("GET", "/api/v1/kv?values")
        assert listed.data == [{"key": "k", **shown}]
        assert (await client.send("POST", KEY + "/increment")).status == 409
        assert (await put(client, 1, if_value=1)).status == 412
        await put(client, [1.50])
        reply = await client.send("GET", KEY + "?raw")
        assert (reply.body, reply.headers["content-type"]) == (b"[1.5]", "application/json")

    play(scenario)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/x-www-form-urlencoded"]
)
def test_what_clients_call_json_is_json(kind: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("PUT", KEY, {"value": 7}, headers=header("content-type", kind))
        assert (reply.status, (await client.send("GET", KEY)).data) == (200, {"value": 7})

    play(scenario)


@pytest.mark.parametrize(
    "kind",
    [
        "text",
        "a/",
        "/b",
        "//;;",
        "a b/c",
        "text/html, text/plain",
        "text/html; charset=utf-8, text/plain",
        "text/plain; charset",
        "text/plain; =utf-8",
        'text/plain; title="open',
        "x" * 300 + "/y",
        "text/pl\tain",
        "täxt/plain",
    ],
)
def test_a_bad_content_type_is_refused(kind: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("PUT", KEY, raw=b"x", headers=header("content-type", kind))
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert not client.cluster.calls

    play(scenario)


@pytest.mark.parametrize(
    "kind",
    [
        "Text/Plain;charset=utf-8",
        "text/plain ; charset=utf-8;",
        'text/plain; title="a, \\"b\\"; c"',
        "multipart/form-data; boundary=a/b:c",
        "application/ld+x; profile=http://example.test/?a=b",
    ],
)
def test_parameters_of_a_content_type_are_kept_as_they_came(kind: str) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.send("PUT", KEY, raw=b"x", headers=header("content-type", kind))).status == 200
        assert (await client.send("GET", KEY + "?raw=true")).headers["content-type"] == kind

    play(scenario)


def test_a_stale_answer_that_is_too_old_is_read_again_from_the_leader() -> None:
    async def scenario(client: Client) -> None:
        await put(client)
        stale = KEY + "?consistency=stale&max_age_ms="
        assert (await client.send("GET", stale + "7")).headers["x-concord-consistency"] == "stale"
        assert (await client.send("GET", stale + "6")).headers["x-concord-consistency"] == "linearizable"
        assert (await client.send("GET", KEY + "?max_age_ms=6")).headers["x-concord-consistency"] == "linearizable"
        assert (await client.send("GET", stale + "-1")).status == 400

    play(scenario)


def test_pages_and_bulk_reads_say_how_old_they_are_and_are_read_again_when_that_is_too_old() -> None:
    async def scenario(client: Client) -> None:
        for number in range(20):
            await put(client, number, f"/api/v1/kv/services%2Fweb%2F{number}")
        keys = {"keys": [f"services/web/{number}" for number in range(20)]}
        for method, target, body in (
            ("GET", "/api/v1/kv", None),
            ("GET", "/api/v1/services/web", None),
            ("POST", "/api/v1/kv/bulk/get", keys),
        ):
            for query, expected in (
                ("", ("linearizable", "0")),
                ("?consistency=stale", ("stale", "7")),
                ("?consistency=stale&max_age_ms=7", ("stale", "7")),
                ("?consistency=stale&max_age_ms=6", ("linearizable", "0")),
            ):
                reply = await client.send(method, target + query, body)
                assert (reply.status, len(reply.data)) == (200, 20)
                assert (reply.headers["x-concord-consistency"], reply.headers["x-concord-age-ms"]) == expected
            assert (await client.send(method, target + "?max_age_ms=-1", body)).status == 400

    play(scenario)


def test_every_answer_about_one_key_has_its_revision_and_says_it_when_asked() -> None:
    async def scenario(client: Client) -> None:
        first = await put(client, 1, KEY + "?meta=true")
        assert first.data == {"revision": int(first.headers["etag"].strip('"'))}
        for method, target, body in (
            ("GET", KEY, None),
            ("GET", KEY + "/ttl", None),
            ("POST", KEY + "/touch", {"ttl": 60}),
            ("POST", KEY + "/increment", {}),
            ("DELETE", KEY, None),
        ):
            reply = await client.send(method, target + "?meta=true", body)
            assert reply.data["revision"] == int(reply.headers["etag"].strip('"')), (method, target)
        await put(client)
        assert "data" not in (await client.send("POST", KEY + "/touch", {"ttl": 60})).json
        assert (await client.send("GET", KEY + "/ttl")).data == {"ttl": 60}
        assert (await client.send("POST", KEY + "/touch?meta=maybe", {"ttl": 60})).status == 400

    play(scenario)


def test_touch_and_increment_heed_what_headers_say_of_the_revision() -> None:
    async def scenario(client: Client) -> None:
        old = (await put(client, 1)).headers["etag"]
        new = (await put(client, 2)).headers["etag"]
        for target, body in ((KEY + "/touch", {"ttl": 60}), (KEY + "/increment", {})):
            late = await client.send("POST", target, body, headers=header("if-match", old))
            assert (late.status, late.headers["etag"]) == (412, new)
            assert (await client.send("POST", target, body, headers=header("if-none-match", "*"))).status == 412
            done = await client.send("POST", target, body, headers=header("if-match", new))
            assert done.status == 200
            new = done.headers["etag"]
        absent = "/api/v1/kv/absent/increment"
        assert (await client.send("POST", absent, headers=header("if-match", "*"))).status == 412
        assert (await client.send("POST", absent, headers=header("if-none-match", "*"))).status == 200

    play(scenario)


def _path(route: Route) -> str:
    return re.sub(r"\{\w+\}", "n", route.path)


HEEDED = [route for route in ROUTES if route.conditional]


@pytest.mark.parametrize("route", HEEDED, ids=[route.id for route in HEEDED])
def test_every_route_that_takes_a_condition_heeds_it(route: Route) -> None:
    async def scenario(client: Client) -> None:
        body = {"put": {"value": 1}, "instance_put": {"address": "a", "port": 1, "ttl": 9}}.get(route.id)
        if route.id.endswith("touch"):
            body = {"ttl": 9}
        for key in ("n", "services%2Fn%2Fn"):
            await put(client, 1, f"/api/v1/kv/{key}")
        late = await client.send(route.method, _path(route), body, headers=header("if-match", '"99999"'))
        assert (late.status, late.code, late.json["error"]["applied"]) == (412, "PRECONDITION_FAILED", False)
        wrong = await client.send(route.method, _path(route), body, headers=header("if-match", 'W/"1"'))
        assert (wrong.status, wrong.code) == (400, "INVALID_REQUEST")

    play(scenario)


CHANGES = [route for route in ROUTES if route.changes and not route.conditional]


@pytest.mark.parametrize("route", CHANGES, ids=[route.id for route in CHANGES])
@pytest.mark.parametrize("name", ["if-match", "if-none-match"])
def test_a_condition_that_would_not_be_heeded_is_refused(name: str, route: Route) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send(route.method, _path(route), {}, headers=header(name, "*"))
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert reply.json["error"]["message"].startswith(f"{name}: has no meaning here")

    play(scenario)


def test_accept_is_read_with_its_weights_and_raw_counts_more() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", KEY, raw=b"plain", headers=header("content-type", "text/plain"))
        for accept, query, is_raw in (
            ("text/plain", "", True),
            ("text/*;q=0.5, application/json", "", True),
            ("text/plain;q=0", "", False),
            ("text/plain; q=0.000", "", False),
            ("text/*, text/plain;q=0", "", False),
            ("text/plain;q=0.01", "", True),
            ("text/plain", "?raw=false", False),
            ("application/json", "?raw=true", True),
        ):
            reply = await client.send("GET", KEY + query, headers=header("accept", accept))
            assert (reply.body == b"plain", reply.headers["vary"]) == (is_raw, "accept"), (accept, query)
        twice = [("accept", "application/json"), ("accept", "text/plain")]
        assert (await client.send("GET", KEY, headers=twice)).body == b"plain"

    play(scenario)


def test_a_number_without_a_fraction_is_whole_however_it_is_written() -> None:
    async def scenario(client: Client) -> None:
        assert (await client.send("PUT", KEY, raw=b'{"value":1,"ttl":6e1}')).status == 200
        assert (await client.send("POST", KEY + "/increment", raw=b'{"by":2.0,"max":3.0}')).data["value"] == 3
        assert (await client.send("GET", KEY + "?with_ttl")).data == {"value": 3, "ttl": 60}
        assert (await client.send("POST", KEY + "/increment", raw=b'{"by":2.5}')).status == 400
        assert (await client.send("POST", KEY + "/increment", raw=b'{"by":1e300}')).status == 400

    play(scenario)
