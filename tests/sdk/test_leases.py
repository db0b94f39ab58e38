"""When what is held is renewed, when it is lost, and how locks and limits are waited for."""

import threading
from typing import Any

import pytest

import concord
from concord._coordination import Grant, Instance, Permit, heartbeat, limit_acquire, take_lock, wait_for_permit
from concord._core import Plan, Sleep
from concord._driver import Driver
from concord._held import Keeper, Lock
from concord._leases import Heartbeat, Lease
from concord._transports import Request, Response, Stream
from tests.sdk.fake import SILENT, World, ok


def test_a_lease_is_sure_from_the_sending_and_renewed_after_a_third() -> None:
    lease = Lease(30.0, 100.0)
    assert lease.pause_s(100.0) == 10.0
    assert not lease.is_over(129.9)
    assert lease.is_over(130.0)
    lease.renewed(110.0)
    assert lease.pause_s(111.0) == 9.0
    assert not lease.is_over(139.0)


def test_a_renewal_that_fails_is_tried_again_before_it_is_over() -> None:
    lease, now, tries = Lease(3.0, 0.0), 0.0, 0
    while not lease.is_over(now := now + lease.pause_s(now)):
        lease.failed(now)
        tries += 1
    assert 4 <= tries <= 40
    assert now == 3.0


class OneIsSilent:
    """A network in which one of three gateways takes all the time that it is given, and says nothing."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.silences = 0

    def send(self, url: str, _request: Request, timeout_s: float) -> Response:
        if url == "http://a":
            self._world.now += timeout_s
            self.silences += 1
            raise SILENT
        self._world.now += 0.01
        return ok({})

    def stream(self, _url: str, _request: Request, _silence_s: float) -> Stream:
        raise AssertionError("nobody watches")

    def close(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize("kind", [Lease, Heartbeat])
@pytest.mark.parametrize("ttl_s", [1, 3, 10])
def test_one_gateway_of_three_that_says_nothing_costs_nobody_what_he_holds(kind: type[Lease], ttl_s: int) -> None:
    world = World(urls=("http://a", "http://b", "http://c"))
    network = OneIsSilent(world)
    driver, lease = Driver(world.core, network), kind(ttl_s, world.now)
    for _ in range(30):
        world.now += lease.pause_s(world.now)
        sent_at = world.now
        assert sent_at < lease.sure_until
        try:
            driver.follow(heartbeat("s", Instance("i"), ttl_s), lease.left_s(sent_at))
            lease.renewed(sent_at)
        except concord.ConcordError:
            lease.failed(world.now)
    assert network.silences


def test_a_heartbeat_that_fails_for_long_is_tried_again_soon_but_not_in_haste() -> None:
    lease = Heartbeat(9.0, 0.0)
    for now in (3.0, 9.0, 1000.0):
        lease.failed(now)
        assert lease.pause_s(now) == 1.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def advance(plan: Plan[Any], answer: object) -> object:
    """The next step, or what the plan returned."""
    try:
        return plan.throw(answer) if isinstance(answer, Exception) else plan.send(answer)
    except StopIteration as stop:
        return stop.value


def test_a_lock_is_waited_for_as_long_as_it_was_said() -> None:
    clock = Clock()
    plan = take_lock("l", "me", 30, wait_s=40.0, clock=clock)
    first = next(plan)
    assert not isinstance(first, Sleep)
    assert first.wait_s == 30.0
    clock.now = 30.0
    second = advance(plan, concord.Conflict("held"))
    assert getattr(second, "wait_s", None) == 10.0
    clock.now = 40.0
    with pytest.raises(concord.Conflict):
        advance(plan, concord.Conflict("held"))


def test_a_lock_that_came_late_is_renewed_before_it_is_trusted() -> None:
    clock = Clock()
    plan = take_lock("l", "me", 10, wait_s=None, clock=clock)
    next(plan)
    clock.now = 25.0
    renewal = advance(plan, 7)
    assert getattr(renewal, "request").target.endswith("/renew")  # noqa: B009 - the type is of any step
    clock.now = 25.5
    assert advance(plan, None) == Grant(7, 25.0)


def test_a_lock_that_came_at_once_is_sure_from_the_sending() -> None:
    plan = take_lock("l", "me", 10, wait_s=0.0, clock=Clock())
    next(plan)
    assert advance(plan, 7) == Grant(7, 0.0)


def test_a_limit_is_asked_again_when_it_said_that_it_may_help_and_not_beyond_the_wait() -> None:
    clock = Clock()
    plan = wait_for_permit(limit_acquire("l", 1, 60, cost=1, algorithm="fixed"), wait_s=5.0, clock=clock)
    call = next(plan)
    assert advance(plan, Permit(False, 0, 2000, 2000)) == Sleep(2.0)
    clock.now = 2.0
    assert advance(plan, None) is call
    with pytest.raises(concord.Timeout):
        advance(plan, Permit(False, 0, 9000, 9000))


@pytest.mark.parametrize("failure", [concord.Conflict("taken"), concord.Unavailable("away")])
def test_a_lease_that_cannot_be_renewed_is_lost(failure: concord.ConcordError) -> None:
    lost, clock = threading.Event(), Clock()

    def renew(left_s: float) -> None:
        clock.now += left_s
        raise failure

    keeper = Keeper("it", Lease(0.01, 0.0), renew, clock, lost)
    assert lost.wait(10)
    keeper.stop()


@pytest.mark.parametrize("slept_s", [0.0, 1000.0])
def test_an_instance_is_kept_also_after_its_process_slept_over_its_time(slept_s: float) -> None:
    lost, beaten, clock = threading.Event(), threading.Event(), Clock()
    left_s: list[float] = []

    def beat(left: float) -> None:
        left_s.append(left)
        if len(left_s) == 3:
            beaten.set()

    clock.now = slept_s
    keeper = Keeper("it", Heartbeat(0.03, 0.0), beat, lambda: clock.now, lost)
    for _ in range(1000):
        clock.now += 0.01
        if beaten.wait(0.001):
            break
    keeper.stop()
    assert len(left_s) >= 3
    assert not lost.is_set()
    assert all(left >= 0.01 for left in left_s)


def test_a_lease_that_is_stopped_is_not_lost() -> None:
    lost = threading.Event()
    keeper = Keeper("it", Lease(30.0, 0.0), lambda _: None, Clock(), lost)
    keeper.stop()
    assert not lost.is_set()


class Granting:
    """A network in which every request is answered by a lock, which cannot be renewed because of a `defect`."""

    def __init__(self, defect: Exception | None = None) -> None:
        self._defect = defect

    def send(self, _url: str, request: Request, _timeout_s: float) -> Response:
        if self._defect is not None and request.target.endswith("/renew"):
            raise self._defect
        return ok({"fence": 7, "ttl": 30})

    def stream(self, _url: str, _request: Request, _silence_s: float) -> Stream:
        raise AssertionError("nobody watches")

    def close(self) -> None:
        """There is nothing to close."""


def test_who_slept_over_the_time_of_a_lock_is_told_at_the_next_look() -> None:
    world = World()
    lock = Lock(Driver(world.core, Granting()), "l", 30, None)

    def sleep_over_it() -> None:
        with lock:
            lock.check()
            assert lock.fence == 7
            world.now += 30
            lock.check()

    with pytest.raises(concord.LockLost):
        sleep_over_it()


def test_who_holds_a_lock_is_told_of_a_defect_that_keeps_it_from_being_renewed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, defect = World(), RuntimeError("can't start new thread")
    lock = Lock(Driver(world.core, Granting(defect)), "l", 1, None)

    def hold() -> None:
        with lock:
            lock.lost.wait(10)

    with pytest.raises(concord.LockLost, match="the lock l is lost") as caught:
        hold()
    assert caught.value.__cause__ is defect
    assert "the lock l is not kept any more" in caplog.text
    assert "can't start new thread" in caplog.text
