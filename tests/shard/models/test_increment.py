"""Increments against numbers in a dict."""

import json

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.shard.models.replicas import IN_THE_SUITE, STEPS_MS, TTLS_MS_OR_NEVER, Cell, Cells
from wire.messages import Increment, IncrementItem, ItemResult, Put, PutItem, Status

LOWEST, HIGHEST = -(2**63), 2**63 - 1
KEYS = st.sampled_from(["a", "b", "{t}c"])
SMALL = st.integers(-3, 3)
NUMBERS = SMALL | SMALL | st.sampled_from([LOWEST, LOWEST + 1, HIGHEST - 1, HIGHEST])
BOUNDS = st.none() | st.none() | st.none() | NUMBERS
TEXTS = st.sampled_from(
    [b" 7\n", b"-0", b"1.0", b"1e2", b"9223372036854775808", b"-9223372036854775809", b"true", b"null", b'"1"', b"[1]"]
)
VALUES = st.one_of(
    st.tuples(NUMBERS.map(lambda number: b"%d" % number), st.just("")),
    st.tuples(TEXTS, st.just("")),
    st.just((b"1", "text/plain")),
)
ITEMS = st.builds(IncrementItem, KEYS, NUMBERS, NUMBERS, TTLS_MS_OR_NEVER, BOUNDS, BOUNDS)


def number_in(cell: Cell) -> int | None:
    """The whole number of signed 64 bits that a key holds, if it does."""
    found = None if cell.content_type else json.loads(cell.value)
    return found if type(found) is int and LOWEST <= found <= HIGHEST else None


class Increments(Cells):
    @rule(key=KEYS, value=VALUES, ttl_ms=TTLS_MS_OR_NEVER)
    def put(self, key: str, value: tuple[bytes, str], ttl_ms: int) -> None:
        text, content_type = value
        self.cells[key] = Cell(text, self.next_index, self.due_ms(ttl_ms), content_type)
        self.write([Put([PutItem(key, text, content_type, ttl_ms)])])

    @rule(step_ms=STEPS_MS, requests=st.lists(st.lists(ITEMS, min_size=1, max_size=3), max_size=3))
    def increment(self, step_ms: int, requests: list[list[IncrementItem]]) -> None:
        self.now_ms += step_ms
        expected = [[self.expect(item) for item in items] for items in requests]
        assert self.write(Increment(items) for items in requests) == expected

    def expect(self, item: IncrementItem) -> ItemResult:
        cell = self.alive(item.key)
        revision = cell.revision if cell else 0
        number = number_in(cell) if cell else item.initial
        if number is None:
            return ItemResult(Status.NOT_A_NUMBER, revision)
        total = number + item.by
        too_low = total < (LOWEST if item.minimum is None else item.minimum)
        too_high = total > (HIGHEST if item.maximum is None else item.maximum)
        if too_low or too_high or not LOWEST <= total <= HIGHEST:
            return ItemResult(Status.OUT_OF_RANGE, revision, b"%d" % number)
        due_ms = cell.due_ms if cell else self.due_ms(item.ttl_ms)
        self.cells[item.key] = Cell(b"%d" % total, self.next_index, due_ms)
        return self.done(b"%d" % total)


TestIncrements = Increments.TestCase
TestIncrements.settings = IN_THE_SUITE
