"""Transactions and atomic bulk writes against a copy of a dict that is kept or thrown away."""

import json
import operator
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.shard.models.replicas import IN_THE_SUITE, NOT_FOUND, STEPS_MS, TTLS_MS, TTLS_MS_OR_NEVER, Cell, Cells
from wire.messages import (
    Comparison,
    Condition,
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

KEYS = st.sampled_from(["{t}a", "{t}b", "{t}c"])
TEXTS = st.sampled_from([b"1", b"2", b" 1", b"1.5", b"-1", b'"a"', b'"b"', b"true", b"null", b"[1]", b"[ 1 ]"])
TYPES = st.sampled_from(["", "", "", "text/plain"])
IF_ABSENT = st.none() | st.none() | st.just(Condition(exists=False))
PUTS = st.builds(PutItem, KEYS, TEXTS, TYPES, TTLS_MS_OR_NEVER, IF_ABSENT)
TOUCHES = st.builds(TouchItem, KEYS, TTLS_MS)
INCREMENTS = st.builds(IncrementItem, KEYS, st.integers(-2, 2), maximum=st.none() | st.just(2))
STEPS: st.SearchStrategy[Step] = st.one_of(
    PUTS.map(lambda item: Put([item])),
    TOUCHES.map(lambda item: Touch([item])),
    INCREMENTS.map(lambda item: Increment([item])),
    KEYS.map(lambda key: Delete([key])),
    KEYS.map(lambda key: Fetch([key])),
)
EQUALITIES = st.sampled_from([Relation.EQUAL, Relation.NOT_EQUAL])
RELATIONS = st.sampled_from(Relation)
COMPARISONS = st.one_of(
    st.builds(Comparison, KEYS, exists=st.booleans(), relation=EQUALITIES),
    st.builds(Comparison, KEYS, revision=st.integers(0, 30), relation=RELATIONS),
    st.builds(Comparison, KEYS, value=TEXTS, relation=RELATIONS),
)
BULKS: st.SearchStrategy[Step] = st.one_of(
    st.lists(PUTS, min_size=1, max_size=4).map(Put),
    st.lists(TOUCHES, min_size=1, max_size=3).map(Touch),
    st.lists(KEYS, min_size=1, max_size=3).map(Delete),
)
SAID = {
    Relation.EQUAL: operator.eq,
    Relation.NOT_EQUAL: operator.ne,
    Relation.LESS: operator.lt,
    Relation.GREATER: operator.gt,
}


def kind(value: Any) -> type:
    """Values of one kind can be less or greater than one another if it is numbers or strings."""
    return float if type(value) is int else type(value)


class Transactions(Cells):
    @rule(
        step_ms=STEPS_MS,
        compare=st.lists(COMPARISONS, max_size=2),
        success=st.lists(STEPS, max_size=4),
        failure=st.lists(STEPS, max_size=4),
    )
    def transact(self, step_ms: int, compare: list[Comparison], success: list[Step], failure: list[Step]) -> None:
        self.now_ms += step_ms
        holds = all(self.compares(one) for one in compare)
        expected = self.expect(success if holds else failure, Status.OK if holds else Status.PRECONDITION_FAILED)
        [results] = self.write([Transaction(compare, success, failure)])
        assert results == expected

    @rule(step_ms=STEPS_MS, operation=BULKS)
    def write_atomically(self, step_ms: int, operation: Step) -> None:
        self.now_ms += step_ms
        expected = self.expect([operation], Status.OK)
        [results] = self.write([Transaction([], [operation])])
        assert results == expected

    @rule(step_ms=STEPS_MS, operation=BULKS)
    def write_each_item_by_itself(self, step_ms: int, operation: Step) -> None:
        assert isinstance(operation, Put | Touch | Delete)
        self.now_ms += step_ms
        expected = [result for result, _ in self.take(operation)]
        [results] = self.write([operation])
        assert results == expected

    @rule(key=KEYS, relation=RELATIONS, off=st.integers(-1, 1))
    def compare_with_the_present_revision(self, key: str, relation: Relation, off: int) -> None:
        cell = self.alive(key)
        revision = max((cell.revision if cell else 0) + off, 0)
        self.transact(0, [Comparison(key, revision=revision, relation=relation)], [Put([PutItem(key, b"1")])], [])

    @rule(key=KEYS, text=TEXTS, content_type=TYPES, wanted=TEXTS, relation=RELATIONS)
    def compare_with_a_value(self, key: str, text: bytes, content_type: str, wanted: bytes, relation: Relation) -> None:
        self.write_each_item_by_itself(0, Put([PutItem(key, text, content_type)]))
        self.transact(0, [Comparison(key, value=wanted, relation=relation)], [Fetch([key])], [])

    def expect(self, steps: list[Step], chosen: Status) -> list[ItemResult]:
        before = dict(self.cells)
        taken = [one for step in steps for one in self.take(step)]
        if all(fine for _, fine in taken):
            return [ItemResult(chosen, self.next_index), *(result for result, _ in taken)]
        self.cells = before
        aborted = ItemResult(Status.ABORTED)
        return [aborted, *(aborted if fine else result for result, fine in taken)]

    def take(self, step: Step) -> list[tuple[ItemResult, bool]]:
        """What each item answers, and whether a transaction goes on after it."""
        if isinstance(step, Put):
            return [self.put(item) for item in step.items]
        if isinstance(step, Touch):
            return [self.touch(item) for item in step.items]
        if isinstance(step, Increment):
            return [self.increment(item) for item in step.items]
        if isinstance(step, Delete):
            return [(self.done() if self.pop(key) else NOT_FOUND, True) for key in step.keys]
        return [(self.fetch(key), True) for key in step.keys]

    def put(self, item: PutItem) -> tuple[ItemResult, bool]:
        cell = self.alive(item.key)
        if cell and item.condition:
            return ItemResult(Status.PRECONDITION_FAILED, cell.revision), False
        self.cells[item.key] = Cell(item.value, self.next_index, self.due_ms(item.ttl_ms), item.content_type)
        return self.done(), True

    def touch(self, item: TouchItem) -> tuple[ItemResult, bool]:
        cell = self.alive(item.key)
        if cell is None:
            return NOT_FOUND, False
        self.cells[item.key] = cell._replace(revision=self.next_index, due_ms=self.due_ms(item.ttl_ms))
        return self.done(), True

    def increment(self, item: IncrementItem) -> tuple[ItemResult, bool]:
        cell = self.alive(item.key) or Cell(b"0", 0)
        number = None if cell.content_type else json.loads(cell.value)
        if type(number) is not int:
            return ItemResult(Status.NOT_A_NUMBER, cell.revision), False
        total = number + item.by
        if item.maximum is not None and total > item.maximum:
            return ItemResult(Status.OUT_OF_RANGE, cell.revision, b"%d" % number), False
        self.cells[item.key] = Cell(b"%d" % total, self.next_index, cell.due_ms)
        return self.done(b"%d" % total), True

    def pop(self, key: str) -> bool:
        was_there = self.alive(key) is not None
        self.cells.pop(key, None)
        return was_there

    def fetch(self, key: str) -> ItemResult:
        cell = self.alive(key)
        if cell is None:
            return NOT_FOUND
        ttl_ms = max(cell.due_ms - 1 - self.now_ms, 1) if cell.due_ms else 0
        return ItemResult(Status.OK, cell.revision, cell.value, cell.content_type, ttl_ms)

    def compares(self, asked: Comparison) -> bool:
        cell = self.alive(asked.key)
        said = SAID[asked.relation]
        if asked.exists is not None:
            return bool(said(cell is not None, asked.exists))
        if asked.revision is not None:
            return bool(said(cell.revision if cell else 0, asked.revision))
        if cell is None or cell.content_type:
            return asked.relation is Relation.NOT_EQUAL
        found, wanted = json.loads(cell.value), json.loads(asked.value or b"")
        if asked.relation in {Relation.LESS, Relation.GREATER} and kind(found) not in {float, str}:
            return False
        return bool(said(found, wanted)) if kind(found) is kind(wanted) else asked.relation is Relation.NOT_EQUAL


TestTransactions = Transactions.TestCase
TestTransactions.settings = IN_THE_SUITE
