"""The newest cluster map on disk, so that a restarted node knows its groups while placement is away. A cache: losing it is harmless."""

import logging
from pathlib import Path

import msgspec

from wire.messages import ClusterMap

logger = logging.getLogger(__name__)


class MapFile:
    """Loads and saves the map."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> ClusterMap | None:
        """The saved map, None when there is none or it cannot be read."""
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=ClusterMap)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning("the saved cluster map cannot be read and is ignored: %s", error)
            return None

    def save(self, cluster_map: ClusterMap) -> None:
        """Replace the saved map."""
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.msgpack.encode(cluster_map))
            new.replace(self._path)
        except OSError as error:
            logger.warning("the cluster map could not be saved: %s", error)
