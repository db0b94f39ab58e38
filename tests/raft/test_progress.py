"""What a leader believes of a follower's log never outruns what the follower said."""

from raft.progress import Progress

LIMIT = 100


def probing(next_index: int = 11) -> Progress:
    return Progress(next_index - 1, LIMIT)


def replicating(match: int = 10) -> Progress:
    progress = probing(match + 1)
    progress.matched(match)
    return progress


def test_a_new_leader_probes_from_the_end_of_its_log() -> None:
    progress = probing(11)
    assert (progress.probing, progress.next_index, progress.match_index) == (True, 11, 0)


def test_a_probe_does_not_move_on_before_it_is_answered() -> None:
    progress = probing(11)
    progress.sent(12, 10)
    assert progress.next_index == 11
    assert not progress.may_send


def test_a_probe_may_be_repeated_at_the_next_heartbeat() -> None:
    progress = probing(11)
    progress.sent(12, 10)
    progress.probe_again()
    assert progress.may_send


def test_an_answered_probe_opens_the_pipeline() -> None:
    progress = probing(11)
    progress.sent(12, 10)
    progress.matched(12)
    assert (progress.probing, progress.next_index, progress.match_index) == (False, 13, 12)
    assert progress.may_send


def test_sending_in_the_pipeline_moves_on_at_once() -> None:
    progress = replicating(10)
    progress.sent(12, 10)
    progress.sent(15, 10)
    assert progress.next_index == 16


def test_what_is_not_acknowledged_is_limited() -> None:
    progress = replicating(10)
    progress.sent(11, LIMIT - 1)
    assert progress.may_send
    progress.sent(12, 1)
    assert not progress.may_send


def test_an_acknowledgement_makes_room_for_what_it_covers_only() -> None:
    progress = replicating(10)
    progress.sent(11, LIMIT)
    progress.sent(12, LIMIT)
    progress.matched(11)
    assert not progress.may_send
    progress.matched(12)
    assert progress.may_send


def test_a_repeated_acknowledgement_makes_no_more_room() -> None:
    progress = replicating(10)
    progress.sent(11, LIMIT // 2)
    progress.matched(11)
    progress.matched(11)
    progress.sent(12, LIMIT)
    assert not progress.may_send


def test_an_old_acknowledgement_takes_nothing_back() -> None:
    progress = replicating(10)
    progress.matched(4)
    assert (progress.match_index, progress.next_index) == (10, 11)


def test_a_refused_probe_goes_back_to_where_the_follower_proposes() -> None:
    progress = probing(11)
    progress.sent(12, 10)
    assert progress.mismatched(prev_index=10, hint=5)
    assert progress.next_index == 5
    assert progress.may_send


def test_a_refused_probe_goes_back_by_one_at_least() -> None:
    progress = probing(11)
    assert progress.mismatched(prev_index=10, hint=20)
    assert progress.next_index == 10


def test_a_refusal_of_an_older_probe_is_ignored() -> None:
    progress = probing(11)
    progress.mismatched(prev_index=10, hint=5)
    progress.sent(6, 1)
    assert not progress.mismatched(prev_index=10, hint=3)
    assert progress.next_index == 5
    assert not progress.may_send


def test_a_refusal_below_what_matches_is_ignored() -> None:
    progress = replicating(10)
    progress.sent(14, 10)
    assert not progress.mismatched(prev_index=10, hint=5)
    assert not progress.probing
    assert progress.next_index == 15


def test_a_refusal_of_what_surely_matches_starts_no_duel() -> None:
    """It comes from a follower that lost what it had acknowledged. The next heartbeat is soon enough to ask again."""
    progress = replicating(10)
    progress.restart()
    assert progress.next_index == 11
    assert not progress.mismatched(prev_index=10, hint=2)


def test_a_refusal_in_the_pipeline_goes_back_to_probing_never_below_what_matches() -> None:
    progress = replicating(10)
    progress.sent(14, 10)
    assert progress.mismatched(prev_index=14, hint=3)
    assert (progress.probing, progress.next_index) == (True, 11)


def test_a_refusal_by_term_moves_nothing() -> None:
    """It names no index. Taken for a mismatch it once sent a leader back before the beginning of the log, for good."""
    progress = probing(2)
    assert not progress.mismatched(prev_index=0, hint=0)
    assert progress.next_index == 2


def test_going_back_forgets_what_was_on_its_way() -> None:
    progress = replicating(10)
    progress.sent(14, LIMIT)
    progress.restart()
    progress.matched(10)
    assert progress.may_send
    assert progress.next_index == 11
