"""The fixed shapes of API.md section 1, to the letter."""

import pytest

from tests.gateway.double import Client, FakeCluster, run
from wire import Applied, Code, Failure
from wire.messages import ReadRequest, WriteRequest


def test_put_answers_ok_and_the_revision() -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        assert reply.status == 200
        assert reply.body == b'{"status":"ok","data":{"revision":1}}'
        assert reply.headers["etag"] == '"1"'

    run(scenario)


@pytest.mark.parametrize(
    "text",
    ["null", "true", "-0", "1e999", "0.10", '"\\u00e9 é"', '{ "a" : [1, 2.50,{}] }', '{"a":1,"a":2}', "[]", '""'],
)
def test_a_value_comes_back_as_the_bytes_that_went_in(text: str) -> None:
    async def scenario(client: Client) -> None:
        put = await client.send("PUT", "/api/v1/kv/a", raw=b'{"ttl": 5 , "value": ' + text.encode() + b" }")
        assert put.status == 200
        got = await client.send("GET", "/api/v1/kv/a")
        assert got.body == b'{"status":"ok","data":{"value":' + text.encode() + b"}}"

    run(scenario)


def test_get_says_the_ttl_only_when_asked_and_null_for_never() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        await client.send("PUT", "/api/v1/kv/b", {"value": 2, "ttl": 7})
        assert (await client.send("GET", "/api/v1/kv/a")).data == {"value": 1}
        assert (await client.send("GET", "/api/v1/kv/a?with_ttl=true")).data == {"value": 1, "ttl": None}
        assert (await client.send("GET", "/api/v1/kv/b?with_ttl")).data == {"value": 2, "ttl": 7}
        assert (await client.send("GET", "/api/v1/kv/b?with_ttl=false")).data == {"value": 2}
        assert (await client.send("GET", "/api/v1/kv/b/ttl")).body == b'{"status":"ok","data":{"ttl":7}}'
        assert (await client.send("GET", "/api/v1/kv/a/ttl")).body == b'{"status":"ok","data":{"ttl":null}}'

    run(scenario)


def test_a_remaining_time_is_rounded_up_to_whole_seconds() -> None:
    async def scenario(client: Client) -> None:
        group = client.cluster.group_of("a")
        for ttl_ms, seconds in ((1, 1), (999, 1), (1000, 1), (1001, 2)):
            client.cluster.data[group]["a"] = (b"1", ttl_ms, 1)
            assert (await client.send("GET", "/api/v1/kv/a/ttl")).data == {"ttl": seconds}

    run(scenario)


def test_a_ttl_of_null_in_a_put_means_none() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1, "ttl": None})
        assert (await client.send("GET", "/api/v1/kv/a/ttl")).data == {"ttl": None}

    run(scenario)


def test_a_key_that_is_not_there_is_404() -> None:
    async def scenario(client: Client) -> None:
        for method, target, body in (
            ("GET", "/api/v1/kv/a", None),
            ("GET", "/api/v1/kv/a/ttl", None),
            ("POST", "/api/v1/kv/a/touch", {"ttl": 1}),
        ):
            reply = await client.send(method, target, body)
            assert (reply.status, reply.code) == (404, "NOT_FOUND")
            assert reply.json["error"]["applied"] is False

    run(scenario)


def test_delete_answers_ok_also_for_a_key_that_is_not_there() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        assert (await client.send("DELETE", "/api/v1/kv/a")).json == {
            "status": "ok",
            "data": {"deleted": True, "revision": 2},
        }
        again = await client.send("DELETE", "/api/v1/kv/a")
        assert again.status == 200
        assert again.body == b'{"status":"ok","data":{"deleted":false}}'

    run(scenario)


def test_touch_sets_the_ttl() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1, "ttl": 100})
        touched = await client.send("POST", "/api/v1/kv/a/touch", {"ttl": 5})
        assert touched.body == b'{"status":"ok"}'
        assert (await client.send("GET", "/api/v1/kv/a/ttl")).data == {"ttl": 5}

    run(scenario)


def test_bulk_put_answers_in_the_order_of_the_request_and_the_later_of_equal_keys_wins() -> None:
    async def scenario(client: Client) -> None:
        names = [f"key-{number}" for number in range(40)]
        operations: list[dict[str, object]] = [{"key": name, "value": name} for name in names]
        operations.append({"key": names[0], "value": "later", "ttl": 9})
        reply = await client.send("POST", "/api/v1/kv/bulk", {"operations": operations})
        assert reply.json == {"status": "ok", "data": [{"key": name, "status": "ok"} for name in [*names, names[0]]]}
        got = await client.send("POST", "/api/v1/kv/bulk/get", {"keys": [*names, "none"], "with_ttl": True})
        assert list(got.data) == [*names, "none"]
        assert got.data[names[0]] == {"status": "ok", "value": "later", "ttl": 9}
        assert got.data[names[1]] == {"status": "ok", "value": names[1], "ttl": None}
        assert got.data["none"] == {"status": "error", "error": "not_found"}

    run(scenario)


def test_a_bulk_request_costs_one_rpc_per_group() -> None:
    async def scenario(client: Client) -> None:
        await client.send("POST", "/api/v1/kv/bulk", {"operations": [{"key": f"k{n}", "value": n} for n in range(200)]})
        leaders_known = len(client.cluster.requests(WriteRequest))
        assert leaders_known <= 2 * len(client.cluster.groups)  # each guess may have been corrected once
        client.cluster.calls.clear()
        await client.send("POST", "/api/v1/kv/bulk", {"operations": [{"key": f"k{n}", "value": n} for n in range(200)]})
        await client.send("POST", "/api/v1/kv/bulk/get", {"keys": [f"k{n}" for n in range(200)]})
        assert len(client.cluster.requests(WriteRequest)) == len(client.cluster.groups)
        assert len(client.cluster.requests(ReadRequest)) == len(client.cluster.groups)

    run(scenario)


def test_bulk_delete_and_bulk_touch_answer_per_item() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        touched = await client.send(
            "POST", "/api/v1/kv/bulk/touch", {"operations": [{"key": "none", "ttl": 5}, {"key": "a", "ttl": 5}]}
        )
        assert touched.data == [{"key": "none", "status": "error", "error": "not_found"}, {"key": "a", "status": "ok"}]
        deleted = await client.send("POST", "/api/v1/kv/bulk/delete", {"keys": ["none", "a"]})
        assert deleted.data == [{"key": "none", "status": "ok"}, {"key": "a", "status": "ok"}]
        assert (await client.send("GET", "/api/v1/kv/a")).status == 404

    run(scenario)


def test_a_bulk_get_names_a_key_that_is_asked_for_twice_once() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        reply = await client.send("POST", "/api/v1/kv/bulk/get", {"keys": ["a", "a"]})
        assert reply.body == b'{"status":"ok","data":{"a":{"status":"ok","value":1}}}'

    run(scenario)


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("/api/v1/kv/bulk", "bulk"),
        ("/api/v1/kv/bulk/get", "bulk/get"),
        ("/api/v1/kv/x%2Fttl", "x/ttl"),
        ("/api/v1/kv/x/%74tl", "x/ttl"),
        ("/api/v1/kv/ttl", "ttl"),
        ("/api/v1/kv//ttl", "/ttl"),
        ("/api/v1/kv/a/b//c/", "a/b//c/"),
        ("/api/v1/kv/%C3%A9+%00", "é+\x00"),
        ("/api/v1/kv/..%2f..", "../.."),
        ("/api/v1/kv/a/../b", "a/../b"),
        ("/api/v1/kv/%2525", "%25"),
    ],
)
def test_keys_of_every_shape_can_be_read(target: str, key: str) -> None:
    async def scenario(client: Client) -> None:
        await client.send("POST", "/api/v1/kv/bulk", {"operations": [{"key": key, "value": "here"}]})
        assert (await client.send("GET", target)).data == {"value": "here"}
        assert (await client.send("DELETE", target)).data["deleted"] is True

    run(scenario)


def test_a_sub_route_wins_on_its_exact_shape() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/x/ttl", {"value": "a key of that name"})
        await client.send("PUT", "/api/v1/kv/x", {"value": 1, "ttl": 3})
        assert (await client.send("GET", "/api/v1/kv/x/ttl")).data == {"ttl": 3}
        assert (await client.send("GET", "/api/v1/kv/x%2Fttl")).data == {"value": "a key of that name"}
        await client.send("PUT", "/api/v1/kv/bulk", {"value": "named bulk"})
        assert (await client.send("POST", "/api/v1/kv/%62ulk/touch", {"ttl": 8})).status == 200
        assert (await client.send("GET", "/api/v1/kv/bulk/ttl")).data == {"ttl": 8}

    run(scenario)


def test_a_listing_is_sorted_and_goes_on_at_its_cursor() -> None:
    async def scenario(client: Client) -> None:
        names = sorted(f"list/{number}" for number in range(53))
        await client.send("POST", "/api/v1/kv/bulk", {"operations": [{"key": n, "value": n, "ttl": 4} for n in names]})
        await client.send("PUT", "/api/v1/kv/other", {"value": 0})
        whole = await client.send("GET", "/api/v1/kv?prefix=list/")
        assert whole.json == {"status": "ok", "data": names}
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await client.send("GET", f"/api/v1/kv?prefix=list/&limit=10{cursor}")).json
            seen += page["data"]
            if "cursor" not in page:
                break
            cursor = "&cursor=" + page["cursor"]
        assert seen == names
        first = await client.send("GET", "/api/v1/kv?prefix=list/&limit=1&with_ttl=true&values=true")
        assert first.data == [{"key": names[0], "ttl": 4, "value": names[0]}]
        assert (await client.send("GET", "/api/v1/kv?limit=1&with_ttl")).data == [{"key": names[0], "ttl": 4}]

    run(scenario)


def test_an_empty_store_lists_nothing() -> None:
    async def scenario(client: Client) -> None:
        assert (await client.send("GET", "/api/v1/kv")).body == b'{"status":"ok","data":[]}'

    run(scenario)


def test_reads_say_how_they_were_served() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        fresh = await client.send("GET", "/api/v1/kv/a")
        assert fresh.headers["etag"] == '"1"'
        assert fresh.headers["x-concord-consistency"] == "linearizable"
        assert fresh.headers["x-concord-group"] == str(client.cluster.group_of("a"))
        assert (fresh.headers["x-concord-revision"], fresh.headers["x-concord-age-ms"]) == ("1", "0")
        stale = await client.send("GET", "/api/v1/kv/a?consistency=stale")
        assert (stale.headers["x-concord-consistency"], stale.headers["x-concord-age-ms"]) == ("stale", "7")

    run(scenario)


def test_head_answers_like_get() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        assert (await client.send("HEAD", "/api/v1/kv/a")).headers["etag"] == '"1"'
        assert (await client.send("HEAD", "/api/v1/kv/none")).status == 404

    run(scenario)


@pytest.mark.parametrize("consistency", ["linearizable", "stale"])
def test_a_defect_of_a_node_is_not_taken_for_an_answer_that_is_too_large(consistency: str) -> None:
    cluster = FakeCluster(groups=1)
    cluster.broken[1] = Failure(Code.INTERNAL, "defect", Applied.UNKNOWN)

    async def scenario(client: Client) -> None:
        reply = await client.send("POST", f"/api/v1/kv/bulk/get?consistency={consistency}", {"keys": ["a", "b"]})
        assert (reply.status, reply.code) == (503, "CLUSTER_UNAVAILABLE")
        assert {tuple(request.keys) for request in client.cluster.requests(ReadRequest)} == {("a", "b")}

    run(scenario, cluster)


@pytest.mark.parametrize("consistency", ["linearizable", "stale"])
def test_one_value_too_large_for_an_answer_is_a_definite_failure(consistency: str) -> None:
    cluster = FakeCluster(groups=1)
    cluster.reply_bytes_max = 5

    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": "x" * 10})
        reply = await client.send("GET", f"/api/v1/kv/a?consistency={consistency}")
        assert (reply.status, reply.code) == (503, "CLUSTER_UNAVAILABLE")
        assert len(client.cluster.requests(ReadRequest)) == 1

    run(scenario, cluster)


def test_values_too_many_for_one_answer_of_a_node_are_fetched_in_parts() -> None:
    cluster = FakeCluster(groups=1)
    cluster.reply_bytes_max = 40

    async def scenario(client: Client) -> None:
        names = [f"k{number}" for number in range(9)]
        await client.send("POST", "/api/v1/kv/bulk", {"operations": [{"key": n, "value": "x" * 10} for n in names]})
        for consistency in ("linearizable", "stale"):
            reply = await client.send("POST", f"/api/v1/kv/bulk/get?consistency={consistency}", {"keys": names})
            assert [reply.data[name]["value"] for name in names] == ["x" * 10] * 9

    run(scenario, cluster)
