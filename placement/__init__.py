"""The cluster map, who decides it (a pure planner), who keeps it (a Raft group of its own), who serves and who watches it."""

from placement.client import ClientSettings, PlacementClient
from placement.machine import PLACEMENT_GROUP, PlacementMachine
from placement.maps import MapHolder, empty_map
from placement.planner import Goals
from placement.service import PlacementService, ServiceSettings
from placement.watcher import MapWatcher, WatchSettings

__all__ = [
    "PLACEMENT_GROUP",
    "ClientSettings",
    "Goals",
    "MapHolder",
    "MapWatcher",
    "PlacementClient",
    "PlacementMachine",
    "PlacementService",
    "ServiceSettings",
    "WatchSettings",
    "empty_map",
]
