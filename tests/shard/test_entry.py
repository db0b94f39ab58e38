import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.machine import Entry, Own, Verdict, decode, encode
from shard.machine.entry import ENTRY_FORMAT
from tests.shard.build import Log, copy_by_snapshot
from wire.messages import (
    AcquireLock,
    Algorithm,
    Comparison,
    Condition,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    LeaveQueue,
    Operation,
    OperationId,
    Put,
    PutItem,
    Relation,
    ReleaseLock,
    RenewLock,
    TakeQuota,
    Touch,
    TouchItem,
    Transaction,
)

PREFIX = bytes([ENTRY_FORMAT])


def test_an_entry_is_read_back_as_it_was_written() -> None:
    entry = Entry(5, [(OperationId(1, 2, 0), Put([PutItem("k", b"\x00\xff", "text/plain", 9)]))], Own([(1, 2)], 3))
    assert decode(encode(entry)) == entry


def test_a_command_of_an_unknown_format_changes_nothing_and_answers_nothing() -> None:
    log = Log()
    log.put(5, "k")
    before = log.machine.checksum()
    command = encode(Entry(9, [(OperationId(1, 99, 0), Put([PutItem("k", b"2")]))]))
    for format_ in (0, ENTRY_FORMAT - 1, ENTRY_FORMAT + 1, 255):
        assert log.append_command(bytes([format_]) + command[1:]) == []
    assert log.append_command(b"") == []
    assert log.machine.checksum() == before


def test_a_key_that_is_not_utf8_makes_the_whole_command_void() -> None:
    command = encode(Entry(9, [(OperationId(1, 1, 0), Put([PutItem("kk", b"2")]))]))
    assert decode(command.replace(b"kk", b"\xff\xfe")) is None


def test_a_time_or_slot_out_of_range_makes_the_whole_command_void() -> None:
    assert decode(PREFIX + msgspec.msgpack.encode([1, [], [[[0, 16383]], 1]])) is not None
    for body in ([-1], [1 << 63], [1, [], [[[0, 16384]], 1]], [1, [], [[[-1, 3]], 1]]):
        assert decode(PREFIX + msgspec.msgpack.encode(body)) is None


def test_unknown_fields_nested_too_deep_make_the_command_void() -> None:
    assert decode(PREFIX + b"\x96\x01\x90\xc0\x00\xc0\xc0") == Entry(1)
    assert decode(PREFIX + b"\x96\x01\x90\xc0\x00\xc0" + b"\x91" * 10_000_000 + b"\xc0") is None


def furnished() -> Log:
    """A group that holds something of every kind."""
    log = Log()
    log.put(1, "{t}n", b"5", ttl_ms=9_000)
    log.write(1, AcquireLock("{t}l", "x", 5_000))
    log.write(1, AcquireLock("{t}l", "a", 5_000, 5_000))
    for algorithm in Algorithm:
        log.write(1, TakeQuota("{t}q", 5, 1_000, 1, algorithm))
    log.write(1, Increment([IncrementItem("{t}n")]), OperationId(1, 1_000, 0, "key", b"digest"))
    return log


SOME_OF_EVERYTHING = encode(
    Entry(
        5,
        [
            (OperationId(1, 2, 0), Put([PutItem("{t}k", b"value", "text/plain", 9, Condition(False, 0, b"1", 3))])),
            (OperationId(1, 3, 0, "key", b"digest"), Delete(["{t}k"], [Condition(True)])),
            (OperationId(1, 4, 0), Touch([TouchItem("{t}n", 9)])),
            (OperationId(1, 5, 0), Increment([IncrementItem("{t}n", 1, 2, 3, -4, 5)])),
            (
                OperationId(1, 6, 0),
                Transaction(
                    [Comparison("{t}n", None, None, b"5", Relation.LESS)], [Fetch(["{t}k"])], [Delete(["{t}k"])]
                ),
            ),
            (OperationId(1, 7, 0), TakeQuota("{t}q", 5, 1_000, 1, Algorithm.GCRA)),
            (OperationId(1, 8, 0), TakeQuota("{t}q", 5, 1_000, 1, Algorithm.FIXED)),
            (OperationId(1, 9, 0), AcquireLock("{t}l", "b", 1_000, 1_000)),
            (OperationId(1, 10, 0), RenewLock("{t}l", "x", 3, 1_000)),
            (OperationId(1, 11, 0), ReleaseLock("{t}l", "x", 3)),
            (OperationId(1, 12, 0), LeaveQueue("{t}l", "a")),
        ],
        Own([(0, 16383)], 3),
    )
)


def apply_and_check(log: Log, command: bytes) -> None:
    """What is no entry changes nothing; what is one has an answer for each operation and a state that can be copied."""
    before, entry = log.machine.checksum(), decode(command)
    replies = log.append_command(command)
    if entry is None:
        assert replies == []
        assert log.machine.checksum() == before
    else:
        assert len(replies) == len(entry.operations)
        assert len(msgspec.msgpack.encode(replies)) > 0
        assert copy_by_snapshot(log.machine).checksum() == log.machine.checksum()


@settings(max_examples=120)
@given(st.binary(max_size=64))
def test_apply_never_raises_whatever_the_bytes(garbage: bytes) -> None:
    apply_and_check(Log(), garbage)
    apply_and_check(Log(), PREFIX + garbage)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(SOME_OF_EVERYTHING) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_apply_never_raises_on_a_damaged_entry(damage: list[tuple[int, int]]) -> None:
    command = bytearray(SOME_OF_EVERYTHING)
    for at, byte in damage:
        command[at] = byte
    apply_and_check(furnished(), bytes(command))


numbers = st.sampled_from([0, 1, -1, 7, 2**31, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)])
texts = st.sampled_from(["", "{t}n", "{t}l", "{t}q", "\0", "\0l0000{t}l", "é" * 2_000])
values = st.sampled_from([b"", b"5", b"{", b"\xff", b"1e999", b"[" * 5_000])
some_conditions = st.none() | st.builds(
    Condition, st.none() | st.booleans(), st.none() | numbers, st.none() | values, st.none() | numbers
)
wild_steps = st.one_of(
    st.builds(Put, st.lists(st.builds(PutItem, texts, values, texts, numbers, some_conditions), max_size=2)),
    st.builds(Delete, st.lists(texts, max_size=3), st.lists(some_conditions, max_size=3)),
    st.builds(Touch, st.lists(st.builds(TouchItem, texts, numbers, some_conditions), max_size=2)),
    st.builds(
        Increment,
        st.lists(
            st.builds(
                IncrementItem,
                texts,
                numbers,
                numbers,
                numbers,
                st.none() | numbers,
                st.none() | numbers,
                some_conditions,
            ),
            max_size=2,
        ),
    ),
)
wild_comparisons = st.builds(
    Comparison,
    texts,
    st.none() | st.booleans(),
    st.none() | numbers,
    st.none() | values,
    st.sampled_from(Relation),
)
with_fetches = st.lists(wild_steps | st.builds(Fetch, st.lists(texts, max_size=2)), max_size=3)
wild_operations: st.SearchStrategy[Operation] = st.one_of(
    wild_steps,
    st.builds(Transaction, st.lists(wild_comparisons, max_size=2), with_fetches, with_fetches),
    st.builds(TakeQuota, texts, numbers, numbers, numbers, st.sampled_from(Algorithm)),
    st.builds(AcquireLock, texts, texts, numbers, numbers, texts),
    st.builds(RenewLock, texts, texts, numbers, numbers),
    st.builds(ReleaseLock, texts, texts, numbers),
    st.builds(LeaveQueue, texts, texts, texts, gives_back=st.booleans()),
)
identities = st.builds(OperationId, numbers, numbers, numbers, st.sampled_from(["", "key", "\0"]), st.just(b"d"))


@settings(max_examples=150)
@given(st.lists(st.tuples(identities, wild_operations), max_size=6), st.sampled_from([0, 1_000, 1 << 62]))
def test_apply_never_raises_whatever_the_figures(operations: list[tuple[OperationId, Operation]], time_ms: int) -> None:
    log = furnished()
    apply_and_check(log, encode(Entry(time_ms, operations)))
    log.tick(min(time_ms + 5_000, 1 << 62))
    assert copy_by_snapshot(log.machine).checksum() == log.machine.checksum()


class EntryOfOldRelease(msgspec.Struct, frozen=True, array_like=True):
    """An entry as it was before states were compared."""

    time_ms: int
    operations: list[object]
    own: Own | None = None


def test_an_entry_of_an_old_release_is_read_and_one_of_this_release_is_read_by_an_old_one() -> None:
    old = PREFIX + msgspec.msgpack.encode(EntryOfOldRelease(7, [], Own([(0, 5)], 3)))
    assert decode(old) == Entry(7, [], Own([(0, 5)], 3), 0, None)
    new = encode(Entry(7, [], Own([(0, 5)], 3), 1, Verdict(4, [("n1", 2**64 - 1)])))
    assert msgspec.msgpack.decode(new[1:], type=EntryOfOldRelease) == EntryOfOldRelease(7, [], Own([(0, 5)], 3))


def test_a_request_and_a_verdict_change_nothing_in_the_state() -> None:
    with_them, without = Log(), Log()
    for log in (with_them, without):
        log.put(5, "key", ttl_ms=100)
    with_them.append(Entry(9, [], None, 1, Verdict(2, [("n1", 7), ("n2", 8)])))
    without.append(Entry(9))
    assert with_them.machine.checksum() == without.machine.checksum()
