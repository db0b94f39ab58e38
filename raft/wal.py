"""One write-ahead log for all Raft groups of a node.

Records of all groups gather while the previous batch is being written and synced; then they become the next batch. So the busier the node, the more each `fdatasync` carries, and nobody waits for a timer. Every record
has a log sequence number (lsn); once `durable` has reached it, the record survives a power cut, and only then may
anything that depends on it leave the node.

The log keeps no entries in memory. Space is freed by deleting whole segments, oldest first, as soon as no group needs
them; a group that needs the oldest one for too long is reported and must `compact` or `rewrite` itself forward.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Self

from raft.disk import Disk, Fatal
from raft.figures import LogFigures
from raft.offload import Offload
from raft.storage_errors import DataDirectoryError, describe_io_error
from raft.wal_format import RECORD, SECTOR_BYTES, WAL_DIRECTORY, Kind, batch_size, fingerprint
from raft.wal_heads import Head, Heads
from raft.wal_live import LiveIndex
from raft.wal_recovery import RecoveredLog, recover
from raft.wal_replay import Recovered
from raft.wal_space import DEFAULT_LIMITS, Limits, NewSegment, SegmentSpace
from raft.wal_writer import SegmentWriter, WriteFailedError
from raft.watermark import Watermark


class Durability(enum.StrEnum):
    """What `durable` means."""

    FSYNC = "fsync"  # survives a power cut
    OS = "os"  # written, not synced: survives a crash of the process; after a power cut the node may refuse to start
    MEMORY = (
        "memory"  # nothing is written at all: after a restart the node has forgotten everything, its votes included
    )


class Wal:
    """The log. Every method belongs to the event-loop thread and returns at once, except `open`.

    Attributes:
        written: lsn of the last record handed in.
        durable: every record up to this lsn is durable, as `Durability` says.
        syncs: batches made durable since the log was opened.
        figures: what was written since.
        waiting_bytes: bytes that gather for the next batch; callers slow down by it.
    """

    def __init__(
        self,
        offload: Offload,
        writer: SegmentWriter | None,
        log: RecoveredLog,
        limits: Limits,
        *,
        fatal: Fatal,
        on_durable: Callable[[int], None],
        on_pinned: Callable[[int], None],
    ) -> None:
        """Use `open`. Without a `writer` nothing is written."""
        self.written = 0
        self.durable = 0
        self.syncs = 0
        self.figures = LogFigures()
        self.waiting_bytes = 0
        self._offload = offload
        self._writer = writer
        self._space = SegmentSpace(limits, log.live, log.sizes, log.used)
        self._recovered = log.groups
        self._heads = Heads(log.groups)
        self._max_waiting_bytes = limits.waiting_bytes
        self._fatal = fatal
        self._on_durable = on_durable
        self._on_pinned = on_pinned
        self._buffers: list[bytes] = []
        self._notes: list[tuple[Kind, int, int]] = []
        self._running = False
        self._closed = False

    @classmethod
    def open(
        cls,
        disk: Disk,
        offload: Offload,
        *,
        identity: bytes,
        durability: Durability,
        fatal: Fatal,
        on_durable: Callable[[int], None],
        on_pinned: Callable[[int], None],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Self:
        """Recover the log of this node, or begin it. Blocks.

        Args:
            disk: the node's data directory.
            offload: runs the writing.
            identity: cluster and node; a log of another identity is refused.
            durability: what is promised.
            fatal: called when the disk fails; nothing is written afterwards.
            on_durable: called with the new `durable`, on the loop.
            on_pinned: called with a group that keeps the log over its limits; answer with `compact` or `rewrite`.
            limits: sizes.

        Raises:
            StorageError: the log must not be used.
            OSError, WriteFailedError: the disk failed, and `fatal` returned.
        """
        try:
            writer, log = _open_segments(disk, identity, durability, limits.segment_bytes)
        except OSError as error:
            fatal(describe_io_error("reading the write-ahead log", error))
            raise
        except WriteFailedError as error:
            fatal(str(error))
            raise
        return cls(offload, writer, log, limits, fatal=fatal, on_durable=on_durable, on_pinned=on_pinned)

    @property
    def size_bytes(self) -> int:
        """Disk space of all segments."""
        return self._space.size_bytes if self._writer else 0

    @property
    def segments(self) -> int:
        """Number of segments."""
        return self._space.segments if self._writer else 0

    def recovered(self) -> dict[int, Recovered]:
        """What the log held when it was opened, by group. Handed over once; afterwards it is empty."""
        groups, self._recovered = self._recovered, {}
        return groups

    def append(self, group: int, index: int, term: int, command: bytes) -> int:
        """Add an entry; those from `index` on, if any, are replaced.

        Returns:
            The record's lsn; so do all that follow.

        Raises:
            ValueError: `index` leaves a gap, or is compacted already.
        """
        self._heads.append(group, index)
        return self._gather(Kind.APPEND, group, index, term, command)

    def truncate(self, group: int, from_index: int) -> int:
        """Drop the entries from `from_index` on.

        Raises:
            ValueError: they are compacted already.
        """
        if not self._heads.truncate(group, from_index):
            return self.written
        return self._gather(Kind.TRUNCATE, group, from_index, 0, b"")

    def hard_state(self, group: int, term: int, voted_for: str) -> int:
        """Record the current term and the vote in it, "" for none.

        Raises:
            ValueError: the term goes back.
        """
        self._heads.hard_state(group, term, voted_for)
        return self._gather(Kind.HARD_STATE, group, 0, term, voted_for.encode())

    def compact(self, group: int, index: int, term: int) -> int:
        """Entries up to `index`, whose term is `term`, are in a durable snapshot; keep those after it.

        Raises:
            ValueError: `index` goes back, or is not in the log.
        """
        head = self._heads.compact(group, index)
        self._gather(Kind.COMPACT, group, index, term, b"")
        return self._repeat_hard_state(group, head)

    def reset(self, group: int, index: int, term: int) -> int:
        """A snapshot up to `index` was installed: drop all entries; the next one follows it. Term and vote stay."""
        head = self._heads.reset(group, index)
        self._gather(Kind.RESET, group, index, term, b"")
        return self._repeat_hard_state(group, head)

    def rewrite(self, group: int, base_index: int, base_term: int, entries: Sequence[tuple[bytes, int, int]]) -> int:
        """Write a quiet group's state forward, in one batch, so that it needs no old segment any more.

        Args:
            group: the group.
            base_index: see `Recovered`.
            base_term: see `Recovered`.
            entries: all live entries: (command, index, term), from `base_index + 1` on.

        Raises:
            ValueError: these are not the group's live entries; nothing was written.
        """
        self._heads.check_rewrite(group, base_index, [index for _, index, _ in entries])
        self.reset(group, base_index, base_term)
        for command, index, term in entries:
            self.append(group, index, term, command)
        return self.written

    def drop(self, group: int) -> int:
        """Forget the group."""
        self._heads.drop(group)
        return self._gather(Kind.DROP, group, 0, 0, b"")

    def flush(self) -> None:
        """Start writing what gathered, unless a batch is on its way: then it follows by itself.

        Call it at the end of a loop turn.
        """
        if self._running or not self._notes or self._closed:
            return
        self._running = True
        records, notes, lsn = self._buffers, self._notes, self.written
        size = batch_size(self.waiting_bytes)
        self._buffers, self._notes, self.waiting_bytes = [], [], 0
        writer = self._writer
        if writer is None:
            self._offload(_nothing, lambda result: self._flushed(result, lsn, 0), brief=True)
            return
        place = self._space.place(size)
        if place.create is not None:
            self._create(writer, place.create)
        note = self._space.live.note
        for kind, group, index in notes:
            note(place.sequence, kind, group, index)
        oldest = self._space.oldest_needed()
        self.figures.records += len(notes)
        self.figures.bytes += size
        self._offload(
            lambda: writer.write(place.sequence, place.offset, records, oldest),
            lambda result: self._flushed(result, lsn, oldest),
            brief=True,
        )

    def close(self) -> None:
        """Write nothing more and release the files, after what is on its way.

        What still gathers is lost: `flush`, and wait for `durable`, first.
        """
        self._closed = True
        if self._writer is not None:
            self._offload(self._writer.close, self._check)

    def _gather(self, kind: Kind, group: int, index: int, term: int, payload: bytes) -> int:
        size = len(payload)
        self._buffers.append(RECORD.pack(kind, group, index, term, size))
        self._buffers.append(payload)
        self._notes.append((kind, group, index))
        self.waiting_bytes += RECORD.size + size
        if self.waiting_bytes > self._max_waiting_bytes:
            self._fail(f"More than {self._max_waiting_bytes} bytes wait for the write-ahead log: does the disk hang?")
        self.written += 1
        return self.written

    def _repeat_hard_state(self, group: int, head: Head) -> int:
        return self._gather(Kind.HARD_STATE, group, 0, head.term, head.voted_for.encode())

    def _create(self, writer: SegmentWriter, new: NewSegment) -> None:
        self._offload(lambda: writer.create(new.sequence, new.size), self._check)

    def _flushed(self, result: float | BaseException, lsn: int, oldest: int) -> None:
        """A batch is durable: start the next, tell the owner, then see to the segments."""
        self._running = False
        if isinstance(result, BaseException):
            self._check(result)
            return
        self.figures.sync.observe(result)
        self.durable = lsn
        self.syncs += 1
        if self._notes:
            self.flush()
        self._on_durable(lsn)
        if self._writer is not None and not self._closed and not self._space.is_settled(oldest):
            self._tend_segments(self._writer, oldest)

    def _tend_segments(self, writer: SegmentWriter, oldest: int) -> None:
        unneeded = self._space.release(oldest)
        if unneeded:
            self._offload(lambda: writer.remove(unneeded), self._check)
        new = self._space.spare()
        if new is not None:
            self._create(writer, new)
        for group in self._space.pinned():
            self._on_pinned(group)

    def _check(self, result: BaseException | None) -> None:
        if result is not None:
            known = isinstance(result, WriteFailedError)
            self._fail(str(result) if known else describe_io_error("writing the write-ahead log", result))

    def _fail(self, message: str) -> None:
        if not self._closed:
            self._closed = True
            self._fatal(message)


def _nothing() -> float:
    """Stands for the writing when nothing is written."""
    return 0.0


def _open_segments(
    disk: Disk, identity: bytes, durability: Durability, segment_bytes: int
) -> tuple[SegmentWriter | None, RecoveredLog]:
    new = RecoveredLog({}, LiveIndex(1), {1: segment_bytes}, SECTOR_BYTES, 0, 0)
    if durability is Durability.MEMORY:
        _refuse_to_forget(disk)
        return None, new
    owner = fingerprint(identity)
    sync = durability is Durability.FSYNC
    disk.makedirs(WAL_DIRECTORY)
    mark = Watermark(disk, owner)
    log = recover(disk, owner, mark, sync=sync)
    found = log or new
    writer = SegmentWriter(disk, owner, mark, sync=sync, number=found.number, crc=found.crc)
    writer.mark()
    if log is None:
        writer.create(1, segment_bytes)
    else:
        writer.open(max(found.sizes))
    return writer, found


def _refuse_to_forget(disk: Disk) -> None:
    if disk.exists(WAL_DIRECTORY) and disk.listdir(WAL_DIRECTORY):
        raise DataDirectoryError(
            f"{WAL_DIRECTORY}/ holds a write-ahead log, which durability 'memory' would ignore: "
            "start with another durability, or with an empty data directory."
        )
