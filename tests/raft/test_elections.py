"""Who may become leader, who may vote, and what must be durable before anybody says so."""

from typing import TypeVar

import pytest

from raft.interface import Committed, Refused
from raft.messages import PreVote, PreVoteReply, RequestVote, TimeoutNow, VoteReply
from tests.raft.members import CONFIG, FatalError, Group, Member, append, entries

T = TypeVar("T")

MIN_S = CONFIG.election_timeout_s_min


def quiet_group(size: int = 3) -> Group:
    """Nobody leads, and nobody has to keep a promise to a leader any more."""
    group = Group(size)
    group.advance(MIN_S)
    return group


def request(term: int, *, last_index: int = 1, last_term: int = 0, transfer: bool = False) -> RequestVote:
    return RequestVote(term, last_index, last_term, transfer)


def messages(group: Group, sender: str, kind: type[T]) -> list[T]:
    return [message for _sender, _to, message in group.letters(sender) if isinstance(message, kind)]


def candidate(group: Group) -> Member:
    """Member a, which asks for votes in term 1 and got none yet."""
    a = group["a"]
    a.replica.election_deadline = 0.0
    a.look_at_timers()
    for name in "bcde"[: len(group.names) // 2]:
        a.receive(name, PreVoteReply(term=0, asked_term=1, granted=True))
    a.look_at_timers()
    assert (a.replica.role, a.replica.term) == ("candidate", 1)
    return a


# --- durability ----------------------------------------------------------------------------------------------------


def test_a_vote_is_not_sent_before_it_is_durable() -> None:
    group = quiet_group()
    b = group["b"]
    b.receive("a", request(1))
    assert b.replica.voted_for == "a"
    assert not group.mail
    b.log.work()
    assert not group.mail, "on disk, but the loop does not know yet"
    b.sync()
    assert messages(group, "b", VoteReply) == [VoteReply(term=1, granted=True)]


def test_a_vote_that_was_sent_survives_a_power_cut() -> None:
    group = quiet_group()
    b = group["b"]
    b.receive("a", request(1))
    b.sync()
    b.restart()
    assert (b.replica.term, b.replica.voted_for) == (1, "a")
    group.advance(MIN_S)
    b.receive("c", request(1))
    b.sync()
    assert messages(group, "b", VoteReply) == [VoteReply(term=1, granted=False)]


def test_a_candidate_asks_for_votes_only_once_its_own_is_durable() -> None:
    group = quiet_group()
    a = group["a"]
    a.replica.election_deadline = 0.0
    a.look_at_timers()
    group.deliver("a", kind=PreVote)
    for name in "bc":
        group[name].sync()
    group.deliver(to="a", kind=PreVoteReply)
    a.look_at_timers()
    assert (a.replica.role, a.replica.voted_for) == ("candidate", "a")
    assert not group.mail
    a.sync()
    assert [message.term for message in messages(group, "a", RequestVote)] == [1, 1]


def test_even_a_refused_pre_vote_waits_for_what_was_recorded_before_it() -> None:
    group = quiet_group()
    b = group["b"]
    b.receive("a", request(1))
    b.receive("c", PreVote(1, 1, 0))
    assert not group.mail
    b.sync()
    assert messages(group, "b", PreVoteReply) == [PreVoteReply(term=1, asked_term=1, granted=False)]


# --- voting --------------------------------------------------------------------------------------------------------


def test_a_member_votes_once_a_term() -> None:
    group = quiet_group()
    b = group["b"]
    b.receive("a", request(1))
    b.receive("c", request(1))
    b.receive("a", request(1))
    b.sync()
    assert [message for _, to, message in group.mail if to == "a"] == [VoteReply(1, granted=True)] * 2
    assert [message for _, to, message in group.mail if to == "c"] == [VoteReply(1, granted=False)]


@pytest.mark.parametrize(
    ("last_term", "last_index", "granted"),
    [(2, 4, True), (2, 5, True), (3, 2, True), (2, 3, False), (1, 9, False)],
    ids=["equal", "longer", "later term", "shorter", "earlier term"],
)
def test_only_a_log_that_lacks_nothing_gets_votes(last_term: int, last_index: int, granted: bool) -> None:  # noqa: FBT001 - a table
    group = Group()
    b = group["b"]
    b.receive("a", append(b, term=2, entries=entries(1, 2, 2)))
    b.sync()
    group.forget()
    group.advance(MIN_S)
    b.receive("c", PreVote(3, last_index, last_term))
    b.receive("c", request(3, last_index=last_index, last_term=last_term))
    b.sync()
    assert [message.granted for message in messages(group, "b", PreVoteReply)] == [granted]
    assert [message.granted for message in messages(group, "b", VoteReply)] == [granted]


def test_a_follower_that_hears_its_leader_refuses_to_vote_and_keeps_its_term() -> None:
    group = Group()
    b = group["b"]
    b.receive("a", append(b, term=1))
    b.sync()
    group.forget()
    group.advance(MIN_S - 0.001)
    b.receive("c", request(9))
    b.receive("c", PreVote(9, 1, 0))
    b.sync()
    assert b.replica.term == 1
    assert [message for _, _, message in group.mail] == [PreVoteReply(term=1, asked_term=9, granted=False)]
    group.advance(0.001)
    b.receive("c", request(9))
    assert b.replica.voted_for == "c"


def test_a_member_that_reached_the_candidates_term_without_a_vote_still_keeps_its_promise_to_the_leader() -> None:
    """Anybody's reply may have brought the term. The leader's lease counts on this member all the same."""
    group = Group()
    b = group["b"]
    b.receive("a", append(b, term=1))
    b.receive("c", PreVoteReply(term=2, asked_term=2, granted=False))
    b.sync()
    group.forget()
    assert (b.replica.term, b.replica.voted_for) == (2, "")
    group.advance(MIN_S - 0.001)
    b.receive("c", request(2))
    b.sync()
    assert (b.replica.voted_for, group.mail) == ("", [])
    group.advance(0.001)
    b.receive("c", request(2))
    assert b.replica.voted_for == "c"


def test_a_member_that_has_just_started_refuses_to_vote_for_the_shortest_election_timeout() -> None:
    """Before it stopped it may have answered a leader, whose lease counts on it."""
    group = quiet_group()
    b = group["b"]
    b.restart()
    group.advance(MIN_S - 0.001)
    b.receive("c", request(1))
    assert (b.replica.term, b.replica.voted_for) == (0, "")
    group.advance(0.001)
    b.receive("c", request(1))
    assert b.replica.voted_for == "c"


def test_a_member_that_has_just_started_does_not_vote_for_itself_sooner() -> None:
    """Nor would it for another: the leader whose lease counts on it may still be there, only out of its sight."""
    group = quiet_group()
    b = group["b"]
    b.restart()
    assert b.replica.election_deadline > group.now + MIN_S
    group.advance(MIN_S - 0.001)
    b.replica.election_deadline = 0.0
    b.look_at_timers()
    b.sync()
    assert not group.mail, "not even a question"
    group.advance(2 * MIN_S)
    b.look_at_timers()
    b.sync()
    assert len(messages(group, "b", PreVote)) == 2


def test_a_member_without_others_has_promised_nobody_anything() -> None:
    group = Group(1)
    a = group["a"]
    a.replica.election_deadline = 0.0
    a.look_at_timers()
    a.sync()
    assert a.replica.is_leader


def test_a_leader_that_a_quorum_answers_refuses_to_vote() -> None:
    group = Group()
    a = group.elect("a")
    a.heartbeat()
    group.settle()
    a.receive("b", request(9, last_index=99, last_term=9))
    assert (a.replica.term, a.replica.is_leader) == (1, True)


def test_an_election_that_the_leader_asked_for_is_not_refused() -> None:
    group = Group()
    group.elect("a")
    c = group["c"]
    c.receive("b", request(2, last_index=9, last_term=1, transfer=True))
    assert (c.replica.term, c.replica.voted_for) == (2, "b")


# --- becoming leader -----------------------------------------------------------------------------------------------


def test_a_pre_vote_changes_nothing_at_who_is_asked() -> None:
    group = quiet_group()
    b = group["b"]
    before = b.host.wal.written
    b.receive("a", PreVote(5, 1, 0))
    b.sync()
    assert messages(group, "b", PreVoteReply) == [PreVoteReply(term=0, asked_term=5, granted=True)]
    assert (b.replica.term, b.replica.voted_for, b.host.wal.written) == (0, "", before)


def test_a_member_that_is_cut_off_keeps_its_term_and_does_not_disturb_when_it_comes_back() -> None:
    group = Group()
    a = group.elect("a")
    for _ in range(5):
        group.campaign("c", "c")
        a.heartbeat()
        group.settle("a", "b")
    assert group["c"].replica.term == 1
    group["c"].look_at_timers()
    group.settle()
    assert (a.replica.is_leader, a.replica.term) == (True, 1)


def test_with_five_members_one_voter_is_not_two_however_often_it_answers() -> None:
    group = quiet_group(5)
    a = group["a"]
    a.replica.election_deadline = 0.0
    a.look_at_timers()
    for _ in range(3):
        a.receive("b", PreVoteReply(term=0, asked_term=1, granted=True))
    assert a.replica.role == "follower"
    a.receive("c", PreVoteReply(term=0, asked_term=1, granted=True))
    assert a.replica.role == "candidate"
    for _ in range(3):
        a.receive("b", VoteReply(term=1, granted=True))
    assert a.replica.role == "candidate"
    a.receive("c", VoteReply(term=1, granted=True))
    assert a.replica.role == "leader"


@pytest.mark.parametrize("reply", [VoteReply(0, granted=True), VoteReply(1, granted=False)], ids=["old", "refusal"])
def test_old_votes_and_refusals_do_not_count(reply: VoteReply) -> None:
    group = quiet_group()
    a = candidate(group)
    a.receive("b", reply)
    a.receive("c", reply)
    assert a.replica.role == "candidate"


def test_who_is_not_a_member_has_no_vote() -> None:
    group = quiet_group()
    a = candidate(group)
    a.receive("stranger", VoteReply(1, granted=True))
    assert a.replica.role == "candidate"


def test_a_candidate_follows_the_leader_of_its_term() -> None:
    group = quiet_group()
    a = candidate(group)
    a.receive("b", append(a))
    assert (a.replica.role, a.replica.leader, a.replica.term) == ("follower", "b", 1)


def test_a_newer_term_in_a_reply_ends_a_candidacy() -> None:
    group = quiet_group()
    a = candidate(group)
    a.receive("b", VoteReply(7, granted=False))
    assert (a.replica.role, a.replica.term, a.replica.voted_for) == ("follower", 7, "")


def test_hearing_a_leader_ends_a_pre_vote_that_was_won_and_not_used() -> None:
    group = quiet_group()
    a = group["a"]
    a.replica.election_deadline = 0.0
    a.look_at_timers()
    a.replica.receive("b", PreVoteReply(term=0, asked_term=1, granted=True))
    a.replica.receive("c", append(a))
    a.loop.run()
    assert (a.replica.role, a.replica.term, a.replica.leader) == ("follower", 0, "c")


def test_a_leader_says_so_only_once_it_has_applied_an_entry_of_its_term() -> None:
    group = quiet_group()
    a = candidate(group)
    heard: list[bool] = []
    a.replica.on_leadership(heard.append)
    a.receive("b", VoteReply(1, granted=True))
    assert (a.replica.role, a.terms) == ("leader", [1])
    a.sync()
    assert (heard, a.replica.is_leader) == ([], False)
    group.settle()
    assert (heard, a.replica.is_leader) == ([True], True)


def test_a_group_of_one_elects_itself() -> None:
    group = Group(1)
    assert group.elect("a").replica.term == 1


def test_a_leader_that_no_quorum_answers_steps_down() -> None:
    group = Group()
    a = group.elect("a")
    group.advance(CONFIG.leader_timeout_s + 0.001)
    a.heartbeat()
    assert (a.replica.role, a.replica.leader, a.replica.is_leader) == ("follower", "", False)


def test_two_leaders_in_one_term_end_the_process() -> None:
    group = Group()
    a = group.elect("a")
    with pytest.raises(FatalError, match="two leaders in term 1"):
        a.receive("b", append(a))


# --- handing leadership over ---------------------------------------------------------------------------------------


def test_leadership_moves_at_once_to_the_member_it_is_handed_to() -> None:
    group = Group()
    a = group.elect("a")
    assert a.hand_over("b")
    group.settle()
    assert (group["b"].replica.is_leader, a.replica.is_leader, a.replica.leader) == (True, False, "b")


def test_a_member_that_lacks_entries_is_not_handed_leadership() -> None:
    group = Group()
    a = group.elect("a")
    a.propose(b"x")
    group.settle("a", "c")
    assert not a.hand_over("b")
    assert a.replica.holds_lease, "it goes on as if it had not been asked"
    assert a.hand_over("c")


def test_only_a_leader_hands_leadership_over() -> None:
    group = Group()
    group.elect("a")
    assert not group["b"].hand_over("c")


def test_a_leader_goes_on_when_the_member_does_not_take_over() -> None:
    group = Group()
    a = group.elect("a")
    a.hand_over("b")
    group.forget(kind=TimeoutNow)
    assert a.propose(b"x") == [Refused(leader="")]
    for _ in range(2):
        group.advance(CONFIG.transfer_s / 2)
        a.heartbeat()
        group.settle()
    outcome = a.propose(b"x")
    group.settle()
    assert isinstance(outcome[0], Committed)


@pytest.mark.parametrize(("sender", "term"), [("c", 1), ("a", 0)], ids=["not the leader", "an old term"])
def test_only_the_leader_of_the_term_can_start_an_election_at_another(sender: str, term: int) -> None:
    group = Group()
    group.elect("a")
    b = group["b"]
    b.receive(sender, TimeoutNow(term))
    b.sync()
    assert (b.replica.role, b.replica.term) == ("follower", 1)


def test_a_second_attempt_after_a_handover_asks_as_anybody_does() -> None:
    """The first was covered by the old leader's consent; by now there may be a new one with a lease."""
    group = Group()
    a = group.elect("a")
    a.hand_over("b")
    group.settle("a")
    b = group["b"]
    b.receive("a", TimeoutNow(1))
    b.sync()
    assert [message.transfer for message in messages(group, "b", RequestVote)] == [True, True]
    group.forget()
    group.advance(CONFIG.election_timeout_s_max)
    b.look_at_timers()
    b.sync()
    assert {type(message) for _, _, message in group.mail} == {PreVote}
