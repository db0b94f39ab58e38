"""Where damage can strike: every field of every file of a data directory, found with the format's own parsers."""

import struct
from collections.abc import Iterator, Sequence

import msgspec

from raft import snapshot_format, wal_format, watermark
from raft.wal_format import RECORD, SECTOR_BYTES, TRAILER, BatchHeader, decode_header, fingerprint
from raft.watermark import WATERMARK_FILE
from tests.simulation.simdisk import SimDisk
from tests.storage.directory import CLUSTER, NODE, files

OWNER = fingerprint(f"{CLUSTER}/{NODE}-first".encode())
SEGMENT_FIELDS = ("magic", "version", "sequence", "owner")
HEADER_FIELDS = (
    *("magic", "version", "flags", "zero sectors", "number", "oldest"),
    *("length", "previous", "body checksum", "checksum", "end mark"),
)
RECORD_FIELDS = ("kind", "group", "index", "term", "length")
SNAPSHOT_FIELDS = ("magic", "version", "cluster", "group", "index", "term")

MARK_FIELDS = ("magic", "owner", "number", "batch checksum")


class Spot(msgspec.Struct, frozen=True):
    """A field of a file; `ends` is where the unit that is written at once ends."""

    path: str
    name: str
    offset: int
    size: int
    ends: int

    def __str__(self) -> str:
        return f"{self.path}, {self.name} at {self.offset} of {self.size} bytes"


def spots(disk: SimDisk) -> Iterator[Spot]:
    """All fields of all files."""
    for path in files(disk):
        content = disk.content(path)
        if path.startswith("wal/"):
            yield from _of_segment(path, content)
        elif path.startswith("snapshots/"):
            yield from _of_snapshot(path, content)
        elif path == WATERMARK_FILE:
            for slot in range(0, len(content), len(content) // 2):
                yield from _fields(path, "mark", watermark._SLOT, MARK_FIELDS, slot, len(content))
                yield Spot(path, "mark", slot, watermark._SLOT.size + 4, len(content))
        else:
            step = max(1, len(content) // 40)
            yield from (Spot(path, "byte", at, 1, len(content)) for at in range(0, len(content), step))


def batches(content: bytes) -> Iterator[tuple[int, BatchHeader]]:
    """Offset and header of each batch of a segment."""
    position = SECTOR_BYTES
    while (header := decode_header(content, position, OWNER)) is not None:
        yield position, header
        position += header.size


def _of_segment(path: str, content: bytes) -> Iterator[Spot]:
    yield from _fields(path, "segment", wal_format._SEGMENT, SEGMENT_FIELDS, 0, SECTOR_BYTES)
    yield Spot(path, "segment padding", wal_format._SEGMENT.size, 9, SECTOR_BYTES)
    yield Spot(path, "segment checksum", SECTOR_BYTES - 4, 4, SECTOR_BYTES)
    used = SECTOR_BYTES
    for position, header in batches(content):
        used = position + header.size
        yield from _fields(path, "batch", wal_format._HEADER, HEADER_FIELDS, position, used)
        yield from _of_records(path, content, position, header)
        yield Spot(path, "batch trailer", used - len(TRAILER), len(TRAILER), used)
    if used < len(content):
        yield Spot(path, "free space", used, len(content) - used, len(content))


def _of_records(path: str, content: bytes, position: int, header: BatchHeader) -> Iterator[Spot]:
    at, ends = position + wal_format._HEADER.size, position + header.size
    last = at + header.length
    while at < last:
        length = RECORD.unpack_from(content, at)[-1]
        yield from _fields(path, "record", RECORD, RECORD_FIELDS, at, ends)
        if length:
            yield Spot(path, "record payload", at + RECORD.size, length, ends)
        at += RECORD.size + length
    if at < ends - len(TRAILER):
        yield Spot(path, "batch padding", at, ends - len(TRAILER) - at, ends)


def _of_snapshot(path: str, content: bytes) -> Iterator[Spot]:
    ends, header = len(content), snapshot_format._HEADER
    yield from _fields(path, "snapshot", header, SNAPSHOT_FIELDS, 0, ends)
    yield Spot(path, "snapshot checksum", header.size, 4, ends)
    at, end_mark = snapshot_format.HEADER_BYTES, ends - snapshot_format.TRAILER_BYTES
    while at < end_mark:
        (length,) = snapshot_format.LENGTH.unpack_from(content, at)
        yield Spot(path, "chunk length", at, 4, ends)
        yield Spot(path, "chunk", at + 4, length, ends)
        at += 4 + length
    yield Spot(path, "end mark", end_mark, 4, ends)
    yield Spot(path, "total length", end_mark + 4, 8, ends)
    yield Spot(path, "hash", end_mark + 12, 32, ends)


def _fields(  # noqa: PLR0917 - a row of a table
    path: str, unit: str, layout: struct.Struct, names: Sequence[str], position: int, ends: int
) -> Iterator[Spot]:
    """The fields of a packed struct; those without a name have none here either."""
    at = position
    for name, form in zip(names, _forms(layout), strict=False):
        size = struct.calcsize("<" + form)
        yield Spot(path, f"{unit} {name}", at, size, ends)
        at += size


def _forms(layout: struct.Struct) -> Iterator[str]:
    """The format of each field: letters, with their lengths if they are of bytes."""
    count = ""
    for letter in layout.format.removeprefix("<"):
        if letter.isdigit():
            count += letter
        else:
            yield count + letter
            count = ""
