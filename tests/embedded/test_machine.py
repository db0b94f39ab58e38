"""The machine with one dict means what the machine of a node means: same answers, same hash, same snapshot."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shard.embedded.machine import SoleMachine
from shard.machine import Entry, Machine, Own, encode
from tests.shard.build import EVERY_SLOT, Log
from wire.messages import (
    AcquireLock,
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
    ReleaseLock,
    TakeQuota,
    Touch,
    TouchItem,
    Transaction,
)

KEYS = st.sampled_from(["a", "b", "{t}1", "{t}2", "\0", "\0\0a", "ä", "\1"])
TTLS = st.sampled_from([0, 0, 0, 1_000, 3_000])
CONDITIONS = st.none() | st.builds(
    Condition,
    exists=st.none() | st.booleans(),
    revision=st.none() | st.integers(0, 9),
    fence=st.none() | st.integers(0, 3),
)
PUTS = st.builds(
    PutItem, KEYS, st.sampled_from([b"1", b"7", b'"x"']), st.sampled_from(["", "", "a/b"]), TTLS, CONDITIONS
)
STEPS = st.one_of(
    st.builds(Put, st.lists(PUTS, min_size=1, max_size=4)),
    st.builds(Put, st.lists(st.builds(PutItem, KEYS, st.just(b"2")), min_size=1, max_size=4)),
    st.builds(Delete, st.lists(KEYS, min_size=1, max_size=3)),
    st.builds(lambda key, ttl: Touch([TouchItem(key, ttl)]), KEYS, st.sampled_from([1_000, 5_000])),
    st.builds(lambda key: Increment([IncrementItem(key)]), KEYS),
)
OTHERS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(
        lambda exists, step: Transaction([Comparison("{t}1", exists=exists)], [step, Fetch(["{t}2"])]),
        st.booleans(),
        st.builds(lambda key: Put([PutItem(key, b"3")]), st.sampled_from(["{t}1", "{t}2"])),
    ),
    st.builds(
        AcquireLock,
        KEYS,
        st.sampled_from(["x", "y"]),
        st.just(2_000),
        st.sampled_from([0, 9_000]),
        st.sampled_from(["", "p"]),
    ),
    st.builds(LeaveQueue, KEYS, st.sampled_from(["x", "y"]), st.sampled_from(["", "p"]), gives_back=st.booleans()),
    st.builds(ReleaseLock, KEYS, st.sampled_from(["x", "y"]), st.integers(1, 9)),
    st.builds(TakeQuota, KEYS, st.just(2), st.just(2_000)),
)
ENTRIES = st.lists(st.tuples(st.integers(0, 1_500), st.lists(st.one_of(STEPS, OTHERS), max_size=3)), max_size=15)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(entries=ENTRIES, watched=st.booleans())
def test_it_does_what_the_machine_of_a_node_does(
    entries: list[tuple[int, list[Operation]]],
    watched: bool,  # noqa: FBT001 - drawn
) -> None:
    machines = [Machine(), SoleMachine()]
    if watched:
        for machine in machines:
            machine._keyspace.note_changes()
    logged = [Entry(0, [], Own(EVERY_SLOT, 1))]
    now_ms = sequence = 0
    for passed_ms, operations in entries:
        now_ms += passed_ms
        named = []
        for operation in operations:
            sequence += 1
            named.append((OperationId(1, sequence, 0), operation))
        logged.append(Entry(now_ms, named))
    for index, entry in enumerate(logged, start=1):
        assert machines[0].apply(index, 1, encode(entry)) == machines[1].apply_entry(index, entry)
        told = [
            [(change.kind, change.key, change.record) for change in one._keyspace.take_changes()] for one in machines
        ]
        assert told[0] == told[1]
    assert machines[0].checksum() == machines[1].checksum()
    assert [b"".join(machine.snapshot()) for machine in machines][1:] == [b"".join(machines[0].snapshot())]
    assert machines[0].page("", "", 100, now_ms, with_values=True) == machines[1].page(
        "", "", 100, now_ms, with_values=True
    )


def test_a_snapshot_of_the_one_is_read_by_the_other_and_shows_no_later_change() -> None:
    log = Log(SoleMachine())
    for number in range(300):
        log.put(0, f"k/{number}", b"x" * number)
    hashed = log.machine.checksum()
    chunks = log.machine.snapshot()
    log.write(0, Delete([f"k/{number}" for number in range(200)]))
    log.put(0, "later")
    restored = Machine()
    restorer = restored.restore()
    for chunk in chunks:
        restorer.feed(chunk)
    restorer.finish()
    assert restored.checksum() == hashed
    assert log.machine.keys == 101


def test_a_bulk_write_of_new_and_old_names_counts_and_orders_them_as_single_ones_do() -> None:
    names = [f"{number * 7919 % 3000:04}ä" for number in range(3000)]
    bulk, single = Log(SoleMachine()), Log(Machine())
    for machine in (bulk, single):
        machine.put(0, names[5], b"123456")
    for at in range(0, 3000, 500):
        bulk.write(0, Put([PutItem(name, b"1") for name in names[at : at + 500]]))
    for name in names:
        single.put(0, name, b"1")
    one, other = bulk.machine, single.machine
    assert (one.keys, one.size_bytes) == (other.keys, other.size_bytes) == (3000, 3000 * 7)
    listed = [page.key for page in one.page("", "", 1000, 0, with_values=False).entries]
    assert listed == sorted(names)[:1000]
