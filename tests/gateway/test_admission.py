"""What one client or all of them may have under way at a gateway, and what they are told beyond it."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest
from litestar.types import HTTPScope, Receive, Send

from gateway.dispatch import LARGE_BYTES
from gateway.limits import HttpLimits
from gateway.settings import GatewaySettings
from tests.gateway.double import NAME, SETTINGS, Client, Fault, Reply, run, until
from tests.gateway.placement_double import GUARDED, ROOT, GuardedCluster, bearer
from wire.messages import ReadRequest

A, B = "192.0.2.1", "192.0.2.2"


async def figures(client: Client) -> dict[str, float]:
    text = (await client.send("GET", "/metrics", headers=bearer(ROOT))).body.decode()
    rows = [line.rpartition(" ") for line in text.splitlines() if line.startswith("concord_gateway_")]
    return {name.removeprefix("concord_gateway_"): float(value) for name, _, value in rows}


async def settled(client: Client) -> None:
    """Nothing is held any more."""
    found = await figures(client)
    held = {name: value for name, value in found.items() if name.endswith("_in_flight")}
    assert held == {"requests_in_flight": 0.0, "bytes_in_flight": 0.0, "addresses_in_flight": 0.0}


def held_reads(client: Client, count: int, **kwargs: Any) -> list["asyncio.Task[Reply]"]:
    """Requests whose answer does not come for a while."""
    client.cluster.faults += [Fault(None, request=ReadRequest) for _ in range(count)]
    return [asyncio.create_task(client.send("GET", "/api/v1/kv/a", **kwargs)) for _ in range(count)]


def test_one_address_cannot_take_all_and_a_full_gateway_says_so_to_everybody() -> None:
    async def scenario(client: Client) -> None:
        first = held_reads(client, 2, address=A)
        await asyncio.sleep(0)
        over = await client.send("GET", "/api/v1/kv/a", address=A)
        assert (over.status, over.code, over.headers["retry-after"]) == (429, "TOO_MANY_REQUESTS", "1")
        second = held_reads(client, 1, address=B)
        await asyncio.sleep(0)
        full = await client.send("GET", "/api/v1/kv/a", address=B)
        assert (full.status, full.code, full.headers["retry-after"]) == (503, "CLUSTER_UNAVAILABLE", "1")
        assert (await client.send("GET", "/livez", address=A)).status == 200
        await asyncio.gather(*first, *second)
        assert (await client.send("GET", "/api/v1/kv/a", address=A)).status == 404
        found = await figures(client)
        assert found['refused_total{limit="address"}'] == found['refused_total{limit="gateway"}'] == 1
        await settled(client)

    run(scenario, limits=HttpLimits(requests_in_flight=3, requests_per_address=2))


def test_behind_a_trusted_proxy_the_share_is_that_of_the_client_it_names() -> None:
    settings = msgspec.structs.replace(SETTINGS, trusted_proxies=[A])

    async def scenario(client: Client) -> None:
        named = [("x-forwarded-for", "203.0.113.1")]
        first = held_reads(client, 1, address=A, headers=named)
        await asyncio.sleep(0)
        assert (await client.send("GET", "/api/v1/kv/b", address=A, headers=named)).status == 429
        other = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "203.0.113.2")]
        assert (await client.send("GET", "/api/v1/kv/b", address=A, headers=other)).status == 404
        assert (await client.send("GET", "/api/v1/kv/b", address=B, headers=named)).status == 404  # nobody's proxy
        await asyncio.gather(*first)

    run(scenario, settings=settings, limits=HttpLimits(requests_per_address=1))


def guarded(scenario: Any, limits: HttpLimits, settings: GatewaySettings = GUARDED) -> None:
    async def ready(client: Client) -> None:
        await client.gateway.tokens.reached(1)  # type: ignore[union-attr]
        await scenario(client)

    run(ready, GuardedCluster(), settings=settings, started=True, limits=limits)


def test_one_token_cannot_take_all_whatever_addresses_it_comes_from() -> None:
    async def scenario(client: Client) -> None:
        cluster = cast("GuardedCluster", client.cluster)
        other = cluster.add(1)
        await until(lambda: len(client.gateway.tokens.table.tokens) == 2)  # type: ignore[union-attr]
        body_waits = asyncio.Event()

        async def receive() -> dict[str, object]:
            await body_waits.wait()
            return {"type": "http.request", "body": b'{"value":1}', "more_body": False}

        first = asyncio.create_task(put(client, receive, bearer(ROOT)))
        await asyncio.sleep(0)
        over = await client.send("GET", "/api/v1/kv/a", address=B, headers=bearer(ROOT))
        assert (over.status, over.code) == (429, "TOO_MANY_REQUESTS")
        assert "token" in over.json["error"]["message"]
        assert (await client.send("GET", "/api/v1/kv/a", address=A, headers=bearer(other))).status == 404
        body_waits.set()
        assert (await first).status == 200
        await settled(client)

    guarded(scenario, HttpLimits(requests_per_token=1))


async def put(client: Client, receive: Any, headers: list[tuple[str, str]], length: int | None = None) -> Reply:
    """A PUT whose body comes from `receive`."""
    sent = [(name.encode(), value.encode()) for name, value in headers]
    if length is not None:
        sent.append((b"content-length", b"%d" % length))
    scope = {
        "type": "http",
        "method": "PUT",
        "raw_path": b"/api/v1/kv/a",
        "query_string": b"",
        "headers": sent,
        "client": (A, 1),
    }
    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    await client.gateway.dispatcher(cast("HTTPScope", scope), cast("Receive", receive), cast("Send", send))
    start, content = answers
    return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, content["body"])


def test_bytes_of_one_address_are_limited_as_they_are_announced_or_come() -> None:
    async def scenario(client: Client) -> None:
        small = b'{"value":1}'
        assert (await client.send("PUT", "/api/v1/kv/a", raw=small)).status == 200
        for sent in ({"raw": b"x" * 101}, {"chunks": [b"x" * 60, b"x" * 60]}):
            over = await client.send("PUT", "/api/v1/kv/a", **cast("Any", sent))
            assert (over.status, over.code) == (429, "TOO_MANY_REQUESTS")
        assert (await client.send("PUT", "/api/v1/kv/a", raw=small)).status == 200
        await settled(client)

    run(scenario, limits=HttpLimits(bytes_per_address=100))


def test_a_large_answer_to_a_read_that_does_not_fit_is_refused_and_one_that_fits_comes_whole() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.put("a", value=b'"' + b"v" * LARGE_BYTES + b'"')
        client.cluster.put("b", value=b'"' + b"v" * (2 * LARGE_BYTES) + b'"')
        reply = await client.send("GET", "/api/v1/kv/a")
        assert (reply.status, reply.data["value"]) == (200, "v" * LARGE_BYTES)
        assert int(reply.headers["content-length"]) == len(reply.body)
        over = await client.send("GET", "/api/v1/kv/b")
        assert (over.status, over.code) == (503, "CLUSTER_UNAVAILABLE")
        await settled(client)

    run(scenario, limits=HttpLimits(bytes_in_flight=int(1.5 * LARGE_BYTES)))


def test_who_does_not_take_a_large_answer_is_cut_off_and_holds_its_bytes_until_then() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.put("a", value=b'"' + b"v" * LARGE_BYTES + b'"')
        parts: list[Any] = []

        async def send(message: Any) -> None:
            parts.append(message)
            if len(parts) == 3:
                assert (await figures(client))["bytes_in_flight"] > LARGE_BYTES
                await asyncio.Event().wait()

        scope = {
            "type": "http",
            "method": "GET",
            "raw_path": b"/api/v1/kv/a",
            "query_string": b"",
            "headers": [],
            "client": (A, 1),
        }
        await client.gateway.dispatcher(cast("HTTPScope", scope), cast("Receive", None), cast("Send", send))
        assert len(parts) == 3
        assert parts[-1]["more_body"] is True
        await settled(client)

    run(scenario, limits=HttpLimits(answer_grace_s=0.05, answer_bytes_per_s=1 << 40))


def drip(chunks: Iterator[bytes], pause_s: float) -> Any:
    async def receive() -> dict[str, object]:
        await asyncio.sleep(pause_s)
        chunk = next(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    return receive


def test_a_body_that_does_not_come_or_drips_is_cut_and_leaves_nothing_behind() -> None:
    async def scenario(client: Client) -> None:
        endless = iter(lambda: b" ", b"")
        for slow in (drip(endless, 0.005), drip(iter(()), 3600)):
            cut = await put(client, slow, [], length=1000)
            assert (cut.status, cut.code) == (408, "REQUEST_TIMEOUT")
            assert cut.headers["connection"] == "close"  # the rest would be taken for another request
        assert not client.cluster.applied
        await settled(client)

    run(scenario, limits=HttpLimits(body_grace_s=0.05, body_bytes_per_s=1 << 20))


def test_a_refused_request_leaves_its_connection_clean_or_says_that_it_ends() -> None:
    """Its body may still be on the way; taken for the next request, or met by a closed connection, it hurts that one."""

    async def scenario(client: Client) -> None:
        taken: list[str] = []

        async def late() -> dict[str, object]:
            await asyncio.sleep(0.01)
            taken.append("body")
            return {"type": "http.request", "body": b'{"value":1}', "more_body": False}

        wrong = bearer(f"{ROOT[:-1]}{'0' if ROOT[-1] != '0' else '1'}")
        refused = await put(client, late, wrong, length=11)
        assert (refused.status, taken, "connection" in refused.headers) == (401, ["body"], False)
        for length in (100_000, 11):  # too large to be taken for nothing; and one that does not come
            refused = await put(client, drip(iter(()), 3600), wrong, length=length)
            assert (refused.status, refused.headers["connection"]) == (401, "close")
        nothing = await client.send("GET", "/api/v1/kv/a", headers=wrong)
        assert (nothing.status, "connection" in nothing.headers) == (401, False)

        taken.clear()
        client.gateway.dispatcher.admission.throttle.limit = 0  # nobody can enter
        full = await put(client, late, wrong, length=11)
        assert (full.status, taken, "connection" in full.headers) == (503, ["body"], False)
        client.gateway.dispatcher.admission.throttle.limit = 0  # it has begun to climb back
        full = await put(client, drip(iter(()), 3600), wrong, length=100_000)
        assert (full.status, full.headers["connection"]) == (503, "close")

    guarded(scenario, HttpLimits())


def test_a_body_that_comes_fast_enough_has_until_the_end_and_no_longer() -> None:
    async def scenario(client: Client) -> None:
        endless = iter(lambda: b" " * 100, b"")
        assert (await put(client, drip(endless, 0.001), [])).status == 408
        whole = iter([b'{"value":', b"1", b"}"])
        assert (await put(client, drip(whole, 0.001), [])).status == 200

    run(scenario, limits=HttpLimits(body_grace_s=0.1, body_bytes_per_s=1, body_s_max=0.15))


def test_wrong_tokens_of_one_address_are_slowed_down_and_good_ones_and_others_pass() -> None:
    async def scenario(client: Client) -> None:
        wrong = bearer(ROOT[:-1] + ("0" if ROOT[-1] != "0" else "1"))
        found = [await client.send("GET", "/api/v1/kv/a", address=A, headers=wrong) for _ in range(5)]
        assert [reply.status for reply in found] == [401, 401, 401, 429, 429]
        assert 1 <= int(found[-1].headers["retry-after"]) <= 3600
        assert (await client.send("GET", "/api/v1/kv/a", address=A, headers=bearer(ROOT))).status == 404
        assert (await client.send("GET", "/api/v1/kv/a", address=A)).status == 401  # none at all is no guess
        assert (await client.send("GET", "/api/v1/kv/a", address=B, headers=wrong)).status == 401
        shown = await figures(client)
        assert shown['wrong_tokens_total{outcome="throttled"}'] == 2
        assert shown['wrong_tokens_total{outcome="refused"}'] == 4

    guarded(scenario, HttpLimits(failed_logins=3, failed_login_interval_s=3600.0))


def test_watchers_of_one_address_are_limited_and_leave_room_when_they_go() -> None:
    settings = msgspec.structs.replace(SETTINGS, watchers_per_address=2)

    async def scenario(client: Client) -> None:
        first = [await client.watch(address=A).until("synced") for _ in range(2)]
        over = await client.send("GET", "/api/v1/watch", address=A)
        assert (over.status, over.code, over.headers["retry-after"]) == (429, "TOO_MANY_REQUESTS", "1")
        other = await client.watch(address=B).until("synced")
        await first[0].leave()
        again = await client.watch(address=A).until("synced")
        for watcher in (first[1], other, again):
            await watcher.leave()
        await settled(client)

    run(scenario, settings=settings)


def test_watchers_of_one_token_are_limited() -> None:
    async def scenario(client: Client) -> None:
        streams = [watching(client, A), watching(client, B)]
        await until(lambda: client.gateway.hub.watchers == 1)
        over = await client.send("GET", "/api/v1/watch", address=B, headers=bearer(ROOT))
        assert (over.status, over.code) == (429, "TOO_MANY_REQUESTS")
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    guarded(scenario, HttpLimits(), msgspec.structs.replace(GUARDED, watchers_per_token=1))


def watching(client: Client, address: str) -> "asyncio.Task[Reply]":
    never = asyncio.Event()
    return asyncio.create_task(client.send("GET", "/api/v1/watch", address=address, headers=bearer(ROOT), gone=never))


def test_settings_name_a_proxy_that_is_none() -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        GatewaySettings(nodes=["127.0.0.1:1"], cluster=NAME, trusted_proxies=["balancer"])
