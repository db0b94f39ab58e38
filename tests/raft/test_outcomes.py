"""Whoever proposes a command gets one outcome, and it is true."""

import pytest

from raft.config import RaftConfig
from raft.interface import Committed, Outcome, ReadOutcome, Refused, Unknown
from raft.messages import AppendReply
from tests.raft.members import CONFIG, Group, append, entries


def test_a_committed_command_tells_where_it_stands_and_what_came_out() -> None:
    group = Group()
    a = group.elect("a")
    outcome = a.propose(b"x")
    group.settle()
    assert outcome == [Committed(index=3, term=1, result=1)]


def test_a_follower_refuses_says_who_leads_and_forwards_nothing() -> None:
    group = Group()
    group.elect("a")
    assert group["b"].propose(b"x") == [Refused(leader="a")]
    assert not group.mail


def test_without_a_leader_a_command_is_refused_at_once() -> None:
    group = Group()
    assert group["b"].propose(b"x") == [Refused(leader="")]
    assert not group.mail


def test_lost_leadership_answers_everyone_once() -> None:
    group = Group()
    a = group.elect("a")
    group.advance(CONFIG.election_timeout_s_min)
    proposed = a.propose(b"in the log")
    reading = a.read()
    queued: list[Outcome] = []
    a.replica.propose(b"not in the log", queued.append)
    assert (proposed, reading, queued) == ([], [], [])
    a.receive("b", append(a, term=2, prev_index=2, prev_term=1))
    assert proposed == [Unknown(leader="")]
    assert queued == [Refused(leader="")]
    assert reading == [Refused(leader="")]
    group.settle()
    assert (len(proposed), len(queued), len(reading)) == (1, 1, 1)
    assert b"not in the log" not in a.machine.commands


def test_a_command_whose_outcome_is_unknown_may_be_committed_and_is_not_answered_again() -> None:
    group = Group()
    a = group.elect("a")
    outcome = a.propose(b"x")
    group.settle("a", "b")
    group.elect("a")
    outcome = a.propose(b"y")
    group.deliver(to="b")
    group["b"].sync()
    group.forget()
    group.campaign("b", "b", "c")
    group["b"].heartbeat()
    group.settle()
    assert outcome == [Unknown(leader="")]
    assert a.machine.commands == [b"x", b"y"]


def test_a_command_that_was_overwritten_is_never_called_committed() -> None:
    group = Group()
    a = group.elect("a")
    outcome = a.propose(b"lost")
    group.forget()
    group.elect("b", "b", "c")
    group["b"].propose(b"kept")
    group.settle("b", "c")
    group["b"].heartbeat()
    group.settle()
    assert outcome == [Unknown(leader="")]
    assert a.machine.commands == [b"kept"]


def test_an_exception_of_the_state_machine_becomes_the_result_and_the_group_goes_on() -> None:
    group = Group()
    a = group.elect("a")
    failing, after = a.propose(b"raise"), a.propose(b"x")
    group.settle()
    a.heartbeat()
    group.settle()
    assert isinstance(failing[0], Committed)
    assert isinstance(failing[0].result, ValueError)
    assert isinstance(after[0], Committed)
    assert [member.machine.commands for member in group.members.values()] == [[b"x"]] * 3


def test_an_entry_that_failed_counts_as_applied_even_when_nothing_follows() -> None:
    group = Group()
    a = group.elect("a")
    a.propose(b"raise")
    group.settle()
    group.beat("a")
    assert [member.replica.applied_index for member in group.members.values()] == [a.replica.last_index] * 3


def test_whoever_fails_to_take_an_outcome_does_not_make_the_command_apply_again() -> None:
    group = Group()
    a = group.elect("a")

    def refuse_to_listen(_outcome: Outcome) -> None:
        raise RuntimeError("the loop is closed")

    a.replica.propose(b"x", refuse_to_listen)
    after = a.propose(b"y")
    group.settle()
    assert a.machine.commands == [b"x", b"y"]
    assert isinstance(after[0], Committed)


def test_closing_answers_everyone_once() -> None:
    group = Group()
    a = group.elect("a")
    group.advance(CONFIG.election_timeout_s_min)
    proposed, reading = a.propose(b"x"), a.read()
    queued: list[Outcome] = []
    a.replica.propose(b"y", queued.append)
    a.host.close()
    assert (proposed, queued, reading) == ([Unknown(leader="a")], [Refused(leader="a")], [Refused(leader="a")])
    a.loop.run()
    assert (len(proposed), len(queued), len(reading)) == (1, 1, 1)


def test_a_closed_replica_refuses() -> None:
    group = Group()
    a = group.elect("a")
    a.host.close()
    assert isinstance(a.propose(b"x")[0], Refused)
    assert isinstance(a.read()[0], Refused)


def test_a_command_that_is_too_long_is_refused() -> None:
    group = Group(config=RaftConfig(segment_bytes=1 << 16, command_bytes=10))
    a = group.elect("a")
    assert a.propose(bytes(11)) == [Refused(leader="a", overloaded=True)]
    fits = a.propose(bytes(10))
    group.settle()
    assert isinstance(fits[0], Committed)


def test_more_commands_than_may_wait_are_refused_at_once() -> None:
    group = Group(config=RaftConfig(segment_bytes=1 << 16, queued_commands=3))
    a = group.elect("a")
    outcomes: list[Outcome] = []
    for _ in range(5):
        a.replica.propose(b"x", outcomes.append)
    assert outcomes == [Refused(leader="a", overloaded=True)] * 2
    group.settle()
    assert [type(outcome) for outcome in outcomes[2:]] == [Committed] * 3


def test_a_leader_whose_log_waits_for_the_disk_refuses_commands() -> None:
    group = Group(config=RaftConfig(segment_bytes=1 << 16, backlog_bytes=500))
    a = group.elect("a")
    a.propose(b"on its way to the disk")
    a.propose(bytes(600))
    assert a.propose(b"y") == [Refused(leader="a", overloaded=True)]
    group.settle()
    taken = a.propose(b"z")
    group.settle()
    assert isinstance(taken[0], Committed)


def test_more_reads_than_may_wait_are_refused_at_once() -> None:
    group = Group(config=RaftConfig(segment_bytes=1 << 16, waiting_reads=2))
    a = group.elect("a")
    group.advance(CONFIG.election_timeout_s_min)
    outcomes: list[ReadOutcome] = []
    for _ in range(3):
        a.replica.read(outcomes.append)
    assert outcomes == [Refused(leader="a", overloaded=True)]


def test_a_message_of_another_cluster_or_of_a_stranger_is_ignored() -> None:
    group = Group()
    b = group["b"]
    message = append(b, term=1, entries=entries(1))
    b.receive("stranger", message)
    assert b.replica.term == 0


@pytest.mark.parametrize("size", [1, 3, 5])
def test_every_command_of_a_healthy_group_is_committed_everywhere_in_order(size: int) -> None:
    group = Group(size)
    a = group.elect("a")
    outcomes = [a.propose(b"%d" % number)[:] or number for number in range(50)]
    group.settle()
    a.heartbeat()
    group.settle()
    assert len(outcomes) == 50
    assert {tuple(member.machine.commands) for member in group.members.values()} == {
        tuple(b"%d" % number for number in range(50))
    }


def test_an_answer_from_before_an_election_commits_nothing_after_it() -> None:
    group = Group()
    a = group.elect("a")
    outcome = a.propose(b"x")
    a.sync()
    a.receive("b", AppendReply(0, True, 3, 3, 0, 0.0, 0))
    assert outcome == []
