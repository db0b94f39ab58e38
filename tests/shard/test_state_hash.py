"""The hash of a state shows the state and nothing else."""

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shard.machine import Entry, Machine, ordered, snapshot, state_hash
from shard.machine.keyspace import Keyspace
from shard.machine.record import Record, pack, unpack
from shard.machine.sessions import Answer, SessionImage, Sessions
from shard.machine.state_hash import StateHash
from tests.shard.build import Log, copy_by_snapshot
from wire.messages import Delete, OperationId, Put, PutItem, Touch, TouchItem
from wire.slots import slot_of

keys = st.sampled_from(["a", "b", "{t}1", "{t}2", "{t}3", "c/é"])
ttls = st.sampled_from([0, 1, 10, 100])
operations = st.one_of(
    st.builds(Put, st.lists(st.builds(PutItem, keys, st.binary(max_size=3), st.just(""), ttls), min_size=1)),
    st.builds(Delete, st.lists(keys, min_size=1)),
    st.builds(Touch, st.lists(st.builds(TouchItem, keys, ttls.filter(bool)), min_size=1)),
)
identities = st.builds(OperationId, st.integers(1, 3), st.integers(10, 30), st.integers(0, 10))
entries = st.builds(Entry, st.integers(0, 300), st.lists(st.tuples(identities, operations), max_size=3))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every boundary inside is crossed by a few keys."""
    monkeypatch.setattr(ordered, "LEAF_SIZE_MAX", 4)
    monkeypatch.setattr(ordered, "FRESH_MAX", 3)
    monkeypatch.setattr(snapshot, "_FRAME_BYTES", 60)
    monkeypatch.setattr(snapshot, "_PART_BYTES", 50)
    monkeypatch.setattr(state_hash, "_PIECE_BYTES", 200)


PROFILE = settings(
    derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@PROFILE
@given(st.lists(entries, max_size=12), st.sets(st.integers(0, 11)))
def test_a_replica_that_was_restored_at_any_points_has_the_same_hash(batch: list[Entry], restores: set[int]) -> None:
    through, restored = Log(), Log()
    for position, entry in enumerate(batch):
        through.append(entry)
        restored.append(entry)
        if position in restores:
            restored.machine = copy_by_snapshot(restored.machine)
        assert restored.machine.checksum() == through.machine.checksum()


@PROFILE
@given(
    st.dictionaries(keys, st.builds(Record, st.binary(max_size=3), st.just(""), st.integers(1, 1 << 40), ttls)),
    st.data(),
)
def test_the_order_in_which_keys_and_answers_came_does_not_show(
    records: dict[str, Record], data: st.DataObject
) -> None:
    answers = [(sequence, Answer(sequence, b"\0")) for sequence in range(5)]
    sums = set()
    for _ in range(2):
        keyspace, sessions = Keyspace(), Sessions()
        for key, record in data.draw(st.permutations(list(records.items()))):
            keyspace.put(slot_of(key), "gone", record)
            keyspace.put(slot_of(key), key, record)
            keyspace.remove(slot_of(key), "gone")
        sessions.fill(SessionImage(1, 0, 7, data.draw(st.permutations(answers))))
        sums.add(StateHash(1, sessions, keyspace).finish())
    assert len(sums) == 1


@PROFILE
@given(st.lists(entries, max_size=6), st.lists(entries, max_size=12))
def test_a_hash_shows_nothing_of_what_is_applied_while_it_is_taken(before: list[Entry], during: list[Entry]) -> None:
    log, still = Log(), Log()
    for entry in before:
        log.append(entry)
        still.append(entry)
    hashing, drawing = log.machine.begin_hash(), log.machine.snapshot()
    expected = still.machine.checksum()
    for entry in during:
        log.append(entry)
        hashing.step()
        next(drawing, None)
    assert hashing.finish() == expected


def filled() -> Log:
    log = Log()
    for number in range(60):
        log.write(
            10, Put([PutItem(f"key/{number}", b"v%d" % number, "", 5_000 * (number % 2))]), OperationId(1, number, 0)
        )
    log.write(11, Put([PutItem("last", b"v")]), OperationId(2, 1, 0))
    return log


def replace(key: str, change: Callable[[Record], Record]) -> Callable[[Machine], None]:
    def corrupt(machine: Machine) -> None:
        records = machine._keyspace._slots[slot_of(key)]
        records[key] = pack(change(unpack(records[key])))

    return corrupt


def swap_values(machine: Machine) -> None:
    slots = machine._keyspace._slots
    one, other = slots[slot_of("key/2")], slots[slot_of("key/4")]
    one["key/2"], other["key/4"] = other["key/4"], one["key/2"]


def reorder_sessions(machine: Machine) -> None:
    machine._sessions._sessions.move_to_end(1)


def forget_an_answer(machine: Machine) -> None:
    del machine._sessions._sessions[1].answers[5]


def give_a_slot_away(machine: Machine) -> None:
    machine._ownership.owned[7] = 0


def misplace_a_key(machine: Machine) -> None:
    slots = machine._keyspace._slots
    slots[slot_of("key/4")]["key/3"] = slots[slot_of("key/3")].pop("key/3")


def lose_a_key(machine: Machine) -> None:
    del machine._keyspace._slots[slot_of("key/3")]["key/3"]


@pytest.mark.parametrize(
    "corrupt",
    [
        replace("key/3", lambda old: Record(b"w3", old.content_type, old.revision, old.expires_ms)),
        replace("key/3", lambda old: Record(old.value, "text/plain", old.revision, old.expires_ms)),
        replace("key/3", lambda old: Record(old.value, old.content_type, old.revision + 1, old.expires_ms)),
        replace("key/3", lambda old: Record(old.value, old.content_type, old.revision, old.expires_ms + 1)),
        swap_values,
        reorder_sessions,
        forget_an_answer,
        give_a_slot_away,
        lose_a_key,
        misplace_a_key,
        lambda machine: setattr(machine._store, "now_ms", 12),
        replace("key/3", lambda old: Record(old.value, old.content_type, old.revision, old.expires_ms, 1)),
    ],
)
def test_any_difference_of_state_shows(corrupt: Callable[[Machine], None]) -> None:
    log = filled()
    before = log.machine.checksum()
    corrupt(log.machine)
    assert log.machine.checksum() != before


def test_two_pictures_at_once_both_stay_whole() -> None:
    log = filled()
    first = log.machine.begin_hash()
    expected = log.machine.checksum()
    log.put(12, "key/1")
    drawn = log.machine.snapshot()
    second_expected = log.machine.checksum()
    chance = random.Random(5)
    for _ in range(30):
        log.delete(12, f"key/{chance.randrange(60)}")
    first.abandon()
    assert copy_from(drawn).checksum() == second_expected
    assert expected != second_expected
    assert not log.machine._keyspace._captures


def copy_from(chunks: Iterator[bytes]) -> Machine:
    copy = Machine()
    restorer = copy.restore()
    for chunk in chunks:
        restorer.feed(chunk)
    restorer.finish()
    return copy
