"""The newest cluster map on disk, so that a restarted node knows its groups while placement is away. A cache: losing it is harmless.

A damaged one is not: it could name other replicas of a group than there are, so it is sealed.
"""

import logging
from pathlib import Path

import msgspec

from raft import seal, unseal
from wire.messages import ClusterMap

logger = logging.getLogger(__name__)


class MapFile:
    """Loads and saves the map."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> ClusterMap | None:
        """The saved map, None when there is none or it cannot be read."""
        try:
            content = unseal(self._path.read_bytes())
            if content is None:
                logger.warning("the saved cluster map is damaged and is ignored: %s", self._path)
                return None
            return msgspec.msgpack.decode(content, type=ClusterMap)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning("the saved cluster map cannot be read and is ignored: %s", error)
            return None

    def save(self, cluster_map: ClusterMap) -> None:
        """Replace the saved map."""
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(seal(msgspec.msgpack.encode(cluster_map)))
            new.replace(self._path)
        except OSError as error:
            logger.warning("the cluster map could not be saved: %s", error)
