import itertools
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.frame import HEADER, KINDS, REPLY, REQUEST, Frame, FrameDecoder, encode_header

LIMIT = 4096
U64_MAX = (1 << 64) - 1
U32_MAX = (1 << 32) - 1

plain_frames = st.tuples(
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 0xFFFF),
    st.integers(0, U64_MAX),
    st.integers(0, U32_MAX),
    st.binary(max_size=300),
)
cuts = st.lists(st.integers(0, 4000), max_size=40)
quick = settings(derandomize=True, deadline=None, max_examples=300)

Plain = tuple[int, int, int, int, bytes]


def encoded(frames: list[Plain]) -> bytes:
    return b"".join(encode_header(len(payload), *fields) + payload for *fields, payload in frames)


def plain(frame: Frame) -> Plain:
    return frame.kind, frame.number, frame.correlation, frame.budget_ms, bytes(frame.payload)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(data)) for cut in at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def decoded(decoder: FrameDecoder, parts: list[bytes]) -> list[Plain]:
    return [plain(frame) for part in parts for frame in decoder.receive(part)]


@quick
@given(st.lists(plain_frames, max_size=8), cuts)
def test_what_was_encoded_comes_out_however_the_bytes_are_split(frames: list[Plain], at: list[int]) -> None:
    decoder = FrameDecoder(LIMIT)
    assert decoded(decoder, pieces(encoded(frames), at)) == frames
    assert not decoder.error
    assert decoder.held_bytes == 0


def test_every_split_of_two_frames_in_two_pieces_gives_the_same() -> None:
    frames: list[Plain] = [(REQUEST, 7, 1, 500, b"first"), (REPLY, 0, U64_MAX, 0, b"")]
    data = encoded(frames)
    for cut in range(len(data) + 1):
        assert decoded(FrameDecoder(LIMIT), [data[:cut], data[cut:]]) == frames
    assert decoded(FrameDecoder(LIMIT), [bytes([byte]) for byte in data]) == frames


@quick
@given(st.lists(plain_frames, max_size=3), st.binary(max_size=2000), cuts)
def test_garbage_breaks_the_stream_at_the_same_place_however_it_is_split(
    frames: list[Plain], garbage: bytes, at: list[int]
) -> None:
    data = encoded(frames) + garbage
    whole, split = FrameDecoder(LIMIT), FrameDecoder(LIMIT)
    expected = decoded(whole, [data])
    assert decoded(split, pieces(data, at)) == expected
    assert split.error == whole.error
    assert expected[: len(frames)] == frames


@quick
@given(st.lists(plain_frames, max_size=8), cuts, st.integers(0, 3))
def test_frames_that_nobody_asked_for_wait_for_their_turn(frames: list[Plain], at: list[int], asked: int) -> None:
    decoder, found = FrameDecoder(LIMIT), []
    for piece in pieces(encoded(frames), at):
        decoder.feed(piece)
        for _ in range(asked):
            frame = decoder.take()
            found += [plain(frame)] if frame else []
    found += decoded(decoder, [b""])
    assert found == frames
    assert decoder.held_bytes == 0
    assert not decoder.error


@quick
@given(plain_frames, st.integers(0, 400))
def test_a_truncated_frame_is_not_delivered_and_is_no_error(frame: Plain, missing: int) -> None:
    data = encoded([frame])
    decoder = FrameDecoder(LIMIT)
    assert decoded(decoder, [data[: -1 - missing % len(data)]]) == []
    assert not decoder.error


@pytest.mark.parametrize("length", [LIMIT - HEADER.size + 1, 1 << 20, U32_MAX])
def test_a_length_over_the_limit_breaks_the_stream_at_its_header(length: int) -> None:
    decoder = FrameDecoder(LIMIT)
    assert decoder.receive(encode_header(length, REQUEST)) == []
    assert str(length + HEADER.size) in decoder.error
    assert decoder.receive(encoded([(REQUEST, 0, 1, 0, b"")])) == []


def test_a_frame_of_exactly_the_limit_is_taken() -> None:
    frame: Plain = (REQUEST, 1, 1, 1, bytes(LIMIT - HEADER.size))
    assert decoded(FrameDecoder(LIMIT), [encoded([frame])]) == [frame]


def test_an_unknown_kind_breaks_the_stream_after_the_frames_before_it() -> None:
    first: Plain = (REQUEST, 1, 1, 1, b"x")
    decoder = FrameDecoder(LIMIT)
    assert decoded(decoder, [encoded([first]) + encode_header(0, 99)]) == [first]
    assert "99" in decoder.error


def test_a_claimed_length_allocates_nothing() -> None:
    decoder = FrameDecoder(U32_MAX + HEADER.size)
    tracemalloc.start()
    try:
        decoder.receive(encode_header(U32_MAX, REQUEST) + b"only this")
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_a_big_frame_in_tiny_pieces_is_held_once() -> None:
    size = 1 << 20
    decoder = FrameDecoder(2 * size)
    data = encoded([(REQUEST, 1, 1, 1, bytes(size))])
    tracemalloc.start()
    try:
        for start in range(0, len(data) - 7, 7):
            assert decoder.receive(data[start : start + 7]) == []
        assert tracemalloc.get_traced_memory()[1] < 1.5 * size
        (frame,) = decoder.receive(data[start + 7 :])
    finally:
        tracemalloc.stop()
    assert len(frame.payload) == size
