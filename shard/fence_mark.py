"""The durable mark that says: the state of this replica was found wrong.

A small file in the data directory, `fenced-GROUP.json`, one for each fenced group. It outlives restarts, and goes when a
snapshot of the group's leader has taken the place of the state. An operator who knows better stops the node and sets
`trusted` in it: from then on the state counts as right, until a later verdict. Removing the file is of no use, as the
verdict is still in the log.
"""

import logging
from typing import Protocol

import msgspec

from raft import describe_storage_error
from raft.disk import Disk, Fatal
from raft.sealed import replace_file

logger = logging.getLogger(__name__)

_BYTES_MAX = 64 << 10
NEVER_LIFTED = 1 << 62


class Mark(msgspec.Struct, frozen=True):
    """Why and since when a replica is fenced.

    Attributes:
        index: the state is wrong unless it is from a snapshot that ends after this entry.
        reason: one sentence for a person.
        trusted: an operator decided that the state is right all the same.
    """

    index: int
    reason: str
    trusted: bool = False


class Marks(Protocol):
    """Keeps the mark of one replica."""

    def load(self) -> Mark | None:
        """The mark, if there is one."""

    def save(self, mark: Mark) -> None:
        """Make it durable before anything else happens."""

    def remove(self) -> None:
        """The replica is well again."""


class MarkFile:
    """Keeps the mark of one group in a data directory. Blocks, which happens once in a replica's life."""

    def __init__(self, disk: Disk, group: int, fatal: Fatal) -> None:
        """`fatal` ends the process when the disk fails: without its mark a fenced replica must not run."""
        self._disk = disk
        self._path = f"fenced-{group}.json"
        self._fatal = fatal

    def load(self) -> Mark | None:
        """See `Marks.load`. A mark that cannot be understood is a mark."""
        if not self._disk.exists(self._path):
            return None
        file = self._disk.open(self._path)
        try:
            return msgspec.json.decode(file.read(0, _BYTES_MAX), type=Mark)
        except msgspec.MsgspecError as error:
            return Mark(NEVER_LIFTED, f"{self._path} is damaged: {error}")
        finally:
            file.close()

    def save(self, mark: Mark) -> None:
        """See `Marks.save`."""
        try:
            replace_file(self._disk, self._path, msgspec.json.encode(mark))
        except OSError as error:
            self._fatal(describe_storage_error(f"writing {self._path}", error))

    def remove(self) -> None:
        """See `Marks.remove`. Nothing is lost when it comes back after a crash: it is known by its index to be over."""
        try:
            self._disk.unlink(self._path)
            self._disk.sync_dir("")
        except OSError as error:
            logger.warning("%s could not be removed: %s", self._path, error)
