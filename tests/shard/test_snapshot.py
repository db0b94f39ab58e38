import random
from collections.abc import Generator

import msgspec
import pytest

from shard.machine import Machine, SnapshotError
from tests.shard.build import Log, copy_by_snapshot, lock_info, names
from wire.messages import (
    AcquireLock,
    Condition,
    Increment,
    IncrementItem,
    OperationId,
    Put,
    PutItem,
    ReleaseLock,
    Status,
    TakeQuota,
    Touch,
    TouchItem,
)

CHUNK_BYTES_MAX = 256 * 1024


def filled(count: int = 3_000, value_bytes: int = 300) -> Log:
    log = Log()
    for start in range(0, count, 100):
        items = [
            PutItem(f"key/{number}", bytes([number % 251]) * value_bytes, "", 5_000 * (number % 3))
            for number in range(start, start + 100)
        ]
        log.write(10, Put(items), OperationId(start % 7, start, 0))
    return log


def test_a_restored_state_equals_the_one_that_was_taken() -> None:
    log = filled()
    copy = copy_by_snapshot(log.machine)
    assert copy.checksum() == log.machine.checksum()
    assert (copy.keys, copy.size_bytes, copy.now_ms, copy.ranges, copy.epoch) == (
        log.machine.keys,
        log.machine.size_bytes,
        log.machine.now_ms,
        log.machine.ranges,
        log.machine.epoch,
    )
    assert names(copy, "key/1") == names(log.machine, "key/1")


def test_an_empty_state_can_be_taken_and_restored() -> None:
    assert copy_by_snapshot(Machine()).checksum() == Machine().checksum()


def test_a_restored_machine_goes_on_as_the_original_does() -> None:
    log = filled()
    copy = copy_by_snapshot(log.machine)
    mirror = Log(copy, own=False)
    mirror.index = log.index
    for number in range(200):
        operation = Touch([TouchItem(f"key/{number}", 7_000)]) if number % 2 else Put([PutItem(f"new/{number}", b"v")])
        time_ms = 10 + number * 60
        assert log.write(time_ms, operation, OperationId(3, number, 0)) == mirror.write(
            time_ms, operation, OperationId(3, number, 0)
        )
    assert copy.checksum() == log.machine.checksum()
    assert copy.keys == log.machine.keys


def test_no_chunk_is_longer_than_the_limit_even_for_the_longest_values() -> None:
    log = Log()
    log.write(1, Put([PutItem(f"big/{number}", bytes(1 << 20)) for number in range(3)]))
    log.fill(1, (PutItem(f"{{one slot}}/{number}", bytes(1_000)) for number in range(1_000)))
    chunks = list(log.machine.snapshot())
    assert max(map(len, chunks)) <= CHUNK_BYTES_MAX
    assert copy_by_snapshot(log.machine).checksum() == log.machine.checksum()


def test_a_large_slot_and_a_large_session_are_spread_over_chunks() -> None:
    log = Log()
    for sequence in range(4_096):
        items = [PutItem(f"{{t}}{sequence}", bytes(200))] + [PutItem("{t}", b"")] * (99 * (sequence % 8 == 0))
        log.write(1, Put(items), OperationId(1, sequence, 0))
    chunks = list(log.machine.snapshot())
    assert len(chunks) >= 4
    assert max(map(len, chunks)) <= CHUNK_BYTES_MAX
    assert copy_by_snapshot(log.machine).checksum() == log.machine.checksum()


def test_a_snapshot_does_not_show_what_is_written_while_it_is_drawn() -> None:
    log = filled()
    before = log.machine.checksum()
    chance = random.Random(3)
    copy = Machine()
    restorer = copy.restore()
    for chunk in log.machine.snapshot():
        restorer.feed(chunk)
        for _ in range(20):
            key = f"key/{chance.randrange(3_500)}"
            chance.choice([log.put, log.delete])(10_020 if chance.random() < 0.1 else 10, key)
    restorer.finish()
    assert copy.checksum() == before
    assert log.machine.checksum() != before


def test_keys_that_expire_while_a_snapshot_is_drawn_are_in_it() -> None:
    log = filled()
    before = log.machine.checksum()
    chunks = log.machine.snapshot()
    first = next(chunks)
    for _ in range(3):
        log.tick(1_000_000)
    assert log.machine.keys == 1_000
    copy = Machine()
    restorer = copy.restore()
    for chunk in (first, *chunks):
        restorer.feed(chunk)
    restorer.finish()
    assert copy.checksum() == before


def test_copying_ends_with_the_snapshot_also_when_it_is_dropped_undrawn() -> None:
    log = filled(100)
    for end in ("drawn", "closed", "dropped"):
        chunks = log.machine.snapshot()
        assert log.machine._keyspace._captures
        if end == "drawn":
            assert list(chunks)
        elif end == "closed":
            assert isinstance(chunks, Generator)
            chunks.close()
        del chunks
        assert not log.machine._keyspace._captures


def test_the_old_state_serves_until_the_restore_is_finished() -> None:
    source = filled()
    target = Log()
    target.put(1, "old")
    before = target.machine.checksum()
    restorer = target.machine.restore()
    for chunk in source.machine.snapshot():
        restorer.feed(chunk)
    assert target.machine.checksum() == before
    restorer.finish()
    assert target.machine.checksum() == source.machine.checksum()


def test_a_machine_can_be_restored_while_its_snapshot_is_drawn() -> None:
    log = filled()
    before = log.machine.checksum()
    chunks = log.machine.snapshot()
    first = next(chunks)
    restorer = log.machine.restore()
    for chunk in filled(100).machine.snapshot():
        restorer.feed(chunk)
    restorer.finish()
    copy = Machine()
    restorer = copy.restore()
    for chunk in (first, *chunks):
        restorer.feed(chunk)
    restorer.finish()
    assert copy.checksum() == before


def test_the_groups_own_records_and_fences_are_in_it_and_go_on_as_before() -> None:
    log = Log()
    log.write(5, Put([PutItem("guarded", b"1", condition=Condition(fence=7))]))
    fence = log.write(5, AcquireLock("l", "x", 60_000))[0].revision
    log.write(5, AcquireLock("l", "a", 1_000, 30_000))
    asked = TakeQuota("q", 3, 60_000, 2)
    log.write(5, asked)
    identity = OperationId(1, 100, 0, "key", b"d")
    answer = log.write(5, Increment([IncrementItem("n")]), identity)
    mirror = Log(copy_by_snapshot(log.machine), own=False)
    mirror.index, mirror.sequence = log.index, log.sequence
    for each in (log, mirror):
        stale = Put([PutItem("guarded", b"2", condition=Condition(fence=6))])
        assert each.write(6, stale)[0].status is Status.PRECONDITION_FAILED
        assert each.write(6, asked)[0].status is Status.QUOTA_EXCEEDED
        assert each.write(6, Increment([IncrementItem("n")]), OperationId(2, 1, 0, "key", b"d")) == answer
        assert lock_info(each.write(6, ReleaseLock("l", "x", fence))[0]).owner == "a"
        each.put(6, "guarded", b"3")
        assert each.write(6, stale)[0].status is Status.PRECONDITION_FAILED  # a put without a fence does not forget it
    assert log.machine.checksum() == mirror.machine.checksum()


def restore(chunks: list[bytes]) -> None:
    restorer = Machine().restore()
    for chunk in chunks:
        restorer.feed(chunk)
    restorer.finish()


def test_a_damaged_or_cut_or_unknown_snapshot_is_refused() -> None:
    chunks = list(filled().machine.snapshot())
    assert len(chunks) > 3
    header = b"\x00" + msgspec.msgpack.encode([[0, 99, 0, 0, []]])
    for bad in (
        [],
        chunks[:-1],
        chunks[1:],
        [*chunks, chunks[-1]],
        [chunks[0], *chunks],
        [*chunks[:1], *chunks[2:]],
        [b"\x00garbage"],
        [header],
        [b"\x01" + chunks[0][1:]],
        [b""],
    ):
        with pytest.raises(SnapshotError):
            restore(bad)


def test_a_frame_that_fills_its_chunks_exactly_is_whole() -> None:
    lengths = set()
    for value_bytes in range(2 * CHUNK_BYTES_MAX - 100, 2 * CHUNK_BYTES_MAX):
        log = Log()
        log.put(1, "k", bytes(value_bytes))
        lengths.add(sum(len(chunk) - 1 for chunk in log.machine.snapshot()))
        assert copy_by_snapshot(log.machine).keys == 1
    assert 2 * (CHUNK_BYTES_MAX - 1) in lengths
