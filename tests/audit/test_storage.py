"""What is on the disk after a crash, a power cut, damage (items 3 and 16 to 27 of docs/audit.md)."""

import os
import signal
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from raft.interface import Refused
from tests.audit.shipped import run_shipped, shipped
from tests.e2e.strace import require_strace
from tests.raft.members import SNAPPY, Group

SUCCESS = 0
SYNCS = "trace=?fsync,?fdatasync,?msync,?sync,?syncfs,?sync_file_range"


@pytest.mark.parametrize("power_cut", [False, True])
def test_what_was_acknowledged_is_there_after_everything_stopped_at_once(*, power_cut: bool) -> None:
    group = Group(config=SNAPPY)
    a = group.elect("a")
    outcomes = [a.propose(b"%d" % number) for number in range(50)]
    group.settle()
    assert all(len(outcome) == 1 for outcome in outcomes)
    for member in group.members.values():
        member.restart(power_cut=power_cut)
    group.elect("b")
    group.beat("b")
    expected = [b"%d" % number for number in range(50)]
    assert [member.machine.commands for member in group.members.values()] == [expected] * 3


def test_the_library_as_shipped_keeps_it_while_only_its_processes_die(tmp_path: Path) -> None:
    found = shipped("storage.a_crash_of_every_process", tmp_path)
    assert found == {"acknowledged": 50, "left": [50, 50, 50]}


def test_the_library_as_shipped_acknowledges_without_a_single_sync(tmp_path: Path) -> None:
    require_strace()
    trace, folder = tmp_path / "trace", tmp_path / "nodes"
    found = shipped(
        "storage.fifty_acknowledgements", folder, under=["strace", "-f", "-qq", "-e", SYNCS, "-o", str(trace)]
    )
    assert found == {"acknowledged": 50, "syncs": 0}
    assert trace.read_text() == ""


def test_the_library_as_shipped_need_have_nothing_left_after_a_power_cut(tmp_path: Path) -> None:
    assert shipped("storage.a_power_cut", tmp_path) == {"acknowledged": 50, "left": [0, 0, 0]}


def test_the_library_as_shipped_reads_a_flipped_bit_back(tmp_path: Path) -> None:
    assert shipped("storage.a_flipped_bit", tmp_path) == {"errors": [], "read back": True}


def test_the_library_as_shipped_does_not_say_what_is_wrong_with_a_page_of_zeros(tmp_path: Path) -> None:
    assert shipped("storage.a_page_of_zeros", tmp_path) == {"error": "struct.error"}


def test_the_library_as_shipped_takes_anything_for_a_journal(tmp_path: Path) -> None:
    assert shipped("storage.garbage_for_a_journal", tmp_path)["accepted"]


def test_the_library_as_shipped_stores_a_big_first_record(tmp_path: Path) -> None:
    assert shipped("storage.a_big_first_record", tmp_path) == {"indexes": [1, 2, 3, 4]}


def test_the_library_as_shipped_loses_the_log_that_it_is_shortening(tmp_path: Path) -> None:
    found = shipped("storage.death_while_the_journal_is_shortened", tmp_path)
    assert found == {"should be there": 1000, "left": 300}


def test_the_library_as_shipped_loses_all_that_it_acknowledged_during_a_snapshot(tmp_path: Path) -> None:
    assert shipped("storage.kill_during_a_snapshot", tmp_path) == {"acknowledged": 50, "left": [0, 0, 0]}


def test_the_library_as_shipped_drops_a_log_that_goes_on_from_its_dump(tmp_path: Path) -> None:
    found = shipped("storage.a_dump_without_its_journals_cut", tmp_path)
    assert found == {"outcomes": 1, "after the dump": False, "before": 50}


def test_the_library_as_shipped_leads_with_nothing_when_its_dump_is_damaged(tmp_path: Path) -> None:
    found = shipped("storage.a_damaged_dump", tmp_path)
    assert found == {"acknowledged": 50, "on the leader": 0, "on others": 50}


def test_the_library_as_shipped_acknowledges_a_snapshot_that_is_garbage(tmp_path: Path) -> None:
    found = shipped("storage.a_garbage_snapshot", tmp_path)
    assert found == {"acknowledged": [True], "old dump is there": False}


def test_the_library_as_shipped_acknowledges_a_snapshot_with_a_gap(tmp_path: Path) -> None:
    found = shipped("storage.a_snapshot_with_a_gap", tmp_path)
    assert found["pieces lost"] > 0
    assert (found["acknowledged"], found["whole"]) == (True, False)


def test_the_library_as_shipped_takes_its_commit_index_back_to_the_end_of_the_log(tmp_path: Path) -> None:
    found = shipped("storage.a_commit_index_ahead_of_the_log", tmp_path)
    assert found == {"stored": 102, "commit index": 52, "log ends at": 52}


def test_the_library_as_shipped_does_not_before_its_first_dump_and_acknowledges_alone(tmp_path: Path) -> None:
    """The audit missed this one: the mend of 0.3.17 is in the code that reads a dump."""
    found = shipped("storage.a_commit_index_ahead_of_the_log_without_a_dump", tmp_path)
    assert found == {"commit index": 52, "log ends at": 2, "leads": True, "outcomes": [[1, SUCCESS]]}


def test_after_a_power_cut_a_member_calls_nothing_committed_that_it_has_not_heard_of_again() -> None:
    group = Group()
    a = group.elect("a")
    for number in range(50):
        a.propose(b"%d" % number)
    group.settle()
    for member in group.members.values():
        member.restart()
        assert member.replica.commit_index <= member.replica.journal.base_index
    a = group.elect_unheard("a")
    outcome = a.propose(b"nobody else has it")
    a.sync()
    assert outcome == [Refused(leader="a")]
    assert a.replica.commit_index <= a.replica.journal.base_index


def test_the_library_as_shipped_forgets_everything_in_a_rolling_restart_by_default(tmp_path: Path) -> None:
    assert shipped("storage.a_rolling_restart", tmp_path) == {"acknowledged": 50, "on the new leader": 0}


def test_the_library_as_shipped_compacts_the_only_copy_away_without_a_dump_file(tmp_path: Path) -> None:
    assert shipped("storage.a_journal_without_a_dump", tmp_path) == {"acknowledged": 50, "left": 0}


def test_the_library_as_shipped_dies_of_a_full_disk_by_a_signal(tmp_path: Path) -> None:
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    script = 'mount -t tmpfs -o size=1M none "$0" && exec "$@"'
    mounted = [*namespace, "sh", "-c", script, str(tmp_path)]
    if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    assert run_shipped("storage.a_full_disk", tmp_path, under=mounted).returncode == -signal.SIGBUS


def test_the_library_as_shipped_lets_two_processes_write_one_journal(tmp_path: Path) -> None:
    assert shipped("storage.two_processes", tmp_path) == {"refused": False, "read back": ["first", "third"]}


def test_the_library_as_shipped_starts_over_another_nodes_files(tmp_path: Path) -> None:
    assert shipped("storage.another_nodes_files", tmp_path) == {"errors": [], "voted for": "a"}


def test_no_process_is_forked_for_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> NoReturn:
        raise AssertionError("a process was forked")

    monkeypatch.setattr(os, "fork", forbidden)
    group = Group(config=SNAPPY)
    a = group.elect("a")
    for number in range(30):
        a.propose(b"%d" % number)
        group.settle()
    assert all(member.replica.snapshots_taken for member in group.members.values())


def test_the_library_as_shipped_leaves_its_port_to_an_orphan(tmp_path: Path) -> None:
    found = shipped("network.a_port_held_by_an_orphan", tmp_path)
    assert found == {"port is free": False, "once the orphan has ended": True}
