"""Why an engine did not do what it was asked, and what is known of it."""

import enum

from raft.storage_errors import REBUILD

ADVICE = "Do not delete or edit files by hand. Move the data directory away and put a copy of it in its place."
_FOR_NODES = {
    REBUILD: ADVICE,
    "start the node again": "open the store again",
    "starting the node again": "opening the store again",
    "the node stops so that": "the store stops so that",
    "start this node on its own data directory": "open another directory",
    "start with another durability, or with an empty data directory": "open it with another durability, or another directory",
    "start again": "open it again",
}


class Trouble(enum.Enum):
    """What kind it is; the value is its code."""

    LOCKED = "STORE_LOCKED"  # another has the data directory open
    DAMAGED = "STORE_DAMAGED"  # the data directory must not be used
    FAILED = "STORE_FAILED"  # the disk failed, or a write was cut short: nothing can be done until it is opened again
    CLOSED = "STORE_CLOSED"
    FORKED = "STORE_FORKED"  # this process is a fork of the one that opened it
    TIMEOUT = "TIMEOUT"  # not applied
    OVERLOADED = "CLUSTER_UNAVAILABLE"  # as many wait as may; not applied
    UNKNOWN = "UNKNOWN"  # may have been applied


class TroubleError(Exception):
    """It was not done, or, when it is UNKNOWN, perhaps."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.message = message


def without_nodes(message: str) -> str:
    """A message of the log or the snapshots, as one reads it who has no nodes and no replicas."""
    for before, after in _FOR_NODES.items():
        message = message.replace(before, after)
    return message
