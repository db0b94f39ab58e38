"""Streams of changes as a client sees them, over a gateway of a cluster in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from gateway.answers import PART_BYTES
from gateway.limits import HttpLimits
from gateway.watch.joining import PAGE_BYTES
from tests.gateway.double import (
    CONNECTION_LOST,
    QUICK_WATCH,
    SETTINGS,
    Client,
    FakeCluster,
    Fault,
    Sse,
    Watcher,
    run,
    until,
)
from wire.errors import Code, Failure
from wire.messages import ListRequest, ReadRequest, WatchRequest
from wire.positions import Position

Scenario = Callable[[Client], Awaitable[None]]


async def settled(client: Client, count: int = 0) -> None:
    """Wait until so many watchers are left."""
    await until(lambda: client.gateway.hub.watchers == count)


async def told(watcher: Watcher, count: int) -> list[tuple[str, str]]:
    """Wait for so many events with a key."""
    await until(lambda: len(watcher.told()) >= count)
    return watcher.told()


def keys_of_all_groups(cluster: FakeCluster, prefix: str = "k", count: int = 20) -> list[str]:
    keys = [f"{prefix}{number}" for number in range(count)]
    assert {cluster.group_of(key) for key in keys} == set(cluster.groups)
    return keys


def test_the_state_comes_first_then_synced_then_every_change() -> None:
    async def scenario(client: Client) -> None:
        await client.send("PUT", "/api/v1/kv/a%2F1", {"value": {"x": 1}})
        await client.send("PUT", "/api/v1/kv/b%2F1", {"value": 0})
        watcher = await client.watch("?prefix=a/").until("synced")
        assert (watcher.status, watcher.headers["content-type"]) == (200, "text/event-stream")
        assert watcher.headers["cache-control"] == "no-store"
        assert "content-length" not in watcher.headers
        [state, synced] = watcher.events
        assert (state.event, state.data, state.id) == ("state", {"key": "a/1", "value": {"x": 1}, "revision": 1}, None)
        assert synced.id
        await client.send("PUT", "/api/v1/kv/a%2F2", {"value": [2]})
        await client.send("PUT", "/api/v1/kv/b%2F2", {"value": 0})
        await client.send("POST", "/api/v1/kv/a%2F2/touch", {"ttl": 9})
        await client.send("DELETE", "/api/v1/kv/a%2F1")
        client.cluster.expire("a/2")
        await told(watcher, 5)
        put, touched, expired = [event for event in watcher.events[2:] if event.data["key"] == "a/2"]
        [delete] = [event for event in watcher.events[2:] if event.data["key"] == "a/1"]
        assert [event.event for event in (put, touched, expired, delete)] == ["put", "put", "expired", "delete"]
        assert put.data == {"key": "a/2", "value": [2], "revision": 3}
        assert delete.data == {"key": "a/1", "revision": 6}
        assert expired.data == {"key": "a/2", "revision": 7}
        assert len({event.id for event in watcher.events[1:]}) == 5
        await watcher.leave()
        await settled(client)

    run(scenario)


def test_all_groups_are_watched_and_told_in_order() -> None:
    async def scenario(client: Client) -> None:
        keys = keys_of_all_groups(client.cluster)
        client.cluster.put(*keys[:10])
        watcher = await client.watch().until("synced")
        assert sorted(watcher.told()) == sorted(("state", key) for key in keys[:10])
        for key in keys:
            client.cluster.put(key)
            client.cluster.put(key, value=b"2")
        found = await told(watcher, 50)
        assert sorted(found[10:]) == sorted([("put", key) for key in keys] * 2)
        for key in keys:
            values = [event.data["value"] for event in watcher.events[11:] if event.data["key"] == key]
            assert values == [1, 2]
        await watcher.leave()

    run(scenario)


@pytest.mark.parametrize("by_header", [True, False])
def test_from_any_id_exactly_what_follows_is_told(by_header: object) -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        keys = keys_of_all_groups(cluster)
        watcher = await client.watch().until("synced")
        for _ in range(3):
            cluster.put(*keys)  # many changes in one entry of each group
            await asyncio.sleep(0.001)
        every = await told(watcher, 60)
        assert len(every) == 60
        blocks = [block for block in watcher.blocks if block.id]
        await watcher.leave()
        for at, block in enumerate(blocks):
            seen = [event for event in blocks[: at + 1] if event.event == "put"]
            assert block.id
            query, header = ("?from=nonsense", block.id) if by_header else (f"?from={block.id}", None)
            again = await client.watch(query, last_event_id=header).until("synced")
            rest = await told(again, 60 - len(seen))
            assert not any(event.event == "state" for event in again.events)
            whole = [*seen, *(event for event in again.events if event.event == "put")]
            assert len(rest) == 60 - len(seen)
            for key in keys:
                revisions = [event.data["revision"] for event in whole if event.data["key"] == key]
                assert revisions == [1, 2, 3]
            await again.leave()

    run(scenario)


@pytest.mark.parametrize("seen", range(5))
def test_a_watcher_that_is_ahead_of_a_slow_feed_is_told_nothing_twice(seen: int) -> None:
    async def scenario(client: Client) -> None:
        cluster, hub = client.cluster, client.gateway.hub
        group = cluster.groups[0]
        keys = [key for key in (f"k{number}" for number in range(100)) if cluster.group_of(key) == group][:3]
        first = await client.watch().until("synced")
        ids = [first.last_id]
        cluster.put(keys[0])
        cluster.put(*keys)
        await told(first, 4)
        ids += [event.id or "" for event in first.events if event.event == "put"]
        feed = hub.feeds[group]
        await feed.close()
        feed.position = Position(cluster.index - 1)  # it is about to be told of the second entry
        from_id = await client.watch(last_event_id=ids[seen]).until("synced")
        from_state = await client.watch().until("synced")
        await feed.reach(cluster.index, asyncio.get_running_loop().time() + 5)
        cluster.put(keys[0])
        await feed.reach(cluster.index, asyncio.get_running_loop().time() + 5)
        expected = [*[keys[0], *keys][seen:], keys[0]]
        assert [key for _, key in await told(from_id, len(expected))] == expected
        assert await told(from_state, 4) == [*(("state", key) for key in sorted(keys)), ("put", keys[0])]
        for watcher in (first, from_id, from_state):
            await watcher.leave()

    run(scenario)


def test_a_watcher_that_goes_on_is_told_of_its_prefix_only() -> None:
    async def scenario(client: Client) -> None:
        watcher = await client.watch("?prefix=a/").until("synced")
        await watcher.leave()
        client.cluster.put("a/1", "b/1", "a", "a/2")
        again = await client.watch("?prefix=a/", last_event_id=watcher.last_id).until("synced")
        client.cluster.put("b/2", "a/3")
        assert sorted(await told(again, 3)) == [("put", "a/1"), ("put", "a/2"), ("put", "a/3")]
        await again.leave()

    run(scenario)


def test_two_answers_for_the_same_stretch_are_told_once() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        watcher = await client.watch().until("synced")
        feed = client.gateway.hub.feeds[cluster.group_of("a")]
        for number in range(5):
            cluster.put("a", value=b"%d" % number)  # answers the feed's own call, which is not looked at yet
            await feed.reach(cluster.index, asyncio.get_running_loop().time() + 5)
        cluster.put("a", value=b"5")
        await told(watcher, 6)
        assert [event.data["value"] for event in watcher.events if event.event == "put"] == [0, 1, 2, 3, 4, 5]
        await watcher.leave()

    run(scenario)


def test_a_heartbeat_moves_the_place_of_quiet_watchers_on() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.put("a/1")
        watcher = await client.watch("?prefix=none/").until("synced")
        synced = watcher.last_id
        for group in client.cluster.histories:
            client.cluster.put(client.cluster.key_in(group))
        await until(lambda: watcher.last_id != synced)
        assert b": heartbeat\n" in watcher.body
        for group in client.cluster.histories:  # nobody knows any more what was before
            client.cluster.histories[group].restart(client.cluster.index)
        await until(lambda: watcher.last_id == watcher.blocks[-1].id)
        await asyncio.sleep(0.1)
        last = watcher.last_id
        await watcher.leave()
        again = await client.watch("?prefix=none/", last_event_id=last).until("synced")
        assert [event.event for event in again.events] == ["synced"]
        await again.leave()

    run(scenario)


def test_history_that_is_gone_is_said_and_ends_the_stream() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        watcher = await client.watch().until("synced")
        await watcher.leave()
        cluster.put("a")
        cluster.histories[cluster.group_of("a")].restart(cluster.index)
        again = client.watch(last_event_id=watcher.last_id)
        await again.end()
        assert again.ended
        assert (again.events[-1].event, again.events[-1].id) == ("resync", "")
        assert again.last_id == ""
        assert again.told() == []
        await settled(client)

    run(scenario)


def test_a_leader_that_has_lost_its_history_sends_those_who_watch_to_the_state() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        watcher = await client.watch().until("synced")
        cluster.index += 1  # an entry of which the next leader remembers nothing
        for history in cluster.histories.values():
            history.restart(cluster.index)
        await watcher.end()
        assert watcher.events[-1].event == "resync"
        fresh = await client.watch().until("synced")
        cluster.put("a")
        assert await told(fresh, 1) == [("put", "a")]
        await fresh.leave()

    run(scenario)


def test_who_begins_while_a_feed_finds_history_lost_is_not_sent_away() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        old = await client.watch().until("synced")
        cluster.index += 1
        for history in cluster.histories.values():
            history.restart(cluster.index)
        fresh = client.watch()  # before the feeds have asked
        await old.end()
        await fresh.until("synced")
        cluster.put("a")
        assert await told(fresh, 1) == [("put", "a")]
        await fresh.leave()

    run(scenario)


def test_when_keys_come_to_live_elsewhere_watchers_and_their_ids_begin_anew() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        cluster.put("k1")
        watcher = await client.watch().until("synced")
        cluster.move("k1", 1 if cluster.group_of("k1") != 1 else 2)
        client.gateway.holder.publish(cluster.map)
        await watcher.end()
        assert watcher.events[-1].event == "resync"
        again = client.watch(f"?from={watcher.events[-2].id}")
        await again.end()
        assert [event.event for event in again.events] == ["resync"]
        fresh = await client.watch().until("synced")
        assert fresh.told() == [("state", "k1")]
        await fresh.leave()

    run(scenario)


@pytest.mark.parametrize(
    ("query", "header"),
    [
        ("?from=", None),
        ("?from=x", None),
        ("?from=%00", None),
        ("?from=" + "A" * 70_000, None),
        ("", "0"),
        ("", "é".encode().decode("latin-1")),
        ("?prefix=" + "p" * 1025, None),
        ("?prefix=%ff", None),
        ("?limit=3", None),
        ("?prefix=a&prefix=b", None),
    ],
)
def test_what_is_not_understood_is_refused(query: str, header: str | None) -> None:
    async def scenario(client: Client) -> None:
        headers = [] if header is None else [("last-event-id", header)]
        reply = await client.send("GET", "/api/v1/watch" + query, headers=headers)
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")
        await settled(client)

    run(scenario)


def test_a_cursor_of_another_cluster_is_refused() -> None:
    foreign: list[str] = []

    async def first(client: Client) -> None:
        watcher = await client.watch().until("synced")
        foreign.append(watcher.last_id)
        await watcher.leave()

    async def second(client: Client) -> None:
        reply = await client.send("GET", "/api/v1/watch?from=" + foreign[0])
        assert (reply.status, reply.code) == (400, "INVALID_REQUEST")

    run(first)
    run(second, FakeCluster(nodes=2))


def test_without_a_map_nobody_can_watch() -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("GET", "/api/v1/watch?from=x")
        assert (reply.status, reply.code) == (503, "CLUSTER_UNAVAILABLE")

    run(scenario, knows_map=False)


def test_only_get_and_head_are_answered_and_head_begins_no_stream() -> None:
    async def scenario(client: Client) -> None:
        head = await client.send("HEAD", "/api/v1/watch")
        assert (head.status, head.body) == (200, b"")
        post = await client.send("POST", "/api/v1/watch")
        assert (post.status, post.headers["allow"]) == (405, "GET, HEAD")
        await settled(client)

    run(scenario)


def test_watchers_are_counted_limited_and_hold_no_place_among_requests() -> None:
    async def scenario(client: Client) -> None:
        watchers = [await client.watch().until("synced") for _ in range(2)]
        metrics = await client.send("GET", "/metrics")
        assert b"concord_gateway_watchers 2.0" in metrics.body
        assert b"concord_gateway_requests_in_flight 0.0" in metrics.body
        refused = await client.send("GET", "/api/v1/watch")
        assert (refused.status, refused.code) == (503, "CLUSTER_UNAVAILABLE")
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 1})).status == 200
        for watcher in watchers:
            await watcher.leave()
        metrics = await client.send("GET", "/metrics")
        assert b"concord_gateway_watchers 0.0" in metrics.body
        assert b'concord_gateway_watch_ends_total{reason="gone"} 2.0' in metrics.body

    settings = type(SETTINGS)(nodes=SETTINGS.nodes, cluster=SETTINGS.cluster, watchers=2)
    run(scenario, settings=settings, limits=HttpLimits(requests_in_flight=1))


def test_one_feed_a_group_serves_all_watchers_makes_each_event_once_and_stops_after_the_last() -> None:
    async def scenario(client: Client) -> None:
        cluster, hub = client.cluster, client.gateway.hub
        prefixes = ["", "k", "other"] * 10
        watchers = [await client.watch(f"?prefix={prefix}").until("synced") for prefix in prefixes]
        cluster.put("k")
        concerned = [watcher for watcher, prefix in zip(watchers, prefixes, strict=True) if prefix != "other"]
        for watcher in concerned:
            assert await told(watcher, 1) == [("put", "k")]
        assert len(hub.feeds) == len(cluster.groups)
        metrics = await client.send("GET", "/metrics")
        assert b"concord_gateway_watch_events_total 2.0" in metrics.body
        assert b"concord_gateway_watch_feeds 4.0" in metrics.body
        for watcher in watchers:
            await watcher.leave()
            assert len(watcher.told()) == (watcher in concerned)
        await until(lambda: not hub.feeds and not hub._closing)  # a feed may ask once more before it is closed
        cluster.calls.clear()
        await asyncio.sleep(0.05)
        assert not cluster.requests(WatchRequest)

    run(scenario)


def test_a_watcher_that_does_not_read_is_sent_away_with_a_reason_and_others_are_not() -> None:
    async def scenario(client: Client) -> None:
        slow, good = await client.watch().until("synced"), await client.watch().until("synced")
        slow.reads.clear()
        last_id = slow.last_id
        for number in range(50):
            client.cluster.put(f"k{number}", value=b'"' + b"x" * 100 + b'"')
            await told(good, number + 1)
        slow.reads.set()
        await slow.end()
        assert (slow.events[-1].event, slow.events[-1].data) == ("goaway", {"reason": "slow"})
        assert client.gateway.hub.watchers == 1
        seen = len(slow.told())
        assert seen < 50
        assert slow.last_id != last_id or not seen
        again = await client.watch(last_event_id=slow.last_id).until("synced")
        assert len(await told(again, 50 - seen)) == 50 - seen
        await good.leave()
        await again.leave()

    settings = type(SETTINGS)(nodes=SETTINGS.nodes, cluster=SETTINGS.cluster, watch_buffer_bytes=2000)
    run(scenario, settings=settings)


def test_a_connection_that_takes_nothing_at_all_does_not_hold_its_place() -> None:
    async def scenario(client: Client) -> None:
        watcher = await client.watch().until("synced")
        watcher.reads.clear()
        await watcher.end()
        await settled(client)
        metrics = await client.send("GET", "/metrics")
        assert b'concord_gateway_watch_ends_total{reason="slow"} 1.0' in metrics.body

    run(scenario, watch_pace=msgspec.structs.replace(QUICK_WATCH, stall_s=0.1))


def test_a_draining_gateway_sends_watchers_away_and_takes_no_more() -> None:
    async def scenario(client: Client) -> None:
        watcher = await client.watch().until("synced")
        client.gateway.drain()
        await watcher.end()
        assert (watcher.events[-1].event, watcher.events[-1].data) == ("goaway", {"reason": "shutdown"})
        assert watcher.ended
        assert (await client.send("GET", "/api/v1/watch")).status == 503

    run(scenario)


def test_a_leader_change_and_lost_calls_are_not_noticed_by_watchers() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        watcher = await client.watch().until("synced")
        for number in range(30):
            group = cluster.group_of(f"k{number}")
            cluster.leaders[group] = cluster.nodes[number % 3]
            cluster.faults.append(Fault(CONNECTION_LOST, request=WatchRequest))
            cluster.put(f"k{number}")
            await asyncio.sleep(0.001)
        assert [key for _, key in sorted(await told(watcher, 30))] == sorted(f"k{number}" for number in range(30))
        await asyncio.sleep(0.05)
        assert len(watcher.told()) == 30
        await watcher.leave()

    run(scenario)


def test_a_group_that_is_away_delays_its_changes_and_ends_no_stream() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        watcher = await client.watch().until("synced")
        cluster.broken[cluster.group_of("a")] = Failure(Code.UNAVAILABLE, "no quorum")
        await asyncio.sleep(0.1)
        cluster.put("a")
        cluster.broken.clear()
        assert await told(watcher, 1) == [("put", "a")]
        await watcher.leave()

    run(scenario)


@pytest.mark.parametrize("request_kind", [ListRequest, ReadRequest])
def test_a_group_that_is_away_when_a_watcher_begins_ends_its_stream_with_a_reason(request_kind: type[object]) -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        cluster.faults.append(Fault(Failure(Code.UNAVAILABLE, "no quorum"), request=request_kind, times=1 << 30))
        watcher = client.watch()
        await watcher.end()
        assert (watcher.events[-1].event, watcher.events[-1].data) == ("goaway", {"reason": "unavailable"})
        await settled(client)

    run(scenario, watch_pace=msgspec.structs.replace(QUICK_WATCH, patience_s=0.1))


def test_little_is_in_hand_for_a_watcher_however_large_what_it_is_told() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.put("large", value=b'"' + b"x" * 500_000 + b'"')
        watcher = await client.watch().until("synced")
        assert len(watcher.events[0].data["value"]) == 500_000
        assert watcher.part_bytes_max <= PART_BYTES
        asked = client.cluster.requests(ListRequest)
        assert {request.bytes_max for request in asked} == {PAGE_BYTES}
        await watcher.leave()

    run(scenario)


def test_a_client_that_goes_while_the_state_is_told_leaves_nothing_behind() -> None:
    async def scenario(client: Client) -> None:
        client.cluster.put(*(f"k{number}" for number in range(50)))
        watcher = client.watch()
        await until(lambda: watcher.status == 200)
        watcher.reads.clear()
        await watcher.leave()
        await settled(client)
        await until(lambda: not client.gateway.hub.feeds)

    run(scenario)


def test_changes_while_a_state_of_many_pages_is_read_are_neither_lost_nor_doubled() -> None:
    async def scenario(client: Client) -> None:
        cluster = client.cluster
        keys = [f"k{number:03}" for number in range(60)]
        cluster.put(*keys)
        cluster.list_page_max = 3
        before = _count(cluster)

        def change_something(number: int) -> None:
            if number % 2:
                cluster.put(keys[number * 7 % 60], value=b"%d" % number)
            else:
                cluster.put(keys[59 - number * 7 % 60], keys[number * 11 % 60], value=b"%d" % number)

        original, calls = cluster._list, 0

        def list_and_change(request: ListRequest) -> object:
            nonlocal calls
            calls += 1
            reply = original(request)
            change_something(calls)
            return reply

        cluster._list = list_and_change  # type: ignore[method-assign,assignment]
        watcher = await client.watch().until("synced")
        for number in range(100, 140):
            change_something(number)
            await asyncio.sleep(0.0005)
        await until(
            lambda: _last_revisions(watcher) == {key: cluster.data[cluster.group_of(key)][key][2] for key in keys}
        )
        state, changes = _split(watcher)
        assert {event.data["key"] for event in state} == set(keys)
        for key in keys:
            revisions = [event.data["revision"] for event in [*state, *changes] if event.data["key"] == key]
            [first, *rest] = revisions
            assert rest == [revision for revision in _revisions(cluster, key) if revision > first]
        assert before < _count(cluster)
        ids = [block.id for block in watcher.blocks if block.id]
        await watcher.leave()
        again = await client.watch(last_event_id=ids[0]).until("synced")
        cluster.put("end")
        await until(lambda: ("put", "end") in again.told())
        at = next(number for number, block in enumerate(watcher.blocks) if block.id == ids[0])
        expected = [event for event in watcher.blocks[at + 1 :] if event.event == "put"]
        found = [event for event in again.events if event.event == "put"][:-1]
        for key in keys:
            assert [e.data for e in found if e.data["key"] == key] == [e.data for e in expected if e.data["key"] == key]
        await again.leave()

    run(scenario)


def _count(cluster: FakeCluster) -> int:
    return sum(history.events for history in cluster.histories.values())


def _revisions(cluster: FakeCluster, key: str) -> list[int]:
    found = cluster.histories[cluster.group_of(key)].after(0, 0, cluster.index, 1 << 30)
    assert found is not None
    return [event.revision for event in found.events if event.key == key]


def _last_revisions(watcher: Watcher) -> dict[str, int]:
    return {event.data["key"]: event.data["revision"] for event in watcher.events if "key" in event.data}


def _split(watcher: Watcher) -> tuple[list[Sse], list[Sse]]:
    """State and changes; all state comes before `synced`, all changes after it."""
    names = [event.event for event in watcher.events]
    at = names.index("synced")
    assert set(names[:at]) <= {"state"}
    assert set(names[at + 1 :]) <= {"put"}
    return watcher.events[:at], watcher.events[at + 1 :]


class _Stopping(Watcher):
    """Takes nothing more once it has the event `synced`, until it is told to."""

    async def _send(self, message: dict[str, Any]) -> None:
        await super()._send(message)
        if b"event: synced" in message.get("body", b""):
            self.reads.clear()


def test_who_is_sent_away_while_catching_up_is_told_nothing_that_comes_after_a_hole() -> None:
    async def scenario(client: Client) -> None:
        first = await client.watch().until("synced")
        start = first.last_id
        client.cluster.put("a", "b", "c")
        await until(lambda: len(first.told()) == 3)
        late = _Stopping(client, "/api/v1/watch", [("last-event-id", start)])
        await until(lambda: not late.reads.is_set())
        await asyncio.sleep(0.02)  # it waits with the first group's changes in its hands
        client.cluster.put("d", "e", "f", "a", "b", "c")
        await until(lambda: len(first.told()) == 9)
        client.gateway.drain()
        late.reads.set()
        await late.end()
        await first.end()
        assert late.events[-1].data == {"reason": "shutdown"}
        by_group = [changes_by_group(client.cluster, watcher) for watcher in (first, late)]
        for group, told in by_group[1].items():
            assert told == by_group[0][group][: len(told)]
        assert sum(map(len, by_group[1].values())) < 9

    run(scenario)


def changes_by_group(cluster: FakeCluster, watcher: Watcher) -> dict[int, list[tuple[str, int]]]:
    found: dict[int, list[tuple[str, int]]] = {}
    for event in watcher.events:
        if event.event == "put":
            found.setdefault(cluster.group_of(event.data["key"]), []).append(
                (event.data["key"], event.data["revision"])
            )
    return found
