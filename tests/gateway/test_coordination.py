"""Transactions, rate limits, locks and services over HTTP."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import pytest

from gateway import locks
from gateway.caller import Pace
from gateway.errors import ApiCode, ApiError
from tests.gateway.double import NOT_LEADER, Client, Fault, Reply, run, until
from tests.gateway.machines import MachineCluster, WaitingCluster
from wire.messages import LIMIT_WAIT_MS, AcquireLock, AwaitLockRequest, LeaveQueue, LockInfo, ReleaseLock, WriteRequest

T = TypeVar("T")

LOCK = "/api/v1/locks/orders%2F7"


def play(scenario: Callable[[Client, MachineCluster], Awaitable[None]]) -> None:
    cluster = MachineCluster()

    async def bound(client: Client) -> None:
        await scenario(client, cluster)

    run(bound, cluster)


async def post(client: Client, path: str, body: object = None, gone: asyncio.Event | None = None) -> Reply:
    return await client.send("POST", "/api/v1" + path, body, gone=gone)


def written(cluster: MachineCluster, kind: type[T]) -> list[T]:
    return [one.operation for one in cluster.requests(WriteRequest) if isinstance(one.operation, kind)]


# --- transactions


def test_a_transaction_takes_one_branch_at_one_revision() -> None:
    async def scenario(client: Client, _: MachineCluster) -> None:
        take = {
            "compare": [{"key": "{s}stock", "value": 0, "op": ">"}, {"key": "{s}order", "exists": False}],
            "success": [
                {"op": "increment", "key": "{s}stock", "by": -1},
                {"op": "put", "key": "{s}order", "value": {"by": "me"}, "ttl": 60},
                {"op": "get", "key": "{s}order"},
                {"op": "delete", "key": "{s}basket"},
            ],
            "failure": [{"op": "get", "key": "{s}stock"}, {"op": "get", "key": "{s}nothing"}],
        }
        none = await post(client, "/txn", take)
        assert none.data["succeeded"] is False
        assert none.data["results"] == [
            {"key": "{s}stock", "status": "error", "error": "not_found"},
            {"key": "{s}nothing", "status": "error", "error": "not_found"},
        ]
        await client.send("PUT", "/api/v1/kv/%7Bs%7Dstock", {"value": 3})
        done = await post(client, "/txn", take)
        revision = done.data["revision"]
        assert done.data == {
            "succeeded": True,
            "results": [
                {"key": "{s}stock", "status": "ok", "value": 2, "revision": revision},
                {"key": "{s}order", "status": "ok"},
                {"key": "{s}order", "status": "ok", "value": {"by": "me"}, "revision": revision},
                {"key": "{s}basket", "status": "ok", "deleted": False},
            ],
            "revision": revision,
        }
        assert (await post(client, "/txn", take)).data["succeeded"] is False

    play(scenario)


def test_a_transaction_that_cannot_be_done_whole_is_not_done() -> None:
    async def scenario(client: Client, _: MachineCluster) -> None:
        await client.send("PUT", "/api/v1/kv/%7Bs%7Dtext", {"value": "x"})
        for last, status in (
            ({"op": "increment", "key": "{s}text"}, 409),
            ({"op": "touch", "key": "{s}gone", "ttl": 5}, 404),
            ({"op": "put", "key": "{s}text", "value": 1, "if_value": "y"}, 412),
        ):
            reply = await post(client, "/txn", {"success": [{"op": "put", "key": "{s}a", "value": 1}, last]})
            assert (reply.status, "item 1" in reply.json["error"]["message"]) == (status, True), reply.body
        assert (await client.send("GET", "/api/v1/kv/%7Bs%7Da")).status == 404

    play(scenario)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "INVALID_REQUEST"),
        ({"success": [{"op": "put", "key": "a"}]}, "INVALID_REQUEST"),
        ({"success": [{"op": "steal", "key": "a"}]}, "INVALID_REQUEST"),
        ({"success": [{"op": "get", "key": ""}]}, "INVALID_KEY"),
        ({"success": [{"op": "get", "key": "a"}, {"op": "get", "key": "b"}]}, "CROSS_GROUP"),
        ({"compare": [{"key": "a", "exists": True}], "failure": [{"op": "get", "key": "b"}]}, "CROSS_GROUP"),
        ({"compare": [{"key": "a"}]}, "INVALID_REQUEST"),
        ({"compare": [{"key": "a", "exists": True, "revision": 1}]}, "INVALID_REQUEST"),
        ({"compare": [{"key": "a", "exists": True, "op": "<"}]}, "INVALID_REQUEST"),
        ({"compare": [{"key": "a", "exists": None}]}, "INVALID_REQUEST"),
        ({"compare": [{"key": "a", "revision": -1}]}, "INVALID_REQUEST"),
        ({"compare": [{"key": "a", "value": 1, "op": "~"}]}, "INVALID_REQUEST"),
        ({"success": [{"op": "get", "key": "a"}] * 501}, "BATCH_TOO_LARGE"),
    ],
)
def test_a_bad_transaction_is_refused(body: object, code: str) -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        reply = await post(client, "/txn", body)
        assert (reply.code, cluster.calls) == (code, []), reply.body

    play(scenario)


# --- rate limits


@pytest.mark.parametrize("algorithm", ["fixed", "gcra"])
def test_a_limit_is_exact_and_says_what_is_left(algorithm: str) -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        cluster.now_ms = 20_000
        ask = {"limit": 10, "window": 5, "cost": 2, "algorithm": algorithm}
        replies = [await post(client, "/limits/api/acquire", ask) for _ in range(7)]
        assert [reply.data["allowed"] for reply in replies] == [True] * 5 + [False] * 2
        assert [reply.data["remaining"] for reply in replies[:5]] == [8, 6, 4, 2, 0]
        assert all(reply.status == 200 for reply in replies)
        assert replies[0].headers["ratelimit-limit"] == "10"
        assert replies[0].headers["ratelimit-remaining"] == "8"
        assert replies[0].headers["ratelimit-policy"] == "10;w=5"
        assert (replies[5].headers["retry-after"], "retry-after" in replies[0].headers) == (
            {"fixed": "5", "gcra": "1"}[algorithm],
            False,
        )
        cluster.now_ms += replies[5].data["retry_after_ms"]
        assert (await post(client, "/limits/api/acquire", ask)).data["allowed"]
        assert (await post(client, "/limits/other/acquire", ask)).data["remaining"] == 8

    play(scenario)


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 0, "window": 1},
        {"limit": -1, "window": 1},
        {"limit": 1, "window": 0},
        {"limit": 1 << 70, "window": 1},
        {"limit": 1.5, "window": 1},
        {"limit": 5, "window": 1, "cost": 6},
        {"limit": 5, "window": 1, "cost": 0},
        {"limit": 5, "window": 1, "algorithm": "leaky"},
        {"limit": "5", "window": 1},
        {"limit": 5},
    ],
)
def test_a_bad_limit_is_refused(body: object) -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        reply = await post(client, "/limits/api/acquire", body)
        assert (reply.status, reply.code, cluster.calls) == (400, "INVALID_REQUEST", [])

    play(scenario)


# --- locks


def test_a_lock_has_one_holder_and_a_fence_that_rises() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        first = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 10})
        assert (first.status, first.data["ttl"]) == (200, 10)
        fence = first.data["fence"]
        other = await post(client, "/locks/l/acquire", {"owner": "b", "ttl": 10})
        assert (other.status, other.code) == (409, "CONFLICT")
        assert other.json["error"]["holder"] == {"owner": "a", "fence": fence, "ttl": 10}
        again = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 20})
        assert again.data == {"fence": fence, "ttl": 20}
        for owner, wrong in (("a", fence + 1), ("b", fence), ("a", 0)):
            assert (await post(client, "/locks/l/release", {"owner": owner, "fence": wrong})).status == 409
            assert (await post(client, "/locks/l/renew", {"owner": owner, "fence": wrong, "ttl": 9})).status == 409
        assert (await post(client, "/locks/l/renew", {"owner": "a", "fence": fence, "ttl": 9})).data["ttl"] == 9
        assert (await post(client, "/locks/l/release", {"owner": "a", "fence": fence})).body == b'{"status":"ok"}'
        assert (await post(client, "/locks/l/release", {"owner": "a", "fence": fence})).status == 409
        later = await post(client, "/locks/l/acquire", {"owner": "b", "ttl": 1})
        assert later.data["fence"] > fence
        cluster.now_ms += 1_001
        expired = await post(client, "/locks/l/renew", {"owner": "b", "fence": later.data["fence"], "ttl": 9})
        assert expired.status == 409
        assert (await post(client, "/locks/l/acquire", {"owner": "c", "ttl": 1})).data["fence"] > later.data["fence"]

    play(scenario)


def test_a_lock_that_was_lost_is_not_said_to_be_held_because_it_once_was() -> None:
    """An answer by idempotency key would be of ten minutes ago. Who asks is known by its owner already."""

    async def scenario(client: Client, cluster: MachineCluster) -> None:
        async def acquire(owner: str) -> Reply:
            body, once = {"owner": owner, "ttl": 1}, [("idempotency-key", "same")]
            return await client.send("POST", "/api/v1/locks/l/acquire", body, headers=once)

        first = await acquire("a")
        cluster.now_ms += 1_001
        assert (await acquire("b")).status == 200
        assert (first.status, (await acquire("a")).status) == (200, 409)

    play(scenario)


def test_who_waits_is_handed_the_lock_in_turn() -> None:
    async def scenario(client: Client, _: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        order: list[str] = []

        async def wait_for(owner: str) -> None:
            reply = await post(client, "/locks/l/acquire", {"owner": owner, "ttl": 60, "wait_ms": 20_000})
            order.append(owner)
            await post(client, "/locks/l/release", {"owner": owner, "fence": reply.data["fence"]})

        waiting = []
        for owner in "bcd":
            waiting.append(asyncio.ensure_future(wait_for(owner)))
            await asyncio.sleep(0.02)
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        await asyncio.gather(*waiting)
        assert order == ["b", "c", "d"]

    play(scenario)


def test_who_waits_in_vain_leaves_the_queue() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        late = await post(client, "/locks/l/acquire", {"owner": "b", "ttl": 60, "wait_ms": 30})
        assert (late.status, late.json["error"]["holder"]["owner"]) == (409, "a")
        assert cluster.requests(AwaitLockRequest)
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        assert (await post(client, "/locks/l/acquire", {"owner": "c", "ttl": 60})).status == 200

    play(scenario)


def test_the_wait_counts_beside_the_deadline_of_the_request() -> None:
    async def scenario(client: Client, _: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        loop = asyncio.get_running_loop()
        began, body = loop.time(), {"owner": "b", "ttl": 60, "wait_ms": 400}
        brief = [("x-concord-timeout-ms", "100")]
        late = await client.send("POST", "/api/v1/locks/l/acquire", body, headers=brief)
        assert (late.status, loop.time() - began > 0.3) == (409, True)  # well after the deadline
        patient, began = {**body, "wait_ms": 20_000}, loop.time()
        waiting = asyncio.ensure_future(client.send("POST", "/api/v1/locks/l/acquire", patient, headers=brief))
        await until(lambda: loop.time() - began > 0.3)
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        assert (await waiting).status == 200

    play(scenario)


def test_who_goes_away_while_waiting_leaves_the_queue() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        gone = asyncio.Event()
        body = {"owner": "b", "ttl": 60, "wait_ms": 20_000}
        waiting = asyncio.ensure_future(post(client, "/locks/l/acquire", body, gone))
        await asyncio.sleep(0.02)
        gone.set()
        assert (await waiting).status == 0
        await until(lambda: bool(written(cluster, LeaveQueue)))
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        assert (await post(client, "/locks/l/acquire", {"owner": "c", "ttl": 60})).status == 200

    play(scenario)


PATIENT = {"owner": "b", "ttl": 60, "wait_ms": 20_000}
PATIENT_PACE = Pace(attempt_s=60)


async def queued(
    client: Client, cluster: MachineCluster, gone: asyncio.Event | None = None, owner: str = "b"
) -> "asyncio.Task[Reply]":
    """A request that waits in the queue of the lock l."""
    asked = len(written(cluster, AcquireLock))
    waiting = asyncio.create_task(post(client, "/locks/l/acquire", {**PATIENT, "owner": owner}, gone))
    await until(lambda: len(written(cluster, AcquireLock)) > asked)
    return waiting


def test_who_hangs_up_leaves_a_later_request_of_the_same_owner_in_the_queue() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        gone = asyncio.Event()
        first = await queued(client, cluster, gone)
        again = await queued(client, cluster)
        gone.set()
        await first
        await until(lambda: bool(written(cluster, LeaveQueue)))
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        reply = await asyncio.wait_for(again, 10)
        assert reply.status == 200
        assert (
            await post(client, "/locks/l/renew", {"owner": "b", "fence": reply.data["fence"], "ttl": 60})
        ).status == 200

    play(scenario)


def test_who_hangs_up_does_not_take_the_lock_from_a_later_request_that_was_told_it_has_it() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        gone = asyncio.Event()
        first = await queued(client, cluster, gone)
        cluster.faults.append(Fault(NOT_LEADER, times=1 << 30, request=AwaitLockRequest))  # it is not told
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        again = await post(client, "/locks/l/acquire", PATIENT)
        assert again.status == 200
        gone.set()
        await first
        await until(lambda: bool(written(cluster, LeaveQueue)))
        assert (
            await post(client, "/locks/l/renew", {"owner": "b", "fence": again.data["fence"], "ttl": 60})
        ).status == 200

    play(scenario)


def test_who_hangs_up_just_as_it_gets_the_lock_gives_it_back_by_one_write() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        gone = asyncio.Event()
        first = await queued(client, cluster, gone)
        cluster.faults.append(Fault(NOT_LEADER, times=1 << 30, request=AwaitLockRequest))  # it is not told
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        gone.set()
        await first
        await until(lambda: bool(written(cluster, LeaveQueue)))
        assert (await post(client, "/locks/l/acquire", {"owner": "c", "ttl": 60})).status == 200
        assert [one.owner for one in written(cluster, ReleaseLock)] == ["a"]

    play(scenario)


def test_all_requests_of_an_owner_are_told_that_it_has_the_lock_and_none_that_goes_takes_it_away() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        gone = asyncio.Event()
        waiting = [await queued(client, cluster), await queued(client, cluster), await queued(client, cluster, gone)]
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        replies = await asyncio.gather(*waiting[:2])
        gone.set()
        await waiting[2]
        fences = {reply.data["fence"] for reply in replies}
        assert len(fences) == 1
        assert (await post(client, "/locks/l/renew", {"owner": "b", "fence": fences.pop(), "ttl": 60})).status == 200

    play(scenario)


def test_two_requests_of_an_owner_that_wait_call_the_leader_once_each_and_do_not_answer_one_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "WAIT_MS", LIMIT_WAIT_MS)
    cluster = WaitingCluster()

    async def scenario(client: Client) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        waiting = [await queued(client, cluster), await queued(client, cluster)]
        await until(lambda: cluster.waiting == len(waiting))
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        first, second = await asyncio.gather(*waiting)
        assert (first.status, first.data["fence"]) == (200, second.data["fence"])
        assert len(cluster.requests(AwaitLockRequest)) == len(waiting)

    run(scenario, cluster, pace=PATIENT_PACE)


def test_a_later_request_of_an_owner_that_does_not_wait_gives_its_place_up() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        first = await queued(client, cluster)
        assert (await post(client, "/locks/l/acquire", {"owner": "b", "ttl": 60})).status == 409
        assert (await asyncio.wait_for(first, 10)).status == 409
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        assert (await post(client, "/locks/l/acquire", {"owner": "c", "ttl": 60})).status == 200

    play(scenario)


def waiting_for(cluster: MachineCluster, name: str) -> int:
    """How many the machine has in the queue of a lock."""
    result = cluster.machines[cluster.group_of(name)].lock(name, "")
    return msgspec.msgpack.decode(result.value, type=LockInfo).waiting


def test_a_draining_gateway_sends_who_waits_for_a_lock_to_another_one() -> None:
    cluster = WaitingCluster()

    async def scenario(client: Client) -> None:
        await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        waiting = [await queued(client, cluster), await queued(client, cluster, owner="c")]
        await until(lambda: cluster.waiting == len(waiting))
        client.gateway.drain()
        for reply in await asyncio.wait_for(asyncio.gather(*waiting), 10):
            assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "CLUSTER_UNAVAILABLE", "1")
            assert (reply.json["error"]["applied"], reply.json["error"]["retryable"]) == (False, True)
            assert "ask another gateway" in reply.json["error"]["message"]
        assert waiting_for(cluster, "l") == 0

    run(scenario, cluster, pace=PATIENT_PACE)


def test_a_draining_gateway_gives_locks_that_are_free_and_lets_nobody_wait_for_others() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        client.gateway.drain()
        late = await asyncio.wait_for(post(client, "/locks/l/acquire", PATIENT), 10)
        assert (late.status, late.code) == (503, "CLUSTER_UNAVAILABLE")
        assert (len(written(cluster, LeaveQueue)), waiting_for(cluster, "l")) == (1, 0)
        assert (await post(client, "/locks/l/acquire", {"owner": "b", "ttl": 60})).status == 409
        assert (await post(client, "/locks/free/acquire", PATIENT)).status == 200

    play(scenario)


def test_who_is_handed_the_lock_just_as_the_gateway_drains_is_told() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        held = await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        waiting = await queued(client, cluster)
        cluster.faults.append(Fault(NOT_LEADER, times=1 << 30, request=AwaitLockRequest))  # it is not told
        await post(client, "/locks/l/release", {"owner": "a", "fence": held.data["fence"]})
        client.gateway.drain()
        reply = await asyncio.wait_for(waiting, 10)
        assert reply.status == 200
        assert (
            await post(client, "/locks/l/renew", {"owner": "b", "fence": reply.data["fence"], "ttl": 60})
        ).status == 200

    play(scenario)


def test_who_may_still_be_in_the_queue_at_the_end_is_told_that_the_outcome_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "_ASIDE_S", 0.05)

    async def scenario(client: Client, cluster: MachineCluster) -> None:
        await post(client, "/locks/l/acquire", {"owner": "a", "ttl": 60})
        waiting = await queued(client, cluster)
        cluster.faults.append(Fault(NOT_LEADER, times=1 << 30))
        client.gateway.drain()
        reply = await asyncio.wait_for(waiting, 10)
        assert (reply.status, reply.code, reply.json["error"]["applied"]) == (504, "TIMEOUT", "unknown")

    play(scenario)


def test_a_wait_that_is_cut_off_ends_so_whatever_the_token_is_worth_by_then() -> None:
    """Else nobody would look at what it ended with, and the loop would complain."""

    def refuse() -> None:
        raise ApiError(ApiCode.UNAUTHORIZED, "the token was revoked")

    async def scenario(client: Client, cluster: MachineCluster) -> None:
        cluster.faults.append(Fault(None, times=1 << 30, request=AwaitLockRequest))
        until_s = asyncio.get_running_loop().time() + 20
        asked = AcquireLock("l", "b", 60_000, 20_000, "r")
        turn = asyncio.create_task(client.gateway._locks._await_turn(asked, until_s, refuse))
        await asyncio.sleep(0)
        turn.cancel()
        await asyncio.wait([turn])
        assert turn.cancelled()

    play(scenario)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("acquire", {"owner": "", "ttl": 1}),
        ("acquire", {"owner": "a", "ttl": 0}),
        ("acquire", {"owner": "a", "ttl": 1, "wait_ms": -1}),
        ("acquire", {"owner": "a", "ttl": 1, "wait_ms": 30_001}),
        ("acquire", {"owner": "x" * 256, "ttl": 1}),
        ("acquire", {"owner": "a", "ttl": 1 << 80}),
        ("renew", {"owner": "a", "fence": -1, "ttl": 1}),
        ("renew", {"owner": "a", "fence": "1", "ttl": 1}),
        ("release", {"owner": "a", "fence": 1 << 64}),
        ("release", {"owner": "a"}),
    ],
)
def test_a_bad_request_about_a_lock_is_refused(verb: str, body: object) -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        reply = await post(client, f"/locks/l/{verb}", body)
        assert (reply.status, reply.code, cluster.calls) == (400, "INVALID_REQUEST", [])

    play(scenario)


# --- services


def test_an_instance_can_be_registered_on_a_condition() -> None:
    async def scenario(client: Client, _: MachineCluster) -> None:
        path, body = "/api/v1/services/web/one", {"address": "a", "port": 80, "ttl": 10}
        create = [("if-none-match", "*")]
        first = await client.send("PUT", path, body, headers=create)
        assert first.status == 200
        assert (await client.send("PUT", path, body, headers=create)).status == 412
        assert (await client.send("PUT", path, body, headers=[("if-match", '"99999"')])).status == 412
        assert (await client.send("PUT", path, body, headers=[("if-match", first.headers["etag"])])).status == 200

    play(scenario)


@pytest.mark.parametrize(
    "value",
    [
        b"{ }",
        b'{"instance":"other","ttl":99,"revision":1}',
        b'{"address":"a","port":1,"metadata":{},"ttl":7}',
        b'{"address":"a","port":"1","metadata":{}}',
        b'["a"]',
    ],
)
def test_what_was_put_beside_the_registry_is_shown_as_a_value(value: bytes) -> None:
    async def scenario(client: Client, _: MachineCluster) -> None:
        await client.send("PUT", "/api/v1/kv/services/web/odd", raw=b'{"value":%b}' % value)
        (shown,) = (await client.send("GET", "/api/v1/services/web")).data
        assert (shown["instance"], shown["ttl"], shown["value"]) == ("odd", None, json.loads(value))

    play(scenario)


def test_a_service_lists_its_living_instances() -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        path = "/api/v1/services/web/"
        body = {"address": "10.0.0.1", "port": 80, "metadata": {"zone": "a"}, "ttl": 10}
        assert (await client.send("PUT", path + "one", body)).status == 200
        assert (await client.send("PUT", path + "two", {"address": "::1", "port": 81, "ttl": 30})).status == 200
        assert (await client.send("PUT", "/api/v1/services/webber/x", body)).status == 200
        listed = await client.send("GET", "/api/v1/services/web")
        assert [(one["instance"], one["port"], one["ttl"], one["metadata"]) for one in listed.data] == [
            ("one", 80, 10, {"zone": "a"}),
            ("two", 81, 30, None),
        ]
        assert (await post(client, "/services/web/one/touch", {"ttl": 60})).status == 200
        cluster.now_ms += 31_000
        await client.send("PUT", "/api/v1/kv/tick", {"value": 1})
        for group in cluster.groups:  # time passes in every group
            await client.send("PUT", "/api/v1/kv/" + cluster.key_in(group), {"value": 1})
        listed = await client.send("GET", "/api/v1/services/web")
        assert [one["instance"] for one in listed.data] == ["one"]
        assert (await post(client, "/services/web/two/touch", {"ttl": 60})).status == 404
        assert (await client.send("DELETE", path + "one")).data["deleted"] is True
        assert (await client.send("GET", "/api/v1/services/web")).data == []

    play(scenario)


@pytest.mark.parametrize("name", ["a%20b", "%2F", "a%2Fb", "x" * 201, "%00", "caf%C3%A9"])
def test_a_bad_name_of_a_service_is_refused(name: str) -> None:
    async def scenario(client: Client, cluster: MachineCluster) -> None:
        reply = await client.send("GET", "/api/v1/services/" + name)
        body = {"address": "a", "port": 1, "ttl": 1}
        other = await client.send("PUT", f"/api/v1/services/s/{name}", body)
        assert {(one.status, one.code) for one in (reply, other)} == {(400, "INVALID_KEY")}
        assert not cluster.calls

    play(scenario)


def test_paths_that_name_nothing_are_told_apart_from_wrong_methods() -> None:
    async def scenario(client: Client, _: MachineCluster) -> None:
        for method, path, status, allow in (
            ("GET", "/locks/l/acquire", 405, "POST"),
            ("POST", "/locks/l/steal", 404, ""),
            ("POST", "/locks/l", 404, ""),
            ("POST", "/locks//acquire", 404, ""),
            ("GET", "/limits/l", 404, ""),
            ("POST", "/services/s", 405, "GET, HEAD"),
            ("GET", "/services/s/i", 405, "DELETE, PUT"),
            ("GET", "/services/s/i/j", 404, ""),
        ):
            reply = await client.send(method, "/api/v1" + path)
            assert (reply.status, reply.headers.get("allow", "")) == (status, allow), path

    play(scenario)
