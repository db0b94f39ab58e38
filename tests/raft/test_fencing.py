"""A replica whose state was found wrong: it does no harm, still helps with its log, and a leader's snapshot makes it well."""

import msgspec

from raft.interface import Committed
from raft.messages import InstallSnapshot, TimeoutNow
from tests.raft.members import SNAPPY, Group, Member


def propose(group: Group, leader: Member, *among: str, count: int) -> None:
    for number in range(count):
        outcomes = leader.propose(b"%d" % number)
        group.settle(*among)
        assert isinstance(outcomes[0], Committed)


def test_a_fenced_leader_steps_down_and_another_one_is_elected() -> None:
    group = Group()
    a = group.elect("a")
    led: list[bool] = []
    a.replica.on_leadership(led.append)
    a.replica.fence(a.replica.applied_index)
    a.loop.run()
    assert (a.replica.role, a.replica.leader, led) == ("follower", "", [False])
    b = group.elect("b")
    propose(group, b, "a", "b", count=1)


def test_a_fenced_member_does_not_campaign_by_itself_nor_when_it_is_asked_to() -> None:
    group = Group()
    a, b = group.elect("a"), group["b"]
    b.replica.fence(b.replica.applied_index)
    b.receive("a", TimeoutNow(term=a.replica.term))
    assert not b.replica._transfer_campaign  # else it would break others' promises to their leader once it is well
    group.campaign("b")
    assert b.replica.role == "follower"
    assert a.replica.is_leader
    assert b.replica.term == a.replica.term


def test_a_fenced_member_votes_and_stores_entries() -> None:
    group = Group()
    c = group["c"]
    c.replica.fence(c.replica.applied_index)
    b = group.elect("b", "b", "c")
    propose(group, b, "b", "c", count=3)
    group.beat("b", "b", "c")
    assert c.machine.commands == [b"0", b"1", b"2"]


def test_a_fenced_member_takes_no_snapshot_and_gives_up_the_one_under_way() -> None:
    group = Group(config=SNAPPY)
    a, c = group.elect("a"), group["c"]
    propose(group, a, count=8)
    a.propose(b"one more")
    for _ in range(10):
        group.deliver(sender="a", to="c")
        while c.log.work() or c.log.turn():
            pass
        a.heartbeat()
        while a.log.work() or a.log.turn():
            pass
        group.deliver(sender="c", to="a")
        if c.replica._shelf._writer is not None:
            break
    assert c.replica._shelf._writer is not None
    c.replica.fence(c.replica.applied_index)
    propose(group, a, count=30)
    assert a.replica.snapshots_taken
    assert (c.replica.snapshots_taken, c.replica.snapshot_index) == (0, 0)
    assert c.replica.journal.base_index < a.replica.journal.base_index


def test_a_fenced_member_with_a_long_log_waits_for_the_leaders_snapshot_and_is_well_again() -> None:
    config = msgspec.structs.replace(SNAPPY, fenced_log_bytes=100)
    group = Group(config=config)
    a, c = group.elect("a"), group["c"]
    c.machine.commands.append(b"wrong")
    c.replica.fence(c.replica.applied_index)
    for number in range(200):
        a.propose(b"%d" % number)
        group.settle()
        assert c.replica.journal.bytes < 200
        if not c.replica.is_fenced:
            break
    group.beat("a")
    assert c.replica.snapshots_installed
    assert c.machine.commands == a.machine.commands
    assert group.elect("c", "b", "c").replica.is_leader


def test_a_snapshot_that_is_not_newer_than_the_fence_does_not_make_it_well() -> None:
    group = Group(config=SNAPPY)
    group.elect("a", "a", "b")
    a, c = group["a"], group["c"]
    propose(group, a, "a", "b", count=30)
    c.replica.fence(a.replica.last_index + 100)
    for _ in range(20):
        group.beat("a")
    assert c.replica.snapshots_installed
    assert c.replica.is_fenced
    assert not group.letters(kind=InstallSnapshot)
