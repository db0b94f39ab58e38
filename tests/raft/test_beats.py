"""Heartbeats of idle groups go together, and mean what single ones mean: leases, elections and commits are as without them."""

from collections.abc import Callable

import msgspec
import pytest

from raft.beats import Look, cut
from raft.interface import ReadGranted, Refused
from raft.messages import AppendEntries, AppendReply, Beat, BeatReply, PreVote, PreVoteReply
from tests.raft.members import CONFIG, GROUP, FatalError, Group, Member, append, entries

LEASE_S = CONFIG.election_timeout_s_min * (1 - CONFIG.lease_drift)


def idle(size: int = 3) -> tuple[Group, Member]:
    """Member a leads, everything is acknowledged and everyone knows it, and its next heartbeat is due."""
    group = Group(size)
    a = group.elect("a")
    group.beat("a")
    group.advance(CONFIG.heartbeat_s)
    return group, a


def beat_of(a: Member, **changes: object) -> Beat:
    """What the leader sends now for its only group; with changes."""
    return msgspec.structs.replace(
        Beat(a.host.now(), [(GROUP, a.replica.term, a.replica.last_index)]),
        **changes,
    )


# --- the leader's side ---------------------------------------------------------------------------------------------


def test_an_idle_leader_sends_each_node_one_message() -> None:
    group, a = idle()
    a.scan()
    assert group.mail == [("a", "b", beat_of(a)), ("a", "c", beat_of(a))]
    group.mail.clear()
    a.scan()
    assert group.mail == [], "the next is due a heartbeat later"


def test_a_leader_that_rests_says_the_same_until_something_happens_to_it() -> None:
    group, a = idle()
    for _ in range(10):
        a.scan()
        assert group.letters("a", "b") == [("a", "b", beat_of(a))]
        group.settle()
        group.advance(CONFIG.heartbeat_s)
    assert a.replica.holds_lease
    a.propose(b"x")
    group.settle()
    group.advance(CONFIG.heartbeat_s)
    a.scan()
    assert group.letters("a", "b") == [("a", "b", beat_of(a))]
    assert group["b"].machine.commands == []
    group.settle()
    assert group["b"].machine.commands == [b"x"]


def test_a_leader_that_rested_asks_its_quorum_once_its_lease_is_over() -> None:
    group, a = idle()
    a.scan()
    group.settle()
    group.advance(LEASE_S)
    a.scan()
    assert {type(message) for _, _, message in group.letters("a")} == {AppendEntries}
    group.settle()
    group.advance(CONFIG.heartbeat_s)
    a.scan()
    assert group.letters("a", "b") == [("a", "b", beat_of(a))]


def test_a_leader_that_rested_looks_where_a_follower_stands_whose_connection_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group, a = idle()
    a.scan()
    group.settle()
    reachable = {"c"}
    monkeypatch.setattr(a, "connected", lambda to: to in reachable)
    group.advance(CONFIG.heartbeat_s)
    a.scan()
    assert [(to, type(message)) for _, to, message in group.letters("a")] == [("c", Beat)]
    group.settle()
    reachable.add("b")
    group.advance(CONFIG.heartbeat_s)
    a.scan()
    assert {(to, type(message)) for _, to, message in group.letters("a")} == {
        ("b", AppendEntries),
        ("c", AppendEntries),
    }


def test_a_leader_that_rested_and_hands_over_sends_single_messages() -> None:
    group, a = idle()
    a.scan()
    group.settle()
    assert a.hand_over("b")
    group.mail.clear()
    group.advance(CONFIG.heartbeat_s)
    a.scan()
    assert {type(message) for _, _, message in group.letters("a")} == {AppendEntries}


def _reads(group: Group, a: Member) -> None:
    group.advance(LEASE_S - CONFIG.heartbeat_s)
    a.read()
    a.receive("b", BeatReply(group.now, [(GROUP, 1)]))
    assert a.replica.holds_lease


def _misses_an_acknowledgement(group: Group, a: Member) -> None:
    a.propose(b"x")
    a.sync()
    group.settle("a", "b")


def _hands_over(_group: Group, a: Member) -> None:
    a.hand_over("b")


def _reconnects(_group: Group, a: Member) -> None:
    for peer in "bc":
        a.replica.peer_disconnected(peer)
        a.replica.peer_connected(peer)


@pytest.mark.parametrize("make_busy", [_reads, _misses_an_acknowledgement, _hands_over, _reconnects])
def test_a_leader_with_more_to_say_or_ask_sends_single_messages(make_busy: Callable[[Group, Member], None]) -> None:
    group, a = idle()
    make_busy(group, a)
    group.mail.clear()
    group.advance(CONFIG.heartbeat_s)
    a.scan()
    assert {type(message) for _, _, message in group.letters("a")} == {AppendEntries}
    assert {to for _, to, _ in group.letters("a")} == {"b", "c"}


def test_more_groups_than_the_bound_go_in_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(config=msgspec.structs.replace(CONFIG, beat_groups=2))
    a = group.elect("a")
    group.beat("a")
    group.advance(CONFIG.heartbeat_s)
    led = [(number, 1, 2) for number in range(5)]
    monkeypatch.setattr(a.host._beats, "look", lambda _now, *, may_lead: Look([], {"b": led} if may_lead else {}))
    a.scan()
    assert [message.groups for _, _, message in group.letters("a", "b", Beat)] == [led[:2], led[2:4], led[4:]]  # type: ignore[union-attr]


def test_a_list_that_fits_is_not_cut() -> None:
    assert [len(beat.groups) for beat in cut(1.0, [(1, 1, 1)] * 4, 4)] == [4]


def test_a_leader_whose_log_hangs_sends_none_and_steps_down() -> None:
    group, a = idle()
    a.replica.journal.setCurrentTerm(a.replica.term, "b")  # something that waits for the disk
    a.scan()
    group.mail.clear()
    group.advance(CONFIG.leader_timeout_s * 1.01)
    a.scan()
    assert (a.replica.role, group.letters("a", kind=Beat)) == ("follower", [])


def test_a_leader_that_nobody_answers_steps_down_as_soon_as_with_single_messages() -> None:
    group, a = idle()
    began = group.now
    while a.replica.role == "leader":
        group.advance(CONFIG.scan_s)
        a.scan()
        group.mail.clear()
        assert group.now < began + CONFIG.leader_timeout_s + CONFIG.heartbeat_s
    assert group.now >= began + CONFIG.leader_timeout_s - CONFIG.heartbeat_s


# --- the follower's side -------------------------------------------------------------------------------------------


def test_a_follower_that_is_level_notes_that_it_heard_the_leader_and_answers_at_once() -> None:
    group, a = idle()
    b = group["b"]
    written = b.host.wal.written
    assert b.replica.age_ms() > 0
    b.receive("a", beat_of(a))
    assert b.replica.age_ms() == 0
    assert b.replica.election_deadline > group.now + CONFIG.election_timeout_s_max - 0.001
    assert group.letters("b") == [("b", "a", BeatReply(group.now, [(GROUP, 1)]))]
    assert b.host.wal.written == written


def test_a_follower_that_heard_one_elects_nobody_for_as_long_as_after_a_single_message() -> None:
    group, a = idle()
    b = group["b"]
    question = PreVote(term=2, last_index=99, last_term=1)
    b.receive("a", beat_of(a))
    group.mail.clear()
    for wait_s, granted in ((CONFIG.election_timeout_s_min - 0.001, False), (0.002, True)):
        group.advance(wait_s)
        b.receive("c", question)
        b.sync()
        [(_, _, answer)] = group.letters("b", "c", PreVoteReply)
        assert isinstance(answer, PreVoteReply)
        assert answer.granted is granted
        group.mail.clear()


def test_a_leader_of_an_older_term_is_told_of_the_newer_and_not_followed() -> None:
    group, a = idle()
    old = beat_of(a)
    group.elect("b", "b", "c")
    c = group["c"]
    group.advance(0.1)
    heard_ms = c.replica.age_ms()
    c.receive("a", old)
    assert (c.replica.leader, c.replica.age_ms()) == ("b", heard_ms)
    c.sync()
    [(_, _, refusal)] = group.letters("c", "a")
    assert isinstance(refusal, AppendReply)
    assert (refusal.term, refusal.success) == (2, False)
    group.settle()
    assert (a.replica.role, a.replica.term) == ("follower", 2)


def test_of_two_terms_in_one_message_each_counts_for_its_group() -> None:
    group, a = idle()
    c = group["c"]
    other = c.host.create(GROUP + 1, ["a", "b", "c"], c.machine)
    c.sync()
    c.receive("a", beat_of(a, groups=[(GROUP + 1, 0, 1), (GROUP, 1, a.replica.last_index)]))
    assert c.replica.age_ms() == 0
    assert other.leader == "a", "taken as a single message: it brings a leader"
    [(_, _, reply)] = group.letters("c", "a", BeatReply)
    assert isinstance(reply, BeatReply)
    assert reply.groups == [(GROUP, 1)]


def test_a_newer_term_is_followed() -> None:
    group, a = idle()
    b = group["b"]
    b.receive("a", beat_of(a, groups=[(GROUP, 5, a.replica.last_index + 1)]))
    assert (b.replica.term, b.replica.leader) == (5, "a")
    assert group.letters("b") == [], "not before the term is durable"
    b.sync()
    assert {type(message) for _, _, message in group.letters("b", "a")} == {AppendReply}


def test_a_late_beat_of_the_same_leader_in_an_older_term_is_not_heard() -> None:
    group, a = idle()
    b = group["b"]
    b.receive("a", append(b, term=2, prev_index=b.replica.last_index + 1, prev_term=2))
    assert (b.replica.leader, b.replica.term) == ("a", 2)
    b.sync()
    group.advance(0.1)
    b.receive("a", beat_of(a))
    assert b.replica.age_ms() == 100
    b.sync()
    assert not group.letters("b", "a", BeatReply)


def test_a_leader_that_contradicts_what_was_committed_ends_the_process() -> None:
    group, a = idle()
    b = group["b"]
    b.receive("a", append(b, term=2, prev_index=b.replica.last_index + 1, prev_term=2))
    b.sync()
    with pytest.raises(FatalError, match="contradicts"):
        b.receive("a", beat_of(a, groups=[(GROUP, 2, b.replica.last_index)]))


def test_another_leader_of_the_same_term_is_not_noted_on_the_quiet() -> None:
    """There is none in a sound cluster; were there one, it would have to show as with single messages."""
    group, a = idle()
    b = group["b"]
    b.receive("c", beat_of(a))
    assert b.replica.leader == "c"


def test_a_beat_from_a_node_outside_the_group_is_ignored() -> None:
    group, a = idle()
    b = group["b"]
    b.host._connected["stranger"] = True
    b.replica.leader_node = None
    b.receive("stranger", beat_of(a))
    assert (b.replica.leader, group.letters("b")) == ("", [])


def test_groups_that_are_not_here_are_ignored() -> None:
    group, a = idle()
    b = group["b"]
    b.receive("a", beat_of(a, groups=[(GROUP + 1, 1, 1), (GROUP, 1, a.replica.last_index), (GROUP + 2, 9, 9)]))
    assert group.letters("b") == [("b", "a", BeatReply(group.now, [(GROUP, 1)]))]
    group.mail.clear()
    b.receive("a", beat_of(a, groups=[(GROUP + 1, 1, 1)]))
    assert group.mail == []


def test_the_commit_index_moves_with_a_beat() -> None:
    group, a = idle()
    a.propose(b"x")
    a.sync()
    for name in "bc":
        group.deliver(to=name)
        group[name].sync()
    group.deliver(to="a")
    assert a.machine.commands == [b"x"]
    group.mail.clear()
    group.advance(CONFIG.heartbeat_s)
    b = group["b"]
    assert b.machine.commands == []
    a.scan()
    group.deliver(to="b", kind=Beat)
    assert b.machine.commands == [b"x"]
    b.sync()
    group.deliver("b", "a")
    b.receive("a", beat_of(a))
    assert group.letters("b", "a") == [("b", "a", BeatReply(group.now, [(GROUP, 1)]))]


def test_a_beat_that_was_overtaken_by_entries_changes_nothing() -> None:
    group, a = idle()
    late = beat_of(a)
    a.propose(b"x")
    group.settle()
    group.beat("a")
    c = group["c"]
    before = (c.replica.last_index, c.replica.commit_index, list(c.machine.commands))
    c.receive("a", late)
    c.sync()
    assert (c.replica.last_index, c.replica.commit_index, c.machine.commands) == before
    group.settle()
    assert a.replica.holds_lease


def test_nothing_is_promised_of_a_log_that_is_not_durable_yet() -> None:
    group, a = idle()
    b = group["b"]
    index = b.replica.last_index + 1
    b.receive("a", append(b, entries=entries(1), commit_index=index))
    assert b.replica.applied_index == index
    group.mail.clear()
    b.receive("a", beat_of(a, groups=[(GROUP, 1, index)]))
    assert group.letters("b") == []
    b.sync()
    assert {type(message) for _, _, message in group.letters("b", "a")} == {AppendReply}


def test_a_follower_that_was_restarted_takes_the_first_as_a_single_message() -> None:
    group, a = idle()
    b = group["b"]
    b.restart(power_cut=False)
    assert (b.replica.leader, b.replica.commit_index) == ("", 1)
    a.scan()
    group.settle()
    assert (b.replica.leader, b.replica.commit_index) == ("a", a.replica.commit_index)
    b.receive("a", beat_of(a))
    assert group.letters("b", "a") == [("b", "a", BeatReply(group.now, [(GROUP, 1)]))]


# --- answers -------------------------------------------------------------------------------------------------------


def test_answers_renew_the_lease_as_of_the_sending() -> None:
    group, a = idle()
    a.scan()
    group.advance(LEASE_S - 0.001)
    group.settle()
    assert a.read() == [ReadGranted(by_lease=True)]
    group.advance(0.001)
    assert a.read() == []


def test_one_of_four_answers_renews_no_lease() -> None:
    group, a = idle(5)
    a.scan()
    group.advance(LEASE_S - 0.001)
    group.settle("a", "b")
    assert not a.replica.holds_lease


def test_an_older_answer_that_comes_later_does_not_shorten_the_lease() -> None:
    group, a = idle()
    a.receive("b", BeatReply(group.now, [(GROUP, 1)]))
    a.receive("b", BeatReply(group.now - 0.5, [(GROUP, 1)]))
    group.advance(LEASE_S - 0.001)
    assert a.replica.holds_lease


def test_an_answer_confirms_no_round_of_reads() -> None:
    group, a = idle()
    a.scan()
    group.deliver(kind=Beat)
    answers = group.letters(to="a", kind=BeatReply)
    group.mail.clear()
    group.advance(LEASE_S)
    reading = a.read()
    for sender, _, answer in answers:
        a.receive(sender, answer)
    assert reading == []
    group.settle()
    assert reading == [ReadGranted(by_lease=False)]


def test_an_answer_of_another_term_does_not_count() -> None:
    """The same member may lead again, and its lease must rest on what was answered in this leadership."""
    group, a = idle()
    group.elect("b", "b", "c")
    group.beat("b")
    group.elect("a", "a", "c")
    assert a.replica.term == 3
    group.advance(LEASE_S)
    for term in (1, 2, 4):
        a.receive("c", BeatReply(group.now, [(GROUP, term)]))
    assert not a.replica.holds_lease
    a.receive("c", BeatReply(group.now, [(GROUP, 3)]))
    assert a.replica.holds_lease


def test_an_answer_for_a_group_that_is_led_no_more_or_not_here_is_ignored() -> None:
    group, a = idle()
    group.elect("b", "b", "c")
    group.beat("b")
    assert a.replica.role == "follower"
    a.receive("c", BeatReply(group.now, [(GROUP + 1, 2), (GROUP, 2)]))
    a.receive("stranger", BeatReply(group.now, [(GROUP, 2)]))
    assert (a.replica.role, a.read()) == ("follower", [Refused(leader="b")])


def test_a_node_outside_the_group_gives_no_lease() -> None:
    group, a = idle()
    group.advance(LEASE_S)
    a.host._connected["stranger"] = True
    a.receive("stranger", BeatReply(group.now, [(GROUP, 1)]))
    assert not a.replica.holds_lease
