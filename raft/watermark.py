"""How far the write-ahead log is known to be durable, told from outside the log.

A log whose newest segment is gone, or went back to an older copy, looks like one that ends there. So after each batch
became durable its number and checksum are written here, and a log that does not reach so far is refused at the next
start. The mark itself is synced only with the first batch of each segment, and costs the others one write into memory:
after a power cut it may be behind, though never before the newest segment, and it is never ahead. Two slots take
turns, so that one is whole whatever becomes of a write.
"""

import struct
import zlib

from raft.disk import Disk, File
from raft.storage_errors import REBUILD, CorruptLogError, ForeignDataError

WATERMARK_FILE = "watermark"

_MAGIC = b"CONCMARK"
_SLOT_BYTES = 4096  # a page each: they are never written by the same write-back
_SLOT = struct.Struct("<8s16sQI")
_CRC = struct.Struct("<I")


class Watermark:
    """The file. Every method blocks."""

    def __init__(self, disk: Disk, owner: bytes) -> None:
        """Read the mark, if there is one.

        Args:
            disk: the node's data directory.
            owner: see `wal_format.fingerprint`.

        Raises:
            CorruptLogError: it is damaged.
            ForeignDataError: another node's.
            OSError: the disk failed.
        """
        self._disk = disk
        self._owner = owner
        self._file: File | None = None
        self.number = 0
        self.crc = 0
        if disk.exists(WATERMARK_FILE):
            self._file = disk.open(WATERMARK_FILE, writable=True)
            self.number, self.crc = self._newest(self._file)

    def begin(self, *, sync: bool) -> None:
        """Make the file if it is not there; durably if this node promises that."""
        if self._file is None:
            temporary = WATERMARK_FILE + ".tmp"
            if self._disk.exists(temporary):
                self._disk.unlink(temporary)
            self._file = self._disk.create(temporary, 2 * _SLOT_BYTES)
            self._file.pwrite(0, [self._encode(0, 0)])
            if sync:
                self._file.sync()
            self._disk.rename(temporary, WATERMARK_FILE)
            if sync:
                self._disk.sync_dir("")

    def note(self, number: int, crc: int) -> None:
        """The log is durable up to the batch of this number and checksum."""
        self._open().pwrite(number % 2 * _SLOT_BYTES, [self._encode(number, crc)])

    def sync(self) -> None:
        """Make the mark durable."""
        self._open().sync()

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> File:
        if self._file is None:
            raise ValueError(f"{WATERMARK_FILE} is not open")
        return self._file

    def _encode(self, number: int, crc: int) -> bytes:
        fields = _SLOT.pack(_MAGIC, self._owner, number, crc)
        return fields + _CRC.pack(zlib.crc32(fields))

    def _newest(self, file: File) -> tuple[int, int]:
        found = []
        for slot in (0, 1):
            data = file.read(slot * _SLOT_BYTES, _SLOT.size + _CRC.size)
            if len(data) == _SLOT.size + _CRC.size and data[_SLOT.size :] == _CRC.pack(zlib.crc32(data[: _SLOT.size])):
                magic, owner, number, crc = _SLOT.unpack_from(data)
                if magic == _MAGIC and owner != self._owner:
                    raise ForeignDataError(
                        f"{WATERMARK_FILE} belongs to another cluster or node: start this node on its own data directory."
                    )
                if magic == _MAGIC:
                    found.append((number, crc))
        if not found:
            raise CorruptLogError(f"{WATERMARK_FILE} is damaged: neither of its marks is whole. {REBUILD}")
        return max(found)
