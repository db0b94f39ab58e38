from placement.planner import Leadership, TransferLeader
from placement.roster import Roster
from placement.transfers import Transfers
from wire.messages import GroupBeat, Transfer


def leads(group: int, term: int) -> GroupBeat:
    return GroupBeat(group, leading=True, term=term)


def follows(group: int, term: int) -> GroupBeat:
    return GroupBeat(group, leading=False, term=term)


def test_a_node_is_down_when_it_was_not_heard_for_too_long_and_starts_anew_when_it_is_back() -> None:
    roster = Roster(down_after_s=5)
    roster.heard("n1", [], 0)
    roster.heard("n1", [], 4)
    assert roster.alive(9) == {"n1": 9000}
    assert roster.alive(9.5) == {}
    roster.heard("n1", [], 10)
    assert roster.alive(11) == {"n1": 1000}


def test_a_node_that_joins_again_is_young_and_leads_nothing() -> None:
    roster = Roster(down_after_s=5)
    roster.heard("n1", [leads(1, 1)], 0)
    roster.joined("n1", 3)
    assert roster.alive(4) == {"n1": 1000}
    assert roster.leaders(4) == {}


def test_the_highest_term_leads_whoever_is_heard_last() -> None:
    roster = Roster(down_after_s=5)
    roster.heard("n1", [leads(1, 1)], 0)
    roster.heard("n2", [leads(1, 2)], 1)
    roster.heard("n1", [leads(1, 1)], 2)
    assert roster.leaders(3) == {1: Leadership("n2", 2000)}


def test_leadership_ages_while_the_same_node_leads_and_ends_when_it_says_so() -> None:
    roster = Roster(down_after_s=5)
    roster.heard("n1", [leads(1, 1), leads(2, 1)], 0)
    roster.heard("n1", [leads(1, 3), follows(2, 2)], 4)
    assert roster.leaders(6) == {1: Leadership("n1", 6000)}
    roster.heard("n1", [], 6)
    assert roster.leaders(6) == {}


def test_a_dead_node_leads_nothing() -> None:
    roster = Roster(down_after_s=5)
    roster.heard("n1", [leads(1, 1)], 0)
    assert roster.leaders(5.5) == {}


def test_a_touched_leadership_counts_as_new() -> None:
    roster = Roster(down_after_s=5)
    roster.heard("n1", [leads(1, 1)], 0)
    roster.touch(1, 3)
    roster.touch(2, 3)
    assert roster.leaders(4) == {1: Leadership("n1", 1000)}


def test_nothing_is_remembered_after_clear() -> None:
    roster = Roster(down_after_s=5)
    roster.heard("n1", [leads(1, 1)], 0)
    roster.clear()
    assert (roster.alive(0), roster.leaders(0)) == ({}, {})


def test_advice_stands_until_the_group_has_another_leader() -> None:
    transfers = Transfers(expire_s=5)
    transfers.ask(TransferLeader(1, "n1", "n2"), 0)
    assert transfers.advice_for("n1") == [Transfer(1, "n2")]
    assert transfers.advice_for("n2") == []
    assert transfers.settle({1: Leadership("n1", 0)}, 1) == []
    assert transfers.targets() == {1: "n2"}
    assert transfers.settle({1: Leadership("n2", 0)}, 2) == []
    assert transfers.targets() == {}


def test_advice_expires_and_says_so() -> None:
    transfers = Transfers(expire_s=5)
    transfers.ask(TransferLeader(1, "n1", "n2"), 0)
    assert transfers.settle({1: Leadership("n1", 0)}, 5) == [1]
    assert transfers.targets() == {}
