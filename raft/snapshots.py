"""The snapshots of all groups of a node: found at start, written and received in the background, read, deleted.

A group's newest snapshot is the only one that counts. When it is damaged the node does not fall back to an older one:
the log between the two is gone, and a replica that silently went back could lose acknowledged writes.
"""

from collections.abc import Callable, Iterator
from functools import partial

from raft.disk import Disk, Fatal
from raft.offload import Offload
from raft.snapshot_files import PendingSnapshot, find_newest, remove_older
from raft.snapshot_format import SNAPSHOT_DIRECTORY, SnapshotMeta, encode_header, read_chunks, snapshot_path
from raft.snapshot_transfer import Schedule, SnapshotReader, SnapshotReceiver, SnapshotWriter
from raft.storage_errors import CorruptSnapshotError, describe_storage_error


class SnapshotStore:
    """Every method belongs to the loop's thread. Give it an offload of its own: checking a file holds it for long."""

    def __init__(self, disk: Disk, offload: Offload, *, cluster: bytes, fatal: Fatal) -> None:
        """Look at what is there. Blocks.

        Args:
            disk: the node's data directory.
            offload: runs what blocks.
            cluster: identity that all nodes share, as snapshots travel between them.
            fatal: called when the disk fails.

        Raises:
            StorageError: a newest snapshot is damaged, of another cluster or of an unknown version.
            OSError: the disk failed.
        """
        self._disk = disk
        self._offload = offload
        self._cluster = cluster
        self._fatal = fatal
        self._latest: dict[int, SnapshotMeta] = {}
        self._active: dict[tuple[int, int, int], SnapshotWriter | SnapshotReceiver] = {}
        disk.makedirs(SNAPSHOT_DIRECTORY)
        for name in disk.listdir(SNAPSHOT_DIRECTORY):
            if not name.isdecimal():
                raise CorruptSnapshotError(
                    f"{SNAPSHOT_DIRECTORY}/{name} does not belong here: move it away and start again."
                )
            meta = find_newest(disk, cluster, int(name))
            if meta is not None:
                self._latest[meta.group] = meta

    def groups(self) -> list[int]:
        """The groups that have a snapshot."""
        return sorted(self._latest)

    def latest(self, group: int) -> SnapshotMeta | None:
        """The group's newest complete snapshot."""
        return self._latest.get(group)

    @property
    def is_writing(self) -> bool:
        """Whether a snapshot of some group is being taken."""
        return any(isinstance(one, SnapshotWriter) and not one.closed for one in self._active.values())

    def write(
        self,
        group: int,
        index: int,
        term: int,
        chunks: Iterator[bytes],
        *,
        schedule: Schedule,
        budget_s: float,
        rest: float = 0.0,
        clock: Callable[[], float],
        done: Callable[[SnapshotMeta], None],
    ) -> SnapshotWriter:
        """Write a snapshot in the background.

        Args:
            group: whose state it is.
            index: the last entry in it.
            term: that entry's term.
            chunks: the state; drawn on the loop, closed on cancel.
            schedule: runs its argument on a later loop turn.
            budget_s: how long chunks are drawn per loop turn, in seconds; at least one is.
            rest: times as long as that took until more are drawn.
            clock: monotonic seconds.
            done: called on the loop once the snapshot counts.

        Raises:
            ValueError: it is not newer than the newest, or is being written or received already.
        """
        key = self._claim(group, index, term)
        writer = SnapshotWriter(
            PendingSnapshot(self._disk, self._cluster, *key),
            self._offload,
            encode_header(self._cluster, *key),
            chunks,
            schedule=schedule,
            budget_s=budget_s,
            rest=rest,
            clock=clock,
            done=partial(self._complete, done),
            failed=partial(self._fail, f"writing {snapshot_path(*key)}"),
        )
        self._active[key] = writer
        return writer

    def receiver(self, group: int, index: int, term: int, size: int) -> SnapshotReceiver:
        """Begin to receive a snapshot of `size` bytes from another node.

        Raises:
            ValueError: it is not newer than the newest, or is being written or received already.
        """
        key = self._claim(group, index, term)
        receiver = SnapshotReceiver(
            PendingSnapshot(self._disk, self._cluster, *key),
            self._offload,
            size,
            completed=self._remember,
            failed=partial(self._fail, f"receiving {snapshot_path(*key)}"),
        )
        self._active[key] = receiver
        return receiver

    def read(self, meta: SnapshotMeta) -> Iterator[bytes]:
        """The state machine's chunks. They may be *used* only when the iterator has ended: the hash is checked last.

        Raises:
            CorruptSnapshotError: it is damaged.
            OSError: the disk failed.
        """
        return read_chunks(self._disk, snapshot_path(meta.group, meta.index, meta.term), meta)

    def reader(self, meta: SnapshotMeta) -> SnapshotReader:
        """The file's bytes, for shipping.

        Raises:
            OSError: it is gone, or the disk failed.
        """
        return SnapshotReader(self._disk.open(snapshot_path(meta.group, meta.index, meta.term)), meta)

    def prune(self, group: int) -> None:
        """Delete all but the newest snapshot of the group, in the background."""
        latest = self._latest.get(group)
        if latest is not None:
            keep = (latest.index, latest.term)
            self._offload(lambda: remove_older(self._disk, group, keep), self._pruned)

    def drop(self, group: int) -> None:
        """Delete all snapshots of the group, in the background, and stop those under way."""
        for key, transfer in self._active.items():
            if key[0] == group:
                transfer.cancel()
        self._latest.pop(group, None)
        self._offload(lambda: remove_older(self._disk, group, None), self._pruned)

    def _claim(self, group: int, index: int, term: int) -> tuple[int, int, int]:
        key = (group, index, term)
        latest = self._latest.get(group)
        if latest is not None and (index, term) <= (latest.index, latest.term):
            raise ValueError(f"group {group}: a snapshot of {index} is not newer than that of {latest.index}")
        self._active = {key: transfer for key, transfer in self._active.items() if not transfer.closed}
        if key in self._active:
            raise ValueError(f"group {group}: a snapshot of {index} is under way already")
        return key

    def _complete(self, done: Callable[[SnapshotMeta], None], meta: SnapshotMeta) -> None:
        self._remember(meta)
        done(meta)

    def _remember(self, meta: SnapshotMeta) -> None:
        latest = self._latest.get(meta.group)
        if latest is None or (meta.index, meta.term) > (latest.index, latest.term):
            self._latest[meta.group] = meta

    def _pruned(self, result: BaseException | None) -> None:
        if result is not None:
            self._fail(f"deleting from {SNAPSHOT_DIRECTORY}", result)

    def _fail(self, doing: str, error: BaseException) -> None:
        self._fatal(describe_storage_error(doing, error))
