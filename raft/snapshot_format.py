"""How a snapshot looks on disk and on its way to another node; the same bytes in both places.

    header | chunk … | end mark, total length | sha256 of everything before it

A chunk is its length and its bytes; the end mark is a length of zero. The header names the cluster, not the node, so
that a snapshot can be shipped as it is. Nothing counts before the hash over all of it has been checked.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator

import msgspec

from raft.disk import Disk, File
from raft.storage_errors import REBUILD, CorruptSnapshotError, ForeignDataError, unknown_format
from raft.wal_format import fingerprint

FORMAT_VERSION = 1
SNAPSHOT_DIRECTORY = "snapshots"
MAX_CHUNK_BYTES = 16 << 20
"""Larger chunks are refused: reading one must not take the node's memory."""

READ_BYTES = 256 << 10
"""A file is read in pieces of this size or, where a chunk is longer, of the chunk's."""

_MAGIC = b"CONCSNAP"
_HEADER = struct.Struct("<8sH16sIQQ")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size
LENGTH = struct.Struct("<I")
_END = struct.Struct("<IQ")
_SHA256_BYTES = 32
TRAILER_BYTES = _END.size + _SHA256_BYTES

_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.snap")


class SnapshotMeta(msgspec.Struct, frozen=True):
    """One complete snapshot.

    Attributes:
        group: whose state it is.
        index: the last entry in it.
        term: that entry's term.
        size: bytes of the file.
        sha256: the hash at its end, 32 bytes.
    """

    group: int
    index: int
    term: int
    size: int
    sha256: bytes


def group_directory(group: int) -> str:
    """Where the group's snapshots are."""
    return f"{SNAPSHOT_DIRECTORY}/{group}"


def snapshot_path(group: int, index: int, term: int) -> str:
    """Where the snapshot is."""
    return f"{group_directory(group)}/{index:016x}-{term:016x}.snap"


def parse_name(name: str) -> tuple[int, int] | None:
    """Index and term from a file's name, None when it is not a snapshot's."""
    match = _NAME.fullmatch(name)
    return (int(match[1], 16), int(match[2], 16)) if match else None


def encode_header(cluster: bytes, group: int, index: int, term: int) -> bytes:
    """The header; `cluster` is the identity that all nodes share."""
    fields = _HEADER.pack(_MAGIC, FORMAT_VERSION, fingerprint(cluster), group, index, term)
    return fields + _CRC.pack(zlib.crc32(fields))


def encode_end(size: int) -> bytes:
    """What follows the chunks, without the hash; `size` is the number of bytes before it."""
    return _END.pack(0, size + TRAILER_BYTES)


def inspect(file: File, path: str, cluster: bytes, of: tuple[int, int, int]) -> SnapshotMeta:
    """Check header and trailer, without reading what is between them. `of` is the expected (group, index, term).

    Raises:
        CorruptSnapshotError, ForeignDataError, FormatError: it must not be used.
    """
    size = file.size()
    _check_header(file.read(0, HEADER_BYTES), path, cluster, of)
    trailer = file.read(max(HEADER_BYTES, size - TRAILER_BYTES), TRAILER_BYTES)
    if len(trailer) != TRAILER_BYTES or _END.unpack_from(trailer) != (0, size):
        raise corrupt(path, "it is not complete")
    return SnapshotMeta(*of, size, trailer[_END.size :])


def read_chunks(disk: Disk, path: str, meta: SnapshotMeta) -> Iterator[bytes]:
    """The chunks, in order. They may be *used* only when the iterator has ended: the hash is checked last.

    Raises:
        CorruptSnapshotError: it is damaged, or is not the one that `meta` describes.
    """
    file = disk.open(path)
    try:
        content = _Content(file, meta.size - TRAILER_BYTES)
        content.take(HEADER_BYTES)
        while content.left:
            prefix = content.take(LENGTH.size)
            length = LENGTH.unpack(prefix)[0] if len(prefix) == LENGTH.size else 0
            if not 0 < length <= min(MAX_CHUNK_BYTES, content.left):
                raise corrupt(path, f"the chunk at offset {content.position} has an impossible length")
            yield content.take(length)
        trailer = file.read(content.position, TRAILER_BYTES + 1)
        content.hasher.update(trailer[: _END.size])
        if content.hasher.digest() != meta.sha256 or trailer[_END.size :] != meta.sha256:
            raise corrupt(path, "it does not match its hash")
    finally:
        file.close()


class _Content:
    """What is before the trailer, read and hashed in pieces that are larger than most chunks.

    At each piece this thread and the loop's may have to wait for one another, so there should be few.

    Attributes:
        position: offset of what `take` gives next.
        hasher: of all that was read, which is all that was taken once nothing is left.
    """

    def __init__(self, file: File, end: int) -> None:
        self.position = 0
        self.hasher = hashlib.sha256()
        self._file = file
        self._end = end
        self._piece = b""
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes were not taken."""
        return self._end - self.position

    def take(self, size: int) -> bytes:
        """The next bytes, at most as many as are left; fewer if the file has shrunk."""
        size = min(size, self.left)
        while len(self._piece) - self._at < size:
            read = self.position + len(self._piece) - self._at
            more = self._file.read(read, min(max(READ_BYTES, size), self._end - read))
            if not more:
                break
            self.hasher.update(more)
            self._piece = self._piece[self._at :] + more
            self._at = 0
        taken = self._piece[self._at : self._at + size]
        self._at += len(taken)
        self.position += len(taken)
        return taken


def corrupt(path: str, why: str) -> CorruptSnapshotError:
    """The error that says what to do."""
    return CorruptSnapshotError(f"{path}: {why}. {REBUILD}")


def _check_header(header: bytes, path: str, cluster: bytes, expected: tuple[int, int, int]) -> None:
    if len(header) < HEADER_BYTES or not header.startswith(_MAGIC):
        raise corrupt(path, "it is not a snapshot, or its beginning is missing")
    _, version, owner, *named = _HEADER.unpack_from(header)
    if version != FORMAT_VERSION:
        raise unknown_format(path, version, FORMAT_VERSION)
    if zlib.crc32(header[: _HEADER.size]) != _CRC.unpack_from(header, _HEADER.size)[0]:
        raise corrupt(path, "its header does not match its checksum")
    if owner != fingerprint(cluster):
        raise ForeignDataError(f"{path} belongs to another cluster: start this node on its own data directory.")
    if tuple(named) != expected:
        raise corrupt(path, f"it is of (group, index, term) {tuple(named)}, not {expected}")
