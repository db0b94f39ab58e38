"""Clients that ask for a lock by more than one request of the same owner, hang up on some and go on with others."""

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.shard.build import Log, lock_info
from tests.shard.models.replicas import IN_THE_SUITE
from wire.messages import AcquireLock, ItemResult, LeaveQueue, LockOperation, ReleaseLock, Status

OWNERS = ["a", "b"]
HOUR_MS = 3_600_000


class Asking(NamedTuple):
    owner: str
    request: str


class LockRequests(RuleBasedStateMachine):
    """What gateways do for their clients, in any order; no time passes, so that nothing ends by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.asked = 0
        self.open: list[Asking] = []
        self.newest: dict[str, Asking] = {}  # of an owner, while nobody has given the lock back since
        self.told: dict[str, int] = {}

    def write(self, operation: LockOperation) -> ItemResult:
        [result] = self.log.write(0, operation)
        return result

    def tell(self, asking: Asking, result: ItemResult) -> None:
        """The client is answered: the lock is its owner's, or is not."""
        if result.status is Status.OK:
            assert self.told.setdefault(asking.owner, result.revision) == result.revision

    @initialize(owners=st.lists(st.sampled_from(OWNERS), min_size=2, max_size=4))
    def ask_for_a_lock_that_another_has(self, owners: list[str]) -> None:
        for owner in ["x", *owners]:
            self.ask(owner, 30_000)

    @rule(owner=st.sampled_from(OWNERS), wait_ms=st.sampled_from([30_000, 30_000, 30_000, 0]))
    def ask(self, owner: str, wait_ms: int) -> None:
        self.asked += 1
        asking = Asking(owner, f"r{self.asked}")
        result = self.write(AcquireLock("l", owner, HOUR_MS, wait_ms, asking.request))
        if result.status is Status.QUEUED:
            self.open.append(asking)
            self.newest[owner] = asking
        else:
            self.tell(asking, result)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), way=st.sampled_from(["looks", "looks", "hangs up", "hangs up", "waited long enough"]))
    def end(self, data: st.DataObject, way: str) -> None:
        """A request may end: its client hangs up, has waited long enough, or is told how it stands, which need not be the end."""
        asking = data.draw(st.sampled_from(self.open))
        if way == "looks":
            result = self.log.machine.lock("l", asking.owner, asking.request)
            if result.status is Status.QUEUED:
                return
            if result.status is Status.OK:
                self.open.remove(asking)
                self.tell(asking, result)
                return
        self.open.remove(asking)
        left = self.write(LeaveQueue("l", asking.owner, asking.request, gives_back=way == "hangs up"))
        if way != "hangs up":
            self.tell(asking, left)

    @precondition(lambda self: self.told)
    @rule()
    def release(self) -> None:
        for owner in list(self.told):
            self.newest.pop(owner, None)
            assert self.write(ReleaseLock("l", owner, self.told.pop(owner))).status is Status.OK

    @invariant()
    def who_was_told_that_it_has_the_lock_has_it_until_it_gives_it_back(self) -> None:
        info = lock_info(self.log.machine.lock("l", ""))
        assert self.told in ({}, {info.owner: info.fence})

    @invariant()
    def the_newest_request_of_an_owner_keeps_its_place_until_it_ends(self) -> None:
        for owner, asking in self.newest.items():
            assert asking not in self.open or self.log.machine.lock("l", owner).status is not Status.LOCKED

    @invariant()
    def nobody_holds_it_or_waits_for_it_whose_requests_have_all_ended(self) -> None:
        info = lock_info(self.log.machine.lock("l", ""))
        asking = {one.owner for one in self.open}
        assert info.owner in {"", *self.told, *asking}
        for owner in OWNERS:
            assert owner in asking or self.log.machine.lock("l", owner).status is not Status.QUEUED


TestLockRequests = LockRequests.TestCase
TestLockRequests.settings = settings(IN_THE_SUITE, max_examples=300)
