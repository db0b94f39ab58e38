"""What a leader counts and what a follower throws away (items 8 to 15 of docs/audit.md)."""

from pathlib import Path

import pytest

from raft.config import RaftConfig
from tests.audit.shipped import shipped
from tests.raft.members import Group

SUCCESS = 0


def test_the_library_as_shipped_acknowledges_for_old_answers_what_nobody_else_has(tmp_path: Path) -> None:
    found = shipped("replication.old_acknowledgements", tmp_path)
    assert found["outcomes"] == [[1, SUCCESS]]
    assert found["a"] == ["nobody else has it"]


def test_the_library_as_shipped_answers_without_a_term(tmp_path: Path) -> None:
    found = shipped("replication.fields_of_an_answer", tmp_path)
    assert found == {"fields": ["next_node_idx", "reset", "success", "type"]}


def test_the_library_as_shipped_commits_by_counting_only_from_its_own_first_entry_on(tmp_path: Path) -> None:
    found = shipped("replication.entries_of_a_former_term", tmp_path)
    assert found == {"terms": [0, 1, 1, 2], "committed": [1, 1, 4]}


def test_the_library_as_shipped_loses_acknowledged_writes_when_entries_come_twice(tmp_path: Path) -> None:
    found = shipped("replication.entries_sent_twice", tmp_path)
    assert found == {"acknowledged": 20, "had": 22, "left": 5, "on the new leader": 3}


def test_the_library_as_shipped_acknowledges_what_a_snapshot_takes_back(tmp_path: Path) -> None:
    found = shipped("replication.a_deposed_leader_gets_a_snapshot", tmp_path)
    assert found["outcomes"] == [[number, SUCCESS] for number in range(1, 6)]
    assert found["a"] == [f"lost {number}" for number in range(5)]
    assert found["on the leader"] == ["kept 0"]


def test_the_library_as_shipped_needs_a_heartbeat_for_every_entry_in_conflict(tmp_path: Path) -> None:
    assert shipped("replication.a_tail_in_conflict", tmp_path)["heartbeats"] >= 50


@pytest.mark.parametrize("around", [100, 256, 700])
def test_commands_of_every_size_around_that_of_a_batch_arrive(around: int) -> None:
    group = Group(2, config=RaftConfig(batch_bytes=around, segment_bytes=1 << 16))
    a, b = group.elect("a"), group["b"]
    commands = [bytes([1]) * size for size in range(around - 40, around + 40)]
    for command in commands:
        a.propose(command)
    group.settle()
    group.beat("a")
    assert b.machine.commands == commands


def test_the_library_as_shipped_stumbles_over_some_sizes(tmp_path: Path) -> None:
    found = shipped("replication.big_entries", tmp_path)
    assert found["sizes"] == 80
    assert found["raised"] > 10


def test_the_library_as_shipped_keeps_any_amount_for_a_peer_that_does_not_read(tmp_path: Path) -> None:
    assert shipped("replication.a_peer_that_does_not_read", tmp_path)["MiB waiting"] >= 3
