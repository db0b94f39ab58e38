"""A read that is granted sees every write that was acknowledged before the read began."""

from raft.interface import ReadGranted, ReadOutcome, Refused
from raft.messages import AppendEntries, AppendReply
from tests.raft.members import CONFIG, ONE_BY_ONE, Group, Member, append

LEASE_S = CONFIG.election_timeout_s_min * (1 - CONFIG.lease_drift)


def leading(size: int = 3) -> tuple[Group, Member]:
    """Member a leads, with a fresh lease."""
    group = Group(size)
    a = group.elect("a")
    a.heartbeat()
    group.settle()
    return group, a


def with_expired_lease(size: int = 3) -> tuple[Group, Member]:
    group, a = leading(size)
    group.advance(LEASE_S)
    return group, a


def test_a_leader_with_a_lease_grants_at_once() -> None:
    _group, a = leading()
    assert a.read() == [ReadGranted(by_lease=True)]


def test_the_lease_ends_before_anybody_could_be_elected() -> None:
    group, a = leading()
    group.advance(LEASE_S - 0.001)
    assert a.read() == [ReadGranted(by_lease=True)]
    group.advance(0.001)
    assert a.read() == []


def test_the_lease_counts_from_the_sending_not_from_the_answer() -> None:
    group, a = leading()
    a.heartbeat()
    group.advance(LEASE_S)
    group.deliver(to="b")
    group["b"].sync()
    group.deliver("b", "a")
    assert a.read() == []


def test_one_of_four_answers_is_no_lease() -> None:
    group, a = with_expired_lease(5)
    a.heartbeat()
    group.settle("a", "b")
    assert a.read() == []
    a.heartbeat()
    group.settle("a", "b", "c")
    assert a.read() == [ReadGranted(by_lease=True)]


def test_a_follower_refuses_and_says_who_leads() -> None:
    group, _a = leading()
    assert group["b"].read() == [Refused(leader="a")]


def test_a_new_leader_refuses_until_its_first_entry_is_committed() -> None:
    """Until then it does not know what its predecessors committed."""
    group, _a = leading()
    b = group.elect_unheard("b")
    assert isinstance(b.read()[0], Refused)
    group.beat("b")
    assert b.read() == [ReadGranted(by_lease=True)]


def test_a_new_leader_serves_only_once_its_first_entry_is_applied() -> None:
    group = Group(config=ONE_BY_ONE)
    a, b = group.elect("a"), group["b"]
    for number in range(5):
        a.propose(b"%d" % number)
    group.forget(kind=AppendReply)
    group.deliver(to="b")
    b.sync()
    behind = b.replica.commit_index
    group.mail.clear()
    began: list[int] = []
    b.replica.on_leadership(lambda leads: began.append(b.replica.applied_index if leads else 0))
    group.elect("b", "b", "c")
    assert b.replica.last_index > behind + 1, "there was something to apply before the first entry of its own"
    assert began == [b.replica.last_index]


def test_a_read_waits_until_what_was_committed_when_it_came_is_applied() -> None:
    group = Group(config=ONE_BY_ONE)
    a, b = group.elect("a"), group["b"]
    for number in range(50):
        a.replica.propose(b"%d" % number, lambda _outcome: None)
    a.sync()
    group.deliver(to="b")
    b.sync()
    (commits,) = group.letters("b", "a")
    a.receive_in_one_turn("b", commits[2])
    committed, granted = a.replica.commit_index, []
    group.advance(LEASE_S)
    a.replica.read(lambda outcome: granted.append((outcome, a.replica.applied_index)))
    a.loop.turn()
    group.mail.remove(commits)
    group.deliver(to="b")
    b.sync()
    (confirms,) = group.letters("b", "a")
    a.receive_in_one_turn("b", confirms[2])
    assert (granted, a.replica.applied_index < committed) == ([], True)
    a.loop.run()
    assert granted == [(ReadGranted(by_lease=False), committed)]


def test_without_a_lease_a_read_waits_for_a_round_that_began_after_it() -> None:
    group, a = with_expired_lease()
    a.heartbeat()
    before_the_read = group.letters("a", kind=AppendEntries)
    group.forget()
    reading = a.read()
    after_the_read = group.letters("a", kind=AppendEntries)
    for letters, granted in ((before_the_read, 0), (after_the_read, 1)):
        group.mail = letters
        group.deliver(to="b")
        group["b"].sync()
        group.deliver("b", "a")
        assert len(reading) == granted
    assert reading == [ReadGranted(by_lease=False)]


def test_a_read_does_not_join_a_round_that_is_on_its_way() -> None:
    group, a = with_expired_lease()
    first = a.read()
    round_one = group.letters("a", kind=AppendEntries)
    second = a.read()
    group.mail = round_one
    group.deliver(to="b")
    group["b"].sync()
    group.deliver("b", "a")
    assert first == [ReadGranted(by_lease=False)]
    assert second == []
    group.beat("a")
    assert second == [ReadGranted(by_lease=False)]


def test_reads_of_one_turn_share_a_round() -> None:
    group, a = with_expired_lease()
    outcomes: list[ReadOutcome] = []
    for _ in range(100):
        a.replica.read(outcomes.append)
    a.loop.run()
    assert len(group.letters("a", kind=AppendEntries)) == 2
    group.settle()
    assert outcomes == [ReadGranted(by_lease=False)] * 100


def test_a_round_needs_a_quorum() -> None:
    group, a = with_expired_lease(5)
    reading = a.read()
    group.settle("a", "b")
    assert reading == []
    a.heartbeat()
    group.settle("a", "b", "c")
    assert reading == [ReadGranted(by_lease=False)]


def test_a_read_is_granted_even_when_the_follower_lags() -> None:
    """A refusal for a log that does not match is an answer all the same: it obeys this leader in this term."""
    group, a = with_expired_lease()
    group["b"].restart()
    reading = a.read()
    [message] = [message for _, _, message in group.letters("a", "b") if isinstance(message, AppendEntries)]
    a.receive("b", AppendReply(1, False, 0, message.prev_index, 2, message.sent_s, message.round))
    assert reading == [ReadGranted(by_lease=False)]


def test_handing_over_ends_the_lease_for_the_rest_of_the_term() -> None:
    group, a = leading()
    a.hand_over("b")
    group.forget()
    assert a.read() == []
    group.advance(CONFIG.transfer_s / 2)
    a.heartbeat()
    group.settle()
    reading = a.read()
    assert reading == [], "the member may still take over, without waiting for anybody's promise"
    group.settle()
    assert reading == [ReadGranted(by_lease=False)]


def test_a_leader_that_is_cut_off_grants_nothing_and_then_refuses() -> None:
    group, a = with_expired_lease()
    reading = a.read()
    a.heartbeat()
    group.forget()
    assert reading == []
    group.elect("b", "b", "c")
    a.look_at_timers()
    assert reading == [Refused(leader="")]


def test_an_answer_that_already_knows_of_a_newer_leader_grants_nothing() -> None:
    group, a = with_expired_lease()
    reading = a.read()
    group.settle("a")
    group.elect("b", "b", "c")
    a.heartbeat()
    group.settle()
    assert reading == [Refused(leader="")]


def test_the_age_of_a_followers_state_is_the_time_since_it_heard_its_leader() -> None:
    group, a = leading()
    group.advance(0.5)
    assert (a.replica.age_ms(), group["b"].replica.age_ms()) == (0, 500)
    b = group["b"]
    b.receive("a", append(b))
    assert b.replica.age_ms() == 0


def test_an_answer_to_a_message_of_an_earlier_term_grants_nothing() -> None:
    """A refusal tells the follower's present term. When the same member leads again in that term, it must not take the
    refusal for an answer of this leadership, whose rounds are numbered from 1 again."""
    group, a = with_expired_lease()
    a.read()
    late = group.letters("a", "c", AppendEntries)[0]
    group.forget()
    group.elect("b", "b", "c")
    group.beat("b")
    group.elect("a", "a", "c")
    group.beat("a")
    assert a.replica.term == 3
    c = group["c"]
    c.receive(late[0], late[2])
    c.sync()
    [refusal] = [message for _, _, message in group.letters("c", "a") if isinstance(message, AppendReply)]
    group.forget()
    assert not refusal.success
    group.advance(LEASE_S)
    reading = a.read()
    a.receive("c", refusal)
    assert reading == [], "c may have elected another leader since it sent that"


def test_an_answer_to_a_message_of_an_earlier_term_gives_no_lease() -> None:
    """The time may even be from before the leader's machine was started anew, when its clock began again."""
    group = Group()
    a = group.elect("a")
    group.elect("b", "b", "c")
    group.beat("b")
    group.elect("a", "a", "c")
    group.advance(LEASE_S)
    c = group["c"]
    c.receive("a", append(c, term=1, sent_s=group.now + 1e6))
    c.sync()
    [refusal] = [message for _, _, message in group.letters("c", "a") if isinstance(message, AppendReply)]
    group.forget()
    a.receive("c", refusal)
    assert not a.replica.holds_lease
