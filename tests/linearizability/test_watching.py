"""The checker of watches finds what is planted and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.linearizability.watching import DELETE, EXPIRED, PUT, STATE, Told, Written, faults, missing


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Written], list[Told]]:
    """What one writer a key did, and what a right watcher was told of it."""
    written: list[Written] = []
    told: list[Told] = []
    revision = 0
    for key in "ab":
        is_there = has_expired = False
        for number in range(draw(st.integers(0, 8))):
            revision += draw(st.integers(int(not has_expired), 3))
            has_expired = False
            known = draw(st.sampled_from([True, True, False]))
            happened = known or draw(st.booleans())
            kind = draw(st.sampled_from([PUT, PUT, DELETE])) if is_there else PUT
            is_mortal = kind == PUT and draw(st.booleans())
            value = f"{key}{number}" if kind == PUT else ""
            written.append(Written(key, kind, value, revision if known else None, is_mortal))
            if not happened:
                continue
            told.append(Told(key, kind, revision, value))
            is_there = kind == PUT
            if is_mortal and draw(st.booleans()):
                revision += 1
                told.append(Told(key, EXPIRED, revision))
                is_there, has_expired = False, True
    return written, told


@given(histories())
def test_a_right_watch_has_no_faults(history: tuple[list[Written], list[Told]]) -> None:
    written, told = history
    assert faults(written, told) == []
    assert missing(written, told) == 0


@given(histories(), st.data())
def test_a_watch_that_begins_with_a_state_is_right_too(
    history: tuple[list[Written], list[Told]], data: st.DataObject
) -> None:
    written, told = history
    puts = [at for at, event in enumerate(told) if event.kind == PUT]
    if puts:
        at = data.draw(st.sampled_from(puts))
        first = told[at]
        later = [event for event in told[at + 1 :] if event.key == first.key]
        others = [event for event in told if event.key != first.key]
        seen = [Told(first.key, STATE, first.revision, first.value), *later, *others]
        assert faults(written, seen) == []
        assert missing(written, seen) == 0


@given(histories(), st.data())
def test_an_acknowledged_change_that_is_left_out_is_found(
    history: tuple[list[Written], list[Told]], data: st.DataObject
) -> None:
    written, told = history
    known = {(write.key, write.kind, write.revision) for write in written}
    certain = [at for at, event in enumerate(told) if (event.key, event.kind, event.revision) in known]
    if certain:
        at = data.draw(st.sampled_from(certain))
        spoilt = told[:at] + told[at + 1 :]
        assert any("was not told" in fault for fault in faults(written, spoilt))
        assert missing(written, spoilt) == 1


@given(histories(), st.data())
def test_a_change_that_comes_twice_is_found(history: tuple[list[Written], list[Told]], data: st.DataObject) -> None:
    written, told = history
    if told:
        at = data.draw(st.integers(0, len(told) - 1))
        to = data.draw(st.integers(at + 1, len(told)))
        assert faults(written, [*told[:to], told[at], *told[to:]])


@given(histories(), st.data())
def test_two_changes_of_a_key_in_the_wrong_order_are_found(
    history: tuple[list[Written], list[Told]], data: st.DataObject
) -> None:
    written, told = history
    pairs = [
        at
        for at in range(len(told) - 1)
        if told[at].key == told[at + 1].key and told[at].revision < told[at + 1].revision
    ]
    if pairs:
        at = data.draw(st.sampled_from(pairs))
        spoilt = [*told[:at], told[at + 1], told[at], *told[at + 2 :]]
        assert any("came after revision" in fault for fault in faults(written, spoilt))


@pytest.mark.parametrize(
    "event",
    [
        Told("a", PUT, 9, "never written"),
        Told("a", DELETE, 9),
        Told("a", EXPIRED, 9),
        Told("a", STATE, 9, "1"),
        Told("none", PUT, 9, "1"),
    ],
)
def test_what_nobody_did_is_found(event: Told) -> None:
    written = [Written("a", PUT, "1", 5)]
    assert faults(written, [Told("a", PUT, 5, "1")]) == []
    assert faults(written, [Told("a", PUT, 5, "1"), event])


def test_a_wrong_revision_is_found() -> None:
    assert faults([Written("a", PUT, "1", 5)], [Told("a", PUT, 6, "1")])
