"""Which data directory each other node has: a node that comes back under its id with another one is not heard.

It has forgotten its votes and what it acknowledged, so counting it as a member could lose acknowledged writes. Each node
remembers, durably and before it acts on anything, the incarnation under which it first heard a peer. A node that lost
its disk joins again under a new id.
"""

import logging

import msgspec

from .datadir import replace_file
from .disk import Disk
from .storage_errors import DataDirectoryError

logger = logging.getLogger(__name__)

PEERS_FILE = "peers.json"
_MAX_BYTES = 1 << 20


class Peers:
    """The incarnations of the nodes that this one has heard."""

    def __init__(self, disk: Disk) -> None:
        """Read what is known. Blocks.

        Raises:
            DataDirectoryError: the file is damaged.
        """
        self._disk = disk
        self._known: dict[str, str] = {}
        self._warned: set[str] = set()
        if not disk.exists(PEERS_FILE):
            return
        file = disk.open(PEERS_FILE)
        try:
            self._known = msgspec.json.decode(file.read(0, _MAX_BYTES), type=dict[str, str])
        except msgspec.DecodeError as error:
            raise DataDirectoryError(f"{PEERS_FILE} is damaged: {error}: restore it from a backup") from error
        finally:
            file.close()

    def accept(self, node: str, incarnation: str) -> bool:
        """Whether `node` is the one that was known by its id; a first contact is made durable at once.

        Raises:
            OSError: the disk failed.
        """
        known = self._known.get(node)
        if known is None:
            self._known[node] = incarnation
            replace_file(self._disk, PEERS_FILE, msgspec.json.encode(self._known))
            return True
        if known != incarnation and node not in self._warned:
            self._warned.add(node)
            logger.error("node %s came back with another data directory and is not heard: give it a new id", node)
        return known == incarnation
