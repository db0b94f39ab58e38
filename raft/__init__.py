"""A replicated log you can trust, around PySyncObj: see `raft/README.md`.

The door: `RaftHost` hosts replicas; `raft.interface` says what a state machine offers and gets; `DataDirectory` owns
the disk. Nobody outside this room sees PySyncObj.
"""

from .config import RaftConfig
from .datadir import DataDirectory
from .host import RaftHost
from .messages import Packet
from .network import WireNetwork, receiving
from .offload import ThreadOffload, exit_process
from .replica import SafeReplica
from .sealed import seal, unseal
from .storage_errors import StorageError, describe_storage_error
from .wal import Durability

__all__ = [
    "DataDirectory",
    "Durability",
    "Packet",
    "RaftConfig",
    "RaftHost",
    "SafeReplica",
    "StorageError",
    "ThreadOffload",
    "WireNetwork",
    "describe_storage_error",
    "exit_process",
    "receiving",
    "seal",
    "unseal",
]
