"""Reading the write-ahead log at start: what it holds, where it ends, and whether it may be trusted.

The log ends at the first batch that is not whole. If that is a write that a power cut interrupted, it was never
acknowledged and is cut off. Anything else (a bad batch without the marks of an interrupted write, a good batch after a
bad one, a missing segment, another node's file, an end before the watermark) means that the disk lost something it had
promised to keep; then the node must not vote, and this raises.
"""

import re
import struct

import msgspec

from raft.disk import Disk
from raft.storage_errors import REBUILD, CorruptLogError
from raft.wal_format import (
    BATCH_MAGIC,
    SECTOR_BYTES,
    WAL_DIRECTORY,
    BatchHeader,
    body_is_whole,
    check_segment_header,
    decode_header,
    looks_torn,
    records_of,
    segment_path,
)
from raft.wal_live import LiveIndex
from raft.wal_replay import Recovered, Replay
from raft.watermark import Watermark

_NAME = re.compile(r"([0-9a-f]{16})\.(wal|tmp)")


class RecoveredLog(msgspec.Struct, gc=False):
    """The log as it was found and, where needed, mended.

    Attributes:
        groups: what it holds, by group.
        live: which segments are needed.
        sizes: bytes of each segment on disk, ascending by sequence number; the last one is to be continued.
        used: bytes in use in the last segment.
        number: number of the last batch, 0 when there is none.
        crc: checksum that the next batch continues.
    """

    groups: dict[int, Recovered]
    live: LiveIndex
    sizes: dict[int, int]
    used: int
    number: int
    crc: int


def recover(disk: Disk, owner: bytes, mark: Watermark, *, sync: bool) -> RecoveredLog | None:
    """Read the whole log, cut a torn end and make what was read durable.

    Args:
        disk: the node's data directory.
        owner: see `wal_format.fingerprint`.
        mark: how far the log must reach.
        sync: whether this node promises durability; then what was only in the system's cache is synced before it is
            acted upon.

    Returns:
        The log, or None when there is none yet.

    Raises:
        StorageError: it must not be used; the message says why and what to do.
        OSError: the disk failed.
    """
    found = _list_segments(disk)
    if not found and not mark.number:
        return None
    if not found:
        raise CorruptLogError(f"{WAL_DIRECTORY}/ is empty, but {mark.number} batches were durable. {REBUILD}")
    first = _first_of_run(found)
    scan = _Scan(disk, owner, first, mark)
    for sequence in range(first, found[-1] + 1):
        scan.read_segment(sequence)
    scan.check_nothing_missing(found)
    scan.check_reaches_mark()
    scan.mend(sync=sync)
    _remove_leftovers(disk, [sequence for sequence in found if sequence < scan.oldest])
    return scan.result()


def _list_segments(disk: Disk) -> list[int]:
    """Sequence numbers, ascending. A segment that was being created when the process ended is removed."""
    sequences = []
    for name in disk.listdir(WAL_DIRECTORY):
        match = _NAME.fullmatch(name)
        if match is None:
            raise CorruptLogError(f"{WAL_DIRECTORY}/{name} does not belong here: move it away and start again.")
        if match[2] == "tmp":
            disk.unlink(f"{WAL_DIRECTORY}/{name}")
        else:
            sequences.append(int(match[1], 16))
    return sequences


def _first_of_run(found: list[int]) -> int:
    """Where the unbroken run of segments that ends with the newest one begins."""
    first = found[-1]
    for sequence in reversed(found[:-1]):
        if sequence != first - 1:
            break
        first = sequence
    return first


def _remove_leftovers(disk: Disk, sequences: list[int]) -> None:
    """Finish a deletion that the end of the process interrupted."""
    for sequence in sequences:
        disk.unlink(segment_path(sequence))
    disk.sync_dir(WAL_DIRECTORY)


class _Scan:
    """Goes through the segments in order, batch by batch."""

    def __init__(self, disk: Disk, owner: bytes, first: int, mark: Watermark) -> None:
        self.oldest = first
        self._mark = mark
        self._disk = disk
        self._owner = owner
        self._first = first
        self._replay = Replay()
        self._live = LiveIndex(first)
        self._sizes: dict[int, int] = {}
        self._used = SECTOR_BYTES
        self._number = 0
        self._crc = 0
        self._last_batch: tuple[int, int, int] | None = None  # segment, offset, size
        self._torn: tuple[int, int] | None = None  # segment, offset

    def read_segment(self, sequence: int) -> None:
        """Take the next segment."""
        path = segment_path(sequence)
        file = self._disk.open(path)
        try:
            data = file.read(0, file.size())
        finally:
            file.close()
        check_segment_header(data[:SECTOR_BYTES], path, sequence, self._owner)
        self._sizes[sequence] = len(data)
        position = SECTOR_BYTES
        while (header := self._next(data, position)) is not None:
            self._take(sequence, data, position, header)
            position += header.size
        self._used = position
        if data[position:] != bytes(len(data) - position):
            self._judge(sequence, data, position)

    def check_nothing_missing(self, found: list[int]) -> None:
        """Refuse when a segment that the last batch still needed is not there."""
        complete = self.oldest >= self._first if self._number else self._first == 1
        if not complete:
            raise CorruptLogError(
                f"{segment_path(self._first - 1)} is missing (found {len(found)} segments). {REBUILD}"
            )

    def check_reaches_mark(self) -> None:
        """Refuse when a batch that was durable is not there: its segment is gone, or went back to an older copy."""
        if self._number < self._mark.number:
            raise CorruptLogError(
                f"{segment_path(max(self._sizes))}: the log ends with batch {self._number}, but batch "
                f"{self._mark.number} was durable: the newest segment is missing, cut or an older copy. {REBUILD}"
            )

    def mend(self, *, sync: bool) -> None:
        """Cut the torn end, durably, and make sure that what was read is on the disk and not only in memory.

        The last batch is written again: after a failed sync the system may call pages clean that never reached the disk.
        """
        if self._torn is not None:
            sequence, position = self._torn
            file = self._disk.open(segment_path(sequence), writable=True)
            file.truncate(position)
            file.close()
            self._sizes[sequence] = position
        if not sync:
            return
        for sequence in self._sizes:
            file = self._disk.open(segment_path(sequence), writable=True)
            if self._last_batch is not None and self._last_batch[0] == sequence:
                _, position, size = self._last_batch
                file.pwrite(position, [file.read(position, size)])
            file.sync()
            file.close()

    def result(self) -> RecoveredLog:
        """What was read, as of the last good batch."""
        try:
            groups = self._replay.finish()
        except ValueError as error:
            raise CorruptLogError(f"{WAL_DIRECTORY}/: {error}. {REBUILD}") from error
        sizes = {sequence: size for sequence, size in self._sizes.items() if sequence >= self.oldest}
        return RecoveredLog(groups, self._live, sizes, self._used, self._number, self._crc)

    def _next(self, data: bytes, position: int) -> BatchHeader | None:
        """The batch at `position` if it is whole and the one that must come next."""
        header = decode_header(data, position, self._owner)
        if header is None or self._torn is not None or not body_is_whole(data, position, header):
            return None
        joins_in_the_middle = self._number == 0 and self._first > 1
        follows = header.number == self._number + 1 and header.previous == self._crc
        return header if follows or joins_in_the_middle else None

    def _take(self, sequence: int, data: bytes, position: int, header: BatchHeader) -> None:
        try:
            for record in records_of(data, position, header):
                self._replay.apply(record)
                self._live.note(sequence, record.kind, record.group, record.index)
        except (ValueError, struct.error) as error:
            raise _corrupt(sequence, position, f"its records make no sense: {error}") from error
        if header.number == self._mark.number and header.crc != self._mark.crc:
            raise _corrupt(sequence, position, f"it is another batch {header.number} than the one that was durable")
        self._number, self._crc, self.oldest = header.number, header.crc, header.oldest
        self._last_batch = (sequence, position, header.size)

    def _judge(self, sequence: int, data: bytes, position: int) -> None:
        """Something that is not a good next batch is at `position`: cut it later, or refuse now."""
        if self._torn is not None:
            raise _corrupt(*self._torn, f"it is bad, and {segment_path(sequence)} goes on after it")
        header = decode_header(data, position, self._owner)
        if header is not None and (header.number != self._number + 1 or header.previous != self._crc):
            raise _corrupt(sequence, position, f"it is number {header.number}, expected {self._number + 1}")
        if header is not None and any(data[position + header.size :]):
            raise _corrupt(sequence, position, "it is bad, and the log goes on after it")
        later = self._good_header_after(data, position)
        if later is not None:
            raise _corrupt(sequence, position, f"it is bad, but a later one at offset {later} is good")
        if not looks_torn(data, position, header):
            raise _corrupt(sequence, position, "its checksum is wrong, and it was not cut short by a power cut")
        self._torn = (sequence, position)

    def _good_header_after(self, data: bytes, position: int) -> int | None:
        at = data.find(BATCH_MAGIC, position + 1)
        while at >= 0:
            header = decode_header(data, at, self._owner) if at % SECTOR_BYTES == 0 else None
            if header is not None and header.number > self._number:
                return at
            at = data.find(BATCH_MAGIC, at + 1)
        return None


def _corrupt(sequence: int, position: int, why: str) -> CorruptLogError:
    return CorruptLogError(f"{segment_path(sequence)}, batch at offset {position}: {why}. {REBUILD}")
