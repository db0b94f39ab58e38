"""Conditions of puts, deletes, touches and increments, in bulk and alone, against what each key holds."""

import json

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.shard.models.replicas import IN_THE_SUITE, NOT_FOUND, STEPS_MS, TTLS_MS, TTLS_MS_OR_NEVER, Cell, Cells
from wire.messages import (
    Condition,
    Delete,
    Increment,
    IncrementItem,
    ItemResult,
    Operation,
    Put,
    PutItem,
    Status,
    Touch,
    TouchItem,
)

KEYS = st.sampled_from(["a", "{t}b", "\0c"])
TEXTS = st.sampled_from([b"1", b" 1 ", b"2", b'{"a":1,"b":[2]}', b'{"b": [2], "a": 1}', b'"\\u0061"', b'"a"', b"null"])
FENCES = st.integers(0, 4)
WAYS = st.sampled_from(["absent", "present", "this revision", "no revision", "a revision", "value", "fence"])
FENCE = st.just("fence")
NEEDS = st.none() | st.tuples(WAYS, WAYS, FENCES, TEXTS) | st.tuples(FENCE, FENCE, FENCES, TEXTS)
Need = tuple[str, str, int, bytes]


class Conditions(Cells):
    @rule(step_ms=STEPS_MS, items=st.lists(st.tuples(KEYS, TEXTS, TTLS_MS_OR_NEVER, NEEDS), min_size=1, max_size=3))
    def put(self, step_ms: int, items: list[tuple[str, bytes, int, Need | None]]) -> None:
        self.now_ms += step_ms
        asked = [PutItem(key, text, "", ttl_ms, self.condition(key, need)) for key, text, ttl_ms, need in items]
        self.check(Put(asked), [self.expect_put(one) for one in asked])

    @rule(step_ms=STEPS_MS, items=st.lists(st.tuples(KEYS, NEEDS), min_size=1, max_size=3))
    def delete(self, step_ms: int, items: list[tuple[str, Need | None]]) -> None:
        self.now_ms += step_ms
        asked = [(key, self.condition(key, need)) for key, need in items]
        operation = Delete([key for key, _ in asked], [condition for _, condition in asked])
        self.check(operation, [self.expect_delete(*one) for one in asked])

    @rule(step_ms=STEPS_MS, items=st.lists(st.tuples(KEYS, TTLS_MS, NEEDS), min_size=1, max_size=3))
    def touch(self, step_ms: int, items: list[tuple[str, int, Need | None]]) -> None:
        self.now_ms += step_ms
        asked = [TouchItem(key, ttl_ms, self.condition(key, need)) for key, ttl_ms, need in items]
        self.check(Touch(asked), [self.expect_touch(one) for one in asked])

    @rule(step_ms=STEPS_MS, key=KEYS, need=NEEDS)
    def increment(self, step_ms: int, key: str, need: Need | None) -> None:
        self.now_ms += step_ms
        asked = IncrementItem(key, 1, condition=self.condition(key, need))
        self.check(Increment([asked]), [self.expect_increment(asked)])

    def check(self, operation: Operation, expected: list[ItemResult]) -> None:
        [results] = self.write([operation])
        assert results == expected

    def condition(self, key: str, need: Need | None) -> Condition | None:
        """One or two things to ask of a key, in the way of somebody who knows it more or less."""
        if need is None:
            return None
        *ways, fence, text = need
        cell = self.alive(key)
        present = cell.revision if cell else 1
        revisions = {"this revision": present, "no revision": 0, "a revision": fence}
        return Condition(
            "present" in ways if {"absent", "present"} & {*ways} else None,
            next((revisions[way] for way in ways if way in revisions), None),
            text if "value" in ways else None,
            fence if "fence" in ways else None,
        )

    def refused(self, cell: Cell | None, asked: Condition | None) -> bool:
        if asked is None:
            return False
        held = cell or Cell(b"", 0)
        return (
            (asked.exists is not None and asked.exists != (cell is not None))
            or (asked.revision is not None and asked.revision != held.revision)
            or (asked.value is not None and (cell is None or json.loads(held.value) != json.loads(asked.value)))
            or (asked.fence is not None and asked.fence < held.fence)
        )

    def change(self, key: str, asked: Condition | None, value: bytes, due_ms: int) -> None:
        """A fence is remembered with the key and never falls while it lives."""
        cell = self.alive(key)
        fence = max(cell.fence if cell else 0, (asked and asked.fence) or 0)
        self.cells[key] = Cell(value, self.next_index, due_ms, "", fence)

    def no(self, cell: Cell | None) -> ItemResult:
        return ItemResult(Status.PRECONDITION_FAILED, cell.revision if cell else 0)

    def expect_put(self, asked: PutItem) -> ItemResult:
        cell = self.alive(asked.key)
        if self.refused(cell, asked.condition):
            return self.no(cell)
        self.change(asked.key, asked.condition, asked.value, self.due_ms(asked.ttl_ms))
        return self.done()

    def expect_delete(self, key: str, condition: Condition | None) -> ItemResult:
        cell = self.alive(key)
        if self.refused(cell, condition):
            return self.no(cell)
        if cell is None:
            return NOT_FOUND
        del self.cells[key]
        return self.done()

    def expect_touch(self, asked: TouchItem) -> ItemResult:
        cell = self.alive(asked.key)
        if cell is None:
            return NOT_FOUND
        if self.refused(cell, asked.condition):
            return self.no(cell)
        self.change(asked.key, asked.condition, cell.value, self.due_ms(asked.ttl_ms))
        return self.done()

    def expect_increment(self, asked: IncrementItem) -> ItemResult:
        cell = self.alive(asked.key)
        if self.refused(cell, asked.condition):
            return self.no(cell)
        number = json.loads(cell.value) if cell else 0
        if type(number) is not int:
            return ItemResult(Status.NOT_A_NUMBER, cell.revision if cell else 0)
        value = b"%d" % (number + asked.by)
        self.change(asked.key, asked.condition, value, cell.due_ms if cell else 0)
        return self.done(value)


TestConditions = Conditions.TestCase
TestConditions.settings = IN_THE_SUITE
