"""The end of keys: to every operation one that is due is as one that never was."""

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import rule

from shard.machine import Change, Machine, machine
from tests.shard.models.replicas import IN_THE_SUITE, NOT_FOUND, STEPS_MS, TTLS_MS, TTLS_MS_OR_NEVER, Cell, Cells
from wire.messages import (
    ChangeKind,
    Comparison,
    Condition,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    ItemResult,
    Operation,
    OperationId,
    Put,
    PutItem,
    Relation,
    Status,
    Touch,
    TouchItem,
    Transaction,
    WriteReply,
)

PUT, DELETE, EXPIRED = ChangeKind.PUT, ChangeKind.DELETE, ChangeKind.EXPIRED
KEYS = st.sampled_from(["{t}a", "{t}b", "\0{t}c"])


class Told:
    """What one replica tells of an entry."""

    def __init__(self) -> None:
        self.changes: list[tuple[ChangeKind, str]] = []
        self.index = 0

    def changed(self, index: int, changes: list[Change]) -> None:
        assert index > self.index
        self.index = index
        self.changes += [(change.kind, change.key) for change in changes]

    def restored(self) -> None:
        """A snapshot holds what was told, and what is due."""


class Expiry(Cells):
    """`cells` holds keys that are due until they are told as expired."""

    def prepared(self, replica: Machine) -> Machine:
        self.told = Told()  # the last one prepared tells
        replica.tell(self.told)
        return replica

    @rule(step_ms=STEPS_MS, key=KEYS, ttl_ms=TTLS_MS_OR_NEVER)
    def put(self, step_ms: int, key: str, ttl_ms: int) -> None:
        old = self.begin(step_ms, key)
        cell = Cell(b"1", self.next_index, self.due_ms(ttl_ms), "", old.fence if old else 0)
        self.check(Put([PutItem(key, b"1", "", ttl_ms)]), [self.done()], key, cell)

    @rule(step_ms=STEPS_MS, key=KEYS, ttl_ms=TTLS_MS_OR_NEVER)
    def put_if_absent(self, step_ms: int, key: str, ttl_ms: int) -> None:
        old = self.begin(step_ms, key)
        cell = Cell(b"1", self.next_index, self.due_ms(ttl_ms))
        expected = ItemResult(Status.PRECONDITION_FAILED, old.revision) if old else self.done()
        asked = PutItem(key, b"1", "", ttl_ms, Condition(exists=False))
        self.check(Put([asked]), [expected], key, old or cell)

    @rule(step_ms=STEPS_MS, key=KEYS, ttl_ms=TTLS_MS_OR_NEVER, fence=st.integers(0, 3))
    def put_under_a_fence(self, step_ms: int, key: str, ttl_ms: int, fence: int) -> None:
        """The fence is remembered with the key, whoever writes it, and forgotten with it."""
        old = self.begin(step_ms, key)
        is_late = old is not None and fence < old.fence
        cell = old if is_late else Cell(b"1", self.next_index, self.due_ms(ttl_ms), "", fence)
        expected = ItemResult(Status.PRECONDITION_FAILED, old.revision) if old and is_late else self.done()
        self.check(Put([PutItem(key, b"1", "", ttl_ms, Condition(fence=fence))]), [expected], key, cell)

    @rule(step_ms=STEPS_MS, key=KEYS, ttl_ms=TTLS_MS)
    def touch(self, step_ms: int, key: str, ttl_ms: int) -> None:
        """It sets the time to live, it does not add, and brings nothing back."""
        old = self.begin(step_ms, key)
        cell = old and old._replace(revision=self.next_index, due_ms=self.due_ms(ttl_ms))
        self.check(Touch([TouchItem(key, ttl_ms)]), [self.done() if old else NOT_FOUND], key, cell)

    @rule(step_ms=STEPS_MS, key=KEYS)
    def delete(self, step_ms: int, key: str) -> None:
        old = self.begin(step_ms, key)
        self.check(Delete([key]), [self.done() if old else NOT_FOUND], key, None)

    @rule(step_ms=STEPS_MS, key=KEYS, ttl_ms=TTLS_MS_OR_NEVER)
    def increment(self, step_ms: int, key: str, ttl_ms: int) -> None:
        old = self.begin(step_ms, key)
        value = b"%d" % (int(old.value) + 1 if old else 1)
        due_ms = old.due_ms if old else self.due_ms(ttl_ms)
        cell = Cell(value, self.next_index, due_ms, "", old.fence if old else 0)
        asked = IncrementItem(key, ttl_ms=ttl_ms)
        self.check(Increment([asked]), [self.done(value)], key, cell)

    @rule(step_ms=STEPS_MS, key=KEYS, by=st.sampled_from(["exists", "revision", "value"]))
    def compare_and_fetch(self, step_ms: int, key: str, by: str) -> None:
        """The success branch is that of a key that is not there."""
        old = self.begin(step_ms, key)
        compare = {
            "exists": Comparison(key, exists=False),
            "revision": Comparison(key, revision=0),
            "value": Comparison(key, value=old.value if old else b"1", relation=Relation.NOT_EQUAL),
        }[by]
        chosen = ItemResult(Status.PRECONDITION_FAILED if old else Status.OK, self.next_index)
        shown = NOT_FOUND
        if old:
            ttl_ms = max(old.due_ms - 1 - self.now_ms, 1) if old.due_ms else 0
            shown = ItemResult(Status.OK, old.revision, old.value, "", ttl_ms)
        self.check(Transaction([compare], [Fetch([key])], [Fetch([key])]), [chosen, shown], key, old)

    def begin(self, step_ms: int, key: str) -> Cell | None:
        """Time goes on, and there is the key as it is then."""
        self.now_ms += step_ms
        return self.alive(key)

    def check(self, operation: Operation, expected: list[ItemResult], key: str, cell: Cell | None) -> None:
        """An operation answers this, and leaves that in the key."""
        old = self.alive(key)
        [results] = self.write([operation])
        assert results == expected
        if cell is not None and cell != old:
            assert old or key not in self.cells, "one that is due ends before another takes its name"
            self.cells[key] = cell
            assert self.changes() == [(PUT, key)]
        elif old is not None and cell is None:
            del self.cells[key]
            assert self.changes() == [(DELETE, key)]
        else:
            assert self.changes() == []

    def changes(self) -> list[tuple[ChangeKind, str]]:
        return [change for change in self.told.changes if change[0] is not EXPIRED]

    def append(self, operations: Sequence[tuple[OperationId, Operation]]) -> list[WriteReply]:
        """What is due is told once and no other; with the next entry, when so many may be removed."""
        due = {key for key in self.cells if self.alive(key) is None}
        self.told.changes = []
        replies = super().append(operations)
        expired = sorted(key for kind, key in self.told.changes if kind is EXPIRED)
        assert expired == sorted({*expired} & due)
        assert len(expired) >= min(len(due), machine.EXPIRE_PER_ENTRY)
        for key in expired:
            del self.cells[key]
        return replies


TestExpiry = Expiry.TestCase
TestExpiry.settings = IN_THE_SUITE
