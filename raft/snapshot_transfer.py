"""The loop's half of writing and receiving a snapshot: bounded slices, bounded queues, nothing that blocks."""

from collections.abc import Callable, Iterator
from typing import Protocol

from raft.disk import File
from raft.offload import Offload
from raft.snapshot_files import PendingSnapshot
from raft.snapshot_format import LENGTH, MAX_CHUNK_BYTES, SnapshotMeta
from raft.storage_errors import StorageError

MAX_OUTSTANDING_WRITES = 4
BLOCK_BYTES = 256 << 10
"""Chunks are handed to the disk in blocks of about this size."""


class Schedule(Protocol):
    """Runs work on a later loop turn."""

    def __call__(self, work: Callable[[], None], delay_s: float = 0.0, /) -> None:
        """Run it, after so many seconds."""


class SnapshotWriter:
    """Draws a state machine's chunks over many loop turns and writes them behind its back.

    Attributes:
        closed: nothing will happen any more.
    """

    def __init__(
        self,
        pending: PendingSnapshot,
        offload: Offload,
        header: bytes,
        chunks: Iterator[bytes],
        *,
        schedule: Schedule,
        budget_s: float,
        rest: float,
        clock: Callable[[], float],
        done: Callable[[SnapshotMeta], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._pending = pending
        self._offload = offload
        self._chunks = chunks
        self._schedule = schedule
        self._budget_s = budget_s
        self._rest = rest
        self._clock = clock
        self._done = done
        self._failed = failed
        self._block = [header]
        self._block_bytes = len(header)
        self._outstanding = 0
        self._paused = False
        self._ended = False  # no more chunks are drawn
        self.closed = False
        offload(pending.begin, self._check)
        schedule(self._turn)

    def cancel(self) -> None:
        """Stop; `done` is not called afterwards. What was written is removed, unless its last chunk was drawn already."""
        self.closed = True
        if self._ended:
            return
        self._ended = True
        self._block.clear()
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
        self._offload(self._pending.discard, self._check)

    def _turn(self) -> None:
        """Draw chunks for the length of the budget, at least one."""
        if self._ended:
            return
        began = self._clock()
        until = began + self._budget_s
        while True:
            chunk = self._draw()
            if chunk is None:
                return
            self._add(chunk)
            if self._outstanding >= MAX_OUTSTANDING_WRITES:
                self._paused = True
                return
            if self._clock() >= until:
                break
        self._schedule(self._turn, (self._clock() - began) * self._rest)

    def _draw(self) -> bytes | None:
        try:
            chunk = next(self._chunks, None)
            _check_size(chunk)
        except BaseException:
            self.cancel()
            raise
        if chunk is None:
            self._ended = True
            self._hand_over()
            self._offload(self._pending.complete, self._completed)
        return chunk

    def _add(self, chunk: bytes) -> None:
        self._block.append(LENGTH.pack(len(chunk)))
        self._block.append(chunk)
        self._block_bytes += len(chunk)
        if self._block_bytes >= BLOCK_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        block, self._block, self._block_bytes = self._block, [], 0
        self._outstanding += 1
        self._offload(lambda: self._pending.write(block), self._written)

    def _written(self, result: BaseException | None) -> None:
        self._outstanding -= 1
        self._check(result)
        if self._paused and not self._ended:
            self._paused = False
            self._schedule(self._turn)

    def _completed(self, result: SnapshotMeta | BaseException) -> None:
        closed, self.closed = self.closed, True
        if not isinstance(result, SnapshotMeta):
            self._failed(result)
        elif not closed:
            self._done(result)

    def _check(self, result: BaseException | None) -> None:
        if result is not None:
            self._ended = self.closed = True
            self._failed(result)


def _check_size(chunk: bytes | None) -> None:
    if chunk is not None and not 0 < len(chunk) <= MAX_CHUNK_BYTES:
        raise ValueError(f"a snapshot's chunk must have 1 to {MAX_CHUNK_BYTES} bytes, not {len(chunk)}")


class SnapshotReceiver:
    """Takes a snapshot's bytes as they come from another node.

    Attributes:
        offset: how many bytes were accepted; the next `write` must begin there.
        closed: nothing will happen any more.
    """

    def __init__(
        self,
        pending: PendingSnapshot,
        offload: Offload,
        size: int,
        *,
        completed: Callable[[SnapshotMeta], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """`size` is the whole snapshot's, in bytes; `failed` hears of errors of the disk."""
        self.offset = 0
        self.closed = False
        self._pending = pending
        self._offload = offload
        self._size = size
        self._completed = completed
        self._failed = failed
        self._outstanding = 0
        self._ended = False
        offload(pending.begin, self._check)

    @property
    def busy(self) -> bool:
        """Whether as many writes wait for the disk as may: write again when one is done."""
        return self._outstanding >= MAX_OUTSTANDING_WRITES

    def write(self, offset: int, data: bytes, done: Callable[[], None]) -> None:
        """Accept the next bytes; `done` is called once they are written, unless `cancel` came first.

        Raises:
            ValueError: not the next bytes, more than announced, too many at a time, or after the end.
        """
        if self._ended or offset != self.offset or offset + len(data) > self._size or self.busy:
            raise ValueError(f"{len(data)} bytes at {offset} do not fit: {self.offset} of {self._size} are here")
        self.offset += len(data)
        self._outstanding += 1
        self._offload(lambda: self._pending.write([data]), lambda result: self._written(result, done))

    def finish(self, sha256: bytes, done: Callable[[SnapshotMeta | StorageError], None]) -> None:
        """Check everything and let the snapshot count; `done` gets it, or why it was refused and removed.

        Raises:
            ValueError: after the end.
        """
        if self._ended:
            raise ValueError("the transfer has ended")
        self._ended = True
        self._offload(lambda: self._pending.commit(sha256), lambda result: self._committed(result, done))

    def cancel(self) -> None:
        """Stop; nothing is called afterwards. What was received is removed, unless `finish` was called already."""
        self.closed = True
        if not self._ended:
            self._ended = True
            self._offload(self._pending.discard, self._check)

    def _written(self, result: BaseException | None, done: Callable[[], None]) -> None:
        self._outstanding -= 1
        self._check(result)
        if result is None and not self.closed:
            done()

    def _committed(
        self, result: SnapshotMeta | BaseException, done: Callable[[SnapshotMeta | StorageError], None]
    ) -> None:
        closed, self.closed = self.closed, True
        if isinstance(result, SnapshotMeta):
            if not closed:
                self._completed(result)
                done(result)
        elif isinstance(result, StorageError):
            self._offload(self._pending.discard, self._check)
            if not closed:
                done(result)
        else:
            self._failed(result)

    def _check(self, result: BaseException | None) -> None:
        if result is not None:
            self._ended = self.closed = True
            self._failed(result)


class SnapshotReader:
    """A snapshot's bytes, for shipping. Stays readable when the snapshot is deleted meanwhile."""

    def __init__(self, file: File, meta: SnapshotMeta) -> None:
        self.meta = meta
        self._file = file

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`. Reads at once, mostly from the system's cache: keep `size` small."""
        return self._file.read(offset, size)

    def close(self) -> None:
        """Release the file."""
        self._file.close()
