"""Terms, votes and leaders (items 1, 2, 4 to 7 of docs/audit.md)."""

from pathlib import Path

import pytest

from tests.audit.ring import cut_to_a_ring
from tests.audit.shipped import shipped
from tests.raft.members import Group
from tests.simulation.history import History
from tests.simulation.safe import SafeCluster
from tests.simulation.world import World

SUCCESS = 0


@pytest.mark.parametrize("power_cut", [False, True])
def test_after_everything_restarted_a_late_member_takes_no_acknowledged_write_back(*, power_cut: bool) -> None:
    group = Group()
    for leader, voter in ("ab", "bc", "ca", "ab"):
        group.elect(leader, leader, voter)
        group.beat(leader)
    group["a"].propose(b"old")
    group.settle()
    term = group["a"].replica.term
    for name in "ab":
        group[name].restart(power_cut=power_cut)
    a = group.elect("a", "a", "b")
    assert a.replica.term > term
    acknowledged = a.propose(b"new")
    group.settle("a", "b")
    assert len(acknowledged) == 1
    group["c"].restart(power_cut=power_cut)
    for _ in range(3):  # the first attempt tells it the others' term
        group.campaign("c", "b", "c")
        assert group["c"].replica.role == "follower"
    group.elect("b", "b", "c")
    group.beat("b")
    assert [member.machine.commands for member in group.members.values()] == [[b"old", b"new"]] * 3


def test_the_library_as_shipped_does_so_too_while_only_its_processes_die(tmp_path: Path) -> None:
    found = shipped("elections.a_late_member", tmp_path)
    assert found["commands"] == {name: ["old", "new"] for name in "abc"}


def test_the_library_as_shipped_diverges_for_ever_after_a_power_cut(tmp_path: Path) -> None:
    found = shipped("elections.a_late_member_after_a_power_cut", tmp_path)
    assert found["acknowledged"] == [[1, SUCCESS]]
    assert found["commands"]["c"] == ["old"]
    assert found["commands"]["a"] == ["new", "old"]


def test_the_library_as_shipped_votes_once_a_term_while_only_its_process_dies(tmp_path: Path) -> None:
    assert shipped("elections.votes_after_a_restart", tmp_path) == {"votes": [["a", 7]], "term": 7}


def test_the_library_as_shipped_votes_twice_in_a_term_after_a_power_cut(tmp_path: Path) -> None:
    found = shipped("elections.votes_after_a_power_cut", tmp_path)
    assert found == {"syncs": 0, "votes": [["a", 7], ["c", 7]], "term after the cut": 0}


def test_the_library_as_shipped_votes_only_for_logs_that_lack_nothing(tmp_path: Path) -> None:
    found = shipped("elections.votes_by_log", tmp_path)
    assert found == {"1/9": False, "2/2": False, "2/3": True, "3/1": True}


def test_the_library_as_shipped_takes_one_voter_for_two(tmp_path: Path) -> None:
    assert shipped("elections.one_voter_twice", tmp_path) == {"leads of five": [False, True]}


def test_the_library_as_shipped_counts_votes_of_who_is_not_a_member(tmp_path: Path) -> None:
    assert shipped("elections.votes_of_strangers", tmp_path) == {"leads of five": True}


def test_members_that_hear_only_their_neighbours_keep_their_leader() -> None:
    world, history = World(1), History()
    cluster = SafeCluster(world, 5, history)
    world.run_until(5.0)
    began = {group: dict(of.leaders) for group, of in history.groups.items()}
    assert all(began.values())
    cut_to_a_ring(cluster.network)
    world.run_until(65.0)
    assert {group: of.leaders for group, of in history.groups.items()} == began


def test_the_library_as_shipped_elects_leader_after_leader_in_such_a_ring(tmp_path: Path) -> None:
    assert shipped("elections.a_ring", tmp_path)["elections"] > 20


def test_the_library_as_shipped_lets_anybodys_term_depose_a_leader_that_is_heard(tmp_path: Path) -> None:
    found = shipped("elections.a_vote_against_a_leader_that_is_heard", tmp_path)
    assert found == {"a still leads": False, "terms": [50, 50]}


def test_the_library_as_shipped_lets_a_leader_without_quorum_lead_for_half_a_minute(tmp_path: Path) -> None:
    assert 29 < shipped("elections.a_leader_without_quorum", tmp_path)["stale until"] < 31
