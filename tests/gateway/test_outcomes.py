"""Retries within the deadline, never applying twice, and what the client is told when they run out."""

import pytest

from gateway.caller import Pace
from tests.gateway.double import CONNECTION_LOST, Client, FakeCluster, Fault, Reply, run
from wire.errors import Applied, Code, Failure
from wire.messages import ReadRequest, WriteRequest

SOON = [("x-concord-timeout-ms", "150")]
ODD_FAILURES = [
    Failure(Code.NOT_LEADER, "no leader known"),
    Failure(Code.UNAVAILABLE, "no quorum"),
    Failure(Code.TIMEOUT, "expired on arrival"),
    Failure(Code.WRONG_GROUP, "not mine", epoch=1),
]


@pytest.mark.parametrize("failure", ODD_FAILURES, ids=lambda failure: failure.code.value)
def test_a_definite_failure_is_tried_again_within_the_deadline(failure: Failure) -> None:
    async def scenario(client: Client) -> None:
        client.cluster.faults.append(Fault(failure, times=3))
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 1})).status == 200
        client.cluster.faults.append(Fault(failure, times=3))
        assert (await client.send("GET", "/api/v1/kv/a")).data == {"value": 1}
        assert len(client.cluster.applied) == 1

    run(scenario)


def test_a_hint_is_followed_and_remembered() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        client.cluster.calls.clear()
        await client.send("PUT", "/api/v1/kv/a", {"value": 2})
        assert [node for node, _ in client.cluster.calls] == [client.cluster.leaders[client.cluster.group_of("a")]]

    run(scenario)


@pytest.mark.parametrize("applies", [True, False])
@pytest.mark.parametrize("failure", [CONNECTION_LOST, None, Failure(Code.INTERNAL, "defect", Applied.UNKNOWN)])
def test_a_write_without_an_answer_is_repeated_under_its_id_and_applied_once(
    failure: Failure | None, *, applies: bool
) -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a", {"value": 0})
        client.cluster.applied.clear()
        client.cluster.calls.clear()
        client.cluster.faults.append(Fault(failure, applies=applies, request=WriteRequest))
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 1})).status == 200
        assert client.cluster.applied == [(client.cluster.group_of("a"), "a")]
        assert len({request.id for request in client.cluster.requests(WriteRequest)}) == 1

    run(scenario)


def test_a_write_that_was_never_answered_ends_as_unknown() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.faults.append(Fault(CONNECTION_LOST, times=10_000))
        _check(await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=SOON), 504, "TIMEOUT", "unknown")

    run(scenario)


def test_definite_failures_after_an_unknown_one_do_not_make_it_definite() -> None:
    group = FakeCluster().group_of("a")

    async def scenario(client: Client) -> None:
        await client.send("GET", "/api/v1/kv/a")  # the leader is known now
        client.cluster.faults.append(Fault(CONNECTION_LOST, applies=True, node=client.cluster.leaders[group]))
        client.cluster.faults.append(Fault(Failure(Code.UNAVAILABLE, "no leader"), times=10_000))
        _check(await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=SOON), 504, "TIMEOUT", "unknown")
        assert client.cluster.applied == [(group, "a")]

    run(scenario)


def test_a_key_that_moved_after_an_unknown_attempt_is_not_written_under_a_new_id() -> None:
    async def scenario(client: Client) -> None:
        await client.send("GET", "/api/v1/kv/a")
        client.cluster.faults.append(Fault(CONNECTION_LOST, applies=True))
        client.cluster.faults.append(Fault(Failure(Code.WRONG_GROUP, "moved", epoch=2), times=10_000))
        _check(await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=SOON), 504, "TIMEOUT", "unknown")
        assert len({request.id for request in client.cluster.requests(WriteRequest)}) == 1
        assert len(client.cluster.applied) == 1

    run(scenario)


def test_without_a_leader_the_answer_is_503_and_says_that_nothing_was_applied() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.faults.append(Fault(Failure(Code.NOT_LEADER, "no leader"), times=10_000))
        for method, body in (("PUT", {"value": 1}), ("GET", None), ("DELETE", None)):
            reply = await client.send(method, "/api/v1/kv/a", body, headers=SOON)
            _check(reply, 503, "CLUSTER_UNAVAILABLE", applied=False)
            assert int(reply.headers["retry-after"]) >= 1

    run(scenario)


def test_a_read_without_an_answer_is_504_and_applied_false() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.faults.append(Fault(None, times=10_000))
        _check(await client.send("GET", "/api/v1/kv/a", headers=SOON), 504, "TIMEOUT", applied=False)
        _check(await client.send("GET", "/api/v1/kv", headers=SOON), 504, "TIMEOUT", applied=False)

    run(scenario)


def test_an_overloaded_group_is_told_to_the_client_at_once() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.faults.append(Fault(Failure(Code.OVERLOADED, "full", retry_after_ms=2500)))
        reply = await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        _check(reply, 503, "CLUSTER_UNAVAILABLE", applied=False)
        assert reply.headers["retry-after"] == "3"
        assert not client.cluster.calls

    run(scenario)


def test_without_a_map_the_answer_is_503_at_once() -> None:
    async def scenario(client: Client) -> None:
        for method, target, body in (
            ("PUT", "/api/v1/kv/a", {"value": 1}),
            ("GET", "/api/v1/kv/a", None),
            ("GET", "/api/v1/kv", None),
            ("GET", "/api/v1/status", None),
            ("POST", "/api/v1/kv/bulk", {"operations": [{"key": "a", "value": 1}]}),
        ):
            reply = await client.send(method, target, body)
            _check(reply, 503, "CLUSTER_UNAVAILABLE", applied=False)
            assert "quorum" not in reply.json["error"]["message"]  # nobody was asked

    run(scenario, knows_map=False)


@pytest.mark.parametrize("named", ["a dead node", "nobody"])
def test_writes_go_on_after_a_leader_died(named: str) -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        group = cluster.group_of("a")
        dead = cluster.leaders[group]
        cluster.down.add(dead)
        cluster.leaders[group] = next(node for node in cluster.nodes if node != dead)
        rumour = dead if named == "a dead node" else ""
        cluster.faults.append(Fault(Failure(Code.NOT_LEADER, "an old rumour", leader=rumour), times=2))
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 2})).status == 200

    run(scenario)


def test_a_leader_that_came_back_is_found_again() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        leader = cluster.leaders[cluster.group_of("a")]
        cluster.faults.append(Fault(Failure(Code.UNAVAILABLE, "restarting"), node=leader))
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 2})).status == 200

    run(scenario)


def test_a_paused_leader_costs_one_attempt_not_the_deadline() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        group = cluster.group_of("a")
        paused = cluster.leaders[group]
        cluster.faults.append(Fault(None, node=paused, times=10_000))
        cluster.leaders[group] = next(node for node in cluster.nodes if node != paused)
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 2})).status == 200
        assert cluster.applied == [(group, "a")] * 2

    run(scenario, pace=Pace(attempt_s=0.03, pause_first_s=0.001, pause_max_s=0.005))


def test_a_stale_read_takes_any_replica_that_is_there() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        cluster.down.update(cluster.nodes[1:])
        assert (await client.send("GET", "/api/v1/kv/a?consistency=stale")).data == {"value": 1}
        cluster.down.add(cluster.nodes[0])
        reply = await client.send("GET", "/api/v1/kv/a?consistency=stale", headers=SOON)
        _check(reply, 503, "CLUSTER_UNAVAILABLE", applied=False)

    run(scenario)


def test_keys_that_moved_are_written_to_their_new_group_once_the_map_is_here() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        source, target = cluster.groups[:2]
        moved, stays = cluster.key_in(source), cluster.key_in(source, start=1000)
        await client.send("PUT", f"/api/v1/kv/{moved}", {"value": "old"})
        cluster.applied.clear()
        cluster.move(moved, target)
        body = {"operations": [{"key": moved, "value": "new"}, {"key": stays, "value": "same"}]}
        reply = await client.send("POST", "/api/v1/kv/bulk", body)
        assert reply.data == [{"key": moved, "status": "ok"}, {"key": stays, "status": "ok"}]
        assert sorted(cluster.applied) == [(source, stays), (target, moved)]
        cluster.move(moved, source)
        assert (await client.send("GET", f"/api/v1/kv/{moved}")).data == {"value": "new"}

    run(scenario, started=True)


def test_a_bulk_request_answers_for_each_group_by_itself() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        away, lost, fine = (cluster.key_in(group) for group in cluster.groups[:3])
        for group, failure in zip(
            cluster.groups[:2], (Failure(Code.UNAVAILABLE, "no quorum"), CONNECTION_LOST), strict=True
        ):
            cluster.broken[group] = failure
        operations = [{"key": key, "value": 1} for key in (away, fine, lost)]
        reply = await client.send("POST", "/api/v1/kv/bulk", {"operations": operations}, headers=SOON)
        assert reply.status == 200
        assert reply.data == [
            {"key": away, "status": "error", "error": "CLUSTER_UNAVAILABLE"},
            {"key": fine, "status": "ok"},
            {"key": lost, "status": "error", "error": "UNKNOWN"},
        ]
        got = await client.send("POST", "/api/v1/kv/bulk/get", {"keys": [away, fine]}, headers=SOON)
        assert got.data == {
            away: {"status": "error", "error": "CLUSTER_UNAVAILABLE"},
            fine: {"status": "ok", "value": 1},
        }

    run(scenario)


def test_a_bulk_request_of_which_nothing_could_be_done_fails_as_a_whole() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        operations = [{"key": cluster.key_in(group), "value": 1} for group in cluster.groups]
        cluster.broken = dict.fromkeys(cluster.groups, Failure(Code.UNAVAILABLE, "no quorum"))
        reply = await client.send("POST", "/api/v1/kv/bulk", {"operations": operations}, headers=SOON)
        _check(reply, 503, "CLUSTER_UNAVAILABLE", applied=False)
        cluster.broken = dict.fromkeys(cluster.groups, CONNECTION_LOST)
        reply = await client.send("POST", "/api/v1/kv/bulk", {"operations": operations}, headers=SOON)
        _check(reply, 504, "TIMEOUT", "unknown")

    run(scenario)


def test_a_listing_is_refused_when_a_group_is_away() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.broken[client.cluster.groups[0]] = Failure(Code.UNAVAILABLE, "no quorum")
        _check(await client.send("GET", "/api/v1/kv", headers=SOON), 503, "CLUSTER_UNAVAILABLE", applied=False)

    run(scenario)


def test_messages_of_the_cluster_stay_inside() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.faults.append(Fault(Failure(Code.INVALID, "10.0.0.7:4100 /var/lib/concord")))
        reply = await client.send("GET", "/api/v1/kv/a")
        assert reply.status == 400
        assert b"10.0.0.7" not in reply.body
        assert not client.cluster.requests(ReadRequest)

    run(scenario)


def _check(reply: Reply, status: int, code: str, applied: object) -> None:
    assert (reply.status, reply.code) == (status, code), reply.body
    assert reply.json["error"]["applied"] == applied
    assert reply.json["error"]["retryable"] is True
