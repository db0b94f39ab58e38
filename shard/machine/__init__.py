"""The state machine of a data group. Pure: no clock, disk, network or randomness; time comes in the entries."""

from shard.machine.entry import Entry, Own, decode, encode
from shard.machine.keyspace import Record
from shard.machine.listing import Page, remaining_ms
from shard.machine.machine import Machine
from shard.machine.ownership import normalized
from shard.machine.snapshot import SnapshotError

__all__ = [
    "Entry",
    "Machine",
    "Own",
    "Page",
    "Record",
    "SnapshotError",
    "decode",
    "encode",
    "normalized",
    "remaining_ms",
]
