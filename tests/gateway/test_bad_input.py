"""Bad input gets the codes of API.md, names what is wrong, changes nothing, and is never a 500."""

import json

import pytest

from gateway.limits import HttpLimits
from tests.gateway.double import Client, FakeCluster, Reply, run
from tests.gateway.machines import MachineCluster
from wire.messages import WriteRequest

LONG = "k" * 1025


def _deep(levels: int) -> str:
    return "[" * levels + "]" * levels


BODIES = [
    (b"", "body"),
    (b"{", "body"),
    (b"nothing", "body"),
    (b"[]", "body"),
    (b"null", "body"),
    (b"{}", "value"),
    (b'{"value":1}x', "body"),
    (b'{"value":}', "body"),
    (b'{"value":01}', "body"),
    (b'{"value":NaN}', "body"),
    (b'{"value":"\xff"}', "UTF-8"),
    (b'{"value":"\xed\xa0\x80"}', "UTF-8"),
    (b'\xef\xbb\xbf{"value":1}', "body"),
    (b'{"value":1,"ttl":0}', "ttl"),
    (b'{"value":1,"ttl":-1}', "ttl"),
    (b'{"value":1,"ttl":1.5}', "ttl"),
    (b'{"value":1,"ttl":"x"}', "ttl"),
    (b'{"value":1,"ttl":"5"}', "ttl"),
    (b'{"value":1,"ttl":true}', "ttl"),
    (b'{"value":1,"ttl":[]}', "ttl"),
    (b'{"value":1,"ttl":1e400}', "ttl"),
    (b'{"value":1,"ttl":315360001}', "ttl"),
    (b'{"value":1,"ttl":99999999999999999999999}', "ttl"),
    (b'{"value":1,"if_absent":1}', "if_absent"),
    (b'{"value":1,"if_revision":-1}', "if_revision"),
    (b'{"value":1,"if_fence":"5"}', "if_fence"),
    (b'{"value":1,"if_empty":true}', "if_empty"),
    (b'{"value":' + _deep(65).encode() + b"}", "value"),
    (b'{"value":' + _deep(100_000).encode() + b"}", "nested"),
]


@pytest.mark.parametrize(("raw", "named"), BODIES, ids=range(len(BODIES)))
def test_a_bad_put_body_is_refused_by_name(raw: bytes, named: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("PUT", "/api/v1/kv/a", raw=raw)
        _refused(reply, 400, "INVALID_REQUEST", named)
        assert not client.cluster.calls

    run(scenario)


def test_a_value_may_nest_64_levels_and_brackets_in_strings_do_not_count() -> None:
    async def scenario(client: Client) -> None:
        for value in (_deep(64), json.dumps("[{" * 100 + '"\\"'), json.dumps([[]] * 1000), json.dumps({"[": "{" * 99})):
            assert (await client.send("PUT", "/api/v1/kv/a", raw=b'{"value":' + value.encode() + b"}")).status == 200

    run(scenario)


TOUCHES = [b"", b"{}", b'{"ttl":0}', b'{"ttl":-1}', b'{"ttl":1.5}', b'{"ttl":"x"}', b'{"ttl":null}', b'{"ttl":1,"x":1}']


@pytest.mark.parametrize("raw", TOUCHES)
def test_a_bad_touch_body_is_refused(raw: bytes) -> None:
    async def scenario(client: Client) -> None:
        _refused(await client.send("POST", "/api/v1/kv/a/touch", raw=raw), 400, "INVALID_REQUEST")

    run(scenario)


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("/api/v1/kv/", "empty"),
        ("/api/v1/kv/" + LONG, "1024"),
        ("/api/v1/kv/" + "%C3%A9" * 513, "1024"),
        ("/api/v1/kv/%ff", "UTF-8"),
        ("/api/v1/kv/%ED%A0%80", "UTF-8"),
        ("/api/v1/kv/50%", "%"),
        ("/api/v1/kv/%zz", "%"),
        ("/api/v1/kv/%4", "%"),
    ],
)
def test_a_bad_key_in_the_path_is_refused(method: str, target: str, named: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send(method, target, {"value": 1} if method == "PUT" else None)
        _refused(reply, 400, "INVALID_KEY", named)

    run(scenario)


def test_a_key_of_1024_bytes_is_taken() -> None:
    async def scenario(client: Client) -> None:
        assert (await client.send("PUT", "/api/v1/kv/" + "%C3%A9" * 512, {"value": 1})).status == 200

    run(scenario)


BULKS: list[tuple[str, object, int, str, str]] = [
    ("", {"operations": []}, 400, "INVALID_REQUEST", "operations"),
    ("", {}, 400, "INVALID_REQUEST", "operations"),
    ("", {"operations": {}}, 400, "INVALID_REQUEST", "operations"),
    ("", {"operations": [1]}, 400, "INVALID_REQUEST", "operations[0]"),
    ("", {"operations": [{"key": "a", "value": 1}] * 501}, 413, "BATCH_TOO_LARGE", "500"),
    ("", {"operations": [{"key": "a", "value": 1}, {"key": "b"}]}, 400, "INVALID_REQUEST", "operations[1]"),
    ("", {"operations": [{"key": "a", "value": 1}, {"value": 2}]}, 400, "INVALID_REQUEST", "operations[1]"),
    ("", {"operations": [{"key": "a", "value": 1}, {"key": "", "value": 2}]}, 400, "INVALID_KEY", "operations[1].key"),
    (
        "",
        {"operations": [{"key": "a", "value": 1}, {"key": LONG, "value": 2}]},
        400,
        "INVALID_KEY",
        "operations[1].key",
    ),
    (
        "",
        {"operations": [{"key": "a", "value": 1}, {"key": 5, "value": 2}]},
        400,
        "INVALID_REQUEST",
        "operations[1].key",
    ),
    (
        "",
        {"operations": [{"key": "a", "value": 1}, {"key": "b", "value": 2, "ttl": 0}]},
        400,
        "INVALID_REQUEST",
        "operations[1].ttl",
    ),
    ("", {"operations": [{"key": "a", "value": 1}], "atomic": 1}, 400, "INVALID_REQUEST", "atomic"),
    (
        "",
        {"operations": [{"key": "a", "value": 1}, {"key": "b", "value": "v" * (1 << 20)}]},
        413,
        "VALUE_TOO_LARGE",
        "operations[1].value",
    ),
    ("/get", {"keys": []}, 400, "INVALID_REQUEST", "keys"),
    ("/get", {"keys": ["a"] * 501}, 413, "BATCH_TOO_LARGE", "keys"),
    ("/get", {"keys": ["a", ""]}, 400, "INVALID_KEY", "keys[1]"),
    ("/get", {"keys": ["a", None]}, 400, "INVALID_REQUEST", "keys[1]"),
    ("/get", {"keys": "a"}, 400, "INVALID_REQUEST", "keys"),
    ("/get", {"keys": ["a"], "with_ttl": 1}, 400, "INVALID_REQUEST", "with_ttl"),
    ("/delete", {"keys": []}, 400, "INVALID_REQUEST", "keys"),
    ("/delete", {"keys": ["a"] * 501}, 413, "BATCH_TOO_LARGE", "keys"),
    ("/delete", {"keys": ["a", LONG]}, 400, "INVALID_KEY", "keys[1]"),
    ("/touch", {"operations": []}, 400, "INVALID_REQUEST", "operations"),
    ("/touch", {"operations": [{"key": "a", "ttl": 1}] * 501}, 413, "BATCH_TOO_LARGE", "operations"),
    ("/touch", {"operations": [{"key": "a"}]}, 400, "INVALID_REQUEST", "operations[0]"),
    ("/touch", {"operations": [{"key": "", "ttl": 1}]}, 400, "INVALID_KEY", "operations[0].key"),
    (
        "/touch",
        {"operations": [{"key": "a", "ttl": 1}, {"key": "b", "ttl": 1.5}]},
        400,
        "INVALID_REQUEST",
        "operations[1]",
    ),
]


@pytest.mark.parametrize(("route", "body", "status", "code", "named"), BULKS, ids=range(len(BULKS)))
def test_one_bad_item_refuses_the_whole_bulk_and_is_named(
    route: str, body: object, status: int, code: str, named: str
) -> None:
    async def scenario(client: Client) -> None:
        _refused(await client.send("POST", "/api/v1/kv/bulk" + route, body), status, code, named)
        assert not client.cluster.requests(WriteRequest)

    run(scenario)


def test_500_items_are_taken() -> None:
    async def scenario(client: Client) -> None:
        body = {"operations": [{"key": f"k{n}", "value": n} for n in range(500)]}
        assert len((await client.send("POST", "/api/v1/kv/bulk", body)).data) == 500

    run(scenario)


def test_of_two_members_of_one_name_the_last_counts_and_two_kinds_of_step_are_refused() -> None:
    async def scenario(client: Client) -> None:
        twice = b'{"value":1,"ttl":9,"value":{"a":1,"a":2},"ttl":7}'
        assert (await client.send("PUT", "/api/v1/kv/a", raw=twice)).status == 200
        kept = await client.send("GET", "/api/v1/kv/a?with_ttl=true")
        assert kept.body == b'{"status":"ok","data":{"value":{"a":1,"a":2},"ttl":7}}'
        found = await client.send("POST", "/api/v1/kv/bulk/get", raw=b'{"keys":["b"],"keys":["a"]}')
        assert list(found.data) == ["a"]
        step = b'{"success":[{"op":"delete","key":"a","op":"get"}]}'
        _refused(await client.send("POST", "/api/v1/txn", raw=step), 400, "INVALID_REQUEST", "success[0].op")

    run(scenario)


def test_half_of_a_surrogate_pair_is_neither_in_keys_nor_in_values() -> None:
    async def scenario(client: Client) -> None:
        for half in (b"\\ud800", b"\\uD83D tail", b"\\udc00"):
            reply = await client.send("POST", "/api/v1/kv/bulk/get", raw=b'{"keys":["%b"]}' % half)
            _refused(reply, 400, "INVALID_REQUEST", "surrogate pair")
            reply = await client.send("PUT", "/api/v1/kv/a", raw=b'{"value":["%b"]}' % half)
            _refused(reply, 400, "INVALID_REQUEST", "surrogate pair")
        for cut in (b'["\\ud83d\\ude00"', b'"\\ud83d', b'"\\\\ud800"'):
            reply = await client.send("PUT", "/api/v1/kv/a", raw=b'{"value":' + cut)
            _refused(reply, 400, "INVALID_REQUEST", "truncated")

    run(scenario)


def test_a_backslash_before_what_looks_like_half_of_a_pair_is_not_blamed_for_another_fault() -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("PUT", "/api/v1/kv/a", raw=b'{"value":"\\\\ud800","ttl":0}')
        _refused(reply, 400, "INVALID_REQUEST", "ttl: expected")
        assert (await client.send("PUT", "/api/v1/kv/a", raw=b'{"value":"\\\\ud800"}')).status == 200
        reply = await client.send("PUT", "/api/v1/kv/a", raw=b'{"value":"\\\\\\ud800"}')
        _refused(reply, 400, "INVALID_REQUEST", "surrogate pair")

    run(scenario)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("if-none-match", "*", '"1"'),
        ("idempotency-key", "one", "other"),
        ("x-concord-timeout-ms", "1000", "2000"),
        ("content-type", "text/plain", "text/html"),
    ],
)
def test_a_header_that_says_two_things_is_refused(name: str, one: str, other: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=[(name, one), (name, other)])
        _refused(reply, 400, "INVALID_REQUEST", f"{name}: the header is given twice")
        assert not client.cluster.requests(WriteRequest)
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=[(name, one)] * 2)).status == 200

    run(scenario, MachineCluster())


def test_an_encoded_body_is_refused_and_not_stored() -> None:
    async def scenario(client: Client) -> None:
        for encoding in ("gzip", "br", "identity, gzip"):
            sent = [("content-encoding", encoding), ("content-type", "text/plain")]
            reply = await client.send("PUT", "/api/v1/kv/a", raw=b"x", headers=sent)
            _refused(reply, 400, "INVALID_REQUEST", "content-encoding: only identity")
        assert (await client.send("GET", "/api/v1/kv/a")).status == 404
        plain = await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=[("content-encoding", "Identity")])
        assert plain.status == 200

    run(scenario)


def test_a_value_over_1_mib_is_refused_and_one_of_it_is_taken() -> None:
    async def scenario(client: Client) -> None:
        fits = b'{"value":"' + b"v" * ((1 << 20) - 2) + b'"}'
        assert (await client.send("PUT", "/api/v1/kv/a", raw=fits)).status == 200
        over = await client.send("PUT", "/api/v1/kv/a", raw=fits.replace(b'"}', b'v"}'))
        _refused(over, 413, "VALUE_TOO_LARGE", "value")

    run(scenario)


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    def never() -> bytes:
        raise AssertionError("the body was read")

    async def scenario(client: Client) -> None:
        for size in ("8388609", "9" * 18, "9" * 5000):
            unread = (never() for _ in range(1))
            reply = await client.send("PUT", "/api/v1/kv/a", chunks=unread, headers=[("content-length", size)])
            _refused(reply, 413, "BODY_TOO_LARGE")

    run(scenario)


def test_a_chunked_body_is_counted_and_cut_off_at_the_limit() -> None:
    async def scenario(client: Client) -> None:
        chunks = iter([b"x" * (1 << 20)] * 20)
        reply = await client.send("PUT", "/api/v1/kv/a", chunks=chunks)
        _refused(reply, 413, "BODY_TOO_LARGE")
        assert len(list(chunks)) == 11  # nine were read: the ninth went over

    run(scenario)


QUERIES = [
    ("GET", "/api/v1/kv/a?with_ttl=maybe", "with_ttl"),
    ("GET", "/api/v1/kv/a?whatever=1", "whatever"),
    ("GET", "/api/v1/kv/a?with_ttl=true&with_ttl=true", "twice"),
    ("GET", "/api/v1/kv/a?consistency=eventual", "consistency"),
    ("GET", "/api/v1/kv/a/ttl?with_ttl=true", "with_ttl"),
    ("PUT", "/api/v1/kv/a?ttl=0", "ttl"),
    ("PUT", "/api/v1/kv/a?force=1", "force"),
    ("GET", "/livez?verbose=maybe", "verbose"),
    ("DELETE", "/api/v1/kv/a?force=1", "force"),
    ("GET", "/api/v1/kv?limit=0", "limit"),
    ("GET", "/api/v1/kv?limit=1001", "limit"),
    ("GET", "/api/v1/kv?limit=-1", "limit"),
    ("GET", "/api/v1/kv?limit=ten", "limit"),
    ("GET", "/api/v1/kv?limit=1.5", "limit"),
    ("GET", "/api/v1/kv?limit=", "limit"),
    ("GET", "/api/v1/kv?limit=%C2%B2", "limit"),
    ("GET", "/api/v1/kv?prefix=" + LONG, "prefix"),
    ("GET", "/api/v1/kv?prefix=%ff", "query"),
    ("GET", "/api/v1/kv?cursor=***", "cursor"),
    ("GET", "/api/v1/kv?cursor=YQ==", "cursor"),
    ("GET", "/api/v1/kv?cursor=_w", "cursor"),
    ("GET", "/api/v1/kv?cursor=YR", "cursor"),
    ("GET", "/api/v1/kv?cursor=YQ&prefix=b", "cursor"),
    ("GET", "/api/v1/kv?cursor=" + "YWFh" * 342, "cursor"),
    ("GET", "/api/v1/kv?cursor=%C3%A9", "cursor"),
    ("GET", "/api/v1/kv?values=x", "values"),
    ("GET", "/api/v1/kv?" + "a=1&" * 40, "query"),
    ("GET", "/api/v1/status?x=1", "x"),
    ("GET", "/readyz?verbose=maybe", "verbose"),
]


@pytest.mark.parametrize(("method", "target", "named"), QUERIES, ids=range(len(QUERIES)))
def test_a_bad_query_is_refused_by_name(method: str, target: str, named: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send(method, target, {"value": 1} if method == "PUT" else None)
        _refused(reply, 400, "INVALID_REQUEST", named)

    run(scenario)


@pytest.mark.parametrize("asked", ["0", "-1", "30001", "1.5", "x", "", "9" * 5000])
def test_a_bad_deadline_is_refused(asked: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("GET", "/api/v1/kv/a", headers=[("x-concord-timeout-ms", asked)])
        _refused(reply, 400, "INVALID_REQUEST", "X-Concord-Timeout-Ms")

    run(scenario)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/kvx",
        "/api/v2/kv/a",
        "/api/v1/status/",
        "/api/v1//kv/a",
        "/docs",
        "*",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_an_unknown_route_is_404_in_the_error_shape(method: str, target: str) -> None:
    async def scenario(client: Client) -> None:
        _refused(await client.send(method, target), 404, "NOT_FOUND")

    run(scenario)


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("PATCH", "/api/v1/kv/a", "DELETE, GET, PUT, HEAD"),
        ("POST", "/api/v1/kv/a", "DELETE, GET, PUT, HEAD"),
        ("POST", "/api/v1/kv/a/ttl", "DELETE, GET, PUT, HEAD"),
        ("POST", "/api/v1/kv/touch", "DELETE, GET, PUT, HEAD"),
        ("PATCH", "/api/v1/kv/a/touch", "DELETE, GET, POST, PUT, HEAD"),
        ("OPTIONS", "/api/v1/kv/bulk", "DELETE, GET, POST, PUT, HEAD"),
        ("POST", "/api/v1/kv", "GET, HEAD"),
        ("DELETE", "/api/v1/kv", "GET, HEAD"),
        ("POST", "/api/v1/status", "GET, HEAD"),
        ("PUT", "/metrics", "GET, HEAD"),
        ("BREW", "/health", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_are_right(method: str, target: str, allow: str) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send(method, target)
        _refused(reply, 405, "METHOD_NOT_ALLOWED")
        assert reply.headers["allow"] == allow

    run(scenario)


def test_a_full_gateway_answers_503_at_once_and_health_still_answers() -> None:
    async def scenario(client: Client) -> None:
        small = await client.send("PUT", "/api/v1/kv/a", raw=b'{"value":1}')
        assert small.status == 200
        over = await client.send("PUT", "/api/v1/kv/a", {"value": "x" * 200})
        _refused(over, 503, "CLUSTER_UNAVAILABLE", "bytes")
        assert over.json["error"]["retryable"] is True
        assert int(over.headers["retry-after"]) >= 1
        assert (await client.send("PUT", "/api/v1/kv/a", raw=b'{"value":1}')).status == 200  # nothing leaked

    run(scenario, limits=HttpLimits(bytes_in_flight=100))


def test_requests_in_flight_are_limited() -> None:
    async def scenario(client: Client) -> None:
        _refused(await client.send("GET", "/api/v1/kv/a"), 503, "CLUSTER_UNAVAILABLE", "requests")
        assert (await client.send("GET", "/livez")).status == 200

    run(scenario, limits=HttpLimits(requests_in_flight=0))


def test_a_defect_is_a_500_in_the_error_shape_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeCluster):
        def handle(self, node: str, request: object) -> object:
            raise ZeroDivisionError(f"a secret path of {node}: {request}")

    async def scenario(client: Client) -> None:
        reply = await client.send("GET", "/api/v1/kv/a")
        assert (reply.status, reply.code) == (500, "INTERNAL")
        assert b"secret" not in reply.body

    run(scenario, Broken())
    assert "secret" in caplog.text


def _refused(reply: Reply, status: int, code: str, named: str = "") -> None:
    error = reply.json["error"]
    assert (reply.status, error["code"]) == (status, code), reply.body
    assert reply.json["status"] == "error"
    assert named in error["message"]
    assert error["applied"] is False
    assert isinstance(error["retryable"], bool)
