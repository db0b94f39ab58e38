"""The log and the snapshots of one group, written by the thread that asks and durable when a call returns.

The files are those of a node with one group and one member: the same formats, torn ends, refusals and order of steps (see
`raft/`). What a node does behind its event loop's back is done here on the spot: `_Inline` stands for the thread.
"""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from raft.datadir import DataDirectory
from raft.journal import FRESH_BASE_INDEX
from raft.peers import Peers
from raft.snapshot_files import PendingSnapshot, find_newest, remove_older
from raft.snapshot_format import LENGTH, SnapshotMeta, encode_header, group_directory, read_chunks, snapshot_path
from raft.storage_errors import CorruptLogError, StorageError, describe_storage_error
from raft.wal import Durability, Wal
from raft.wal_replay import Recovered
from raft.wal_space import Limits
from shard.embedded.trouble import Trouble, TroubleError, without_nodes

T = TypeVar("T")

CLUSTER = "embedded"
NODE = "embedded"
GROUP = 1
TERM = 1


class Restorable(Protocol):
    """What is recovered: a state machine."""

    def restore_from(self, chunks: Iterator[bytes]) -> None:
        """Take the state of a snapshot; raises what reading the chunks raises."""

    def replay(self, index: int, command: bytes) -> None:
        """Apply an entry."""


class EntryLog:
    """Entries from `index + 1` on. Use `open`; one thread calls at a time, except for `write_snapshot`.

    Attributes:
        index: of the last entry.
        snapshot_index: of the last entry in the newest snapshot.
        snapshot_bytes: of that snapshot.
        tail_bytes: of the entries after it.
        is_pinned: the log is over its limit: a snapshot is wanted.
    """

    def __init__(self, directory: DataDirectory, durability: Durability, limits: Limits) -> None:
        self._directory = directory
        self._disk = directory.disk
        self._inline = _Inline()
        self._cluster = CLUSTER.encode()
        self.is_pinned = False
        self.snapshot_index = self.snapshot_bytes = self.tail_bytes = 0
        self.index = FRESH_BASE_INDEX
        self._wal = Wal.open(
            self._disk,
            self._inline,
            identity=f"{CLUSTER}/{directory.identity.incarnation}".encode(),
            durability=durability,
            fatal=_fail,
            on_durable=_nothing,
            on_pinned=self._pinned,
            limits=limits,
        )

    @classmethod
    def open(cls, root: Path, durability: Durability, state: Restorable, limits: Limits) -> "EntryLog":
        """Lock the directory, recover what is in it into `state`, and go on from there.

        Raises:
            TroubleError: LOCKED, DAMAGED or FAILED.
        """
        directory = _claim(root)
        try:
            log = cls(directory, durability, limits)
            if durability is Durability.MEMORY:
                log._begin()
            else:
                Peers(directory.disk, directory.identity.incarnation)
                log._recover(state)
                directory.record_log_begun()
        except (StorageError, OSError) as error:
            directory.close()
            raise _trouble(error, f"opening {root}") from error
        except BaseException:
            directory.close()
            raise
        return log

    @property
    def size_bytes(self) -> int:
        """Disk space of the log."""
        return self._wal.size_bytes

    @property
    def syncs(self) -> int:
        """Batches that were made durable."""
        return self._wal.syncs

    def append(self, command: bytes) -> None:
        """Add an entry; it is durable when this returns.

        Raises:
            TroubleError: the disk failed. Nothing may be called any more but `close`.
        """
        self._wal.append(GROUP, self.index + 1, TERM, command)
        self._sync()
        self.index += 1
        self.tail_bytes += len(command)

    def write_snapshot(self, index: int, chunks: Iterator[bytes]) -> SnapshotMeta:
        """Write the state after the entry `index`; it counts, and is durable, when this returns. Any thread, one at a time.

        Raises:
            TroubleError: the disk failed.
        """
        pending = PendingSnapshot(self._disk, self._cluster, GROUP, index, TERM)
        try:
            pending.begin()
            pending.write([encode_header(self._cluster, GROUP, index, TERM)])
            for chunk in chunks:
                pending.write([LENGTH.pack(len(chunk)), chunk])
            return pending.complete()
        except (StorageError, OSError) as error:
            raise _trouble(error, "writing a snapshot") from error
        except BaseException:
            pending.discard()
            raise

    def compact(self, meta: SnapshotMeta, tail_bytes: int) -> None:
        """Drop the entries that a snapshot holds; those after it have `tail_bytes`.

        Raises:
            TroubleError: the disk failed.
        """
        self._wal.compact(GROUP, meta.index, meta.term)
        self._sync()
        self._remember(meta)
        self.tail_bytes = tail_bytes
        self.is_pinned = False
        try:
            remove_older(self._disk, GROUP, (meta.index, meta.term))
        except OSError as error:
            raise _trouble(error, "deleting a snapshot") from error

    def close(self) -> None:
        """Release the files and the lock."""
        self._wal.close()
        self._inline.run()
        self._directory.close()

    def _begin(self) -> None:
        self._wal.reset(GROUP, FRESH_BASE_INDEX, 0)
        self._sync()

    def _recover(self, state: Restorable) -> None:
        found = self._wal.recovered().get(GROUP)
        if found is None:
            self._begin()
            found = Recovered(base_index=FRESH_BASE_INDEX)
        self._disk.makedirs(group_directory(GROUP))
        meta = find_newest(self._disk, self._cluster, GROUP)
        begins = meta.index if meta else FRESH_BASE_INDEX
        if begins < found.base_index:
            raise CorruptLogError(f"the log begins after entry {found.base_index}, but no snapshot reaches so far")
        self.index = found.last_index
        if meta is not None:
            self._remember(meta)
            state.restore_from(read_chunks(self._disk, snapshot_path(meta.group, meta.index, meta.term), meta))
            if self.index < meta.index:  # what was not synced was lost, the snapshot was synced
                self._wal.reset(GROUP, meta.index, meta.term)
                self._sync()
                self.index = meta.index
        for command, index, _ in found.entries:
            if index > begins:
                state.replay(index, command)
                self.tail_bytes += len(command)

    def _remember(self, meta: SnapshotMeta) -> None:
        self.snapshot_index, self.snapshot_bytes = meta.index, meta.size

    def _sync(self) -> None:
        self._wal.flush()
        self._inline.run()

    def _pinned(self, _: int) -> None:
        self.is_pinned = True


class _Inline:
    """An `Offload` that works when it is told to, in the thread that tells it."""

    def __init__(self) -> None:
        self._jobs: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    def __call__(
        self,
        work: Callable[[], T],
        done: Callable[[T | BaseException], None],
        *,
        brief: bool = False,  # noqa: ARG002 - all of it is done here
    ) -> None:
        self._jobs.append((work, done))

    def run(self) -> None:
        """Do what was handed in, and what follows from it."""
        jobs = self._jobs
        while jobs:
            work, done = jobs.popleft()
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - handed to the caller, as the contract of Offload says
                if error.__cause__ is not None and not isinstance(error.__cause__, Exception):
                    raise error.__cause__ from None  # Ctrl-C is nothing that went wrong with the disk
                result = error
            done(result)


def _claim(root: Path) -> DataDirectory:
    try:
        return DataDirectory.open(root, cluster=CLUSTER, node=NODE)
    except (StorageError, OSError) as error:
        raise _trouble(error, f"opening {root}") from error


def _trouble(error: BaseException, doing: str) -> TroubleError:
    if isinstance(error.__cause__, BlockingIOError):
        return TroubleError(Trouble.LOCKED, str(error))
    kind = Trouble.DAMAGED if isinstance(error, StorageError) else Trouble.FAILED
    return TroubleError(kind, without_nodes(describe_storage_error(doing, error)))


def _fail(message: str) -> None:
    raise TroubleError(Trouble.FAILED, without_nodes(message))


def _nothing(_: int) -> None:
    """Whoever appends knows by the return."""
