import pytest

from shard.machine import Entry, sessions
from tests.shard.build import Log, copy_by_snapshot
from wire.messages import OperationId, Put, PutItem, Status

PUT = Put([PutItem("k", b"v")])


def write(log: Log, time_ms: int, session: int, sequence: int, floor: int = 0) -> tuple[Status, int]:
    [reply] = log.append(Entry(time_ms, [(OperationId(session, sequence, floor), PUT)]))
    return reply.results[0].status, reply.revision


def test_answers_below_the_floor_are_dropped_and_the_rest_kept() -> None:
    log = Log()
    answers = {sequence: write(log, 1, 7, sequence) for sequence in (5, 3, 9, 4)}
    write(log, 1, 7, 10, floor=5)
    assert write(log, 1, 7, 3)[0] == write(log, 1, 7, 4)[0] == Status.STALE_OPERATION
    assert write(log, 1, 7, 5) == answers[5]
    assert write(log, 1, 7, 9) == answers[9]


def test_the_floor_never_goes_down() -> None:
    log = Log()
    write(log, 1, 7, 10, floor=10)
    write(log, 1, 7, 11, floor=2)
    assert write(log, 1, 7, 9)[0] == Status.STALE_OPERATION


def test_past_the_limit_of_a_session_its_lowest_sequence_is_never_applied_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "LIMIT_SESSION_ANSWERS", 3)
    log = Log()
    answers = [write(log, 1, 7, sequence) for sequence in range(1, 5)]
    assert write(log, 1, 7, 1)[0] == Status.STALE_OPERATION
    assert [write(log, 1, 7, sequence) for sequence in (2, 3, 4)] == answers[1:]


def test_past_the_limit_of_sessions_the_one_idle_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LIMIT_SESSIONS", 2)
    log = Log()
    first = write(log, 1, 1, 1)
    second = write(log, 1, 2, 1)
    assert write(log, 1, 1, 1) == first  # a retry is a use
    write(log, 1, 3, 1)
    assert write(log, 1, 1, 1) == first
    assert write(log, 1, 2, 1) != second


def test_past_the_limit_of_answers_the_session_idle_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LIMIT_ANSWERS", 3)
    log = Log()
    old = write(log, 1, 1, 1)
    answers = [write(log, 1, 2, sequence) for sequence in (1, 2, 3)]
    assert [write(log, 1, 2, sequence) for sequence in (1, 2, 3)] == answers
    assert write(log, 1, 1, 1) != old


def test_a_session_is_remembered_for_ten_minutes_after_its_last_write() -> None:
    log = Log()
    write(log, 0, 1, 1)
    answer = write(log, 300_000, 1, 2)
    log.tick(899_999)
    assert write(log, 899_999, 1, 2) == answer
    log.tick(899_999 + 600_000)
    assert len(log.machine._sessions) == 0


def test_the_highest_sequence_there_is_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LIMIT_SESSION_ANSWERS", 1)
    log = Log()
    top = (1 << 64) - 1
    for sequence in (top - 1, top):
        write(log, 1, top, sequence, floor=sequence)
    write(log, 1, top, top - 1)
    assert copy_by_snapshot(log.machine).checksum() == log.machine.checksum()
