"""The blocking half of snapshots: a file that grows under a temporary name until it is whole and checked.

Runs in the offload's thread. A snapshot counts only once it is synced, read back, renamed and the directory synced; a
crash at any point leaves a temporary file, removed at the next start, or the complete snapshot.
"""

import hashlib
from collections.abc import Sequence

from raft.disk import Disk, File
from raft.snapshot_format import (
    SnapshotMeta,
    corrupt,
    encode_end,
    group_directory,
    inspect,
    parse_name,
    read_chunks,
    snapshot_path,
)

TEMPORARY = ".tmp"
SYNC_EVERY_BYTES = 1 << 20
"""Less is never left for one sync: the log's own waits for what the file system has to write before it."""


class PendingSnapshot:
    """One snapshot being written or received. Every method blocks."""

    def __init__(self, disk: Disk, cluster: bytes, group: int, index: int, term: int) -> None:
        self._disk = disk
        self._cluster = cluster
        self._of = (group, index, term)
        self._path = snapshot_path(group, index, term)
        self._temporary = self._path + TEMPORARY
        self._file: File | None = None
        self._size = 0
        self._synced = 0
        self._hasher = hashlib.sha256()

    def begin(self) -> None:
        """Create the temporary file."""
        self._disk.makedirs(group_directory(self._of[0]))
        self._file = self._disk.create(self._temporary)

    def write(self, buffers: Sequence[bytes]) -> None:
        """Add bytes of the finished form."""
        block = b"".join(buffers)
        self._open_file().pwrite(self._size, [block])
        self._size += len(block)
        self._hasher.update(block)
        if self._size - self._synced >= SYNC_EVERY_BYTES:
            self._synced = self._size
            self._open_file().sync()

    def complete(self) -> SnapshotMeta:
        """Add the end to what was written here, and `commit`."""
        self.write([encode_end(self._size)])
        digest = self._hasher.digest()
        self.write([digest])
        return self.commit(digest)

    def commit(self, sha256: bytes) -> SnapshotMeta:
        """Check the file from its first byte to its last, and let it count.

        Raises:
            StorageError: it is not what `sha256` announced. The temporary file stays until `discard`.
        """
        file = self._open_file()
        file.sync()
        meta = inspect(file, self._temporary, self._cluster, self._of)
        if meta.sha256 != sha256:
            raise corrupt(self._temporary, "its hash is not the announced one")
        for _ in read_chunks(self._disk, self._temporary, meta):
            pass
        self._disk.rename(self._temporary, self._path)
        self._disk.sync_dir(group_directory(self._of[0]))
        file.close()
        self._file = None
        return meta

    def discard(self) -> None:
        """Forget it, unless it counts already."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._disk.unlink(self._temporary)

    def _open_file(self) -> File:
        if self._file is None:
            raise ValueError(f"{self._temporary} is not open")
        return self._file


def find_newest(disk: Disk, cluster: bytes, group: int) -> SnapshotMeta | None:
    """The group's newest snapshot, its header and trailer checked. Temporary files are removed.

    Raises:
        StorageError: it is damaged. An older one never takes its place: the log behind that one is gone.
    """
    newest = None
    for name in disk.listdir(group_directory(group)):
        path = f"{group_directory(group)}/{name}"
        if name.endswith(TEMPORARY):
            disk.unlink(path)
            continue
        found = parse_name(name)
        if found is None:
            raise corrupt(path, "this file does not belong here")
        newest = max(newest, found) if newest else found
    if newest is None:
        return None
    path = snapshot_path(group, *newest)
    file = disk.open(path)
    try:
        return inspect(file, path, cluster, (group, *newest))
    finally:
        file.close()


def remove_older(disk: Disk, group: int, keep: tuple[int, int] | None) -> None:
    """Delete the group's snapshots that are older than `keep` (index, term); None deletes all."""
    directory = group_directory(group)
    if not disk.exists(directory):
        return
    names = [(name, parse_name(name)) for name in disk.listdir(directory)]
    unneeded = [name for name, found in names if found is not None and (keep is None or found < keep)]
    for name in unneeded:
        disk.unlink(f"{directory}/{name}")
    if unneeded:
        disk.sync_dir(directory)
