"""The parts of watching that only compute: places, cursors, prefixes, the join of state and changes, frames."""

import base64
import json
from bisect import bisect_right

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.watch import cursor, frames
from gateway.watch.cursor import CursorError, Layout
from gateway.watch.prefixes import PrefixIndex
from shard.history import History
from shard.machine import Change
from tests.gateway.double import FakeCluster, _block
from wire.coverage import Coverage
from wire.messages import ChangeKind, ListEntry, WatchEvent, WatchReply
from wire.positions import Position, place

places = st.builds(Position, st.integers(0, (1 << 62) - 1), st.integers(0, 2000))
LAYOUT = Layout(b"clus", b"slot", (1, 2, 7))


# --- cursors


@given(st.lists(places, min_size=3, max_size=3))
def test_a_cursor_holds_the_position_in_every_group(positions: list[Position]) -> None:
    held = dict(zip(LAYOUT.groups, positions, strict=True))
    text = cursor.encode(LAYOUT, held).decode()
    assert cursor.decode(LAYOUT, text) == held
    assert len(text) <= 12 + 3 * 16


@given(st.lists(places, min_size=3, max_size=3), st.data())
def test_a_cursor_that_was_tampered_with_is_refused_or_another_one(
    positions: list[Position], data: st.DataObject
) -> None:
    text = cursor.encode(LAYOUT, dict(zip(LAYOUT.groups, positions, strict=True))).decode()
    at = data.draw(st.integers(0, len(text) - 1))
    other = text[:at] + data.draw(st.sampled_from(["", "A", "*", "é", "\x00", "=", " ", "zz"])) + text[at + 1 :]
    assume(other != text)
    try:
        found = cursor.decode(LAYOUT, other)
    except CursorError:
        return
    assert found is None or cursor.encode(LAYOUT, found).decode() == other


@pytest.mark.parametrize(
    "text",
    ["", "x", "0", "null", "é", "A" * 100_000, base64.urlsafe_b64encode(b"\x01clusslot" + b"\xff" * 99).decode()],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorError):
        cursor.decode(LAYOUT, text)


@given(st.text(max_size=80))
def test_any_text_is_refused_without_harm(text: str) -> None:
    with pytest.raises(CursorError):
        cursor.decode(LAYOUT, text)


def test_a_cursor_of_another_cluster_is_refused_and_one_of_an_older_layout_is_none() -> None:
    positions = dict.fromkeys((1, 2, 7), Position(5))
    foreign = cursor.encode(Layout(b"othr", b"slot", (1, 2, 7)), positions).decode()
    with pytest.raises(CursorError):
        cursor.decode(LAYOUT, foreign)
    older = cursor.encode(Layout(b"clus", b"olde", (1, 2)), positions).decode()
    assert cursor.decode(LAYOUT, older) is None


def test_a_layout_stays_with_the_cluster_until_keys_move() -> None:
    cluster = FakeCluster()
    before = cursor.layout_of(cluster.map)
    cluster.epoch += 1
    assert cursor.layout_of(cluster.map) == before
    cluster.move("k1", 1 if cluster.group_of("k1") != 1 else 2)
    moved = cursor.layout_of(cluster.map)
    assert moved.cluster == before.cluster
    assert moved.slots != before.slots


# --- positions


@given(st.lists(st.integers(1, 4), max_size=12), st.integers(1, 400), st.data())
def test_from_the_position_after_any_change_exactly_the_rest_follows(
    sizes: list[int], bytes_max: int, data: st.DataObject
) -> None:
    history, every = History(0, 1000, 1 << 30), []
    for number, count in enumerate(sizes, 1):
        changes = [Change(ChangeKind.DELETE, f"{number}/{place_}", None) for place_ in range(count)]
        history.add(number * 3, changes)
        every += [change.key for change in changes]
    through = len(sizes) * 3
    asked, seen = Position(0), 0
    while seen < len(every):
        stretch = history.after(asked.through, asked.taken, through, bytes_max)
        assert stretch is not None
        reply = WatchReply(stretch.events, stretch.index, stretch.taken)
        placed = list(place(asked, reply))
        assert [event.key for _, event in placed] == every[seen : seen + len(placed)]
        assert [position for position, _ in placed] == sorted({position for position, _ in placed})
        cut = data.draw(st.integers(1, len(placed)))
        end = Position(reply.index, reply.taken)
        assert placed[-1][0] <= end
        asked, seen = (end if cut == len(placed) and data.draw(st.booleans()) else placed[cut - 1][0]), seen + cut


# --- prefixes


@given(st.lists(st.tuples(st.booleans(), st.text("abé", max_size=4), st.integers(0, 3)), max_size=40), st.text("abé"))
def test_the_index_finds_whom_a_scan_would(steps: list[tuple[bool, str, int]], key: str) -> None:
    index: PrefixIndex[int] = PrefixIndex()
    model: dict[str, list[int]] = {}
    for is_added, prefix, thing in steps:
        held = model.setdefault(prefix, [])
        if is_added:
            index.add(prefix, thing)
            held += [] if thing in held else [thing]
        else:
            index.remove(prefix, thing)
            model[prefix] = [other for other in held if other != thing]
    found = {prefix: list(index.at(prefix)) for prefix in index.prefixes_of(key)}
    assert found == {prefix: held for prefix, held in model.items() if held and key.startswith(prefix)}
    assert sorted(index) == sorted(thing for held in model.values() for thing in held)


# --- state and changes


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=30),
    st.lists(st.sampled_from("abcdef"), unique=True, max_size=3).map(sorted),
    st.data(),
)
def test_pages_of_different_times_and_the_changes_since_the_first_make_every_change_seen_once(
    changes: list[tuple[str, bool]], ends: list[str], data: st.DataObject
) -> None:
    """Change number i is at index i; pages end with the given keys and are read at rising indexes."""
    pages = [*ends, None]
    indexes = sorted(data.draw(st.lists(st.integers(0, len(changes)), min_size=len(pages), max_size=len(pages))))
    held = Coverage()
    told: dict[str, list[int]] = {}
    state: dict[str, int] = {}
    for number, (end, index) in enumerate(zip(pages, indexes, strict=True)):
        after = ends[number - 1] if number else ""
        held.add_page(end, index)
        for at, (key, is_put) in enumerate(changes[:index], 1):
            if after < key and (end is None or key <= end):
                state.pop(key, None)
                if is_put:
                    state[key] = at
                told.setdefault(key, []).append(at)  # seen as part of the state
    assert (held.first, held.last) == (Position(indexes[0]), Position(indexes[-1]))
    for at, (key, is_put) in enumerate(changes, 1):
        if at > held.first.through and not held.holds(key, at):
            state.pop(key, None)
            if is_put:
                state[key] = at
            told.setdefault(key, []).append(at)
    final: dict[str, int] = {}
    for at, (key, is_put) in enumerate(changes, 1):
        final.pop(key, None)
        if is_put:
            final[key] = at
    assert state == final
    assert told == {key: [at for at, (k, _) in enumerate(changes, 1) if k == key] for key in {k for k, _ in changes}}
    assert all(not held.holds("a", at) for at in range(held.last.through + 1, len(changes) + 1))
    assert bisect_right(indexes, held.last.through) == len(indexes)


# --- frames


@given(st.text(min_size=1, max_size=10), st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_an_event_is_one_block_and_says_what_was_put(key: str, value: object) -> None:
    written = json.dumps(value, ensure_ascii=False, indent=1).replace("\n", "\r\n").encode()
    event = WatchEvent(ChangeKind.PUT, key, 7, "", written)
    for made, place_ in ((frames.change(event, b"CURSOR"), "CURSOR"), (frames.change(event, None), None)):
        assert made.endswith(b"\n\n")
        assert made.count(b"\n\n") == 1
        assert b"\r" not in made
        block = _block(made.decode().removesuffix("\n\n"))
        assert (block.event, block.id) == ("put", place_)
        assert block.data == {"key": key, "value": value, "revision": 7}


def test_a_value_that_is_not_json_comes_as_base64_with_its_type() -> None:
    made = frames.state(ListEntry("k", 3, 0, "image/png", b"\x00\r\n\xff"))
    block = _block(made.decode().removesuffix("\n\n"))
    assert block.data["encoding"] == "base64"
    assert block.data["content_type"] == "image/png"
    assert base64.b64decode(block.data["value"]) == b"\x00\r\n\xff"
    assert (block.event, block.id) == ("state", None)


@pytest.mark.parametrize(("kind", "name"), [(ChangeKind.DELETE, "delete"), (ChangeKind.EXPIRED, "expired")])
def test_a_key_that_is_gone_has_no_value(kind: ChangeKind, name: str) -> None:
    block = _block(frames.change(WatchEvent(kind, "a\n", 3), b"C").decode().removesuffix("\n\n"))
    assert (block.event, block.data) == (name, {"key": "a\n", "revision": 3})
