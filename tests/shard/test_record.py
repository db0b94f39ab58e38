"""How a record is kept shows nothing but the record."""

from hypothesis import given
from hypothesis import strategies as st

from shard.machine.record import Record, all_packed, is_plain, pack, unpack, value_bytes, weigh
from wire.messages import NEVER

numbers = st.sampled_from([0, 1, 255, 1 << 32, (1 << 64) - 1])
records = st.builds(
    Record,
    st.binary(max_size=20),
    st.sampled_from(["", "", "a/b"]),
    numbers,
    st.sampled_from([NEVER, NEVER, 7]),
    numbers,
)


@given(records)
def test_what_is_kept_is_what_was_there(record: Record) -> None:
    stored = pack(record)
    assert unpack(stored) == record
    assert weigh(stored) == (len(record.value), record.expires_ms)


@given(records)
def test_only_a_value_and_a_revision_are_packed(record: Record) -> None:
    plain = Record(record.value, "", record.revision, NEVER)
    assert is_plain(record) == (record == plain)
    assert isinstance(pack(record), bytes) == (record == plain)


@given(st.lists(records))
def test_values_are_counted_however_they_are_kept(every: list[Record]) -> None:
    stored = [pack(record) for record in every]
    assert value_bytes(stored) == sum(len(record.value) for record in every)
    assert all_packed(stored) == all(is_plain(record) for record in every)
