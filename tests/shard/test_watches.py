"""Waiting for a group's changes: who is answered when, and with what."""

from typing import Any

import pytest

from raft.interface import Refused
from shard.machine import Machine
from shard.service import ShardService
from tests.shard.build import Log, portions
from tests.shard.fakes import Answered, Write
from tests.shard.house import House
from tests.shard.test_service import Handlers
from wire.errors import Code
from wire.messages import (
    LIMIT_VALUE_BYTES,
    ChangeKind,
    Delete,
    Put,
    PutItem,
    Touch,
    TouchItem,
    WatchEvent,
    WatchReply,
    WatchRequest,
)

PUT, DELETE, EXPIRED = ChangeKind.PUT, ChangeKind.DELETE, ChangeKind.EXPIRED
OWNED = 1  # index of the entry that gives the group its slots


class Watch(Answered[WatchRequest, WatchReply]):
    def __init__(self, index: int, taken: int = 0, wait_ms: int = 0, group: int = 1) -> None:
        super().__init__(WatchRequest(group, index, taken, wait_ms))


def watch(house: House, index: int, taken: int = 0, wait_ms: int = 0) -> Watch:
    call = Watch(index, taken, wait_ms)
    house.group.watch(call.call)
    return call


def commit(house: House, *operations: Any) -> None:
    for operation in operations:
        house.group.write(Write(operation).call)
    house.scheduler.turn()
    house.replica.commit()
    house.scheduler.turn()


def put(key: str, value: bytes = b"1", ttl_ms: int = 0) -> Put:
    return Put([PutItem(key, value, ttl_ms=ttl_ms)])


def test_changes_that_are_there_are_told_at_once() -> None:
    house = House()
    commit(house, put("a"), put("b"))
    commit(house, Touch([TouchItem("a", 5000)]), Delete(["b"]))
    reply = watch(house, OWNED, wait_ms=1000).reply
    assert reply == WatchReply(
        [
            WatchEvent(PUT, "a", 2, "", b"1"),
            WatchEvent(PUT, "b", 2, "", b"1"),
            WatchEvent(PUT, "a", 3, "", b"1"),
            WatchEvent(DELETE, "b", 3),
        ],
        3,
    )
    assert [event.key for event in watch(house, 2).reply.events] == ["a", "b"]


def test_who_waits_is_told_of_the_next_change_once_it_is_applied() -> None:
    house = House()
    waiting = [watch(house, OWNED, wait_ms=1000) for _ in range(2)]
    house.group.write(Write("a").call)
    house.scheduler.turn()
    assert all(call.pending for call in waiting)
    house.replica.commit()
    house.scheduler.turn()
    assert [call.reply.events[0].key for call in waiting] == ["a", "a"]
    assert house.group.watches == 0


def test_an_expired_key_is_told() -> None:
    house = House()
    commit(house, put("a", ttl_ms=1000))
    call = watch(house, 2, wait_ms=5000)
    house.scheduler.advance(2.5)
    house.replica.commit()
    house.scheduler.turn()
    assert call.reply.events == [WatchEvent(EXPIRED, "a", 3)]


def test_a_wait_that_ends_is_answered_with_the_present_position_by_a_leader_only() -> None:
    house = House()
    first, second = watch(house, OWNED, wait_ms=1000), watch(house, OWNED, wait_ms=1000)
    house.scheduler.advance(0.9)
    assert not house.replica.asked
    house.scheduler.advance(0.2)
    assert len(house.replica.asked) == 1
    assert first.pending
    house.replica.grant()
    assert first.reply == second.reply == WatchReply([], OWNED)
    third = watch(house, OWNED, wait_ms=1000)
    house.scheduler.advance(1.1)
    house.replica.asked.pop()(Refused("n3"))
    assert (third.failure.code, third.failure.leader) == (Code.NOT_LEADER, "n3")
    assert house.group.watches == 0


def test_a_shorter_wait_ends_before_a_longer_one_that_began_first() -> None:
    house = House()
    long, short = watch(house, OWNED, wait_ms=10_000), watch(house, OWNED, wait_ms=1000)
    house.scheduler.advance(1.1)
    house.replica.grant()
    assert (long.pending, short.pending) == (True, False)
    house.scheduler.advance(10)
    house.replica.grant()
    assert long.reply == WatchReply([], OWNED)


def test_a_change_that_comes_while_the_leader_is_in_doubt_is_told() -> None:
    house = House()
    call = watch(house, OWNED)
    commit(house, put("a"))
    house.replica.grant()
    assert [event.key for event in call.reply.events] == ["a"]


def test_a_position_whose_history_is_gone_or_has_not_come_yet_says_resync() -> None:
    house = House(history_events_max=2)
    for key in "abcd":
        commit(house, put(key))
    early, late = watch(house, OWNED, wait_ms=1000), watch(house, 99, wait_ms=1000)
    house.replica.grant()
    assert early.reply == late.reply == WatchReply([], 5, resync=True)
    assert [event.key for event in watch(house, 3).reply.events] == ["c", "d"]
    assert house.group.figures.resyncs == 2


@pytest.mark.parametrize("is_asked_before_the_next_change", [True, False])
def test_history_begins_after_a_snapshot_that_took_the_place_of_the_state(
    is_asked_before_the_next_change: object,
) -> None:
    house, source = House(), Log()
    commit(house, put("a"))
    for number in range(9):
        source.put(0, f"s{number}")
    restorer = house.machine.restore()
    for chunk in source.machine.snapshot():
        restorer.feed(chunk)
    restorer.finish()
    house.replica.applied_index = house.replica.snapshot_index = 10
    if not is_asked_before_the_next_change:
        commit(house, put("b"))
    call = watch(house, 2)
    house.replica.grant()
    assert call.reply == WatchReply([], house.replica.applied_index, resync=True)
    if is_asked_before_the_next_change:
        commit(house, put("b"))
    assert [event.key for event in watch(house, 10).reply.events] == ["b"]


def test_a_replica_that_followed_goes_on_where_the_leader_was() -> None:
    house = House(lead=False)
    log = Log(Machine(), own=True)
    log.put(0, "a")
    log.put(0, "b")
    for index, command in enumerate(log.commands, 1):
        house.machine.apply(index, 1, command)
        house.replica.applied_index = index
    assert watch(house, 2).failure.code == Code.NOT_LEADER
    house.replica.lead()
    assert [event.key for event in watch(house, 2).reply.events] == ["b"]


def test_losing_leadership_closing_and_the_fence_end_every_wait() -> None:
    house = House()
    waiting, asking = watch(house, OWNED, wait_ms=1000), watch(house, OWNED)
    house.replica.leader = "n3"
    house.replica.lead(leading=False)
    assert (waiting.failure.code, waiting.failure.leader) == (Code.NOT_LEADER, "n3")
    assert asking.failure.code == Code.NOT_LEADER
    house.replica.grant()
    house.replica.lead()
    call = watch(house, OWNED, wait_ms=1000)
    house.checksums.fence.put_up("wrong")
    house.group._fence_moved()
    assert call.failure.code == Code.UNAVAILABLE
    assert watch(house, OWNED).failure.code == Code.NOT_LEADER
    house = House()
    call = watch(house, OWNED, wait_ms=1000)
    house.group.close()
    assert call.failure.code == Code.UNAVAILABLE


def test_too_many_waiters_are_refused_at_once() -> None:
    house = House(watchers_max=1)
    watch(house, OWNED, wait_ms=1000)
    assert watch(house, OWNED, wait_ms=1000).failure.code == Code.OVERLOADED


def test_a_caller_that_has_gone_makes_room_when_its_wait_ends() -> None:
    house = House(watchers_max=1)
    call = watch(house, OWNED, wait_ms=1000)
    call.call.desk = None
    house.scheduler.advance(1.1)
    house.replica.grant()
    assert house.group.watches == 0


def test_a_long_history_is_told_in_pieces_also_within_one_entry() -> None:
    house = House(history_bytes_max=1 << 30)
    items = [PutItem(f"k{number}", bytes(LIMIT_VALUE_BYTES)) for number in range(3)]
    commit(house, *[Put(part) for part in portions(items)])
    commit(house, put("z"))
    found: list[str] = []
    index, taken = OWNED, 0
    positions = []
    while len(found) < 4:
        reply = watch(house, index, taken).reply
        found += [event.key for event in reply.events]
        index, taken = reply.index, reply.taken
        positions.append((index, taken))
    assert found == ["k0", "k1", "k2", "z"]
    assert positions == [(1, 1), (1, 2), (2, 0), (3, 0)]


@pytest.mark.parametrize("request_", [WatchRequest(1, -1), WatchRequest(1, 0, -1), WatchRequest(1, 0, 0, -1)])
def test_a_malformed_request_is_refused(request_: WatchRequest) -> None:
    house = House()
    serving = ShardService({1: house.group}, Handlers())
    call: Answered[WatchRequest, WatchReply] = Answered(request_)
    serving.watch(call.call)
    assert call.failure.code == Code.INVALID
    away = Watch(0, group=9)
    serving.watch(away.call)
    assert away.failure.code == Code.UNAVAILABLE
