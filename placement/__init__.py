"""The cluster map, who decides it (a pure planner), who keeps it (a Raft group of its own), who serves and who watches it."""

from placement.maps import MapHolder, empty_map
from placement.seams import Connect
from placement.watcher import MapWatcher, WatchSettings

__all__ = ["Connect", "MapHolder", "MapWatcher", "WatchSettings", "empty_map"]
