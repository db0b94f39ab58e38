"""Calls that wait for a lock: each is answered once, with what an applied entry decided."""

import pytest

from raft.interface import Unknown
from shard.machine import Entry, encode
from shard.service import ShardService
from tests.shard.build import lock_info, portions
from tests.shard.fakes import FAR, Answered, Write
from tests.shard.house import House
from tests.shard.test_service import Handlers
from wire.errors import Applied, Code
from wire.messages import (
    AcquireLock,
    AwaitLockRequest,
    ItemResult,
    LeaveQueue,
    Operation,
    OperationId,
    Put,
    PutItem,
    ReleaseLock,
    Status,
    WriteReply,
)
from wire.slots import slot_of

OK, LOCKED, QUEUED = Status.OK, Status.LOCKED, Status.QUEUED


class Await(Answered[AwaitLockRequest, WriteReply]):
    def __init__(
        self, owner: str, wait_ms: int = 10_000, deadline: float = FAR, *, name: str = "l", request: str = ""
    ) -> None:
        super().__init__(AwaitLockRequest(1, name, owner, wait_ms, request), deadline)

    @property
    def result(self) -> ItemResult:
        [result] = self.reply.results
        return result


class LockHouse(House):
    """A group in which "x" holds the lock "l" for a minute."""

    def __init__(self, lock_waits_max: int = 10_000) -> None:
        super().__init__(lock_waits_max=lock_waits_max)
        self.fence = self.do(AcquireLock("l", "x", 60_000)).revision

    def do(self, operation: Operation) -> ItemResult:
        write = Write(operation)
        self.group.write(write.call)
        self.settle()
        return write.reply.results[0]

    def settle(self) -> None:
        self.scheduler.turn()
        while self.replica.proposed:
            self.replica.commit()
            self.scheduler.turn()

    def queue(self, owner: str, wait_ms: int = 30_000, ttl_ms: int = 5_000, request: str = "") -> None:
        assert self.do(AcquireLock("l", owner, ttl_ms, wait_ms, request)).status is QUEUED

    def wait(self, owner: str, wait_ms: int = 10_000, deadline: float = FAR, request: str = "") -> Await:
        waiting = Await(owner, wait_ms, deadline, request=request)
        self.group.await_lock(waiting.call)
        return waiting


def test_who_holds_it_already_or_waits_in_no_queue_is_told_at_once() -> None:
    house = LockHouse()
    held, nowhere, free = house.wait("x"), house.wait("stranger"), Await("x", name="free")
    house.group.await_lock(free.call)
    assert (held.result.status, held.result.revision, held.reply.revision) == (OK, house.fence, house.fence)
    assert (nowhere.result.status, lock_info(nowhere.result).owner) == (LOCKED, "x")
    assert (free.result.status, lock_info(free.result).owner) == (LOCKED, "")
    assert len(house.group._lock_waits) == 0


def test_it_is_told_as_soon_as_the_holder_gives_it_back_and_under_the_new_fence() -> None:
    house = LockHouse()
    for owner in ("a", "b"):
        house.queue(owner)
    later, first = house.wait("b"), house.wait("a")
    assert (first.pending, later.pending) == (True, True)
    house.do(ReleaseLock("l", "x", house.fence))
    assert (first.result.status, lock_info(first.result).owner, lock_info(first.result).waiting) == (OK, "a", 1)
    assert first.result.revision == house.replica.applied_index > house.fence
    assert later.pending
    house.do(ReleaseLock("l", "a", first.result.revision))
    assert later.result.revision > first.result.revision


def test_it_is_told_when_the_holders_time_is_up_though_nobody_writes() -> None:
    house = LockHouse()
    house.queue("a", wait_ms=30_000, ttl_ms=1_000)
    house.scheduler.advance(35)
    house.settle()
    house.queue("b", wait_ms=30_000)
    first, second = house.wait("a", wait_ms=40_000), house.wait("b", wait_ms=40_000)
    assert first.result.status is LOCKED  # it waited long enough
    for _ in range(60):
        house.scheduler.advance(0.5)
        house.settle()
    assert (second.result.status, lock_info(second.result).owner) == (OK, "b")


def test_who_stops_waiting_as_the_lock_comes_has_it() -> None:
    """LeaveQueue and the release are in one entry, in either order."""
    for release_first in (True, False):
        house = LockHouse()
        house.queue("a")
        waiting = house.wait("a")
        release, leave = Write(ReleaseLock("l", "x", house.fence)), Write(LeaveQueue("l", "a"))
        for write in (release, leave) if release_first else (leave, release):
            house.group.write(write.call)
        house.settle()
        [left] = leave.reply.results
        if release_first:
            assert (left.status, lock_info(left).owner) == (OK, "a")
            assert (waiting.result.status, waiting.result.revision) == (OK, left.revision)
        else:
            assert left.status is LOCKED
            assert lock_info(house.machine.lock("l", "a")).owner == ""


@pytest.mark.parametrize("by", ["wait_ms", "deadline"])
def test_when_the_wait_is_over_it_is_told_that_it_is_still_queued_and_may_wait_on(by: str) -> None:
    house = LockHouse()
    house.queue("a")
    waiting = house.wait("a", wait_ms=1_000) if by == "wait_ms" else house.wait("a", deadline=house.scheduler.now + 1)
    house.scheduler.advance(0.9)
    assert waiting.pending
    house.scheduler.advance(0.2)
    assert (waiting.result.status, lock_info(waiting.result).owner) == (QUEUED, "x")
    again = house.wait("a")
    house.do(ReleaseLock("l", "x", house.fence))
    assert again.result.status is OK


def test_a_wait_of_no_time_only_asks() -> None:
    house = LockHouse()
    house.queue("a")
    waiting = house.wait("a", wait_ms=0)
    house.scheduler.advance(0.1)
    assert waiting.result.status is QUEUED


@pytest.mark.parametrize("request_", ["", "one"])
def test_only_the_newest_call_of_a_request_waits(request_: str) -> None:
    house = LockHouse(lock_waits_max=1)
    house.queue("a", request=request_)
    first = house.wait("a", request=request_)
    second = house.wait("a", request=request_)
    assert (first.result.status, second.pending) == (QUEUED, True)
    house.do(ReleaseLock("l", "x", house.fence))
    assert second.result.status is OK


def test_calls_of_several_requests_of_an_owner_wait_beside_one_another_and_all_count() -> None:
    house = LockHouse(lock_waits_max=2)
    for request in ("one", "two", "three"):
        house.queue("a", request=request)
    first, second, third = (house.wait("a", request=request) for request in ("one", "two", "three"))
    assert (first.pending, second.pending, third.failure.code) == (True, True, Code.OVERLOADED)
    assert house.group.lock_waits == 2
    house.do(LeaveQueue("l", "a", "one"))
    assert (first.pending, second.pending) == (True, True)
    house.queue("a", request="two")
    house.do(ReleaseLock("l", "x", house.fence))
    assert (second.result.status, lock_info(second.result).owner) == (OK, "a")
    assert (first.result.status, lock_info(first.result).owner) == (LOCKED, "a")  # it is not that request's
    assert house.group.lock_waits == 0


def test_past_the_limit_of_waiting_calls_the_answer_is_overloaded_at_once() -> None:
    house = LockHouse(lock_waits_max=1)
    house.queue("a")
    house.queue("b")
    first, second, holder = house.wait("a"), house.wait("b"), house.wait("x")
    assert (second.failure.code, second.failure.applied) == (Code.OVERLOADED, Applied.NO)
    assert second.failure.retry_after_ms > 0
    assert (first.pending, holder.result.status) == (True, OK)
    assert house.group.figures.overloaded == 1
    house.scheduler.advance(11)
    assert first.result.status is QUEUED
    assert house.wait("b").pending


def test_losing_leadership_ends_all_waiting() -> None:
    house = LockHouse()
    house.queue("a")
    waiting = house.wait("a")
    house.replica.lead(leading=False)
    assert (waiting.failure.code, waiting.failure.applied, waiting.failure.leader) == (
        Code.NOT_LEADER,
        Applied.NO,
        "n2",
    )
    after = house.wait("a")
    assert after.failure.code == Code.NOT_LEADER
    assert house.group.figures.refused == 2
    house.replica.applied_index += 1  # the next leader's entry hands the lock on: nobody is told twice
    release = (OperationId(1, 1, 0), ReleaseLock("l", "x", house.fence))
    [reply] = house.machine.apply(house.replica.applied_index, 2, encode(Entry(house.machine.now_ms, [release])))
    assert lock_info(reply.results[0]).owner == "a"
    assert len(house.group._lock_waits) == 0


def test_a_new_leader_tells_who_waits_what_the_old_one_could_not() -> None:
    house = LockHouse()
    house.queue("a")
    house.replica.lead(leading=False)
    house.replica.lead()
    house.settle()
    waiting = house.wait("a")
    house.do(ReleaseLock("l", "x", house.fence))
    assert waiting.result.status is OK


def test_an_entry_that_is_not_committed_hands_nothing_on() -> None:
    house = LockHouse()
    house.queue("a")
    waiting, release = house.wait("a"), Write(ReleaseLock("l", "x", house.fence))
    house.group.write(release.call)
    house.scheduler.turn()
    house.replica.finish(Unknown(""))
    assert release.failure.code == Code.UNKNOWN
    assert waiting.pending
    house.scheduler.advance(11)
    assert waiting.result.status is QUEUED


def test_a_fenced_replica_tells_nobody_anything() -> None:
    house = LockHouse()
    house.queue("a")
    waiting = house.wait("a")
    house.checksums._put_up_fence("a test says so")
    assert (waiting.failure.code, waiting.failure.applied) == (Code.UNAVAILABLE, Applied.NO)
    for owner in ("a", "x"):
        assert house.wait(owner).failure.code == Code.NOT_LEADER


def test_closing_answers_who_waits_and_who_comes_after() -> None:
    house = LockHouse()
    house.queue("a")
    waiting = house.wait("a")
    house.group.close()
    for answered in (waiting, house.wait("a")):
        assert (answered.failure.code, answered.failure.applied) == (Code.UNAVAILABLE, Applied.NO)
    house.scheduler.advance(20)
    assert house.scheduler.timers == []


def test_a_lock_of_another_group_is_not_said_to_be_taken() -> None:
    house = LockHouse()
    slot = slot_of("l")
    house.group.assign([(first, last) for first, last in ((0, slot - 1), (slot + 1, 16383))], 7)
    house.settle()
    waiting = house.wait("a")
    assert (waiting.failure.code, waiting.failure.applied, waiting.failure.epoch) == (Code.WRONG_GROUP, Applied.NO, 7)


def test_a_lock_whose_removal_is_late_is_still_waited_for() -> None:
    house = LockHouse()
    for part in portions(PutItem(f"k{number}", b"", "", 40_000) for number in range(5_000)):
        house.do(Put(part))
    house.scheduler.advance(40)
    house.queue("a", wait_ms=30_000)
    house.scheduler.now += 25  # one entry will bring the time, but cannot remove all that is due
    house.do(Put([PutItem("other", b"")]))
    assert lock_info(house.machine.lock("l", "a")).owner == ""
    waiting = house.wait("a")
    assert waiting.pending
    house.do(LeaveQueue("l", "stranger"))
    assert waiting.result.status is OK


def test_the_service_checks_what_is_asked_and_finds_the_group() -> None:
    house = LockHouse()
    serving = ShardService({1: house.group}, Handlers())
    good, bad, elsewhere = (
        Await("x"),
        Await("", 5),
        Answered[AwaitLockRequest, WriteReply](AwaitLockRequest(2, "l", "x", 5)),
    )
    for answered in (good, bad, elsewhere):
        serving.await_lock(answered.call)
    assert good.result.status is OK
    assert bad.failure.code == Code.INVALID
    assert elsewhere.failure.code == Code.UNAVAILABLE
