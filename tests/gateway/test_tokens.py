"""Tokens at the gateway: making and ending them over HTTP, and what happens when they cannot be confirmed."""

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from gateway.access import everybody, nobody
from gateway.app import Gateway
from gateway.errors import ApiError
from gateway.settings import GatewaySettings
from placement.tokens.text import parse
from tests.gateway.double import Client, Reply, Watcher, run, until
from tests.gateway.placement_double import GUARDED, ROOT, GuardedCluster, bearer
from tests.placement.token_rows import id_of
from wire.messages import AwaitLockRequest, LeaveQueue, WriteRequest

TOKENS = "/api/v1/tokens"
SCOPES = [{"prefix": "app/", "verbs": ["read", "write"]}]


async def root(client: Client, method: str, target: str, body: object = None) -> Reply:
    return await client.send(method, target, body, headers=bearer(ROOT))


async def made(client: Client, **more: Any) -> Any:
    reply = await root(client, "POST", TOKENS, {"name": "app", "scopes": SCOPES} | more)
    assert reply.status == 200, reply.body
    return reply.data


async def status(client: Client, token: str, method: str = "GET", target: str = "/api/v1/kv/app/x") -> int:
    body = {"value": 1} if method == "PUT" else None
    return (await client.send(method, target, body, headers=bearer(token))).status


def guarded(scenario: Any, settings: GatewaySettings = GUARDED) -> None:
    async def ready(client: Client) -> None:
        await client.gateway.tokens.reached(1)  # type: ignore[union-attr]
        await scenario(client)

    run(ready, GuardedCluster(), settings=settings, started=True)


def placement(client: Client) -> GuardedCluster:
    assert isinstance(client.cluster, GuardedCluster)
    return client.cluster


def test_a_token_is_good_at_once_where_it_was_made_and_its_secret_is_shown_once() -> None:
    async def scenario(client: Client) -> None:
        data = await made(client)
        assert set(data) == {
            "token",
            "id",
            "name",
            "scopes",
            "created_at",
            "expires_at",
            "rotated_at",
            "old_secret_until",
        }
        assert (data["name"], data["scopes"], data["expires_at"]) == ("app", SCOPES, None)
        assert await status(client, data["token"], "PUT") == 200
        assert await status(client, data["token"]) == 200
        assert await status(client, data["token"], "PUT", "/api/v1/kv/other") == 403
        listed = (await root(client, "GET", TOKENS)).json["data"]
        assert [each["name"] for each in listed] == ["root", "app"]
        assert {frozenset(each) for each in listed} == {frozenset(set(data) - {"token"})}
        parsed = parse(data["token"].encode())
        assert parsed is not None
        state = b"".join(placement(client).machine.snapshot())
        assert parsed.secret not in state
        assert parsed.secret.hex().encode() not in state
        assert parsed.secret.hex() not in str(listed)

    guarded(scenario)


def test_a_revoked_token_is_worth_nothing_once_the_revoke_is_answered() -> None:
    async def scenario(client: Client) -> None:
        data = await made(client)
        assert await status(client, data["token"], "PUT") == 200
        reply = await root(client, "DELETE", f"{TOKENS}/{data['id']}")
        assert reply.data == {"revoked": True}
        assert await status(client, data["token"]) == 401
        assert (await root(client, "DELETE", f"{TOKENS}/{data['id']}")).code == "NOT_FOUND"
        assert (await root(client, "DELETE", f"{TOKENS}/{id_of(0)}")).code == "CONFLICT"

    guarded(scenario)


def test_a_stream_ends_when_its_token_is_revoked_and_tells_nothing_more() -> None:
    async def scenario(client: Client) -> None:
        data = await made(client, scopes=[{"prefix": "app/", "verbs": ["watch"]}])
        watcher = Watcher(client, "/api/v1/watch?prefix=app/", bearer(data["token"]))
        await watcher.until("synced")
        other = Watcher(client, "/api/v1/watch?prefix=ap", bearer(data["token"]))
        await other.end()
        assert other.status == 403
        await root(client, "DELETE", f"{TOKENS}/{data['id']}")
        await watcher.end()
        assert (watcher.events[-1].event, watcher.events[-1].data) == ("goaway", {"reason": "forbidden"})
        client.cluster.put("app/x")
        assert watcher.told() == []

    guarded(scenario)


def test_a_rotated_token_keeps_its_id_and_scopes_and_its_old_secret_for_the_overlap() -> None:
    async def scenario(client: Client) -> None:
        first = await made(client)
        second = (await root(client, "POST", f"{TOKENS}/{first['id']}/rotate", {"overlap": 3600})).data
        assert (second["id"], second["scopes"]) == (first["id"], SCOPES)
        assert second["old_secret_until"] > second["rotated_at"]
        assert [await status(client, data["token"], "PUT") for data in (first, second)] == [200, 200]
        third = (await root(client, "POST", f"{TOKENS}/{first['id']}/rotate")).data
        good = [await status(client, data["token"]) for data in (first, second, third)]
        assert good == [401, 401, 200]

    guarded(scenario)


def test_a_token_ends_when_it_was_said_to() -> None:
    async def scenario(client: Client) -> None:
        lasting = await made(client, expires_in=3600)
        assert await status(client, lasting["token"], "PUT") == 200
        placement(client).behind_ms = 5000
        ended = await made(client, expires_in=4)
        assert await status(client, ended["token"]) == 401

    guarded(scenario)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "name"),
        ({"name": "", "scopes": SCOPES}, "name"),
        ({"name": "x" * 129, "scopes": SCOPES}, "name"),
        ({"name": "a\u0007b", "scopes": SCOPES}, "name"),
        ({"name": "a\n", "scopes": SCOPES}, "name"),
        ({"name": "a\u202eb", "scopes": SCOPES}, "name"),
        ({"name": "a", "scopes": [{"prefix": "a", "verbs": ["read"] * 6}]}, "scopes[0].verbs"),
        ({"name": 1, "scopes": SCOPES}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": SCOPES * 65}, "scopes"),
        ({"name": "a", "scopes": [{"prefix": "a", "verbs": []}]}, "scopes[0].verbs"),
        ({"name": "a", "scopes": [{"prefix": "a", "verbs": ["fly"]}]}, "scopes[0].verbs"),
        ({"name": "a", "scopes": [{"prefix": "a", "verbs": ["admin"]}]}, "admin"),
        ({"name": "a", "scopes": [{"prefix": "ä" * 513, "verbs": ["read"]}]}, "scopes[0].prefix"),
        ({"name": "a", "scopes": SCOPES, "expires_in": 0}, "expires_in"),
        ({"name": "a", "scopes": SCOPES, "expires_in": 1 << 70}, "expires_in"),
        ({"name": "a", "scopes": SCOPES, "extra": 1}, "extra"),
        (b'{"name":"a","scopes":[{"prefix":"\xc3","verbs":["read"]}]}', "UTF-8"),
        (b'{"name":"a","scopes":[{"prefix":"\\ud83d","verbs":["read"]}]}', ""),
        (b"{", "body"),
    ],
)
def test_a_token_that_cannot_be_is_refused_by_the_field(body: Any, named: str) -> None:
    async def scenario(client: Client) -> None:
        raw = body if isinstance(body, bytes) else None
        reply = await client.send("POST", TOKENS, None if raw else body, raw=raw, headers=bearer(ROOT))
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert named in reply.json["error"]["message"]
        assert len(placement(client).machine.tokens.table.tokens) == 1

    guarded(scenario)


@pytest.mark.parametrize("overlap", [-1, 1.5, "1", 1 << 40])
def test_an_overlap_that_cannot_be_is_refused(overlap: object) -> None:
    async def scenario(client: Client) -> None:
        reply = await root(client, "POST", f"{TOKENS}/{id_of(0)}/rotate", {"overlap": overlap})
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        assert await status(client, ROOT, target=TOKENS) == 200

    guarded(scenario)


@pytest.mark.parametrize("name", ["x", "FFFFFFFFFFFF", "%00", "ffffffffffff"])
def test_an_id_that_is_none_is_not_found(name: str) -> None:
    async def scenario(client: Client) -> None:
        assert (await root(client, "DELETE", f"{TOKENS}/{name}")).code == "NOT_FOUND"
        assert (await root(client, "POST", f"{TOKENS}/{name}/rotate")).code == "NOT_FOUND"

    guarded(scenario)


def test_a_change_whose_answer_was_lost_is_done_once() -> None:
    async def scenario(client: Client) -> None:
        placement(client).lost = 1
        data = await made(client)
        assert await status(client, data["token"], "PUT") == 200
        placement(client).lost = 1
        rotated = (await root(client, "POST", f"{TOKENS}/{data['id']}/rotate", {"overlap": 60})).data
        assert [await status(client, each["token"]) for each in (data, rotated)] == [200, 200]
        placement(client).lost = 1
        assert (await root(client, "DELETE", f"{TOKENS}/{data['id']}")).status == 200
        assert [token.id for token in placement(client).machine.tokens.table.tokens] == [id_of(0)]

    guarded(scenario)


def test_a_change_that_was_never_answered_is_unknown_and_one_that_never_arrived_is_not_applied() -> None:
    async def scenario(client: Client) -> None:
        headers = [*bearer(ROOT), ("x-concord-timeout-ms", "150")]
        body = {"name": "app", "scopes": SCOPES}
        placement(client).lost = 1 << 30
        reply = await client.send("POST", TOKENS, body, headers=headers)
        assert (reply.status, reply.json["error"]["applied"]) == (504, "unknown")
        placement(client).lost = 0
        placement(client).away = True
        reply = await client.send("POST", TOKENS, body, headers=headers)
        assert (reply.status, reply.code, reply.json["error"]["applied"]) == (503, "CLUSTER_UNAVAILABLE", False)

    guarded(scenario)


def test_a_gateway_that_placement_has_not_confirmed_for_too_long_refuses_everything_with_a_token() -> None:
    async def scenario(client: Client) -> None:
        watcher = client.gateway.tokens
        assert watcher is not None
        follower = await Watcher(client, "/api/v1/watch", bearer(ROOT)).until("synced")
        placement(client).away = True
        await until(lambda: watcher.age_s > hasty.tokens_age_s_max)
        await follower.end()
        assert follower.events[-1].data == {"reason": "unavailable"}
        written = len(client.cluster.requests(WriteRequest))
        for method in ("PUT", "GET"):
            reply = await client.send(method, "/api/v1/kv/app/x", {"value": 2}, headers=bearer(ROOT))
            assert (reply.status, reply.code, reply.json["error"]["applied"]) == (503, "CLUSTER_UNAVAILABLE", False)
            assert reply.headers["retry-after"]
        refused = ("/metrics", "/api/v1/status", "/api/v1/members", "/api/v1/nodes", "/api/v1/groups")
        assert {await status(client, ROOT, target=target) for target in refused} == {503}
        assert {await status(client, ROOT, target=target) for target in ("/livez", "/health")} == {200}
        ready = await client.send("GET", "/readyz?verbose")
        assert "tokens_fresh" in ready.json["error"]["message"]
        assert len(client.cluster.requests(WriteRequest)) == written
        assert (await client.send("GET", "/api/v1/kv/a")).status == 401
        placement(client).away = False
        async with asyncio.timeout(10):
            while await status(client, ROOT, "PUT") != 200:  # noqa: ASYNC110 - the answer is asked for
                await asyncio.sleep(0.01)

    hasty = msgspec.structs.replace(GUARDED, tokens_age_s_max=1.0)
    guarded(scenario, hasty)


def test_a_gateway_that_has_never_heard_of_tokens_lets_nobody_in() -> None:
    async def scenario(client: Client) -> None:
        assert await status(client, ROOT) == 503

    cluster = GuardedCluster()
    cluster.away = True
    run(scenario, cluster, settings=GUARDED, started=True)


def test_who_waits_for_a_lock_leaves_the_queue_when_its_token_is_revoked() -> None:
    async def scenario(client: Client) -> None:
        lock = "/api/v1/locks/a/acquire"
        assert (await root(client, "POST", lock, {"owner": "first", "ttl": 60})).status == 200
        data = await made(client, scopes=[{"prefix": "", "verbs": ["lock"]}])
        wanted = {"owner": "second", "ttl": 60, "wait_ms": 20_000}
        waiting = asyncio.ensure_future(client.send("POST", lock, wanted, headers=bearer(data["token"])))
        await until(lambda: bool(client.cluster.requests(AwaitLockRequest)))
        await root(client, "DELETE", f"{TOKENS}/{data['id']}")
        assert (await waiting).status == 401
        await until(lambda: isinstance(client.cluster.requests(WriteRequest)[-1].operation, LeaveQueue))

    guarded(scenario)


def test_a_body_that_comes_in_slowly_does_not_outlive_its_token() -> None:
    async def scenario(client: Client) -> None:
        data = await made(client)
        sending = Slow(client.gateway, [b'{"value"', b":1}"])
        answer = asyncio.ensure_future(sending.send("PUT", "/api/v1/kv/app/x", data["token"]))
        await sending.half_way.wait()
        await root(client, "DELETE", f"{TOKENS}/{data['id']}")
        sending.go_on.set()
        assert (await answer).status == 401
        assert not client.cluster.requests(WriteRequest)

    guarded(scenario)


class Slow:
    """Sends the second half of a body when told to."""

    def __init__(self, gateway: Gateway, chunks: list[bytes]) -> None:
        self._gateway = gateway
        self._chunks = chunks
        self.half_way = asyncio.Event()
        self.go_on = asyncio.Event()

    async def send(self, method: str, path: str, token: str) -> Reply:
        answers: list[Any] = []
        waiting = list(self._chunks)

        async def receive() -> dict[str, object]:
            if len(waiting) < len(self._chunks):
                self.half_way.set()
                await self.go_on.wait()
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

        async def collect(message: Any) -> None:
            answers.append(message)

        scope: Any = {
            "type": "http",
            "method": method,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"authorization", b"Bearer " + token.encode())],
        }
        await self._gateway.dispatcher(scope, receive, collect)  # type: ignore[arg-type] # as the double's client does
        return Reply(answers[0]["status"], {}, answers[1]["body"])


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer \x00\x01")],
        [("authorization", "Bearer " + "a" * 100_000)],
        [("authorization", f"Digest {ROOT}")],
        [("x-api-key", "")],
        [("x-api-key", f"Bearer {ROOT}")],
        [("x-api-key", ROOT.upper())],
    ],
)
def test_a_header_that_is_no_token_is_401(headers: list[tuple[str, str]]) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("GET", "/api/v1/kv/a", headers=headers)
        assert (reply.status, reply.code) == (401, "UNAUTHORIZED")

    guarded(scenario)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_the_name_of_the_scheme_may_be_written_as_one_likes(scheme: str) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.send("GET", TOKENS, headers=[("authorization", scheme + ROOT)])).status == 200

    guarded(scenario)


def test_no_secret_is_in_any_log_or_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[bytes] = []

    async def scenario(client: Client) -> None:
        data = await made(client)
        secrets = [ROOT, data["token"]]
        for token in secrets:
            for shown in (token, token[:-1] + "0", token + "0"):
                reply = await client.send("GET", f"/api/v1/nothing/{shown}", headers=bearer(shown))
                errors.append(reply.body)
                errors.append((await client.send("PUT", "/api/v1/kv/other", {"v": 1}, headers=bearer(shown))).body)
        metrics = await root(client, "GET", "/metrics")
        for token in secrets:
            hidden = token.split("_")[3]
            assert hidden not in caplog.text
            assert hidden.encode() not in metrics.body
            assert not [body for body in errors if hidden.encode() in body]

    guarded(scenario)


def test_a_gateway_without_auth_makes_no_tokens() -> None:
    async def scenario(client: Client) -> None:
        for method, target in (("POST", TOKENS), ("GET", TOKENS), ("DELETE", f"{TOKENS}/{id_of(0)}")):
            reply = await client.send(method, target, {"name": "a", "scopes": SCOPES})
            assert (reply.status, reply.code) == (403, "FORBIDDEN")
            assert "--auth on" in reply.json["error"]["message"]

    run(scenario, GuardedCluster(), started=True)


def test_a_handler_that_does_not_have_its_keys_checked_is_found_by_its_first_test(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.send("GET", "/api/v1/kv")).status == 500
        assert "did not hand its keys over" in caplog.text

    monkeypatch.setattr("gateway.access.Access.check", lambda *_: None)
    run(scenario)


def test_nobody_may_do_anything_before_the_guard_has_spoken() -> None:
    with pytest.raises(ApiError):
        nobody().check(["a"])


def test_what_one_request_named_is_not_told_of_another() -> None:
    one = everybody()
    one.check(["a"])
    assert one.named == (["a"],)
    with pytest.raises(ApiError):
        nobody().check(["a"])
    assert (everybody().named, nobody().named) == ((), ())


def test_the_description_says_how_to_show_a_token_exactly_where_one_is_needed() -> None:
    async def with_auth(client: Client) -> None:
        document = (await client.send("GET", "/api/v1/openapi.json")).json
        assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
        paths = document["paths"]
        assert paths["/api/v1/kv/{key}"]["get"]["security"] == [{"bearer": []}, {"apiKey": []}]
        assert {"401", "403"} <= set(paths["/api/v1/kv/{key}"]["get"]["responses"])
        assert "security" not in paths["/api/v1/health"]["get"]
        assert "401" not in paths["/api/v1/health"]["get"]["responses"]

    async def without(client: Client) -> None:
        document = (await client.send("GET", "/api/v1/openapi.json")).json
        assert "security" not in document["paths"]["/api/v1/kv/{key}"]["get"]

    guarded(with_auth)
    run(without)
