"""What a node's replicas and its log have done since the process started: plain numbers that somebody may read.

Counting is a few additions, so that it can stand in the hottest place; nothing here knows who reads it or how.
"""

import msgspec

from process.histogram import Histogram

SYNC_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of a sync's buckets: an NVMe with a power-safe cache is in the first, a disk that hangs in none."""

SNAPSHOT_BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class LogFigures(msgspec.Struct, eq=False):
    """The write-ahead log.

    Attributes:
        records: that were written, of all kinds.
        bytes: of the batches that they were written in.
        sync: how long each batch took to be written and made durable, the wait for its turn not counted.
    """

    records: int = 0
    bytes: int = 0
    sync: Histogram = msgspec.field(default_factory=lambda: Histogram(SYNC_BOUNDS_S))


class ReplicaFigures(msgspec.Struct, eq=False):
    """One replica.

    Attributes:
        pre_votes: rounds in which it asked whether it would be elected.
        elections: elections that it began.
        applied: entries applied to the machine.
        applied_bytes: of their commands.
        apply_s: how long the machine took for them, in seconds.
        snapshots_bytes: of the snapshots that it wrote.
        snapshots_installed_bytes: of those that it was sent and installed.
    """

    pre_votes: int = 0
    elections: int = 0
    applied: int = 0
    applied_bytes: int = 0
    apply_s: float = 0.0
    snapshots_bytes: int = 0
    snapshots_installed_bytes: int = 0


class HostFigures(msgspec.Struct, eq=False):
    """What is common to all replicas of a node.

    Attributes:
        packets_sent: to other nodes, those that were dropped not among them.
        packets_dropped: had no connection, or found its buffer full.
        packets_received: from fellow members.
        messages_sent, messages_received: in these packets; heartbeats that go together are one.
        payload_bytes_sent: of entries and snapshots in them, with 64 for each message.
        snapshot: how long it took from the first chunk of a snapshot's state to its being durable.
        install: how long from the first piece of a snapshot that was sent here to its being the state.
    """

    packets_sent: int = 0
    packets_dropped: int = 0
    packets_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    payload_bytes_sent: int = 0
    snapshot: Histogram = msgspec.field(default_factory=lambda: Histogram(SNAPSHOT_BOUNDS_S))
    install: Histogram = msgspec.field(default_factory=lambda: Histogram(SNAPSHOT_BOUNDS_S))
