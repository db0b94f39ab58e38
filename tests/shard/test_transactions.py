"""What is promised of transactions beside what the model of keys holds them to."""

from typing import Any

import pytest

from tests.shard.build import Log, value_of
from wire.messages import (
    LIMIT_LIST_BYTES,
    Comparison,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    ItemResult,
    Put,
    PutItem,
    Relation,
    Status,
    Step,
    Touch,
    TouchItem,
    Transaction,
)

OK, ABORTED, NOT_FOUND = Status.OK, Status.ABORTED, Status.NOT_FOUND
EQUAL, NOT_EQUAL, LESS, GREATER = Relation


def statuses(log: Log, *success: Step, compare: list[Comparison] | None = None) -> list[Status]:
    results = log.write(1, Transaction(compare or [], [*success], []))
    return [result.status for result in results]


@pytest.mark.parametrize(
    ("stored", "wanted", "holding"),
    [
        (b"1", b"1", {EQUAL}),
        (b"1", b"2", {NOT_EQUAL, LESS}),
        (b"2", b"1.5", {NOT_EQUAL, GREATER}),
        (b"-1e3", b"1", {NOT_EQUAL, LESS}),
        (b"9007199254740993", b"9007199254740992.0", {NOT_EQUAL, GREATER}),
        (b'"a"', b'"b"', {NOT_EQUAL, LESS}),
        (b'"\xef\xbf\xbf"', b'"\xf0\x9f\x98\x80"', {NOT_EQUAL, LESS}),  # by code points, not by UTF-16
        (b'"a"', b'"\\u0061"', {EQUAL}),
        (b'"2"', b"1", {NOT_EQUAL}),
        (b"true", b"0", {NOT_EQUAL}),
        (b"true", b"false", {NOT_EQUAL}),
        (b"null", b"null", {EQUAL}),
        (b"[2]", b"[1]", {NOT_EQUAL}),
        (b'{"a":1,"b":2}', b' {"b": 2, "a": 1}', {EQUAL}),
        (b'{"a":1}', b'{"a":2}', {NOT_EQUAL}),
        (None, b"1", {NOT_EQUAL}),
    ],
)
def test_values_compare_as_json(stored: bytes | None, wanted: bytes, holding: set[Relation]) -> None:
    log = Log()
    if stored is not None:
        log.put(1, "k", stored)
    found = {
        relation
        for relation in Relation
        if statuses(log, compare=[Comparison("k", value=wanted, relation=relation)])[0] is OK
    }
    assert found == holding


@pytest.mark.parametrize("given", [{"revision": 2}, {"value": b"2"}])
def test_a_key_is_less_than_equal_to_or_greater_than_what_it_is_compared_with(given: dict[str, Any]) -> None:
    log = Log()
    for index, holding in ((2, {EQUAL}), (3, {NOT_EQUAL, GREATER})):
        log.put(1, "k", b"%d" % index)
        found = {one for one in Relation if statuses(log, compare=[Comparison("k", relation=one, **given)])[0] is OK}
        assert found == holding
        log.index = 2
    log.delete(1, "k")
    holding = {NOT_EQUAL, LESS} if "revision" in given else {NOT_EQUAL}
    found = {one for one in Relation if statuses(log, compare=[Comparison("k", relation=one, **given)])[0] is OK}
    assert found == holding


def test_a_raw_value_is_equal_to_no_json() -> None:
    log = Log()
    log.write(1, Put([PutItem("k", b"1", "text/plain")]))
    assert statuses(log, compare=[Comparison("k", value=b"1")]) == [Status.PRECONDITION_FAILED]
    assert statuses(log, compare=[Comparison("k", value=b"1", relation=NOT_EQUAL)]) == [OK]


def test_the_branch_taken_says_so_and_shares_one_revision() -> None:
    log = Log()
    log.put(1, "b")
    asked = Transaction([Comparison("a", exists=True)], [Put([PutItem("a", b"1")])], [Delete(["b"]), Fetch(["b"])])
    revision = log.index + 1
    assert log.write(1, asked) == [
        ItemResult(Status.PRECONDITION_FAILED, revision),
        ItemResult(OK, revision),
        ItemResult(NOT_FOUND),
    ]


def test_steps_see_what_earlier_ones_did() -> None:
    log = Log()
    log.put(1, "k", b"1")
    results = log.write(
        1,
        Transaction(
            [],
            [
                Increment([IncrementItem("k", 4), IncrementItem("k", 5)]),
                Fetch(["k"]),
                Delete(["k"]),
                Fetch(["k"]),
                Put([PutItem("k", b"7", "", 2_000)]),
                Fetch(["k"]),
            ],
        ),
    )
    at = log.index
    assert results == [
        ItemResult(OK, at),
        ItemResult(OK, at, b"5"),
        ItemResult(OK, at, b"10"),
        ItemResult(OK, at, b"10"),
        ItemResult(OK, at),
        ItemResult(NOT_FOUND),
        ItemResult(OK, at),
        ItemResult(OK, at, b"7", "", 2_000),
    ]


def test_a_touch_of_a_key_that_is_not_there_undoes_everything() -> None:
    log = Log()
    log.put(1, "k", b"1")
    log.put(1, "old", b"1")
    before = log.machine.get("k"), log.machine.get("old")
    steps: list[Step] = [Put([PutItem("k", b"2")]), Delete(["old"]), Touch([TouchItem("gone", 5_000)]), Fetch(["k"])]
    assert statuses(log, *steps) == [ABORTED, ABORTED, ABORTED, NOT_FOUND, ABORTED]
    assert (log.machine.get("k"), log.machine.get("old")) == before


def test_deleting_and_reading_what_is_not_there_undoes_nothing() -> None:
    log = Log()
    assert statuses(log, Delete(["a"]), Fetch(["a"]), Put([PutItem("k", b"2")])) == [OK, NOT_FOUND, NOT_FOUND, OK]
    assert value_of(log.machine, "k") == b"2"


def test_a_transaction_that_reads_more_than_an_answer_holds_changes_nothing_and_says_which_reads_were_too_many() -> (
    None
):
    log = Log()
    size = LIMIT_LIST_BYTES // 4
    log.put(1, "k", bytes(size))
    assert statuses(log, Fetch(["k"] * 4)) == [OK] * 5
    found = statuses(log, Put([PutItem("j", b"1")]), Fetch(["k"] * 5), Put([PutItem("i", b"1")]))
    assert found == [*[ABORTED] * 6, Status.TOO_LARGE, ABORTED]
    assert (value_of(log.machine, "i"), value_of(log.machine, "j")) == (None, None)


def test_a_transaction_of_which_a_key_belongs_elsewhere_is_refused_as_a_whole() -> None:
    log = Log(own=False)
    log.put(1, "k")
    assert log.write(1, Transaction([], [Put([PutItem("k", b"1")])])) == [ItemResult(Status.WRONG_GROUP)]
    for asked in (
        Transaction([Comparison("k", exists=False)], []),
        Transaction([], [], [Fetch(["k"])]),
    ):
        assert log.write(1, asked) == [ItemResult(Status.WRONG_GROUP)]


def test_a_key_made_and_removed_in_one_transaction_leaves_nothing() -> None:
    log = Log()
    before = log.machine.keys
    assert statuses(log, Put([PutItem("k", b"1", "", 1_000)]), Delete(["k"])) == [OK, OK, OK]
    assert log.machine.keys == before
    log.tick(9_000)
    assert log.machine.keys == before
