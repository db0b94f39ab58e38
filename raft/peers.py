"""Which data directory each other node has: a node that comes back under its id with another one is not heard.

It has forgotten its votes and what it acknowledged, so counting it as a member could lose acknowledged writes. Each node
remembers, durably and before it acts on anything, the incarnation under which it first heard a peer. A node that lost
its disk joins again under a new id.
"""

import logging
from collections.abc import Mapping

import msgspec

from .disk import Disk
from .sealed import read_sealed, replace_sealed
from .storage_errors import REBUILD, DataDirectoryError, ForeignDataError

logger = logging.getLogger(__name__)

PEERS_FILE = "peers.json"


class _PeersFile(msgspec.Struct, frozen=True):
    """Whose file it is, and the incarnation of each node heard."""

    owner: str
    incarnations: dict[str, str]


class Peers:
    """The incarnations of the nodes that this one has heard."""

    def __init__(self, disk: Disk, incarnation: str) -> None:
        """Read what is known; the file is there from the first start on, so that its loss is noticed. Blocks.

        Args:
            disk: the node's data directory.
            incarnation: its own, which the file names.

        Raises:
            StorageError: the file is damaged, or another node's.
        """
        self._disk = disk
        self._file = _PeersFile(incarnation, {})
        self._warned: set[str] = set()
        if not disk.exists(PEERS_FILE):
            self._save()
            return
        try:
            self._file = msgspec.json.decode(read_sealed(disk, PEERS_FILE), type=_PeersFile)
        except msgspec.DecodeError as error:
            raise DataDirectoryError(f"{PEERS_FILE} is damaged: {error}. {REBUILD}") from error
        if self._file.owner != incarnation:
            raise ForeignDataError(f"{PEERS_FILE} is another node's: start this node on its own data directory.")

    @property
    def known(self) -> Mapping[str, str]:
        """Node id → incarnation of the nodes heard so far."""
        return self._file.incarnations

    def accept(self, node: str, incarnation: str) -> bool:
        """Whether `node` is the one that was known by its id; a first contact is made durable at once.

        Raises:
            OSError: the disk failed.
        """
        known = self._file.incarnations.get(node)
        if known is None:
            self._file.incarnations[node] = incarnation
            self._save()
            return True
        if known != incarnation and node not in self._warned:
            self._warned.add(node)
            logger.error("node %s came back with another data directory and is not heard: give it a new id", node)
        return known == incarnation

    def _save(self) -> None:
        replace_sealed(self._disk, PEERS_FILE, msgspec.json.encode(self._file))
