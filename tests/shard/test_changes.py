"""What a machine tells of its changes, against a plain dict that keeps due keys until their removal."""

from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.machine import Change, Entry, Machine, machine
from shard.machine.keyspace import GRAIN_MS
from tests.shard.build import Log, copy_by_snapshot, names
from wire.messages import (
    AcquireLock,
    ChangeKind,
    Delete,
    Increment,
    IncrementItem,
    Operation,
    OperationId,
    Put,
    PutItem,
    TakeQuota,
    Touch,
    TouchItem,
    Transaction,
)

PUT, DELETE, EXPIRED = ChangeKind.PUT, ChangeKind.DELETE, ChangeKind.EXPIRED
keys = st.sampled_from(["a", "b", "\0", "{t}1", "{t}2", "é"])
ttls = st.sampled_from([0, 0, 5, 20])
puts = st.builds(Put, st.lists(st.builds(PutItem, keys, st.binary(max_size=2), st.just(""), ttls), max_size=4))
deletes = st.builds(Delete, st.lists(keys, max_size=3))
touches = st.builds(Touch, st.lists(st.builds(TouchItem, keys, st.sampled_from([5, 20])), max_size=3))
entries = st.lists(st.tuples(st.integers(0, 15), st.lists(puts | deletes | touches, max_size=3)), max_size=25)
Simple: TypeAlias = Put | Delete | Touch
Told: TypeAlias = list[tuple[ChangeKind, str, int]]


class Listener:
    """Keeps what it is told, and what a watcher would hold."""

    def __init__(self) -> None:
        self.told: Told = []
        self.held: dict[str, tuple[bytes, int]] = {}
        self.restarts = 0

    def changed(self, index: int, changes: list[Change]) -> None:
        assert changes
        for change in changes:
            self.told.append((change.kind, change.key, index))
            if change.record is not None:
                assert change.record.revision == index
                self.held[change.key] = (change.record.value, index)
            else:
                del self.held[change.key]  # nothing goes that was not there

    def restored(self) -> None:
        self.restarts += 1


class Model:
    """Says what ought to be told."""

    def __init__(self, removals_per_entry: int) -> None:
        self.removals_per_entry = removals_per_entry
        self.keys: dict[str, int] = {}  # when it expires, 0 for never
        self.now = 0
        self.told: Told = []

    def apply(self, index: int, now: int, batch: list[Simple]) -> None:
        self.now = now
        due = sorted((expires, key) for key, expires in self.keys.items() if 0 < expires <= now)
        for _, key in due[: self.removals_per_entry]:
            self.remove(EXPIRED, key, index)
        for operation in batch:
            self.operate(index, operation)

    def operate(self, index: int, operation: Simple) -> None:
        if isinstance(operation, Delete):
            for key in operation.keys:
                if self.is_there(key):
                    self.remove(DELETE, key, index)
            return
        for item in operation.items:
            if isinstance(item, PutItem) and item.key in self.keys and not self.is_there(item.key):
                self.remove(EXPIRED, item.key, index)
            if isinstance(item, PutItem) or self.is_there(item.key):
                self.keys[item.key] = self.now + item.ttl_ms + GRAIN_MS if item.ttl_ms else 0
                self.told.append((PUT, item.key, index))

    def is_there(self, key: str) -> bool:
        return key in self.keys and not 0 < self.keys[key] <= self.now

    def remove(self, kind: ChangeKind, key: str, index: int) -> None:
        del self.keys[key]
        self.told.append((kind, key, index))


@settings(deadline=None, max_examples=150)
@given(entries, st.integers(1, 3))
def test_every_change_that_can_be_seen_is_told_once_in_order(
    steps: list[tuple[int, list[Simple]]], removals: int
) -> None:
    saved, machine.EXPIRE_PER_ENTRY = machine.EXPIRE_PER_ENTRY, removals
    try:
        log, listener, model, now = Log(), Listener(), Model(removals), 0
        log.machine.tell(listener)
        for step_ms, batch in steps:
            now += step_ms
            log.append(Entry(now, [(log.next_id(), operation) for operation in batch]))
            model.apply(log.index, now, batch)
            assert listener.told == model.told
            visible = {key: log.machine.get(key) for key in names(log.machine)}
            held = {key: state for key, state in listener.held.items() if model.is_there(key)}
            assert held == {key: (record.value, record.revision) for key, record in visible.items() if record}
    finally:
        machine.EXPIRE_PER_ENTRY = saved


def test_a_due_key_expires_before_another_takes_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "EXPIRE_PER_ENTRY", 1)
    log, listener = Log(), Listener()
    log.machine.tell(listener)
    log.put(0, "a", ttl_ms=5)
    log.put(0, "b", ttl_ms=5)
    log.put(50, "b")
    assert listener.told[2:] == [(EXPIRED, "a", 4), (EXPIRED, "b", 4), (PUT, "b", 4)]
    log.tick(60)
    assert len(listener.told) == 5


def test_counters_and_transactions_are_told_and_records_of_the_groups_own_are_not() -> None:
    log, listener = Log(), Listener()
    log.machine.tell(listener)
    log.write(0, Increment([IncrementItem("{t}n", by=5)]))
    log.write(0, Transaction([], [Put([PutItem("{t}a", b"1")]), Delete(["{t}n"])]))
    assert listener.told == [(PUT, "{t}n", 2), (PUT, "{t}a", 3), (DELETE, "{t}n", 3)]
    assert listener.held == {"{t}a": (b"1", 3)}
    log.write(0, AcquireLock("lock", "me", 1000))
    log.write(0, AcquireLock("lock", "you", 1000, 1000))
    log.write(0, TakeQuota("limit", 5, 1000))
    log.write(0, Touch([TouchItem("none", 5)]), OperationId(1, 100, 0, "idempotent", b"digest"))
    log.tick(1 << 40)  # all of them are removed
    assert len(listener.told) == 3


def test_a_transaction_that_is_undone_tells_nothing() -> None:
    log, listener = Log(), Listener()
    log.machine.tell(listener)
    log.write(0, Transaction([], [Put([PutItem("{t}a", b"1")]), Touch([TouchItem("{t}none", 1000)])]))
    assert not listener.told


def test_a_repeated_write_is_told_once() -> None:
    log, listener = Log(), Listener()
    log.machine.tell(listener)
    identity = log.next_id()
    for _ in range(2):
        log.write(0, Put([PutItem("a", b"1")]), identity)
    assert listener.told == [(PUT, "a", 2)]


def test_a_copy_from_a_snapshot_tells_the_same_from_there_on() -> None:
    log, listener, other = Log(), Listener(), Listener()
    log.put(0, "a", ttl_ms=5)
    log.machine.tell(listener)
    copy = copy_by_snapshot(log.machine)
    copy.tell(other)
    listener.held, other.held = {"a": (b"1", 2)}, {"a": (b"1", 2)}
    for own in (log.machine, copy):
        log.machine, log.index, log.sequence = own, 2, 1
        log.put(10, "b")
        log.delete(10, "b")
    assert listener.told == other.told == [(EXPIRED, "a", 3), (PUT, "b", 3), (DELETE, "b", 4)]


def test_after_a_snapshot_was_put_in_the_listener_knows_and_is_told_of_what_follows() -> None:
    source, target, listener = Log(), Machine(), Listener()
    source.put(0, "a")
    target.tell(listener)
    restorer = target.restore()
    for chunk in source.machine.snapshot():
        restorer.feed(chunk)
    restorer.finish()
    assert (listener.restarts, listener.told) == (1, [])
    source.machine = target
    source.put(0, "b")
    assert listener.told == [(PUT, "b", 3)]


@pytest.mark.parametrize("operation", [Delete(["none"]), Touch([TouchItem("none", 5)])])
def test_what_changes_nothing_is_not_told(operation: Operation) -> None:
    log, listener = Log(), Listener()
    log.machine.tell(listener)
    log.write(0, operation)
    assert not listener.told
