"""Why a node refuses to start, or stops, because of what is on its disk.

Every message names the file, says what is wrong with it and what to do. None of these is ever answered by carrying on:
a voter that forgot something it had promised can lose acknowledged writes for the whole group.
"""

import errno

REBUILD = (
    "Do not delete or edit files by hand. Move the data directory away and leave this node down: the cluster goes on while "
    "most replicas of each group live. What comes next is in docs/operations.md (A node that is lost)."
)


class StorageError(Exception):
    """The data directory cannot be used. The message says what to do."""


class CorruptLogError(StorageError):
    """The write-ahead log is damaged, or parts of it are missing."""


class CorruptSnapshotError(StorageError):
    """A snapshot is damaged."""


class ForeignDataError(StorageError):
    """The data belongs to another cluster or another node."""


class FormatError(StorageError):
    """The data was written by another, unknown version of the format."""


class DataDirectoryError(StorageError):
    """The data directory is locked, incomplete or of an unknown shape."""


class DirectoryHeldError(DataDirectoryError):
    """Another process, or another part of this one, has the data directory open."""


def unknown_format(path: str, version: int, known: int) -> FormatError:
    """The error about a file of another format."""
    return FormatError(
        f"{path}: format version {version}, but this release knows only {known}: start the release that wrote it. "
        f"If there is none, the file is damaged. {REBUILD}"
    )


def describe_storage_error(doing: str, error: BaseException) -> str:
    """One line for the operator about any error that has to do with the disk; see `describe_io_error`."""
    return str(error) if isinstance(error, StorageError) else describe_io_error(doing, error)


def describe_io_error(doing: str, error: BaseException) -> str:
    """One line for the operator about an I/O error that ends the process.

    Args:
        doing: what failed, such as "writing wal/0000000000000001.wal".
        error: what was raised.

    Returns:
        The name of the error number, its text, and what to do.
    """
    if not isinstance(error, OSError) or error.errno is None:
        return f"{doing} failed: {error!r}. This is a defect; the node stops so that nothing is lost."
    name = errno.errorcode.get(error.errno, str(error.errno))
    where = f" at {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "The disk or its quota is full: make room, then start the node again; nothing acknowledged is lost."
    elif error.errno == errno.EIO:
        advice = "The disk failed: check it and the kernel's log before starting the node again."
    else:
        advice = "Mend the cause, then start the node again; nothing acknowledged is lost."
    return f"{doing} failed: {name} ({error.strerror}){where}. {advice}"
