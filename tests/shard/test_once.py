"""Answers by idempotency key, and answers of every kind by operation id."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.machine import Entry, Own
from tests.shard.build import EVERY_SLOT, Log, copy_by_snapshot, replayed, value_of
from tests.shard.keys_model import operations
from wire.messages import (
    AcquireLock,
    Fetch,
    Increment,
    IncrementItem,
    ItemResult,
    Operation,
    OperationId,
    Put,
    PutItem,
    Status,
    TakeQuota,
    Transaction,
)
from wire.operations import keys_of
from wire.slots import slot_of

OK = Status.OK
MINUTES_10 = 600_000
ADD = Increment([IncrementItem("n", 1)])
EVERY_KIND: list[Operation] = [
    ADD,
    Put([PutItem("k", b"1"), PutItem("k", b"2")]),
    Transaction([], [ADD, Fetch(["n", "k"])]),
    TakeQuota("q", 1, 60_000),
    AcquireLock("l", "me", 60_000),
]


def with_key(log: Log, key: str, digest: bytes = b"d", session: int = 1) -> OperationId:
    log.sequence += 1
    return OperationId(session, log.sequence, log.sequence, key, digest)


@pytest.mark.parametrize("operation", EVERY_KIND)
@pytest.mark.parametrize("key", ["", "chosen"])
def test_a_retry_by_operation_id_gets_the_first_answer_and_changes_nothing(operation: Operation, key: str) -> None:
    log = Log()
    log.put(1, "k", b"seen")
    identity = OperationId(1, 9, 0, key, b"d")
    first = log.append(Entry(1, [(identity, operation)]))
    log.write(2, Put([PutItem("n", b"100"), PutItem("k", b"new")]))
    before = {key: value_of(log.machine, key) for key in ("n", "k")}
    assert log.append(Entry(2, [(identity, operation)])) == first
    log.machine = copy_by_snapshot(log.machine)
    assert log.append(Entry(2, [(identity, operation)])) == first
    assert {key: value_of(log.machine, key) for key in ("n", "k")} == before


@pytest.mark.parametrize("operation", EVERY_KIND)
def test_a_key_gets_the_first_answer_from_whichever_session(operation: Operation) -> None:
    log = Log()
    first = log.append(Entry(1, [(with_key(log, "chosen"), operation)]))
    log.write(2, Put([PutItem("n", b"100"), PutItem("k", b"new")]))
    for session in (1, 2, 3):
        identity = with_key(log, "chosen", session=session)
        assert log.append(Entry(3, [(identity, operation)])) == first
        assert log.append(Entry(3, [(identity, operation)])) == first
        log.machine = copy_by_snapshot(log.machine)
    assert value_of(log.machine, "n") == b"100"


def test_a_write_without_a_key_leaves_no_record() -> None:
    log = Log()
    log.write(1, ADD)
    assert log.machine.keys == 1
    log.write(1, ADD, with_key(log, "x"))
    assert log.machine.keys == 2


def test_a_key_twice_in_one_entry_is_applied_once() -> None:
    log = Log()
    one, other = log.append(Entry(1, [(with_key(log, "x", session=session), ADD) for session in (1, 2)]))
    assert one == other
    assert value_of(log.machine, "n") == b"1"


def test_a_key_with_another_request_is_refused_for_each_item_and_the_first_answer_stays() -> None:
    log = Log()
    first = log.write(1, ADD, with_key(log, "x", b"one"))
    other = Put([PutItem("n", b"7"), PutItem("m", b"7")])
    assert log.write(1, other, with_key(log, "x", b"two")) == [ItemResult(Status.REUSED_KEY)] * 2
    assert log.write(1, other, with_key(log, "x", b"two", session=2)) == [ItemResult(Status.REUSED_KEY)] * 2
    assert log.write(1, ADD, with_key(log, "x", b"one", session=2)) == first
    assert (value_of(log.machine, "n"), value_of(log.machine, "m")) == (b"1", None)


def test_a_key_is_remembered_for_ten_minutes_also_when_its_session_is_forgotten() -> None:
    log = Log()
    first = log.write(1_000, ADD, with_key(log, "x"))
    log.tick(1_000 + MINUTES_10)
    assert log.machine._sessions.capture() == []
    assert log.write(1_000 + MINUTES_10, ADD, with_key(log, "x")) == first
    assert log.write(1_001 + MINUTES_10, ADD, with_key(log, "x"))[0].value == b"2"


def test_a_key_whose_removal_is_late_is_forgotten_all_the_same() -> None:
    log = Log()
    log.fill(0, (PutItem(f"k{number}", b"", "", 500) for number in range(2_500)))
    log.write(0, ADD, with_key(log, "x"))
    assert log.write(1 + MINUTES_10, ADD, with_key(log, "x"))[0].value == b"2"


def test_a_write_of_which_nothing_belongs_here_is_not_remembered() -> None:
    log = Log(own=False)
    for operation in EVERY_KIND:
        results = log.write(1, operation, with_key(log, "x"))
        assert {result.status for result in results} == {Status.WRONG_GROUP}
    assert log.machine.keys == 0
    log.append(Entry(1, [], Own(EVERY_SLOT, 1)))
    assert log.write(1, ADD, with_key(log, "x", b"other"))[0] == ItemResult(OK, log.index, b"1")


def test_a_write_of_which_a_part_belongs_here_is_remembered() -> None:
    log = Log(own=False)
    log.append(Entry(1, [], Own([(slot_of("n"), slot_of("n"))], 1)))
    for items in ([IncrementItem("n"), IncrementItem("foreign")], [IncrementItem("foreign"), IncrementItem("n")]):
        identity = with_key(log, items[0].key)
        results = log.write(1, Increment(items), identity)
        assert {result.status for result in results} == {OK, Status.WRONG_GROUP}
        assert log.write(1, Increment(items), with_key(log, items[0].key, session=2)) == results


def test_a_refusal_is_an_answer_too() -> None:
    log = Log()
    log.put(1, "n", b'"text"')
    first = log.write(1, ADD, with_key(log, "x"))
    assert first[0].status is Status.NOT_A_NUMBER
    log.put(1, "n", b"1")
    assert log.write(1, ADD, with_key(log, "x")) == first


def test_an_operation_about_nothing_is_answered_with_nothing() -> None:
    log = Log()
    for operation in (Put([]), Increment([])):
        for identity in (with_key(log, "x"), log.next_id()):
            assert log.write(1, operation, identity) == []
    assert log.write(1, Transaction([], []), with_key(log, "x")) == [ItemResult(OK, log.index)]
    log.write(1, ADD, OperationId(5, 10, 10))
    assert log.write(1, Transaction([], []), OperationId(5, 9, 9)) == []


@settings(max_examples=100)
@given(
    st.lists(st.tuples(operations.filter(keys_of), st.integers(0, 7), st.sampled_from([0, 1, 200_000])), max_size=25)
)
def test_writes_that_come_again_and_again_are_applied_once(history: list[tuple[Operation, int, int]]) -> None:
    """The same writes, once each in one log and up to eight times, by changing sessions, in the other."""
    once, often, now_ms = Log(), Log(), 0
    for number, (operation, times, step_ms) in enumerate(history):
        now_ms += step_ms
        answers = [
            once.append(Entry(now_ms, [(OperationId(1, number, 0), operation)])),
            often.append(Entry(now_ms, [(OperationId(1, number, 0, f"{number}", b"d"), operation)])),
        ]
        assert answers[0] == answers[1]
        for time in range(times):
            session = 1 if time % 2 else 100 + number
            identity = OperationId(session, number, 0, f"{number}", b"d")
            assert often.append(Entry(now_ms, [(identity, operation)])) == answers[0]
            often.index -= 1  # so that revisions stay comparable
    for key in ("{t}a", "{t}b", "{t}c", "\0{t}"):
        assert often.machine.get(key) == once.machine.get(key)
    assert replayed(once).checksum() == once.machine.checksum()
