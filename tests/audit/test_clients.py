"""What clients and the state machine get to see (items 28 to 38 of docs/audit.md)."""

import ast
from pathlib import Path

from tests.audit.shipped import ROOT, shipped

SUCCESS, LEADER_CHANGED = 0, 5
WALL_CLOCKS = {"time.time", "time.time_ns", "time.localtime", "time.gmtime", "datetime.now", "datetime.utcnow"}


def test_the_library_as_shipped_serves_old_values_for_half_a_minute(tmp_path: Path) -> None:
    found = shipped("elections.a_leader_without_quorum", tmp_path)
    assert found["new leader after"] < 1
    assert (found["read at the old"], found["read at the new"]) == (["old"], ["old", "new"])
    assert found["stale until"] > 29


def test_the_library_as_shipped_never_answers_a_command_that_it_forwarded_in_vain(tmp_path: Path) -> None:
    found = shipped("clients.a_forwarded_command_on_a_lost_connection", tmp_path)
    assert found == {"minutes": 5, "outcomes": [], "everywhere": {"a": [], "b": [], "c": []}}


def test_the_library_as_shipped_applies_a_retry_again(tmp_path: Path) -> None:
    assert shipped("clients.a_retry", tmp_path) == {"told": [[None, LEADER_CHANGED]], "b": ["pay 5", "pay 5"]}


def test_the_library_as_shipped_gives_a_command_the_outcome_of_another_processs(tmp_path: Path) -> None:
    found = shipped("clients.a_request_number_used_again", tmp_path)
    assert found == {"outcomes of the second": [[1, SUCCESS]], "b": ["of the first process"]}


def test_the_library_as_shipped_stops_for_ever_at_an_exception_of_the_machine(tmp_path: Path) -> None:
    found = shipped("clients.an_exception_of_the_machine", tmp_path)
    assert found == {"outcomes": [[], [], []], "applied": [], "tried again": True}


def test_the_library_as_shipped_applies_twice_what_its_caller_fails_to_take(tmp_path: Path) -> None:
    found = shipped("clients.an_exception_of_a_caller", tmp_path)
    assert found == {"a": ["x", "x"], "b": ["x"], "c": ["x"]}


def test_the_library_as_shipped_applies_twice_what_follows_an_unknown_version(tmp_path: Path) -> None:
    assert shipped("clients.an_unknown_version", tmp_path) == {"sent": 1, "applied": 2}


# People say until when a token shall be good by the calendar. Placement's leader stamps it, and the stamp travels in the command.
WALL_CLOCK_ALLOWED = {"placement/tokens/service.py"}


def test_nothing_replicated_reads_the_wall_clock() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ("raft", "shard", "placement")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Attribute) and ast.unparse(node).endswith(tuple(WALL_CLOCKS))
    }
    assert {place.rpartition(":")[0] for place in found} <= WALL_CLOCK_ALLOWED


def test_the_library_as_shipped_does_not_read_the_wall_clock_either(tmp_path: Path) -> None:
    assert shipped("clients.no_wall_clock", tmp_path) == {"outcomes": [[1, SUCCESS]], "errors": []}


def test_the_library_as_shipped_gives_a_lock_to_two_when_a_clients_clock_is_wrong(tmp_path: Path) -> None:
    assert shipped("clients.a_lock_under_a_wrong_clock", tmp_path) == {"first": True, "second": True}


def test_the_library_as_shipped_raises_for_a_command_that_it_applies(tmp_path: Path) -> None:
    found = shipped("clients.a_command_after_an_exception", tmp_path)
    assert found == {"raised": "BlockingIOError", "applied all the same": True}


def test_the_library_as_shipped_queues_any_number_of_bytes(tmp_path: Path) -> None:
    assert shipped("clients.bytes_that_wait", tmp_path) == {"refused": 0, "MiB waiting": 100}


def test_the_library_as_shipped_applies_an_hour_later_what_found_no_leader(tmp_path: Path) -> None:
    found = shipped("clients.a_command_without_a_leader", tmp_path)
    assert found == {"told within an hour": [], "then": True, "b": ["an hour old"]}
