"""A data group inside the process of whoever uses it: the machine, the log and the snapshots of a node, without network or loop.

The door. `open_engine` opens a data directory; `shard/embedded/README.md` says what is promised and how.
"""

from raft.wal import Durability
from shard.embedded.engine import Engine
from shard.embedded.feed import HistoryLostError
from shard.embedded.opening import open_engine
from shard.embedded.trouble import Trouble, TroubleError

__all__ = ["Durability", "Engine", "HistoryLostError", "Trouble", "TroubleError", "open_engine"]
