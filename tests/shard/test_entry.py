import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.machine import Entry, Machine, Own, Verdict, decode, encode
from tests.shard.build import Log
from wire.messages import OperationId, Put, PutItem


def test_an_entry_is_read_back_as_it_was_written() -> None:
    entry = Entry(5, [(OperationId(1, 2, 0), Put([PutItem("k", b"\x00\xff", "text/plain", 9)]))], Own([(1, 2)], 3))
    assert decode(encode(entry)) == entry


def test_a_command_of_an_unknown_format_changes_nothing_and_answers_nothing() -> None:
    log = Log()
    log.put(5, "k")
    before = log.machine.checksum()
    command = encode(Entry(9, [(OperationId(1, 99, 0), Put([PutItem("k", b"2")]))]))
    assert log.append_command(b"\x01" + command[1:]) == []
    assert log.append_command(b"") == []
    assert log.machine.checksum() == before


def test_a_key_that_is_not_utf8_makes_the_whole_command_void() -> None:
    command = encode(Entry(9, [(OperationId(1, 1, 0), Put([PutItem("kk", b"2")]))]))
    assert decode(command.replace(b"kk", b"\xff\xfe")) is None


def test_a_time_or_slot_out_of_range_makes_the_whole_command_void() -> None:
    for body in ([-1], [1 << 63], [1, [], [[[0, 16384]], 1]], [1, [], [[[-1, 3]], 1]]):
        assert decode(b"\x01" + msgspec.msgpack.encode(body)) is None


def test_unknown_fields_nested_too_deep_make_the_command_void() -> None:
    assert decode(b"\x01\x94\x01\x90\xc0" + b"\x91" * 100_000 + b"\xc0") is None


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=64))
def test_apply_never_raises_whatever_the_bytes(garbage: bytes) -> None:
    Machine().apply(1, 1, garbage)
    Machine().apply(1, 1, b"\x01" + garbage)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.data())
def test_apply_never_raises_on_a_damaged_entry(data: st.DataObject) -> None:
    entry = Entry(5, [(OperationId(1, 2, 0), Put([PutItem("key", b"value", "text/plain", 9)]))], Own([(1, 2)], 3))
    command = bytearray(encode(entry))
    for _ in range(data.draw(st.integers(1, 3))):
        command[data.draw(st.integers(0, len(command) - 1))] = data.draw(st.integers(0, 255))
    Machine().apply(1, 1, bytes(command))


class EntryOfOldRelease(msgspec.Struct, frozen=True, array_like=True):
    """An entry as it was before states were compared."""

    time_ms: int
    operations: list[object]
    own: Own | None = None


def test_an_entry_of_an_old_release_is_read_and_one_of_this_release_is_read_by_an_old_one() -> None:
    old = b"\x02" + msgspec.msgpack.encode(EntryOfOldRelease(7, [], Own([(0, 5)], 3)))
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
