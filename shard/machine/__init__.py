"""The state machine of a data group. Pure: no clock, disk, network or randomness; time comes in the entries."""

from shard.machine.entry import Entry, Own, Verdict, decode, encode
from shard.machine.keyspace import Change
from shard.machine.listing import Page, remaining_ms
from shard.machine.machine import Machine
from shard.machine.ownership import normalized
from shard.machine.record import Record
from shard.machine.snapshot import SnapshotError
from shard.machine.state_hash import HASH_VERSION, StateHash

__all__ = [
    "HASH_VERSION",
    "Change",
    "Entry",
    "Machine",
    "Own",
    "Page",
    "Record",
    "SnapshotError",
    "StateHash",
    "Verdict",
    "decode",
    "encode",
    "normalized",
    "remaining_ms",
]
