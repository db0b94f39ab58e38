"""A leader answers reads only while a quorum cannot have elected another."""

import pytest

from raft.lease import Lease

LENGTH_S = 0.72


def lease_of(others: str) -> Lease:
    return Lease(others, LENGTH_S)


def test_a_new_leader_has_no_lease() -> None:
    assert not lease_of("bc").valid(0.0)


def test_with_three_members_one_answer_gives_the_lease() -> None:
    lease = lease_of("bc")
    lease.answered("b", 10.0, 0)
    assert lease.valid(10.0)


def test_with_five_members_two_answers_give_the_lease() -> None:
    lease = lease_of("bcde")
    lease.answered("b", 10.0, 0)
    assert not lease.valid(10.0)
    lease.answered("d", 10.0, 0)
    assert lease.valid(10.0)


def test_the_same_member_counts_once() -> None:
    lease = lease_of("bcde")
    for _ in range(3):
        lease.answered("b", 10.0, 1)
    assert not lease.valid(10.0)
    assert lease.confirmed_round(1) == 0


def test_the_lease_runs_from_the_sending_of_what_was_answered() -> None:
    lease = lease_of("bc")
    lease.answered("b", 10.0, 0)
    assert lease.valid(10.0 + LENGTH_S - 0.001)
    assert not lease.valid(10.0 + LENGTH_S)


def test_with_five_members_the_older_of_the_two_newest_answers_counts() -> None:
    lease = lease_of("bcde")
    lease.answered("b", 10.0, 4)
    lease.answered("c", 11.0, 6)
    lease.answered("d", 9.0, 2)
    assert lease.quorum_sent_s(11.0) == 10.0
    assert lease.confirmed_round(6) == 4


def test_an_old_answer_that_comes_late_takes_nothing_back() -> None:
    lease = lease_of("bc")
    lease.answered("b", 10.0, 3)
    lease.answered("b", 9.0, 2)
    assert lease.quorum_sent_s(10.0) == 10.0
    assert lease.confirmed_round(3) == 3


def test_a_revoked_lease_stays_revoked_whatever_is_answered() -> None:
    lease = lease_of("bc")
    lease.answered("b", 10.0, 1)
    lease.revoke()
    lease.answered("c", 10.5, 2)
    assert not lease.valid(10.5)


def test_a_revoked_lease_still_confirms_rounds() -> None:
    lease = lease_of("bc")
    lease.revoke()
    lease.answered("c", 10.5, 2)
    assert lease.confirmed_round(2) == 2


def test_a_round_is_confirmed_once_a_quorum_has_answered_it_or_a_later_one() -> None:
    lease = lease_of("bcde")
    lease.answered("b", 1.0, 2)
    assert lease.confirmed_round(3) == 0
    lease.answered("c", 1.0, 3)
    assert lease.confirmed_round(3) == 2


@pytest.mark.parametrize("now_s", [0.0, 1e9])
def test_a_member_alone_needs_nobodys_answer(now_s: float) -> None:
    lease = lease_of("")
    assert lease.valid(now_s)
    assert lease.confirmed_round(5) == 5


def test_who_is_not_a_member_does_not_count() -> None:
    with pytest.raises(KeyError):
        lease_of("bc").answered("x", 1.0, 1)
