"""The disk as the log and the snapshots see it, and the real one.

Paths are relative to one node's data directory. The seam exists so that a deterministic simulator can run the same
code on a disk that loses power. It promises what POSIX does, no more:

- what `pwrite` wrote survives a crash of the process, and a power cut only once `sync` returned;
- a name that was created, renamed or unlinked is durable only once `sync_dir` of its directory returned.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self, TypeAlias

Fatal: TypeAlias = Callable[[str], None]
"""Ends the process with one clear line. Where a node is part of a program that lives on it raises `SystemExit` instead, which
ends the event loop; in tests it may return. The caller then does nothing further to the disk."""


class File(Protocol):
    """An open file. Offsets and sizes are in bytes. Everything raises OSError as the system does."""

    def pwrite(self, offset: int, buffers: Sequence[bytes]) -> None:
        """Write all buffers, one after another, from `offset` on."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file."""

    def size(self) -> int:
        """The length of the file."""

    def truncate(self, size: int) -> None:
        """Cut or extend the file. Durable only after `sync`."""

    def sync(self) -> None:
        """Make content and length durable (fdatasync)."""

    def close(self) -> None:
        """Release the file. Closing twice is harmless."""


class Disk(Protocol):
    """One node's data directory. Everything raises OSError as the system does."""

    def makedirs(self, path: str) -> None:
        """Create a directory and its parents, durably; existing ones are fine."""

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, sorted."""

    def exists(self, path: str) -> bool:
        """Whether the name exists."""

    def create(self, path: str, size: int = 0) -> File:
        """Create a file that must not exist yet, of `size` zero bytes that are reserved, so that a full disk shows here."""

    def open(self, path: str, *, writable: bool = False) -> File:
        """Open an existing file."""

    def rename(self, source: str, target: str) -> None:
        """Rename within one directory, atomically, replacing `target`."""

    def unlink(self, path: str) -> None:
        """Remove a name; open handles stay readable."""

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Let an error of a call on a descriptor say which file it was."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise


class OsFile:
    """A file of the operating system."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, descriptor: int, path: str) -> None:
        """`path` is what errors say."""
        self._descriptor = descriptor
        self._path = path

    def pwrite(self, offset: int, buffers: Sequence[bytes]) -> None:
        """See `File.pwrite`. A short write is continued, as the system may split large ones."""
        total = sum(map(len, buffers))
        try:  # what _naming does, at half the cost: each write of the log comes by here
            written = os.pwritev(self._descriptor, buffers, offset)
            if written < total:
                rest = memoryview(b"".join(buffers))[written:]
                while rest:
                    step = os.pwrite(self._descriptor, rest, offset + written)
                    written += step
                    rest = rest[step:]
        except OSError as error:
            error.filename = self._path
            raise

    def read(self, offset: int, size: int) -> bytes:
        """See `File.read`."""
        with _naming(self._path):
            data = os.pread(self._descriptor, size, offset)
            while len(data) < size:
                more = os.pread(self._descriptor, size - len(data), offset + len(data))
                if not more:
                    break
                data += more
        return data

    def size(self) -> int:
        """See `File.size`."""
        with _naming(self._path):
            return os.fstat(self._descriptor).st_size

    def truncate(self, size: int) -> None:
        """See `File.truncate`."""
        with _naming(self._path):
            os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """See `File.sync`."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            error.filename = self._path
            raise

    def close(self) -> None:
        """See `File.close`."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class OsDisk:
    """A directory of the operating system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def makedirs(self, path: str) -> None:
        """See `Disk.makedirs`."""
        target = self._root / path
        missing = [part for part in (target, *target.parents) if not part.exists()]
        for part in reversed(missing):
            part.mkdir(exist_ok=True)
            try:
                _sync_directory(part.parent)
            except OSError:
                with suppress(OSError):
                    part.rmdir()  # so that the next attempt makes and syncs it again
                raise

    def listdir(self, path: str) -> list[str]:
        """See `Disk.listdir`."""
        return sorted(entry.name for entry in (self._root / path).iterdir())

    def exists(self, path: str) -> bool:
        """See `Disk.exists`."""
        return (self._root / path).exists()

    def create(self, path: str, size: int = 0) -> OsFile:
        """See `Disk.create`."""
        descriptor = os.open(self._root / path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if size:
            try:
                with _naming(path):
                    os.posix_fallocate(descriptor, 0, size)
            except OSError:
                os.close(descriptor)
                raise
        return OsFile(descriptor, path)

    def open(self, path: str, *, writable: bool = False) -> OsFile:
        """See `Disk.open`."""
        return OsFile(os.open(self._root / path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC), path)

    def rename(self, source: str, target: str) -> None:
        """See `Disk.rename`."""
        (self._root / source).replace(self._root / target)

    def unlink(self, path: str) -> None:
        """See `Disk.unlink`."""
        (self._root / path).unlink()

    def sync_dir(self, path: str) -> None:
        """See `Disk.sync_dir`."""
        _sync_directory(self._root / path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _naming(str(path)):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
