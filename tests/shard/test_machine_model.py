"""The machine against a plain dict: times to live, retries, sessions, snapshots drawn while commands go on."""

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raft.interface import Restorer
from shard.machine import Entry, Machine, ordered, snapshot
from shard.machine.keyspace import GRAIN_MS
from shard.machine.names import name_of
from tests.shard.build import Log, copy_by_snapshot, names
from wire.messages import Delete, ItemResult, Operation, OperationId, Put, PutItem, Status, Touch, TouchItem

keys = st.sampled_from(["a", "b", "\0", "\0\0z", "{t}1", "{t}2", "{t}3", "c/é"])
ttls = st.sampled_from([1, 10, 100])
operations = st.one_of(
    st.builds(
        Put,
        st.lists(
            st.builds(PutItem, keys, st.binary(max_size=3), st.just(""), st.just(0) | ttls), min_size=1, max_size=4
        ),
    ),
    st.builds(Delete, st.lists(keys, min_size=1, max_size=3)),
    st.builds(Touch, st.lists(st.builds(TouchItem, keys, ttls), min_size=1, max_size=3)),
)


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.saved = (ordered.LEAF_SIZE_MAX, snapshot._FRAME_BYTES, snapshot._PART_BYTES)
        ordered.LEAF_SIZE_MAX, snapshot._FRAME_BYTES, snapshot._PART_BYTES = 4, 60, 50  # a chunk holds a key or two
        self.log = Log()
        self.now = 0
        self.model: dict[str, tuple[bytes, int, int]] = {}  # value, revision, expires
        self.sequence = 0
        self.done: list[tuple[OperationId, Operation, list[ItemResult]]] = []
        self.drawing: Iterator[bytes] | None = None
        self.restorer: Restorer | None = None
        self.copy = Machine()
        self.picture: tuple[int, dict[str, tuple[bytes, int, int]]] = (0, {})

    def teardown(self) -> None:
        ordered.LEAF_SIZE_MAX, snapshot._FRAME_BYTES, snapshot._PART_BYTES = self.saved

    def expect(self, operation: Operation, index: int) -> list[ItemResult]:
        if isinstance(operation, Delete):
            return [self.expect_item(index, found=self.model.pop(key, None) is not None) for key in operation.keys]
        assert isinstance(operation, Put | Touch)
        results = []
        for item in operation.items:
            expires = self.now + item.ttl_ms + GRAIN_MS if item.ttl_ms else 0
            value = item.value if isinstance(item, PutItem) else self.model.get(item.key, (None,))[0]
            if value is not None:
                self.model[item.key] = (value, index, expires)
            results.append(self.expect_item(index, found=value is not None))
        return results

    def expect_item(self, index: int, *, found: bool) -> ItemResult:
        return ItemResult(Status.OK, index) if found else ItemResult(Status.NOT_FOUND)

    def advance(self, step_ms: int) -> None:
        self.now = max(self.now, self.now + step_ms)
        self.model = {key: state for key, state in self.model.items() if not 0 < state[2] <= self.now}

    @rule(step_ms=st.integers(-5, 120), batch=st.lists(operations, max_size=4))
    def apply_entry(self, step_ms: int, batch: list[Operation]) -> None:
        time_ms = max(self.now + step_ms, 0)
        self.advance(step_ms)
        entries = []
        for operation in batch:
            self.sequence += 1
            entries.append((OperationId(self.sequence % 3, self.sequence, 0), operation))
        replies = self.log.append(Entry(time_ms, entries))
        for (identity, operation), reply in zip(entries, replies, strict=True):
            assert reply.results == self.expect(operation, self.log.index)
            self.done.append((identity, operation, reply.results))

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        identity, operation, results = data.draw(st.sampled_from(self.done))
        [reply] = self.log.append(Entry(self.now, [(identity, operation)]))
        assert reply.results == results

    @precondition(lambda self: self.drawing is None)
    @rule()
    def begin_snapshot(self) -> None:
        self.drawing = self.log.machine.snapshot()
        self.copy = Machine()
        self.restorer = self.copy.restore()
        self.picture = (self.log.machine.checksum(), dict(self.model))

    @precondition(lambda self: self.drawing is not None)
    @rule()
    def draw_a_chunk(self) -> None:
        assert self.drawing is not None
        assert self.restorer is not None
        chunk = next(self.drawing, None)
        if chunk is not None:
            self.restorer.feed(chunk)
            return
        self.restorer.finish()
        self.drawing = None
        checksum, model = self.picture
        assert self.copy.checksum() == checksum
        assert names(self.copy) == sorted(model)

    @precondition(lambda self: self.drawing is None)
    @rule()
    def go_on_from_a_snapshot(self) -> None:
        self.log.machine = copy_by_snapshot(self.log.machine)

    @invariant()
    def shows_what_the_model_holds(self) -> None:
        machine = self.log.machine
        assert machine.now_ms == self.now
        assert names(machine) == sorted(self.model)
        for key, (value, revision, expires) in self.model.items():
            record = machine.get(key)
            assert record is not None
            assert (record.value, record.revision, record.expires_ms) == (value, revision, expires)
        assert machine.keys == len(self.model)
        assert machine.size_bytes == sum(
            len(name_of(key).encode()) + len(state[0]) for key, state in self.model.items()
        )
        due = [state[2] for state in self.model.values() if state[2]]
        assert not due or 0 < machine.next_expiry_ms() <= min(due)


Model.TestCase.settings = settings(derandomize=True, deadline=None, max_examples=40, stateful_step_count=50)
TestMachineAgainstADict = Model.TestCase
