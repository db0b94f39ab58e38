"""The blocking half of the log: creating, writing and deleting segments, in the offload's thread.

After the first failure nothing is tried again: what reached the disk is then unknown, and a retried sync may report
success for data that the system has already thrown away.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from raft.disk import Disk, File
from raft.storage_errors import describe_io_error
from raft.wal_format import SECTOR_BYTES, WAL_DIRECTORY, encode_batch, encode_segment_header, segment_path
from raft.watermark import WATERMARK_FILE, Watermark

T = TypeVar("T")


class WriteFailedError(Exception):
    """The log could not be written; the message is for the operator. The process must end."""


class SegmentWriter:
    """Owns the open segments. Every method blocks."""

    def __init__(self, disk: Disk, owner: bytes, mark: Watermark, *, sync: bool, number: int, crc: int) -> None:
        self._disk = disk
        self._mark = mark
        self._owner = owner
        self._sync = sync
        self._number = number
        self._crc = crc
        self._files: dict[int, File] = {}
        self._broken = False

    def open(self, sequence: int) -> None:
        """Continue an existing segment."""
        self._guard(f"opening {segment_path(sequence)}", lambda: self._open(sequence))

    def mark(self) -> None:
        """Write down how far the log is durable, so that the next start can tell."""
        self._guard(f"writing {WATERMARK_FILE}", self._begin_mark)

    def create(self, sequence: int, size: int) -> None:
        """Reserve a segment of `size` bytes, durably; it appears under its name only when it is ready."""
        self._guard(f"creating {segment_path(sequence)} of {size} bytes", lambda: self._create(sequence, size))

    def write(self, sequence: int, offset: int, records: Sequence[bytes], oldest: int) -> float:
        """Write one batch and, if this log promises it, sync; returns how long that took, in seconds."""
        began = time.perf_counter()
        if self._broken:
            raise _not_tried(f"writing {segment_path(sequence)}")
        try:  # what _guard does, in fewer steps: each batch comes by here
            self._write(sequence, offset, records, oldest)
        except BaseException as error:
            self._broken = True
            raise WriteFailedError(describe_io_error(f"writing {segment_path(sequence)}", error)) from error
        return time.perf_counter() - began

    def remove(self, sequences: Sequence[int]) -> None:
        """Delete segments, oldest first, durably."""
        self._guard(f"deleting {segment_path(sequences[-1])}", lambda: self._remove(sequences))

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._mark.close()

    def _guard(self, doing: str, step: Callable[[], T]) -> T:
        if self._broken:
            raise _not_tried(doing)
        try:
            return step()
        except BaseException as error:
            self._broken = True
            raise WriteFailedError(describe_io_error(doing, error)) from error

    def _open(self, sequence: int) -> None:
        self._files[sequence] = self._disk.open(segment_path(sequence), writable=True)

    def _begin_mark(self) -> None:
        self._mark.begin(sync=self._sync)
        self._mark.note(self._number, self._crc)
        if self._sync:
            self._mark.sync()

    def _create(self, sequence: int, size: int) -> None:
        path = segment_path(sequence)
        temporary = path.removesuffix(".wal") + ".tmp"
        file = self._disk.create(temporary, size)
        file.pwrite(0, [encode_segment_header(sequence, self._owner)])
        if self._sync:
            file.sync()
        self._disk.rename(temporary, path)
        if self._sync:
            self._disk.sync_dir(WAL_DIRECTORY)
        self._files[sequence] = file

    def _write(self, sequence: int, offset: int, records: Sequence[bytes], oldest: int) -> None:
        batch, crc = encode_batch(
            records, number=self._number + 1, oldest=oldest, previous=self._crc, owner=self._owner
        )
        file = self._files[sequence]
        file.pwrite(offset, [batch])
        if self._sync:
            file.sync()
        self._number += 1
        self._crc = crc
        self._mark.note(self._number, crc)
        if offset == SECTOR_BYTES:  # the log has moved on: older segments are never written again
            if self._sync:
                self._mark.sync()
            for old in [old for old in self._files if old < sequence]:
                self._files.pop(old).close()

    def _remove(self, sequences: Sequence[int]) -> None:
        for sequence in sequences:
            self._disk.unlink(segment_path(sequence))
        if self._sync:
            self._disk.sync_dir(WAL_DIRECTORY)


def _not_tried(doing: str) -> WriteFailedError:
    return WriteFailedError(f"{doing} was not tried: the log failed before.")
