"""The state as a stream of chunks, drawn while the state goes on changing, and the way back.

A chunk is one byte and up to 256 KiB: the byte says whether the chunk ends a frame; a frame too long for one chunk (a
long value) goes on in the next. A frame is a msgpack list of parts: the header first, then sessions, then slots in
order, each whole or in several parts, and a footer that counts what was written, so that a stream cut short is
noticed. Drawing one chunk costs the encoding of one frame; the only larger step is a shallow copy of one slot's dict.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeAlias

import msgspec

from shard.machine.entry import ClusterTime, Epoch, Slot
from shard.machine.keyspace import Capture, Keyspace
from shard.machine.ownership import Ownership
from shard.machine.record import Stored, value_bytes, weigh
from shard.machine.sessions import Answer, SessionImage, SessionPicture, Sessions

SNAPSHOT_FORMAT = 3
_CHUNK_BYTES_MAX = 256 * 1024
_FRAME_BYTES = 32 * 1024  # a frame is closed when it is estimated to have reached this: drawing one stops all else
_PART_BYTES = 16 * 1024  # so is a part of it
_RECORD_BYTES = 40  # of an encoded record, beside key and value
_ANSWER_BYTES = 20  # of a remembered answer, beside its statuses
_SESSION_BYTES = 40
_SLOT_BYTES = 8
_MORE, _LAST = b"\x01", b"\x00"


class SnapshotError(ValueError):
    """The chunks are not a whole snapshot in a format that this release reads."""


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=0):
    """First part of a snapshot."""

    format: int
    now_ms: ClusterTime
    epoch: Epoch
    ranges: list[tuple[Slot, Slot]]


class SessionPart(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A session, or a further part of the one before; the one idle longest comes first."""

    image: SessionImage


class SlotPart(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Records of a slot; a large slot comes in several parts."""

    slot: Slot
    records: dict[str, Stored]


class Footer(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Last part of a snapshot: how many keys and sessions there were."""

    keys: int
    sessions: int


Part: TypeAlias = Header | SessionPart | SlotPart | Footer
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Part])


# --- drawing


def draw(header: Header, sessions: Sessions, keyspace: Keyspace) -> Iterator[bytes]:
    """Chunks of the state as of this call."""
    chunks = _draw(header, sessions, keyspace)
    next(chunks)  # starts the generator: from here on its end, however it comes, ends the capture
    return chunks


def _draw(header: Header, sessions: Sessions, keyspace: Keyspace) -> Iterator[bytes]:
    footer = Footer(keyspace.keys, len(sessions))
    pictures = sessions.capture()
    capture = keyspace.begin_capture()
    try:
        yield b""
        parts: list[Part] = [header]
        size = 0
        for part, part_size in chain(_session_parts(pictures), _slot_parts(capture)):
            parts.append(part)
            size += part_size
            if size >= _FRAME_BYTES:
                yield from _chunks(parts)
                parts, size = [], 0
        yield from _chunks([*parts, footer])
    finally:
        keyspace.end_capture(capture)


def _chunks(parts: list[Part]) -> Iterator[bytes]:
    frame = memoryview(_encoder.encode(parts))
    room = _CHUNK_BYTES_MAX - 1
    for start in range(0, len(frame), room):
        yield (_LAST if start + room >= len(frame) else _MORE) + frame[start : start + room]


def _session_parts(pictures: list[SessionPicture]) -> Iterator[tuple[Part, int]]:
    for session, floor, last_ms, remembered in pictures:
        answers: list[tuple[int, Answer]] = []
        size = _SESSION_BYTES
        for item in remembered.items():
            answers.append(item)
            size += _ANSWER_BYTES + len(item[1].statuses) + item[1].weight
            if size >= _PART_BYTES:
                yield SessionPart(SessionImage(session, floor, last_ms, answers)), size
                answers, size = [], _SESSION_BYTES
        if answers or not remembered:
            yield SessionPart(SessionImage(session, floor, last_ms, answers)), size


def _slot_parts(capture: Capture) -> Iterator[tuple[Part, int]]:
    for slot in capture.order:
        records = capture.take(slot)
        size = _SLOT_BYTES + _size(records)
        if size < _PART_BYTES:
            yield SlotPart(slot, records), size
        else:
            yield from _parts_of_large(slot, records)


def _parts_of_large(slot: int, records: dict[str, Stored]) -> Iterator[tuple[Part, int]]:
    part: dict[str, Stored] = {}
    size = _SLOT_BYTES
    for key, record in records.items():
        part[key] = record
        size += _RECORD_BYTES + len(key) + weigh(record)[0]
        if size >= _PART_BYTES:
            yield SlotPart(slot, part), size
            part, size = {}, _SLOT_BYTES
    if part:
        yield SlotPart(slot, part), size


def _size(records: dict[str, Stored]) -> int:
    """About how many bytes they take when they are encoded."""
    return _RECORD_BYTES * len(records) + sum(map(len, records)) + value_bytes(records.values())


# --- restoring


class Restored:
    """A state being rebuilt from a snapshot."""

    def __init__(self, header: Header, keyspace: Keyspace) -> None:
        self.now_ms = header.now_ms
        self.keyspace = keyspace
        self.sessions = Sessions()
        self.ownership = Ownership()
        self.ownership.take(header.ranges, header.epoch)


class Restorer:
    """Rebuilds a state chunk by chunk. Implements `raft.interface.Restorer`; a bad stream raises SnapshotError."""

    def __init__(self, replace: Callable[[Restored], None], keyspace_kind: type[Keyspace] = Keyspace) -> None:
        self._replace = replace
        self._keyspace_kind = keyspace_kind
        self._frame = bytearray()
        self._restored: Restored | None = None
        self._footer: Footer | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk. Costs a few milliseconds for 256 KiB of small records."""
        self._frame += memoryview(chunk)[1:]
        if chunk[:1] == _MORE:
            return
        try:
            parts = _decoder.decode(self._frame)
        except (ValueError, RecursionError) as error:
            raise SnapshotError(f"the snapshot has a malformed frame: {error}") from error
        self._frame = bytearray()
        for part in parts:
            self._take(part)

    def finish(self) -> None:
        """Replace the state of the machine."""
        restored, footer = self._restored, self._footer
        if restored is None or footer is None:
            raise SnapshotError("the snapshot is not complete")
        found = Footer(restored.keyspace.keys, len(restored.sessions))
        if found != footer:
            raise SnapshotError(f"the snapshot should hold {footer}, but holds {found}")
        self._replace(restored)

    def _take(self, part: Part) -> None:
        if isinstance(part, Header):
            if part.format != SNAPSHOT_FORMAT or self._restored is not None:
                raise SnapshotError(
                    f"the snapshot has format {part.format}, this release reads {SNAPSHOT_FORMAT}, once"
                )
            self._restored = Restored(part, self._keyspace_kind())
        elif self._restored is None or self._footer is not None:
            raise SnapshotError("the snapshot has a part outside of its header and footer")
        elif isinstance(part, SessionPart):
            self._restored.sessions.fill(part.image)
        elif isinstance(part, SlotPart):
            self._restored.keyspace.fill(part.slot, part.records)
        else:
            self._footer = part
