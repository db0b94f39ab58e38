"""What a leader may count, what a follower may throw away, and what either may call committed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft.config import RaftConfig
from raft.messages import AppendEntries, AppendReply, LogEntry
from tests.raft.members import FatalError, Group, Member, append, entries


def reply(leader: Member, *, match: int, term: int | None = None) -> AppendReply:
    """A follower's agreement up to `match`."""
    return AppendReply(
        term=leader.replica.term if term is None else term,
        success=True,
        match_index=match,
        prev_index=match,
        next_index=0,
        sent_s=0.0,
        round=0,
    )


def replies(group: Group, sender: str) -> list[AppendReply]:
    return [message for _, _, message in group.letters(sender) if isinstance(message, AppendReply)]


# --- durability ----------------------------------------------------------------------------------------------------


def test_entries_are_not_acknowledged_before_they_are_durable() -> None:
    group = Group()
    b = group["b"]
    b.receive("a", append(b, term=1, entries=entries(1, 1)))
    assert b.replica.last_index == 3
    assert not group.mail
    b.log.work()
    assert not group.mail
    b.sync()
    assert [answer.match_index for answer in replies(group, "b")] == [3]
    b.restart()
    assert b.terms == [1, 1]


def test_a_heartbeat_that_matches_unsynced_entries_is_not_acknowledged_before_them() -> None:
    group = Group()
    b = group["b"]
    b.receive("a", append(b, term=1, entries=entries(1, 1)))
    b.receive("a", append(b))
    assert not group.mail
    b.sync()
    assert [answer.match_index for answer in replies(group, "b")] == [3, 3]


def test_entries_leave_the_leader_before_its_own_sync() -> None:
    """Its disk and those of its followers work at the same time."""
    group = Group()
    a = group.elect("a")
    a.propose(b"x")
    assert len(group.letters("a", kind=AppendEntries)) == 2


def test_a_leader_does_not_count_itself_before_its_entry_is_durable() -> None:
    group = Group()
    a = group.elect("a")
    outcome = a.propose(b"x")
    group.deliver(to="b")
    group["b"].sync()
    group.deliver(to="a")
    assert (a.replica.commit_index, outcome) == (2, [])
    a.sync()
    assert a.replica.commit_index == 3
    assert len(outcome) == 1


def test_a_leader_alone_is_no_quorum() -> None:
    group = Group()
    a = group.elect("a")
    outcome = a.propose(b"x")
    a.sync()
    assert (a.replica.commit_index, outcome) == (2, [])


def test_with_five_members_two_followers_must_have_an_entry() -> None:
    group = Group(5)
    a = group.elect("a")
    a.propose(b"x")
    group.settle("a", "b")
    assert a.replica.commit_index == 2
    a.receive("c", reply(a, match=3))
    assert a.replica.commit_index == 3


# --- the commit rule -----------------------------------------------------------------------------------------------


def leader_over_uncommitted_entries(*, synced: bool = True) -> tuple[Group, Member]:
    """Member a leads term 2; entries 2 and 3 are of term 1, entry 4 is its own; nobody has acknowledged anything."""
    group = Group()
    for name in "ab":
        group[name].receive("c", append(group[name], term=1, entries=entries(1, 1)))
    group.settle("a", "b")
    a = group.elect_unheard("a", synced=synced)
    assert (a.terms, a.replica.commit_index) == ([1, 1, 2], 1)
    return group, a


@pytest.mark.parametrize(("match", "committed"), [(2, 1), (3, 1), (4, 4)])
def test_counting_commits_only_from_an_entry_of_the_present_term_on(match: int, committed: int) -> None:
    """The paper's figure 8: below it an entry that most members have may still be overwritten."""
    _group, a = leader_over_uncommitted_entries()
    a.receive("b", reply(a, match=match))
    a.receive("c", reply(a, match=match))
    assert a.replica.commit_index == committed


def test_a_leader_whose_own_entry_is_not_durable_commits_none_of_an_older_term() -> None:
    """One follower has all; the leader counts itself only up to its disk, and what is there may be overwritten."""
    _group, a = leader_over_uncommitted_entries(synced=False)
    a.receive("b", reply(a, match=4))
    assert a.replica.commit_index == 1
    a.sync()
    assert a.replica.commit_index == 4


def test_an_acknowledgement_of_another_term_does_not_count() -> None:
    group = Group()
    group.elect("a")
    group.elect("b", "b", "c")
    group.beat("b")
    a = group.elect("a", "a", "c")
    group.beat("a")
    a.propose(b"x")
    a.sync()
    committed = a.replica.commit_index
    for term in (1, 2):
        for sender in "bc":
            a.receive(sender, reply(a, match=a.replica.last_index, term=term))
    assert a.replica.commit_index == committed


def test_a_newer_term_in_an_acknowledgement_ends_leadership() -> None:
    group = Group()
    a = group.elect("a")
    a.receive("b", reply(a, match=2, term=5))
    assert (a.replica.role, a.replica.term, a.replica.commit_index) == ("follower", 5, 2)


def test_a_leader_of_an_older_term_is_told_and_not_obeyed() -> None:
    group = Group()
    group.elect("a")
    b = group["b"]
    b.receive("c", append(b, term=0, entries=entries(0)))
    b.sync()
    [answer] = replies(group, "b")
    assert (answer.success, answer.term, b.terms, b.replica.leader) == (False, 1, [1], "a")


# --- what a follower keeps -----------------------------------------------------------------------------------------


def test_a_message_that_arrives_again_takes_nothing_away() -> None:
    group = Group()
    b = group["b"]
    first = append(b, term=1, entries=entries(1, 1))
    b.receive("a", first)
    b.receive("a", append(b, entries=entries(1, 1)))
    written = b.host.wal.written
    b.receive("a", first)
    assert b.terms == [1, 1, 1, 1]
    assert b.host.wal.written == written
    b.sync()
    assert [answer.match_index for answer in replies(group, "b")] == [3, 5, 3]


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=12).map(sorted),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 6), st.integers(0, 13)), max_size=30),
)
def test_in_whatever_order_and_number_a_leaders_messages_come_the_log_only_grows_into_the_leaders(
    terms: list[int], letters: list[tuple[int, int, int]]
) -> None:
    group = Group(config=RaftConfig(segment_bytes=1 << 16))
    b = group["b"]
    leaders = [LogEntry(0, b""), *entries(*terms)]  # from index 1 on
    before = committed = 1
    for start, count, commit in letters:
        at = min(start, len(leaders) - 1)
        message = append(
            b,
            term=3,
            prev_index=at + 1,
            prev_term=leaders[at].term,
            entries=leaders[at + 1 : at + 1 + count],
            commit_index=min(commit, len(leaders)),
        )
        b.receive("a", message)
        assert b.replica.last_index >= before
        assert committed <= b.replica.commit_index <= b.replica.last_index
        assert b.terms == terms[: len(b.terms)]
        before, committed = b.replica.last_index, b.replica.commit_index


def follower_with(*terms: int, commit: int = 1) -> tuple[Group, Member]:
    """Member b with entries of these terms, from index 2 on."""
    group = Group()
    b = group["b"]
    b.receive("a", append(b, term=terms[-1], entries=entries(*terms), commit_index=commit))
    b.sync()
    group.forget()
    return group, b


def test_a_conflict_replaces_only_what_conflicts_and_what_follows() -> None:
    _group, b = follower_with(1, 1, 2, 2)
    b.receive("c", append(b, term=3, prev_index=2, prev_term=1, entries=entries(1, 3)))
    assert b.terms == [1, 1, 3]
    b.sync()
    b.restart()
    assert b.terms == [1, 1, 3]


def test_a_conflict_above_the_commit_index_is_resolved() -> None:
    _group, b = follower_with(1, 1, 1, commit=3)
    b.receive("c", append(b, term=2, prev_index=3, prev_term=1, entries=entries(2)))
    assert (b.terms, b.replica.commit_index) == ([1, 1, 2], 3)


def test_an_entry_that_contradicts_a_committed_one_ends_the_process() -> None:
    _group, b = follower_with(1, 1, 1, commit=3)
    with pytest.raises(FatalError, match=r"contradicts the committed entry 3 \(commit 3\)"):
        b.receive("c", append(b, term=2, prev_index=2, prev_term=1, entries=entries(2)))


def test_a_previous_entry_that_contradicts_a_committed_one_ends_the_process() -> None:
    _group, b = follower_with(1, 1, 1, commit=3)
    with pytest.raises(FatalError, match=r"contradicts the committed entry 3"):
        b.receive("c", append(b, term=2, prev_index=3, prev_term=2))


# --- what a message may commit -------------------------------------------------------------------------------------


def test_a_heartbeat_does_not_commit_a_tail_that_it_did_not_verify() -> None:
    _group, b = follower_with(1, 1, 1)
    b.receive("c", append(b, term=2, prev_index=2, prev_term=1, commit_index=4))
    assert b.replica.commit_index == 2
    assert len(b.machine.commands) == 1


def test_a_message_that_does_not_match_commits_nothing() -> None:
    _group, b = follower_with(1, 1, 1)
    b.receive("c", append(b, term=2, prev_index=4, prev_term=2, commit_index=4))
    assert b.replica.commit_index == 1


def test_the_commit_index_never_goes_back() -> None:
    _group, b = follower_with(1, 1, 1, commit=4)
    b.receive("a", append(b, commit_index=2))
    b.receive("a", append(b, prev_index=2, prev_term=1, commit_index=4))
    assert b.replica.commit_index == 4


# --- catching up ---------------------------------------------------------------------------------------------------


def test_a_follower_with_a_long_tail_of_another_term_catches_up_in_a_few_messages() -> None:
    group = Group()
    b = group["b"]
    b.receive("a", append(b, term=1, entries=entries(*[1] * 200)))
    for name in "ac":
        group[name].receive("b", append(group[name], term=2, entries=entries(*[2] * 100)))
    group.settle("a", "c")
    b.restart()
    a = group.elect("a", "a", "c")
    a.heartbeat()
    sent = 0
    while group.letters(to="b") or group.letters(sender="b"):
        sent += len(group.letters(sender="a", to="b"))
        group.deliver(to="b")
        b.sync()
        group.deliver(to="a")
        a.sync()
    assert b.terms == a.terms
    assert sent < 10


def test_a_short_follower_is_sent_what_it_lacks() -> None:
    group = Group()
    a = group.elect("a", "a", "b")
    for number in range(20):
        a.propose(b"%d" % number)
    group.settle("a", "b")
    a.heartbeat()
    group.settle()
    a.heartbeat()
    group.settle()
    assert group["c"].machine.commands == a.machine.commands != []


def test_what_is_lost_is_sent_again_with_a_heartbeat() -> None:
    group = Group()
    a = group.elect("a")
    outcome = a.propose(b"x")
    a.sync()
    group.forget()
    a.heartbeat()
    group.settle()
    assert len(outcome) == 1


def test_a_follower_that_does_not_answer_is_sent_no_more_than_the_limit() -> None:
    config = RaftConfig(segment_bytes=1 << 16, inflight_bytes=1000)
    group = Group(config=config)
    a = group.elect("a")
    for _ in range(50):
        a.propose(bytes(100))
    sent = [message for _, _, message in group.letters("a", "b") if isinstance(message, AppendEntries)]
    assert sum(len(entry.command) for message in sent for entry in message.entries) <= 1000 + 101


def test_a_member_whose_log_waits_for_the_disk_takes_no_more_entries() -> None:
    group = Group(config=RaftConfig(segment_bytes=1 << 16, backlog_bytes=200))
    b = group["b"]
    b.receive("a", append(b, term=1, entries=entries(1)))
    for _ in range(20):
        b.receive("a", append(b, entries=entries(1, 1, 1)))
    assert b.replica.last_index < 30
    b.sync()
    b.receive("a", append(b, entries=entries(1)))
    b.sync()
    assert replies(group, "b")[-1].match_index == b.replica.last_index


def test_a_lost_probe_is_sent_again_with_the_next_heartbeat() -> None:
    group = Group()
    a = group.elect("a")
    a.replica.peer_disconnected("b")
    a.replica.peer_connected("b")
    a.propose(b"x")
    assert [len(probe.entries) for _, _, probe in group.letters("a", "b") if isinstance(probe, AppendEntries)] == [1]
    group.mail.clear()
    a.heartbeat()
    assert [len(probe.entries) for _, _, probe in group.letters("a", "b") if isinstance(probe, AppendEntries)] == [1]
