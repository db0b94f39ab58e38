"""A disk in memory that loses power: `raft.disk.Disk` for the simulator and for the tests of raft's storage.

What a process sees is the cached view. What survives a power cut is the durable view plus, per file, a random prefix of
the operations since its last sync, the next one perhaps torn at a random byte or at random sectors; per directory, a
random prefix of the creations, renames and unlinkings since its last `sync_dir`. Deterministic for a given `Random`.
"""

import errno
import os
from collections.abc import Sequence
from random import Random

SECTOR_BYTES = 512


class DeadProcessError(Exception):
    """The process ends here, or has ended already and uses a file that it had open."""


class _Inode:
    """One file's content: as cached, as durable, and the operations between the two: (offset, data) or (size, None)."""

    __slots__ = ("cached", "durable", "pending")

    def __init__(self, size: int) -> None:
        self.cached = bytearray(size)
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes | None]] = [(size, None)] if size else []

    def change(self, position: int, data: bytes | None) -> None:
        _apply(self.cached, position, data)
        self.pending.append((position, data))

    def sync(self) -> None:
        for position, data in self.pending:
            _apply(self.durable, position, data)
        self.pending.clear()

    def power_cut(self, rng: Random) -> None:
        keep = rng.randint(0, len(self.pending))
        for position, data in self.pending[:keep]:
            _apply(self.durable, position, data)
        if keep < len(self.pending):
            position, data = self.pending[keep]
            if data is not None:
                _tear(self.durable, position, data, rng)
        self.cached = bytearray(self.durable)
        self.pending = []


def _apply(content: bytearray, position: int, data: bytes | None) -> None:
    if data is None:
        del content[position:]
        content.extend(bytes(position - len(content)))
        return
    if len(content) < position:
        content.extend(bytes(position - len(content)))
    content[position : position + len(data)] = data


def _tear(content: bytearray, position: int, data: bytes, rng: Random) -> None:
    """Let a part of a write reach the disk: nothing, a prefix, or any of its sectors."""
    how = rng.randrange(3)
    if how == 1:
        _apply(content, position, data[: rng.randint(0, len(data))])
    elif how == 2:
        for begin in range(position // SECTOR_BYTES * SECTOR_BYTES, position + len(data), SECTOR_BYTES):
            if rng.random() < 0.5:
                start, end = max(begin, position), min(begin + SECTOR_BYTES, position + len(data))
                _apply(content, start, data[start - position : end - position])


class SimFile:
    """An open file; dead once its process is."""

    def __init__(self, disk: "SimDisk", inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._generation = disk.generation

    def pwrite(self, offset: int, buffers: Sequence[bytes]) -> None:
        self._enter("write")
        data = b"".join(buffers)
        if self._disk.capacity_bytes is not None:
            self._disk.charge(offset + len(data) - len(self._inode.cached))
        self._inode.change(offset, data)

    def read(self, offset: int, size: int) -> bytes:
        self._enter("read")
        return bytes(self._inode.cached[offset : offset + size])

    def size(self) -> int:
        return len(self._inode.cached)

    def truncate(self, size: int) -> None:
        self._enter("truncate")
        self._inode.change(size, None)

    def sync(self) -> None:
        try:
            self._enter("sync")
        except OSError:
            self._inode.pending.clear()  # as Linux does: the pages count as clean although they never reached the disk
            raise
        self._inode.sync()

    def close(self) -> None:
        """Harmless, even when dead."""

    def _enter(self, operation: str) -> None:
        disk = self._disk
        if self._generation != disk.generation:
            raise DeadProcessError
        disk.count(operation)


class SimDisk:
    """One node's data directory. Give every incarnation of the node the same SimDisk.

    Attributes:
        generation: grows with every crash; files opened before are dead.
        capacity_bytes: writes and reservations beyond it fail with ENOSPC; None: no limit.
        operations: how often each operation was used: write, read, truncate, sync, create, rename, unlink, sync_dir.
    """

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.generation = 0
        self.capacity_bytes = capacity_bytes
        self.operations: dict[str, int] = {}
        self._faults: dict[tuple[str, int], int | None] = {}  # None: the process dies
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._pending_names: dict[str, list[dict[str, _Inode | None]]] = {}  # directory -> changes, in order
        self._directories: set[str] = {""}

    def makedirs(self, path: str) -> None:
        parts = path.split("/")
        self._directories.update("/".join(parts[: end + 1]) for end in range(len(parts)))

    def listdir(self, path: str) -> list[str]:
        if path not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        names = {name.rpartition("/")[2] for name in self._names if name.rpartition("/")[0] == path}
        names |= {name.rpartition("/")[2] for name in self._directories if name and name.rpartition("/")[0] == path}
        return sorted(names)

    def exists(self, path: str) -> bool:
        return path in self._names or path in self._directories

    def create(self, path: str, size: int = 0) -> SimFile:
        self.count("create")
        if path.rpartition("/")[0] not in self._directories:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if path in self._names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.charge(size)
        inode = _Inode(size)
        self._change_names(path, {path: inode})
        return SimFile(self, inode)

    def open(self, path: str, *, writable: bool = False) -> SimFile:  # noqa: ARG002 - part of the protocol
        return SimFile(self, self._inode(path))

    def rename(self, source: str, target: str) -> None:
        self.count("rename")
        self._change_names(source, {source: None, target: self._inode(source)})

    def unlink(self, path: str) -> None:
        self.count("unlink")
        self._inode(path)
        self._change_names(path, {path: None})

    def sync_dir(self, path: str) -> None:
        self.count("sync_dir")
        for change in self._pending_names.pop(path, []):
            _rename(self._durable_names, change)

    def crash(self) -> None:
        """The process dies; the system lives on, so nothing that was written is lost."""
        self.generation += 1

    def power_cut(self, rng: Random) -> None:
        """The machine loses power."""
        self.generation += 1
        for directory in sorted(self._pending_names):
            changes = self._pending_names[directory]
            for change in changes[: rng.randint(0, len(changes))]:
                _rename(self._durable_names, change)
        self._pending_names.clear()
        self._names = dict(self._durable_names)
        for path in sorted(self._names):
            self._names[path].power_cut(rng)

    def fail(self, operation: str, nth: int, error: int) -> None:
        """Let the `nth` use of an operation from now on (1 is the next) fail with an error number."""
        self._faults[operation, self.operations.get(operation, 0) + nth] = error

    def die(self, operation: str, nth: int) -> None:
        """Let the process end just before the `nth` use of an operation from now on; a `crash` or `power_cut` must follow."""
        self._faults[operation, self.operations.get(operation, 0) + nth] = None

    def clear_faults(self) -> None:
        """Forget the failures that were asked for and did not happen yet."""
        self._faults.clear()

    def corrupt(self, path: str, offset: int, mask: int) -> None:
        """Flip the bits of `mask` in one byte, behind everybody's back."""
        inode = self._inode(path)
        inode.cached[offset] ^= mask
        if offset < len(inode.durable):
            inode.durable[offset] ^= mask

    def content(self, path: str) -> bytes:
        """What a process would read."""
        return bytes(self._inode(path).cached)

    def replace(self, path: str, content: bytes) -> None:
        """Put content into a new or existing file, durably, behind everybody's back."""
        inode = _Inode(0)
        inode.change(0, content)
        inode.sync()
        self._names[path] = self._durable_names[path] = inode

    def remove(self, path: str) -> None:
        """Remove a file, durably, behind everybody's back."""
        self._names.pop(path)
        self._durable_names.pop(path, None)

    def copy(self) -> "SimDisk":
        """Another disk with the same content, all of it durable."""
        other = SimDisk(self.capacity_bytes)
        other._directories = set(self._directories)
        for path, inode in self._names.items():
            other.replace(path, bytes(inode.cached))
        return other

    def used_bytes(self) -> int:
        """Bytes of all files that have a name."""
        return sum(len(inode.cached) for inode in self._names.values())

    def charge(self, more: int) -> None:
        """Fail with ENOSPC when `more` bytes do not fit."""
        if self.capacity_bytes is not None and more > 0 and self.used_bytes() + more > self.capacity_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def count(self, operation: str) -> None:
        """Count an operation, and fail it if that was asked for."""
        self.operations[operation] = number = self.operations.get(operation, 0) + 1
        if self._faults and (operation, number) in self._faults:
            error = self._faults.pop((operation, number))
            if error is None:
                self.generation += 1
                raise DeadProcessError
            raise OSError(error, os.strerror(error))

    def _inode(self, path: str) -> _Inode:
        inode = self._names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return inode

    def _change_names(self, path: str, change: dict[str, _Inode | None]) -> None:
        _rename(self._names, change)
        self._pending_names.setdefault(path.rpartition("/")[0], []).append(change)


def _rename(names: dict[str, _Inode], change: dict[str, _Inode | None]) -> None:
    for name, inode in change.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode
