"""How the write-ahead log looks on disk. Pure: bytes in, values out.

A segment file begins with one sector for its header; then come batches, each a whole number of sectors:

    batch = header | records | zero padding | trailer

A batch is written by one `pwrite` and synced before the next is written, so only the last one can be torn. Segments are
all zeros before use and never used twice; so where a write did not reach the disk, zeros show: either the trailer's
last byte is zero, or a sector is zero that was not zero when it was written (the header says how many were). A batch
that is bad *without* such a sign was damaged later, and that is not something to repair silently.

A header lies within one sector, so it is there or not; each header carries the checksum of the one before it, so
batches cannot be lost from the middle, reordered, or taken from another log.
"""

import enum
import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence

import msgspec

from raft.storage_errors import REBUILD, CorruptLogError, ForeignDataError, unknown_format

FORMAT_VERSION = 1
SECTOR_BYTES = 512
"""Smallest unit that a disk writes as a whole."""

MAX_BATCH_BYTES = 1 << 30
"""Largest batch; lengths are 32 bits wide."""

SEGMENT_MAGIC = b"CONCWAL\n"
BATCH_MAGIC = b"\xf7CBATCH\n"
TRAILER = b"\xf7CEND\xf7\xa5\xa5"

_SEGMENT = struct.Struct("<8sHQ16s")
_CRC = struct.Struct("<I")
_HEADER = struct.Struct("<8sHHIQQIIII4s")
_HEADER_CRC_AT = _HEADER.size - 8
_HEADER_END = b"\xa5\xf7\xa5\xf7"
RECORD = struct.Struct("<BIQQI")
"""Header of a record: kind, group, index, term, length of the payload."""

_ZERO_SECTOR = bytes(SECTOR_BYTES)

WAL_DIRECTORY = "wal"


class Kind(enum.IntEnum):
    """What a record says about its group."""

    APPEND = 1  # the command at index
    TRUNCATE = 2  # entries from index on are gone
    HARD_STATE = 3  # the current term; the payload is the vote
    COMPACT = 4  # entries up to index are in a durable snapshot
    RESET = 5  # no entries; the next one follows (index, term)
    DROP = 6  # the group is forgotten


class BatchHeader(msgspec.Struct, frozen=True, gc=False):
    """The header of a batch, its checksum already verified.

    Attributes:
        number: counts the batches of this log from 1.
        oldest: sequence number of the oldest segment that was still needed once this batch was durable.
        zero_sectors: how many whole sectors of this batch were zero when it was written.
        length: bytes of records.
        previous: checksum of the header before.
        body_crc: checksum of records and padding, begun with `previous`.
        crc: checksum of this header.
    """

    number: int
    oldest: int
    zero_sectors: int
    length: int
    previous: int
    body_crc: int
    crc: int

    @property
    def size(self) -> int:
        """Bytes on disk, a whole number of sectors."""
        return batch_size(self.length)


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a batch."""

    kind: Kind
    group: int
    index: int
    term: int
    payload: bytes


def segment_path(sequence: int) -> str:
    """Where segment `sequence` is; the first is 1."""
    return f"{WAL_DIRECTORY}/{sequence:016x}.wal"


def fingerprint(identity: bytes) -> bytes:
    """The 16 bytes by which a file says whose it is."""
    return hashlib.sha256(identity).digest()[:16]


def batch_size(length: int) -> int:
    """Bytes on disk of a batch with `length` bytes of records."""
    return -(-(_HEADER.size + length + len(TRAILER)) // SECTOR_BYTES) * SECTOR_BYTES


def encode_segment_header(sequence: int, owner: bytes) -> bytes:
    """The first sector of a segment; `owner` is the `fingerprint`."""
    fields = _SEGMENT.pack(SEGMENT_MAGIC, FORMAT_VERSION, sequence, owner).ljust(SECTOR_BYTES - _CRC.size, b"\0")
    return fields + _CRC.pack(zlib.crc32(fields))


def check_segment_header(sector: bytes, path: str, sequence: int, owner: bytes) -> None:
    """Refuse a file that is not this node's segment `sequence`.

    Raises:
        CorruptLogError: not a segment, or damaged.
        FormatError: an unknown version.
        ForeignDataError: another cluster's or node's.
    """
    if len(sector) < SECTOR_BYTES or not sector.startswith(SEGMENT_MAGIC):
        raise CorruptLogError(f"{path}, offset 0: this is not a segment of the write-ahead log. {REBUILD}")
    _, version, stated, stated_owner = _SEGMENT.unpack_from(sector)
    if version != FORMAT_VERSION:
        raise unknown_format(f"{path}, offset 8", version, FORMAT_VERSION)
    if zlib.crc32(sector[: -_CRC.size]) != _CRC.unpack_from(sector, SECTOR_BYTES - _CRC.size)[0]:
        raise CorruptLogError(f"{path}, offset 0: the segment's header does not match its checksum. {REBUILD}")
    if stated_owner != owner:
        raise ForeignDataError(f"{path} belongs to another cluster or node: start this node on its own data directory.")
    if stated != sequence:
        raise CorruptLogError(f"{path}, offset 10: the segment says it is number {stated:#x}. {REBUILD}")


def encode_batch(
    records: Sequence[bytes], *, number: int, oldest: int, previous: int, owner: bytes
) -> tuple[bytes, int]:
    """Lay out a batch.

    Args:
        records: the encoded records, in any slicing.
        number: this batch's number.
        oldest: see `BatchHeader.oldest`.
        previous: the checksum that the batch before returned; 0 for the first.
        owner: see `fingerprint`.

    Returns:
        The bytes to write and the checksum that the next batch needs.
    """
    body = b"".join(records)
    length = len(body)
    body = body.ljust(batch_size(length) - _HEADER.size - len(TRAILER), b"\0")
    body_crc = zlib.crc32(body, previous)
    zeros = _zero_sectors(body, 0, len(body), SECTOR_BYTES - _HEADER.size)
    fields = _HEADER.pack(
        BATCH_MAGIC, FORMAT_VERSION, 0, zeros, number, oldest, length, previous, body_crc, 0, _HEADER_END
    )[:_HEADER_CRC_AT]
    crc = zlib.crc32(fields, zlib.crc32(owner))
    return b"".join((fields, _CRC.pack(crc), _HEADER_END, body, TRAILER)), crc


def decode_header(data: bytes, position: int, owner: bytes) -> BatchHeader | None:
    """The batch header at `position`, or None when there is none that is whole and this node's."""
    if not data.startswith(BATCH_MAGIC, position) or position + SECTOR_BYTES > len(data):
        return None
    _, version, flags, zeros, number, oldest, length, previous, body_crc, crc, end = _HEADER.unpack_from(data, position)
    fields = data[position : position + _HEADER_CRC_AT]
    if crc != zlib.crc32(fields, zlib.crc32(owner)) or end != _HEADER_END or version != FORMAT_VERSION or flags:
        return None
    return BatchHeader(number, oldest, zeros, length, previous, body_crc, crc)


def body_is_whole(data: bytes, position: int, header: BatchHeader) -> bool:
    """Whether everything after the header of the batch at `position` is as it was written."""
    end = position + header.size
    if end > len(data) or not data.startswith(TRAILER, end - len(TRAILER)):
        return False
    body = memoryview(data)[position + _HEADER.size : end - len(TRAILER)]
    return zlib.crc32(body, header.previous) == header.body_crc


def looks_torn(data: bytes, position: int, header: BatchHeader | None) -> bool:
    """Whether the bad batch at `position` shows the zeros of a write that did not reach the disk whole.

    `header` is what `decode_header` made of it.
    """
    sector = data[position : position + SECTOR_BYTES]
    if header is None:
        return not any(sector[_HEADER.size - 1 :])
    end = position + header.size
    if end > len(data):
        return False
    return data[end - 1] == 0 or _zero_sectors(data, position, end, 0) > header.zero_sectors


def records_of(data: bytes, position: int, header: BatchHeader) -> Iterator[Record]:
    """The records of a whole batch.

    Raises:
        ValueError: what the checksum covers makes no sense: a defect of the writer.
    """
    at = position + _HEADER.size
    end = at + header.length
    while at < end:
        kind, group, index, term, length = RECORD.unpack_from(data, at)
        at += RECORD.size
        if at + length > end:
            raise ValueError("a record is longer than its batch")
        yield Record(Kind(kind), group, index, term, data[at : at + length])
        at += length


def _zero_sectors(data: bytes, start: int, end: int, first: int) -> int:
    """How many of the sectors that begin at `start + first` and end by `end` are zero.

    Most data has no 512 zeros in a row; one fast search says so.
    """
    if data.find(_ZERO_SECTOR, start, end) < 0:
        return 0
    begins = range(start + first, end - SECTOR_BYTES + 1, SECTOR_BYTES)
    return sum(data.startswith(_ZERO_SECTOR, begin) for begin in begins)
