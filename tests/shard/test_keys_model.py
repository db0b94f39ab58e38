"""Conditions, fences, increments and transactions against a plain dict."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shard.machine import Entry, conditions
from tests.shard.build import Log, copy_by_snapshot, names, replayed
from tests.shard.keys_model import KEYS, TEXTS, Held, Keys, operations, same
from wire.messages import LIMIT_COMPARED_BYTES, Comparison, Operation, Relation, Status, Transaction

histories = st.lists(
    st.tuples(st.integers(0, 60), st.lists(operations, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=25
)


@settings(max_examples=80)
@given(histories)
def test_operations_on_keys_do_what_the_model_does(history: list[tuple[int, list[Operation], bool]]) -> None:
    log, model, now_ms = Log(), Keys(), 0
    for step_ms, batch, by_snapshot in history:
        now_ms += step_ms
        model.enter(log.index + 1, now_ms)
        replies = log.append(Entry(now_ms, [(log.next_id(), operation) for operation in batch]))
        for operation, reply in zip(batch, replies, strict=True):
            assert reply.results == model.operate(operation), operation
            assert reply.revision == log.index
        if by_snapshot:
            log.machine = copy_by_snapshot(log.machine)
        assert names(log.machine) == sorted(model.held)
        for key in KEYS:
            record = log.machine.get(key)
            found = record and Held(record.value, record.content_type, record.revision, record.expires_ms, record.fence)
            assert found == model.held.get(key)
    assert replayed(log).checksum() == log.machine.checksum()


def test_json_texts_are_the_same_when_python_says_so_and_types_are_kept_apart() -> None:
    for one in TEXTS:
        for other in TEXTS:
            assert conditions.is_same(one, other) == same(one, other), (one, other)


def test_texts_that_are_no_json_are_the_same_only_byte_by_byte() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    bad = [b"", b"{", b"\xff", b'"\\ud800"', b"1e999", b"1e998", b"nul", b"1" * 10_000, deep, deep + b" "]
    for one in bad:
        for other in [*bad, b"1", b"null"]:
            assert conditions.is_same(one, other) == (one == other), (one[:9], other[:9])


def test_long_texts_are_the_same_only_byte_by_byte_and_never_less_or_greater() -> None:
    """Else one transaction of 500 comparisons could keep every replica busy for minutes."""
    at_limit = b'["' + b"a" * (LIMIT_COMPARED_BYTES - 5) + b'"]'
    assert conditions.is_same(at_limit, at_limit[:1] + b" " + at_limit[1:])
    long = b" " + at_limit
    assert len(long) == LIMIT_COMPARED_BYTES
    assert conditions.is_same(b" " + long, b" " + long)
    assert not conditions.is_same(b" " + long, long)
    assert not conditions.is_same(long, b" " + long)
    log = Log()
    for value, holding in ((b'"%s"' % (b"b" * LIMIT_COMPARED_BYTES), False), (b'"b"', True)):
        log.put(1, "k", value)
        asked = Transaction([Comparison("k", value=b'"a"', relation=Relation.GREATER)], [])
        assert (log.write(1, asked)[0].status is Status.OK) == holding
