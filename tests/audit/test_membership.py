"""Members never change here; in the library as shipped they do (items 39 to 43 of docs/audit.md)."""

from pathlib import Path

import pytest

from raft.messages import LogEntry
from tests.audit.shipped import shipped
from tests.raft.members import Group, append

SUCCESS = 0
MEMBERSHIP, VERSION = b"\x02", b"\x03"  # the library's first byte of such entries


@pytest.mark.parametrize("kind", [MEMBERSHIP, VERSION])
def test_no_entry_changes_members_or_code(kind: bytes) -> None:
    group = Group()
    b = group["b"]
    peers = set(b.replica._SyncObj__otherNodes)
    entry = LogEntry(1, kind + b"anything")
    b.receive("a", append(b, term=1, entries=[entry]))
    b.receive("a", append(b, commit_index=2))
    b.sync()
    assert b.replica.applied_index == 2
    assert set(b.replica._SyncObj__otherNodes) == peers
    assert b.machine.commands == []


@pytest.mark.parametrize("change", ["addNodeToCluster", "removeNodeFromCluster"])
def test_nobody_can_ask_for_other_members(change: str) -> None:
    a = Group().elect("a")
    with pytest.raises(Exception, match="dynamicMembershipChange is disabled"):
        getattr(a.replica, change)("d")


def test_the_library_as_shipped_denies_a_change_before_an_entry_of_its_term(tmp_path: Path) -> None:
    found = shipped("membership.before_an_entry_of_its_term", tmp_path)
    assert found == {"leads": True, "denied": True, "members": ["a", "b", "c"]}


def test_the_library_as_shipped_lets_a_leader_remove_its_majority_and_go_on_alone(tmp_path: Path) -> None:
    found = shipped("membership.two_changes_at_once", tmp_path)
    assert found["changes"] == [[[None, SUCCESS]], [[None, SUCCESS]]]
    assert found["alone"] == found["together"] == [[1, SUCCESS]]
    assert (found["a"], found["b"]) == (["written alone"], ["written together"])


def test_the_library_as_shipped_forgets_a_change_in_its_log_at_a_restart(tmp_path: Path) -> None:
    found = shipped("membership.a_restart_after_a_change", tmp_path)
    assert found == {"before": ["a", "b", "c", "d"], "after": ["a", "b", "c"], "entry is in the log": True}


def test_the_library_as_shipped_stops_when_an_empty_member_joins_while_one_is_down(tmp_path: Path) -> None:
    found = shipped("membership.a_new_member_counts_at_once", tmp_path)
    assert found == {"before": [[1, SUCCESS]], "after": [], "members": ["a", "b", "c", "d"]}


def test_the_library_as_shipped_removes_no_leader_and_tells_the_removed_nothing(tmp_path: Path) -> None:
    found = shipped("membership.removing_the_leader", tmp_path)
    assert found == {"leader": True, "c": True, "members as c sees them": ["a", "b", "c"]}
