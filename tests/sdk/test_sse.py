"""Server-sent events however they are cut, and the state of a watch over its connections."""

import itertools
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import concord
from concord import Event, Retry
from concord._sse import LIMIT_BLOCK_BYTES, Block, Parser, StreamError
from concord._watching import Watching, told
from gateway.watch import frames
from wire.messages import ChangeKind, ListEntry, WatchEvent

STREAM = (
    b"retry: 1000\n\nevent: state\ndata: {}\n\n: heartbeat\nid: 1-2\n\nid: 3\r\nevent:put\rdata: a\ndata:  b\n\r\n"
    + "id:\nevent: resync\ndata: ä\n\n".encode()
)
BLOCKS = [
    Block("", b"", None),
    Block("state", b"{}", None),
    Block("", b"", "1-2"),
    Block("put", b"a\n b", "3"),
    Block("resync", "ä".encode(), ""),
]


def parsed(*chunks: bytes) -> list[Block]:
    parser = Parser()
    return [block for chunk in chunks for block in parser.feed(chunk)]


@pytest.mark.parametrize("at", range(len(STREAM) + 1))
def test_a_stream_is_the_same_wherever_it_is_cut(at: int) -> None:
    assert parsed(STREAM[:at], STREAM[at:]) == BLOCKS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_is_the_same_in_any_number_of_pieces(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert parsed(*(STREAM[a:b] for a, b in itertools.pairwise(places))) == BLOCKS


@given(st.lists(st.binary(max_size=40)))
def test_no_bytes_break_the_parser(chunks: list[bytes]) -> None:
    whole: list[Block] = []
    cut: list[Block] = []
    for result, pieces in ((whole, [b"".join(chunks)]), (cut, chunks)):
        try:
            result.extend(parsed(*pieces))
        except StreamError:
            result.append(Block("error", b"", None))
    assert whole[-1:] == cut[-1:]


def test_a_block_without_end_is_given_up() -> None:
    parser = Parser()
    for _ in range(LIMIT_BLOCK_BYTES // 65_536):
        assert list(parser.feed(b"x" * 65_536)) == []
    with pytest.raises(StreamError):
        list(parser.feed(b"x"))


def watching(after: str = "", patience_s: float | None = None) -> Watching[object]:
    return Watching("p/", object, after=after, retry=Retry(), rng=random.Random(1), patience_s=patience_s, now=0.0)


def fed(watch: Watching[object], *chunks: bytes) -> list[Event[object]]:
    return [event for chunk in chunks for event in map(told, watch.feed(chunk, 0.0))]


def state(key: str, revision: int) -> bytes:
    return frames.state(ListEntry(key, revision=revision, value=b"%d" % revision))


def change(kind: ChangeKind, key: str, revision: int, cursor: bytes | None) -> bytes:
    return frames.change(WatchEvent(kind=kind, key=key, value=b"%d" % revision, revision=revision), cursor)


def test_what_a_gateway_sends_is_what_is_told() -> None:
    watch = watching()
    assert "last-event-id" not in watch.request({}).headers
    told = fed(
        watch,
        frames.OPENING,
        state("p/a", 3),
        frames.synced(b"c1"),
        change(ChangeKind.PUT, "p/b", 4, b"c2"),
        change(ChangeKind.EXPIRED, "p/a", 5, b"c3"),
        frames.heartbeat(b"c4"),
        frames.goaway("shutdown"),
    )
    assert told == [
        Event("state", "p/a", 3, 3),
        Event("synced", id="c1"),
        Event("put", "p/b", 4, 4, "c2"),
        Event("expired", "p/a", None, 5, "c3"),
    ]
    assert watch.is_over
    assert watch.request({"authorization": "x"}).headers["last-event-id"] == "c4"
    assert not watch.is_over
    again = fed(watch, frames.synced(b"c4"), change(ChangeKind.DELETE, "p/b", 6, b"c5"))
    assert again == [Event("delete", "p/b", None, 6, "c5")]


def test_after_a_resync_the_state_is_told_anew_and_what_is_gone_as_deleted() -> None:
    watch = watching()
    watch.request({})
    fed(watch, state("p/a", 3), state("p/b", 3), frames.synced(b"c1"), frames.resync())
    assert watch.is_over
    assert "last-event-id" not in watch.request({}).headers
    told = fed(watch, state("p/b", 3), state("p/c", 9), frames.synced(b"c2"))
    assert told == [
        Event("state", "p/b", 3, 3),
        Event("state", "p/c", 9, 9),
        Event("delete", "p/a"),
        Event("synced", id="c2"),
    ]


def test_a_connection_that_is_lost_within_the_state_begins_again() -> None:
    watch = watching()
    watch.request({})
    fed(watch, state("p/a", 3), state("p/b", 3), b"event: sta")
    assert "last-event-id" not in watch.request({}).headers
    assert [event.kind for event in fed(watch, state("p/a", 3), frames.synced(b"c"))] == ["state", "delete", "synced"]


def test_who_goes_on_from_an_id_is_told_of_no_deletion_that_was_none() -> None:
    watch = watching(after="c1")
    assert watch.request({}).headers["last-event-id"] == "c1"
    assert fed(watch, frames.synced(b"c1")) == [Event("synced", id="c1")]


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"key":1}'])
def test_an_event_that_no_gateway_sends_is_an_error(data: bytes) -> None:
    watch = watching()
    watch.request({})
    with pytest.raises(StreamError):
        fed(watch, b"event: put\ndata: " + data + b"\n\n")


def test_what_will_not_get_better_and_what_took_too_long_are_raised() -> None:
    watch = watching(patience_s=5.0)
    with pytest.raises(concord.Forbidden):
        watch.wait_s(concord.Forbidden("no"), 1.0)
    assert all(watch.wait_s(None, 5.0) <= 2.0 for _ in range(20))
    with pytest.raises(concord.ConnectionFailed):
        watch.wait_s(concord.ConnectionFailed("no"), 5.1)
    fed(watch, b"")
    assert watch.wait_s(None, 5.0) >= 0.0
    assert msgspec.structs.asdict(Event("synced"))["value"] is None
