"""What the operations on keys promise, written down a second time over a plain dict, and strategies that make them."""

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

from wire.messages import (
    Comparison,
    Condition,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    ItemResult,
    Operation,
    Put,
    PutItem,
    Relation,
    Status,
    Step,
    Touch,
    TouchItem,
    Transaction,
)

NOT_FOUND = ItemResult(Status.NOT_FOUND)
OK = Status.OK


class Held(NamedTuple):
    value: bytes
    content_type: str
    revision: int
    due_ms: int  # 0: never
    fence: int


class Keys:
    """Keys of a group that owns every slot."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.now_ms = 0
        self.index = 0

    def enter(self, index: int, now_ms: int) -> None:
        """An entry begins."""
        self.index, self.now_ms = index, max(self.now_ms, now_ms)
        self.held = {key: held for key, held in self.held.items() if not 0 < held.due_ms <= self.now_ms}

    def operate(self, operation: Operation) -> list[ItemResult]:
        if isinstance(operation, Transaction):
            return self._transact(operation)
        assert isinstance(operation, Put | Delete | Touch | Increment | Fetch)
        return self._take(operation)

    def _take(self, step: Step) -> list[ItemResult]:
        if isinstance(step, Delete):
            conditions = step.conditions or [None] * len(step.keys)
            return [self._change(key, condition, step) for key, condition in zip(step.keys, conditions, strict=True)]
        if isinstance(step, Fetch):
            return [self._fetch(key) for key in step.keys]
        return [self._change(item.key, item.condition, item) for item in step.items]

    def _change(
        self, key: str, condition: Condition | None, item: PutItem | TouchItem | IncrementItem | Delete
    ) -> ItemResult:
        old = self.held.get(key)
        if old is None and isinstance(item, TouchItem):
            return NOT_FOUND
        if condition is not None and not self._meets(condition, old):
            return ItemResult(Status.PRECONDITION_FAILED, old.revision if old else 0)
        if isinstance(item, Delete):
            return ItemResult(OK, self.index) if self.held.pop(key, None) else NOT_FOUND
        fence = max(old.fence if old else 0, (condition.fence or 0) if condition else 0)
        due_ms = self.now_ms + item.ttl_ms + 1 if item.ttl_ms else 0
        if isinstance(item, PutItem):
            self.held[key] = Held(item.value, item.content_type, self.index, due_ms, fence)
            return ItemResult(OK, self.index)
        if isinstance(item, TouchItem):
            assert old is not None
            self.held[key] = Held(old.value, old.content_type, self.index, due_ms, fence)
            return ItemResult(OK, self.index)
        return self._increment(item, old, fence, due_ms if old is None else old.due_ms)

    def _increment(self, item: IncrementItem, old: Held | None, fence: int, due_ms: int) -> ItemResult:
        revision = old.revision if old else 0
        present = item.initial
        if old is not None:
            found = None if old.content_type else parsed(old.value)
            if type(found) is not int or not -(2**63) <= found < 2**63:
                return ItemResult(Status.NOT_A_NUMBER, revision)
            present = found
        total = present + item.by
        low = -(2**63) if item.minimum is None else item.minimum
        high = 2**63 - 1 if item.maximum is None else item.maximum
        if total < max(low, -(2**63)) or total > min(high, 2**63 - 1):
            return ItemResult(Status.OUT_OF_RANGE, revision, str(present).encode())
        self.held[item.key] = Held(str(total).encode(), "", self.index, due_ms, fence)
        return ItemResult(OK, self.index, str(total).encode())

    def _fetch(self, key: str) -> ItemResult:
        held = self.held.get(key)
        if held is None:
            return NOT_FOUND
        left_ms = max(held.due_ms - 1 - self.now_ms, 1) if held.due_ms else 0
        return ItemResult(OK, held.revision, held.value, held.content_type, left_ms)

    def _transact(self, asked: Transaction) -> list[ItemResult]:
        before = dict(self.held)
        holds = all(self._compares(one) for one in asked.compare)
        chosen = ItemResult(OK if holds else Status.PRECONDITION_FAILED, self.index)
        results: list[ItemResult] = []
        refused: list[bool] = []
        for step in asked.success if holds else asked.failure:
            for result in self._take(step):
                results.append(result)
                harmless = {OK} if isinstance(step, Touch) else {OK, Status.NOT_FOUND}
                refused.append(result.status not in harmless)
        if any(refused):
            self.held = before
            chosen = ItemResult(Status.ABORTED)
            results = [
                result if bad else ItemResult(Status.ABORTED) for result, bad in zip(results, refused, strict=True)
            ]
        return [chosen, *results]

    def _meets(self, wanted: Condition, old: Held | None) -> bool:
        return not (
            (wanted.exists is not None and wanted.exists != (old is not None))
            or (wanted.revision is not None and wanted.revision != (old.revision if old else 0))
            or (wanted.value is not None and not (old and not old.content_type and same(old.value, wanted.value)))
            or (wanted.fence is not None and old is not None and old.fence > wanted.fence)
        )

    def _compares(self, wanted: Comparison) -> bool:
        old = self.held.get(wanted.key)
        if wanted.exists is not None:
            return (wanted.exists == (old is not None)) == (wanted.relation is Relation.EQUAL)
        if wanted.revision is not None:
            found = old.revision if old else 0
            return related(found, wanted.revision, wanted.relation, equal=found == wanted.revision)
        assert wanted.value is not None
        if old is None or old.content_type:
            return wanted.relation is Relation.NOT_EQUAL
        equal = same(old.value, wanted.value)
        return related(parsed(old.value), parsed(wanted.value), wanted.relation, equal=equal)


def related(found: Any, wanted: Any, relation: Relation, *, equal: bool) -> bool:
    if relation in {Relation.EQUAL, Relation.NOT_EQUAL}:
        return equal == (relation is Relation.EQUAL)
    kinds = ["number" if type(one) in {int, float} else "text" if type(one) is str else "" for one in (found, wanted)]
    if kinds[0] != kinds[1] or not kinds[0]:
        return False
    return bool(found < wanted if relation is Relation.LESS else found > wanted)


def parsed(text: bytes) -> Any:
    return json.loads(text)


def same(one: bytes, other: bytes) -> bool:
    """As JSON, and a whole number is not a broken one."""
    return _same(parsed(one), parsed(other))


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


# --- strategies: few keys and values, so that they meet

KEYS = ["{t}a", "{t}b", "{t}c", "\0{t}"]
TEXTS = [
    b"1", b" 1\n", b"-1", b"1.0", b"100.0", b"1e2", b"2.5", b"9223372036854775807", b"-9223372036854775808", b"-0",
    b"9223372036854775808", b"99999999999999999999999", b"true", b"false", b"null", b'"a"', b'"\\u0061"', b'"b"', b'"\xc3\xa9"',
    b'"1"', b"[1, 2]", b"[1,2]", b"[2,1]", b'{"a":1,"b":[2]}', b'{"b": [2], "a": 1}', b'{"a":1}', b'""', b"{}", b"[]",
]  # fmt: skip
keys = st.sampled_from(KEYS)
texts = st.sampled_from(TEXTS)
types = st.sampled_from(["", "", "", "text/plain"])
ttls = st.sampled_from([0, 0, 1, 10, 100])
revisions = st.integers(0, 25)
conditions = st.none() | st.builds(
    Condition,
    st.none() | st.booleans(),
    st.none() | st.none() | revisions,
    st.none() | st.none() | texts,
    st.none() | st.integers(0, 5),
)
numbers = st.sampled_from([0, 1, -1, 5, 2**62, -(2**62), 2**63 - 1, -(2**63)])
bounds = st.none() | st.none() | numbers
puts = st.lists(st.builds(PutItem, keys, texts, types, ttls, conditions), min_size=1, max_size=3).map(Put)
touches = st.lists(st.builds(TouchItem, keys, ttls.map(lambda ttl: ttl or 7), conditions), min_size=1, max_size=2).map(
    Touch
)
deletes = st.lists(st.tuples(keys, conditions), min_size=1, max_size=3).map(
    lambda pairs: Delete([key for key, _ in pairs], [one for _, one in pairs])
) | st.lists(keys, min_size=1, max_size=3).map(Delete)
increments = st.lists(
    st.builds(IncrementItem, keys, numbers, numbers, ttls, bounds, bounds, conditions), min_size=1, max_size=3
).map(Increment)
fetches = st.lists(keys, min_size=1, max_size=3).map(Fetch)
relations = st.sampled_from(Relation)
equalities = st.sampled_from([Relation.EQUAL, Relation.NOT_EQUAL])
comparisons = (
    st.builds(Comparison, keys, st.booleans(), st.none(), st.none(), equalities)
    | st.builds(Comparison, keys, st.none(), revisions, st.none(), relations)
    | st.builds(Comparison, keys, st.none(), st.none(), texts, relations)
)
steps: st.SearchStrategy[list[Step]] = st.lists(puts | touches | deletes | increments | fetches, max_size=4)
transactions = st.builds(Transaction, st.lists(comparisons, max_size=2), steps, steps)
operations: st.SearchStrategy[Operation] = puts | touches | deletes | increments | transactions
