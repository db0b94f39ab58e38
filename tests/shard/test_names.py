"""Names of keys: no client's key is lost, out of order, or one of the group's own records."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shard.machine import Entry
from shard.machine.names import is_kept, kept_as, kept_name, key_of, name_of, slot_of_name
from tests.shard.build import Log, copy_by_snapshot, names, value_of
from wire.messages import (
    AcquireLock,
    Algorithm,
    Fetch,
    Increment,
    IncrementItem,
    OperationId,
    Put,
    PutItem,
    Status,
    TakeQuota,
    Transaction,
)
from wire.slots import SLOT_COUNT, slot_of

some_keys = st.text(st.sampled_from("\0\1a{}ilq0/é\U0001f600\uffff"), min_size=1, max_size=6) | st.text(min_size=1)
kinds = st.sampled_from("ilq")
slots = st.integers(0, SLOT_COUNT - 1)


@given(some_keys)
def test_a_key_comes_back_from_its_name_and_so_does_its_slot(key: str) -> None:
    assert key_of(name_of(key)) == key
    assert slot_of_name(name_of(key)) == slot_of(key)
    assert not any(is_kept(kind, name_of(key)) for kind in "ilq")


@given(some_keys, some_keys)
def test_names_are_in_the_order_of_their_keys(one: str, other: str) -> None:
    assert (one < other) == (name_of(one) < name_of(other))
    assert (one == other) == (name_of(one) == name_of(other))


@given(kinds, slots, st.text(), some_keys)
def test_a_record_of_the_groups_own_is_no_clients_key_and_tells_its_slot_and_name(
    kind: str, slot: int, name: str, key: str
) -> None:
    kept = kept_name(kind, slot, name)
    assert key_of(kept) is None
    assert name_of(key) != kept
    assert name_of(kept) != kept
    assert (slot_of_name(kept), kept_as(kept)) == (slot, name)
    assert [other for other in "ilq" if is_kept(other, kept)] == [kind]


@given(st.lists(st.tuples(kinds, slots, st.text()), min_size=2, max_size=2))
def test_records_of_the_groups_own_do_not_share_a_name(given_: list[tuple[str, int, str]]) -> None:
    assert len({kept_name(*one) for one in given_}) == len({*given_})


def with_own_records(log: Log) -> list[str]:
    """Fill in a lock, two quotas and a remembered answer; the names that they have in the keyspace."""
    for name in ("a", "\0", "{t}x"):
        log.write(1, AcquireLock(name, "o", 60_000))
        for algorithm in Algorithm:
            log.write(1, TakeQuota(name, 5, 60_000, 1, algorithm))
        log.write(1, Put([PutItem(name, b"v")]), OperationId(1, 10**6 + log.index, 0, name, b"d"))
        log.delete(1, name)
    return list(log.machine._keyspace.names_after("", inclusive=True))


def test_the_groups_own_records_are_never_listed_or_read_or_changed_by_a_key() -> None:
    log = Log()
    own = with_own_records(log)
    assert len(own) == log.machine.keys == 12
    assert names(log.machine) == names(log.machine, "\0") == names(log.machine, "", "\0") == []
    for name in own:
        for key in (name, name[1:], "\0" + name):
            assert value_of(log.machine, key) is None
            assert log.delete(1, key).status is Status.NOT_FOUND
            assert log.touch(1, key, 5_000).status is Status.NOT_FOUND
            results = log.write(1, Transaction([], [Fetch([key])]))
            assert results[1].status is Status.NOT_FOUND
            assert names(log.machine, key) == names(log.machine, key[:-1]) == []
            assert log.put(1, key, b"x").status is Status.OK
            assert names(log.machine, key) == [key]
            assert log.delete(1, key).status is Status.OK
    assert list(log.machine._keyspace.names_after("", inclusive=True)) == own


@settings(max_examples=150)
@given(
    st.sets(some_keys, max_size=12),
    st.just("") | some_keys,
    st.just("") | some_keys,
    st.integers(1, 4),
)
def test_every_key_is_listed_in_order_whatever_it_begins_with(
    keys: set[str], prefix: str, after: str, limit: int
) -> None:
    log = Log()
    with_own_records(log)
    log.fill(1, (PutItem(key, key.encode()) for key in keys))
    for machine in (log.machine, copy_by_snapshot(log.machine)):
        found, more = [after], True
        while more:
            page = machine.page(prefix, found[-1], limit, 1, with_values=True)
            assert all(entry.value == entry.key.encode() for entry in page.entries)
            assert len(page.entries) == limit or not page.more
            found += [entry.key for entry in page.entries]
            more = page.more
        assert found[1:] == sorted(key for key in keys if key.startswith(prefix) and key > after)
        assert all(value_of(machine, key) == key.encode() for key in keys)


def test_keys_that_begin_with_nul_take_part_in_everything() -> None:
    log = Log()
    log.append(Entry(1, [(log.next_id(), Increment([IncrementItem("\0n", 5, ttl_ms=100)]))]))
    assert value_of(log.machine, "\0n") == b"5"
    assert log.put(1, "\0\0n", b"x").status is Status.OK
    assert names(log.machine) == ["\0\0n", "\0n"]
    log.tick(102)
    assert names(log.machine) == ["\0\0n"]
