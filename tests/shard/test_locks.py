"""Locks against a queue with deadlines, and what is promised of them one by one."""

from itertools import product

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shard.machine import Entry, machine
from shard.machine.names import kept_name
from tests.shard.build import Log, copy_by_snapshot, lock_info, replayed
from wire.messages import (
    LIMIT_QUEUE,
    AcquireLock,
    AwaitLockRequest,
    ItemResult,
    LeaveQueue,
    LockInfo,
    LockOperation,
    PutItem,
    ReleaseLock,
    RenewLock,
    Status,
)
from wire.slots import slot_of

OK, LOCKED, QUEUED, NOT_HOLDER = Status.OK, Status.LOCKED, Status.QUEUED, Status.NOT_HOLDER
NAMES = ["{s}one", "{s}two", "three"]
OWNERS = ["a", "b", "c", "d"]
REQUESTS = ["", "p", "q"]


class Lock:
    """One lock of the model: a holder until a time, by which request, and who waits until when."""

    def __init__(self) -> None:
        self.owner = ""
        self.fence = 0
        self.due_ms = 0
        self.request = ""
        self.queue: list[tuple[str, int, int, str]] = []  # owner, until, ttl, request

    def held(self, now_ms: int) -> bool:
        return bool(self.owner) and now_ms < self.due_ms

    def wait_on(self, now_ms: int) -> None:
        self.queue = [waiter for waiter in self.queue if waiter[1] > now_ms]

    def give(self, owner: str, fence: int, due_ms: int, request: str) -> None:
        self.owner, self.fence, self.due_ms, self.request = owner, fence, due_ms, request

    def hand_on(self, index: int, now_ms: int) -> str:
        self.wait_on(now_ms)
        self.owner = ""
        if self.queue:
            owner, _, ttl_ms, request = self.queue.pop(0)
            self.give(owner, index, now_ms + ttl_ms + 1, request)
        return self.owner

    def info(self, now_ms: int) -> LockInfo:
        waiting = sum(waiter[1] > now_ms for waiter in self.queue)
        if not self.held(now_ms):
            return LockInfo(waiting=waiting)
        return LockInfo(self.owner, self.fence, max(self.due_ms - 1 - now_ms, 1), waiting)


operations: st.SearchStrategy[LockOperation] = st.one_of(
    st.builds(
        AcquireLock,
        st.sampled_from(NAMES),
        st.sampled_from(OWNERS),
        st.integers(1, 30),
        st.sampled_from([0, 5, 40]),
        st.sampled_from(REQUESTS),
    ),
    st.builds(RenewLock, st.sampled_from(NAMES), st.sampled_from(OWNERS), st.integers(0, 2), st.integers(1, 30)),
    st.builds(ReleaseLock, st.sampled_from(NAMES), st.sampled_from(OWNERS), st.integers(0, 2)),
    st.builds(
        LeaveQueue, st.sampled_from(NAMES), st.sampled_from(OWNERS), st.sampled_from(REQUESTS), gives_back=st.booleans()
    ),
)


class LockModel(RuleBasedStateMachine):
    """`removed_max` is how many due records an entry removes: with one, locks that are due often wait for their removal."""

    removed_max = 1_000

    def __init__(self) -> None:
        super().__init__()
        self.saved = machine.EXPIRE_PER_ENTRY
        machine.EXPIRE_PER_ENTRY = self.removed_max
        self.log = Log()
        self.log.machine.on_granted(lambda name, owner: self.told.append((name, owner)))
        self.now_ms = 0
        self.locks = {name: Lock() for name in NAMES}
        self.fences = dict.fromkeys(NAMES, 0)
        self.told: list[tuple[str, str]] = []
        self.granted: list[tuple[str, str]] = []

    def teardown(self) -> None:
        again = replayed(self.log).checksum()
        machine.EXPIRE_PER_ENTRY = self.saved
        assert again == self.log.machine.checksum()

    @rule(step_ms=st.sampled_from([0, 0, 1, 3, 10, 30, 50]), batch=st.lists(operations, max_size=4))
    def apply_entry(self, step_ms: int, batch: list[LockOperation]) -> None:
        self.now_ms += step_ms
        index = self.log.index + 1
        self.expire(index)
        batch = [self.with_fence(operation) for operation in batch]
        expected = [self.expect(operation, index) for operation in batch]
        replies = self.log.append(Entry(self.now_ms, [(self.log.next_id(), operation) for operation in batch]))
        for operation, reply, wanted in zip(batch, replies, expected, strict=True):
            [result] = reply.results
            assert (result.status, lock_info(result)) == wanted, operation
            assert result.revision == wanted[1].fence

    def with_fence(self, operation: LockOperation) -> LockOperation:
        """0 stands for the present fence: a holder that knows it is the rule."""
        if isinstance(operation, RenewLock | ReleaseLock) and operation.fence == 0:
            fence = self.locks[operation.name].fence
            if isinstance(operation, RenewLock):
                return RenewLock(operation.name, operation.owner, fence, operation.ttl_ms)
            return ReleaseLock(operation.name, operation.owner, fence)
        return operation

    def expire(self, index: int) -> None:
        due = [
            (lock.due_ms, kept_name("l", slot_of(name), name), name)
            for name, lock in self.locks.items()
            if lock.owner and not lock.held(self.now_ms)
        ]
        for _, _, name in sorted(due)[: self.removed_max]:
            self.hand_on(name, index)

    def hand_on(self, name: str, index: int) -> None:
        if owner := self.locks[name].hand_on(index, self.now_ms):
            self.granted.append((name, owner))

    def expect(self, operation: LockOperation, index: int) -> tuple[Status, LockInfo]:
        lock = self.locks[operation.name]
        if lock.owner and not lock.held(self.now_ms):
            self.hand_on(operation.name, index)
        lock.wait_on(self.now_ms)
        return self.status(lock, operation, index), lock.info(self.now_ms)

    def status(self, lock: Lock, operation: LockOperation, index: int) -> Status:
        mine = lock.owner == operation.owner
        waits = [waiter[0] for waiter in lock.queue]
        if isinstance(operation, AcquireLock):
            due_ms = self.now_ms + operation.ttl_ms + 1
            if mine or not lock.owner:
                lock.give(operation.owner, lock.fence if mine else index, due_ms, operation.request)
                return OK
            at = waits.index(operation.owner) if operation.owner in waits else len(waits)
            times = (self.now_ms + operation.wait_ms, operation.ttl_ms)
            if not operation.wait_ms and at == len(waits):
                return LOCKED
            until_ms, ttl_ms = times if operation.wait_ms else lock.queue[at][1:3]
            lock.queue[at : at + 1] = [(operation.owner, until_ms, ttl_ms, operation.request)]
            return QUEUED
        if isinstance(operation, LeaveQueue):
            return self.status_of_leaving(lock, operation, index)
        if not mine or operation.fence != lock.fence or operation.fence == index:
            return NOT_HOLDER
        if isinstance(operation, RenewLock):
            lock.due_ms = self.now_ms + operation.ttl_ms + 1
        else:
            self.hand_on(operation.name, index)
        return OK

    def status_of_leaving(self, lock: Lock, operation: LeaveQueue, index: int) -> Status:
        if lock.owner != operation.owner:
            anyones = [operation.owner] if operation.request == "" else []
            its_own = (operation.owner, operation.request)
            lock.queue = [one for one in lock.queue if one[0] not in anyones and (one[0], one[3]) != its_own]
            return LOCKED
        if not operation.gives_back:
            lock.request = operation.request
            return OK
        if lock.request != operation.request:
            return OK
        if lock.fence == index:
            lock.due_ms = self.now_ms + 2
        else:
            self.hand_on(operation.name, index)
        return LOCKED

    @rule()
    def go_on_from_a_snapshot(self) -> None:
        self.log.machine = copy_by_snapshot(self.log.machine)
        self.log.machine.on_granted(lambda name, owner: self.told.append((name, owner)))

    @invariant()
    def everybody_can_look_how_it_stands(self) -> None:
        for name, lock in self.locks.items():
            for owner, request in product(OWNERS, REQUESTS):
                result = self.log.machine.lock(name, owner, request)
                waits = any(waiter[0] == owner and waiter[1] > self.now_ms for waiter in lock.queue)
                holds = lock.owner == owner and lock.held(self.now_ms)
                its_own = request in {"", lock.request}
                wanted = OK if holds and its_own else QUEUED if waits else LOCKED
                assert (result.status, lock_info(result)) == (wanted, lock.info(self.now_ms))

    @invariant()
    def who_waited_and_holds_it_now_is_told(self) -> None:
        assert self.told == self.granted

    @invariant()
    def fences_strictly_rise_with_every_holder(self) -> None:
        for name, lock in self.locks.items():
            info = lock_info(self.log.machine.lock(name, ""))
            assert info.fence in {0, lock.fence}
            assert lock.fence >= self.fences[name]
            self.fences[name] = lock.fence


class LateRemovalModel(LockModel):
    removed_max = 1


LockModel.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
LateRemovalModel.TestCase.settings = settings(max_examples=30, stateful_step_count=40)
TestLocksAgainstAQueue = LockModel.TestCase
TestLocksThatWaitForTheirRemoval = LateRemovalModel.TestCase


def acquire(log: Log, time_ms: int, owner: str, *, ttl_ms: int = 1_000, wait_ms: int = 0) -> ItemResult:
    [result] = log.write(time_ms, AcquireLock("l", owner, ttl_ms, wait_ms))
    return result


def holder(log: Log) -> tuple[str, int]:
    info = lock_info(log.machine.lock("l", ""))
    return info.owner, info.fence


def test_every_holder_has_a_greater_fence_and_nobody_holds_it_beside_another() -> None:
    log = Log()
    held: list[tuple[str, int]] = []
    for round_ in range(50):
        now_ms = round_ * 700
        for owner in OWNERS:
            if owner != holder(log)[0]:
                acquire(log, now_ms, owner, ttl_ms=1_000 + 100 * (round_ % 7), wait_ms=2_000 * (round_ % 3))
        if holder(log) != (held or [("", 0)])[-1]:
            held.append(holder(log))
        if round_ % 5 == 0:
            log.write(now_ms, ReleaseLock("l", *held[-1]))
            held.append(holder(log))
    fences = [fence for owner, fence in held if owner]
    assert len(fences) > 20
    assert fences == sorted(set(fences))


def test_a_lock_held_lasts_all_of_its_time_and_not_a_millisecond_more_than_the_grain() -> None:
    log = Log()
    fence = acquire(log, 1_000, "a", ttl_ms=500).revision
    assert lock_info(log.machine.lock("l", "a")) == LockInfo("a", fence, 500, 0)
    assert acquire(log, 1_500, "b").status is LOCKED
    taken = acquire(log, 1_501, "b")
    assert taken.status is OK
    assert taken.revision > fence
    assert log.write(1_501, RenewLock("l", "a", fence, 9_000))[0].status is NOT_HOLDER
    assert log.write(1_501, ReleaseLock("l", "a", fence))[0].status is NOT_HOLDER


def test_waiters_get_it_in_the_order_of_asking_each_for_its_own_time() -> None:
    log = Log()
    acquire(log, 0, "first", ttl_ms=100)
    for owner in ("a", "b", "c"):
        assert acquire(log, 0, owner, ttl_ms=ord(owner), wait_ms=30_000).status is QUEUED
    found: list[tuple[str, int]] = []
    for now_ms in range(1_000):
        log.tick(now_ms)
        if [holder(log)] != found[-1:]:
            found.append(holder(log))
    assert [owner for owner, _ in found] == ["first", "a", "b", "c", ""]


def test_asking_again_keeps_the_place_and_takes_the_new_times() -> None:
    log = Log()
    fence = acquire(log, 0, "x").revision
    acquire(log, 0, "a", wait_ms=100)
    acquire(log, 0, "b", wait_ms=30_000)
    assert acquire(log, 50, "a", ttl_ms=7_000, wait_ms=30_000).status is QUEUED
    assert acquire(log, 60, "a").status is QUEUED  # it still waits, though it did not ask to this time
    log.write(500, ReleaseLock("l", "x", fence))
    assert lock_info(log.machine.lock("l", "a")).owner == "a"
    assert lock_info(log.machine.lock("l", "a")).ttl_ms == 7_000


def test_who_waited_long_enough_is_in_no_queue_and_is_counted_by_nobody() -> None:
    log = Log()
    fence = acquire(log, 0, "x", ttl_ms=20_000).revision
    acquire(log, 0, "a", wait_ms=100)
    assert (log.machine.lock("l", "a").status, lock_info(log.machine.lock("l", "a")).waiting) == (QUEUED, 1)
    log.tick(100)
    assert (log.machine.lock("l", "a").status, lock_info(log.machine.lock("l", "a")).waiting) == (LOCKED, 0)
    assert lock_info(acquire(log, 100, "b")).waiting == 0
    [released] = log.write(100, ReleaseLock("l", "x", fence))
    assert (released.status, lock_info(released)) == (OK, LockInfo())


def test_the_holder_keeps_its_fence_and_its_queue_when_it_asks_again_or_renews() -> None:
    log = Log()
    fence = acquire(log, 0, "x", ttl_ms=1_000).revision
    acquire(log, 0, "a", wait_ms=30_000)
    again = acquire(log, 900, "x", ttl_ms=1_000)
    assert (again.status, lock_info(again)) == (OK, LockInfo("x", fence, 1_000, 1))
    [renewed] = log.write(1_800, RenewLock("l", "x", fence, 5_000))
    assert (renewed.status, lock_info(renewed)) == (OK, LockInfo("x", fence, 5_000, 1))
    log.tick(6_801)
    assert holder(log)[0] == "a"


@pytest.mark.parametrize(("owner", "off"), [("b", 0), ("x", 1), ("x", -1)])
def test_only_the_holder_under_its_fence_renews_or_releases(owner: str, off: int) -> None:
    log = Log()
    fence = acquire(log, 0, "x").revision
    for operation in (RenewLock("l", owner, fence + off, 9_000), ReleaseLock("l", owner, fence + off)):
        [result] = log.write(1, operation)
        assert (result.status, lock_info(result).owner, lock_info(result).fence) == (NOT_HOLDER, "x", fence)
    assert holder(log) == ("x", fence)


def test_a_lock_changes_hands_once_an_entry_at_most_even_for_who_guesses_its_fence() -> None:
    log = Log()
    fence = log.index + 1
    operations: list[LockOperation] = [
        AcquireLock("l", "x", 1_000),
        AcquireLock("l", "a", 1_000, 5_000),
        ReleaseLock("l", "x", fence),
        RenewLock("l", "x", fence, 9_000),
    ]
    replies = log.append(Entry(0, [(log.next_id(), operation) for operation in operations]))
    assert [reply.results[0].status for reply in replies] == [OK, QUEUED, NOT_HOLDER, NOT_HOLDER]
    assert holder(log) == ("x", fence)
    assert log.write(0, ReleaseLock("l", "x", fence))[0].status is OK
    assert holder(log) == ("a", log.index)


def test_leaving_the_queue_too_late_is_holding_the_lock() -> None:
    log = Log()
    fence = acquire(log, 0, "x").revision
    acquire(log, 0, "a", wait_ms=9_000)
    acquire(log, 0, "b", wait_ms=9_000)
    assert log.write(1, LeaveQueue("l", "b"))[0].status is LOCKED
    log.write(2, ReleaseLock("l", "x", fence))
    [late] = log.write(3, LeaveQueue("l", "a"))
    assert (late.status, lock_info(late).owner, lock_info(late).waiting) == (OK, "a", 0)
    assert holder(log)[0] == "a"
    assert log.write(4, LeaveQueue("never", "a"))[0].status is LOCKED


def queued(log: Log, time_ms: int, owner: str, request: str) -> None:
    assert log.write(time_ms, AcquireLock("l", owner, 1_000, 30_000, request))[0].status is QUEUED


def leave(log: Log, time_ms: int, owner: str, request: str) -> Status:
    """A client that waited hangs up."""
    return log.write(time_ms, LeaveQueue("l", owner, request, gives_back=True))[0].status


def test_the_end_of_a_request_leaves_the_place_of_a_later_one_of_the_same_owner() -> None:
    log = Log()
    fence = acquire(log, 0, "x").revision
    queued(log, 0, "a", "first")
    queued(log, 0, "b", "other")
    queued(log, 0, "a", "second")
    assert leave(log, 0, "a", "first") is LOCKED
    log.write(1, ReleaseLock("l", "x", fence))
    assert holder(log)[0] == "a"
    assert leave(log, 1, "a", "first") is OK
    assert holder(log)[0] == "a"
    assert leave(log, 1, "a", "second") is LOCKED
    assert holder(log)[0] == "b"


def test_a_lock_is_given_back_only_while_it_is_that_requests() -> None:
    log = Log()
    fence = acquire(log, 0, "x").revision
    queued(log, 0, "a", "first")
    queued(log, 0, "b", "other")
    log.write(1, ReleaseLock("l", "x", fence))
    mine = holder(log)
    assert log.write(2, AcquireLock("l", "a", 1_000, 0, "second"))[0].status is OK  # it asked again, and is told
    assert leave(log, 3, "a", "first") is OK
    assert holder(log) == mine
    log.write(4, AcquireLock("l", "a", 1_000))  # by an earlier gateway, which names no requests
    for request in ("first", "second"):
        assert leave(log, 4, "a", request) is OK
    assert holder(log) == mine


def test_a_request_that_is_told_of_the_lock_that_another_one_got_has_it_from_then_on() -> None:
    log = Log()
    fence = acquire(log, 0, "x").revision
    queued(log, 0, "a", "first")
    queued(log, 0, "a", "second")
    log.write(1, ReleaseLock("l", "x", fence))
    mine = holder(log)
    told = [log.machine.lock("l", "a", request).status for request in ("first", "second", "")]
    assert told == [LOCKED, OK, OK]
    assert log.write(2, LeaveQueue("l", "a", "first"))[0].status is OK
    assert log.machine.lock("l", "a", "first").status is OK
    assert leave(log, 3, "a", "second") is OK
    assert holder(log) == mine


def test_a_lock_that_is_given_back_in_the_entry_that_handed_it_over_is_handed_on_by_the_next() -> None:
    log = Log()
    fence = acquire(log, 0, "x").revision
    queued(log, 0, "a", "first")
    queued(log, 0, "b", "other")
    operations: list[LockOperation] = [ReleaseLock("l", "x", fence), LeaveQueue("l", "a", "first", gives_back=True)]
    log.append(Entry(1, [(log.next_id(), operation) for operation in operations]))
    assert holder(log) == ("a", log.index)
    log.tick(3)
    assert holder(log) == ("b", log.index)


def test_a_later_request_that_does_not_wait_has_the_place_and_keeps_its_times() -> None:
    log = Log()
    fence = acquire(log, 0, "x").revision
    queued(log, 0, "a", "first")
    assert log.write(0, AcquireLock("l", "a", 9_000, 0, "first"))[0].status is QUEUED
    assert log.write(0, AcquireLock("l", "b", 9_000, 0, "other"))[0].status is LOCKED
    assert log.write(0, AcquireLock("l", "a", 9_000, 0, "second"))[0].status is QUEUED
    assert leave(log, 1, "a", "first") is LOCKED
    log.write(1, ReleaseLock("l", "x", fence))
    assert lock_info(log.machine.lock("l", "a", "second")) == LockInfo("a", log.index, 1_000, 0)


def test_what_an_earlier_build_said_and_kept_is_understood_and_kept_as_it_was() -> None:
    for said, understood in (
        ([8, "l", "a", 1_000, 5_000], AcquireLock("l", "a", 1_000, 5_000)),
        ([11, "l", "a"], LeaveQueue("l", "a")),
    ):
        assert msgspec.convert(said, LockOperation) == understood
    assert msgspec.convert([1, "l", "a", 5], AwaitLockRequest) == AwaitLockRequest(1, "l", "a", 5)
    log = Log()
    fence = acquire(log, 0, "x", ttl_ms=9_000).revision
    acquire(log, 0, "a", ttl_ms=1_000, wait_ms=5_000)
    record = log.machine._store.get_kept(kept_name("l", slot_of("l"), "l"))
    assert record is not None
    assert msgspec.msgpack.decode(record.value) == ["x", fence, [["a", 5_000, 1_000]]]
    queued(log, 0, "b", "new")
    assert leave(log, 0, "a", "new") is LOCKED
    assert leave(log, 0, "x", "new") is OK
    assert log.write(0, LeaveQueue("l", "a"))[0].status is LOCKED
    assert lock_info(log.machine.lock("l", "x")) == LockInfo("x", fence, 9_000, 1)


def test_no_more_wait_than_may() -> None:
    log = Log()
    acquire(log, 0, "x", ttl_ms=60_000)
    asked = [(log.next_id(), AcquireLock("l", f"w{number}", 1_000, 10_000)) for number in range(LIMIT_QUEUE)]
    replies = log.append(Entry(0, [*asked]))
    assert {reply.results[0].status for reply in replies} == {QUEUED}
    assert acquire(log, 0, "late", wait_ms=20_000).status is Status.QUEUE_FULL
    assert acquire(log, 0, "w7", wait_ms=20_000).status is QUEUED
    assert acquire(log, 10_000, "late", wait_ms=20_000).status is QUEUED
    assert lock_info(log.machine.lock("l", "")).waiting == 2
    assert copy_by_snapshot(log.machine).checksum() == log.machine.checksum()


def due_behind_many(log: Log) -> None:
    """The lock "l" is held by x until 1,000, waited for by a, and due after more keys than one entry removes."""
    log.fill(0, (PutItem(f"k{number}", b"", "", 500) for number in range(2_500)))
    acquire(log, 0, "x", ttl_ms=1_000)
    acquire(log, 0, "a", ttl_ms=1_000, wait_ms=30_000)
    log.tick(1_001)
    assert log.machine.keys == 1_501


def test_a_lock_that_waits_for_its_removal_is_held_by_nobody_and_who_waits_for_it_still_does() -> None:
    log = Log()
    due_behind_many(log)
    assert (log.machine.lock("l", "x").status, log.machine.lock("l", "a").status) == (LOCKED, QUEUED)
    assert lock_info(log.machine.lock("l", "a")) == LockInfo(waiting=1)
    log.tick(1_001)
    log.tick(1_001)
    assert log.machine.lock("l", "a").status is OK
    assert holder(log) == ("a", log.index)


@pytest.mark.parametrize("by", ["renew", "release", "acquire", "leave"])
def test_a_lock_that_waits_for_its_removal_passes_on_before_anybody_does_anything_with_it(by: str) -> None:
    log = Log()
    due_behind_many(log)
    fence = 3
    operations: dict[str, LockOperation] = {
        "renew": RenewLock("l", "x", fence, 9_000),
        "release": ReleaseLock("l", "x", fence),
        "acquire": AcquireLock("l", "x", 9_000),
        "leave": LeaveQueue("l", "x"),
    }
    [result] = log.write(1_001, operations[by])
    assert result.status is (NOT_HOLDER if by in {"renew", "release"} else LOCKED)
    assert lock_info(result) == LockInfo("a", log.index, 1_000, 0)


def test_a_lock_of_a_slot_that_is_not_owned_belongs_to_another_group() -> None:
    log = Log(own=False)
    assert acquire(log, 0, "a") == ItemResult(Status.WRONG_GROUP)
    assert log.machine.lock("l", "a") == ItemResult(Status.WRONG_GROUP)
