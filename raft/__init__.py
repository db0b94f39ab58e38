"""A replicated log you can trust, around PySyncObj: see `raft/README.md`.

The door: `RaftHost` hosts replicas; `raft.interface` says what a state machine offers and gets; `DataDirectory` owns
the disk. Nobody outside this room sees PySyncObj.
"""

from typing import TYPE_CHECKING

from process.lazy import door

if TYPE_CHECKING:
    from .config import RaftConfig
    from .datadir import DataDirectory
    from .host import RaftHost
    from .messages import Packet
    from .network import WireNetwork, receiving
    from .offload import PromptOffload, ThreadOffload, exit_process
    from .replica import SafeReplica
    from .sealed import seal, unseal
    from .storage_errors import StorageError, describe_storage_error
    from .wal import Durability
else:
    __getattr__ = door(
        __name__,
        {
            "DataDirectory": "datadir",
            "Durability": "wal",
            "Packet": "messages",
            "PromptOffload": "offload",
            "RaftConfig": "config",
            "RaftHost": "host",
            "SafeReplica": "replica",
            "StorageError": "storage_errors",
            "ThreadOffload": "offload",
            "WireNetwork": "network",
            "describe_storage_error": "storage_errors",
            "exit_process": "offload",
            "receiving": "network",
            "seal": "sealed",
            "unseal": "sealed",
        },
    )

__all__ = [
    "DataDirectory",
    "Durability",
    "Packet",
    "PromptOffload",
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
