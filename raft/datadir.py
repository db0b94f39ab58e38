"""A data directory belongs to one node of one cluster and to one process at a time.

`identity.json` says whose it is. It also says whether the write-ahead log was begun: a node that finds its identity but
no log has lost what it promised, and must not start as if it were new. `LOCK` is held for as long as the process lives;
the system releases it, however the process ends.
"""

import fcntl
import os
import uuid
from pathlib import Path
from typing import Self

import msgspec

from raft.disk import Disk, OsDisk
from raft.peers import PEERS_FILE
from raft.sealed import read_sealed, replace_sealed
from raft.snapshot_format import SNAPSHOT_DIRECTORY
from raft.storage_errors import REBUILD, DataDirectoryError, DirectoryHeldError, ForeignDataError, unknown_format
from raft.wal_format import WAL_DIRECTORY
from raft.watermark import WATERMARK_FILE

FORMAT_VERSION = 1
IDENTITY_FILE = "identity.json"
LOCK_FILE = "LOCK"
BEGUN_FILES = (WATERMARK_FILE, PEERS_FILE)
"""What else a node that has begun its log must find."""


class Identity(msgspec.Struct, frozen=True):
    """Whose data directory it is.

    Attributes:
        cluster: the cluster's id.
        node: the node's id.
        incarnation: made anew with every new data directory, so that a node that lost its disk is not taken for the old.
        format: version of the layout.
        log_begun: whether there must be a write-ahead log.
    """

    cluster: str
    node: str
    incarnation: str
    format: int
    log_begun: bool = False


class _Version(msgspec.Struct, frozen=True):
    """What every version of the file has."""

    format: int


def claim_identity(disk: Disk, *, cluster: str, node: str, incarnation: str) -> Identity:
    """Read whose directory it is, or make it this node's when it is new.

    Args:
        disk: the data directory.
        cluster: this node's cluster.
        node: this node's id.
        incarnation: used when the directory is new.

    Raises:
        ForeignDataError: it is another cluster's or node's.
        FormatError: another release wrote it.
        DataDirectoryError: it is damaged or incomplete.
    """
    if not disk.exists(IDENTITY_FILE):
        for directory in (WAL_DIRECTORY, SNAPSHOT_DIRECTORY):
            if disk.exists(directory) and disk.listdir(directory):
                raise DataDirectoryError(f"{directory}/ is not empty but {IDENTITY_FILE} is missing. {REBUILD}")
        identity = Identity(cluster, node, incarnation, FORMAT_VERSION)
        _save(disk, identity)
        return identity
    identity = _load(disk)
    if (identity.cluster, identity.node) != (cluster, node):
        raise ForeignDataError(
            f"this data directory belongs to node {identity.node!r} of cluster {identity.cluster!r}, "
            f"not to node {node!r} of cluster {cluster!r}: start this node on its own data directory."
        )
    if identity.log_begun:
        _check_nothing_missing(disk)
    return identity


def record_log_begun(disk: Disk, identity: Identity) -> Identity:
    """Remember that the write-ahead log exists, and the files of `BEGUN_FILES`.

    Call it once they were opened, before the node speaks to others.
    """
    if identity.log_begun:
        return identity
    identity = msgspec.structs.replace(identity, log_begun=True)
    _save(disk, identity)
    return identity


class DataDirectory:
    """An open, locked data directory.

    Attributes:
        disk: its files.
        identity: whose it is.
    """

    def __init__(self, disk: OsDisk, identity: Identity, lock: int) -> None:
        """Use `open`."""
        self.disk = disk
        self.identity = identity
        self._lock = lock

    @classmethod
    def open(cls, root: Path, *, cluster: str, node: str) -> Self:
        """Create the directory if it is new, lock it and check whose it is.

        Raises:
            StorageError: it must not be used; the message says why.
            OSError: the disk failed, or permissions are missing.
        """
        disk = OsDisk(root)
        disk.makedirs("")
        lock = _lock(root / LOCK_FILE)
        try:
            identity = claim_identity(disk, cluster=cluster, node=node, incarnation=uuid.uuid4().hex)
        except BaseException:
            os.close(lock)
            raise
        return cls(disk, identity, lock)

    def record_log_begun(self) -> None:
        """See the function of this name."""
        self.identity = record_log_begun(self.disk, self.identity)

    def close(self) -> None:
        """Release the lock. Closing twice is harmless."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def _check_nothing_missing(disk: Disk) -> None:
    if not (disk.exists(WAL_DIRECTORY) and disk.listdir(WAL_DIRECTORY)):
        raise DataDirectoryError(f"the write-ahead log in {WAL_DIRECTORY}/ is missing. {REBUILD}")
    for path in BEGUN_FILES:
        if not disk.exists(path):
            raise DataDirectoryError(f"{path} is missing. {REBUILD}")


def _load(disk: Disk) -> Identity:
    content = read_sealed(disk, IDENTITY_FILE)
    try:
        version = msgspec.json.decode(content, type=_Version).format
        if version == FORMAT_VERSION:
            return msgspec.json.decode(content, type=Identity)
    except msgspec.DecodeError as error:
        raise DataDirectoryError(f"{IDENTITY_FILE} is damaged: {error}. {REBUILD}") from error
    raise unknown_format(IDENTITY_FILE, version, FORMAT_VERSION)


def _save(disk: Disk, identity: Identity) -> None:
    replace_sealed(disk, IDENTITY_FILE, msgspec.json.encode(identity))


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take_lock(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _take_lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        raise DirectoryHeldError(
            f"{path} is held by process {holder}: two processes must not share a data directory. Stop that one first."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
