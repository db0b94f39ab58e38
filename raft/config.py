"""The figures of raft/, with their reasons."""

import msgspec


class RaftConfig(msgspec.Struct, frozen=True):
    """Times in seconds, sizes in bytes.

    Attributes:
        election_timeout_s_min: a follower that heard its leader within this time refuses to vote; leases rest on it.
        election_timeout_s_max: elections start at a random time between the two.
        retry_share: part of an election timeout after which a failed (pre-)vote is tried again.
        heartbeat_s: under a third of the shortest election timeout, so that two lost heartbeats are no election.
        beat_groups: idle groups whose heartbeats go in one message: some 20 KiB, and about a millisecond of the receiver's loop.
        lease_drift: share of the shortest election timeout that a lease gives up for clocks that tick differently.
        leader_timeout_s: a leader that no quorum answered for this long steps down.
        transfer_s: how long a leader that hands over refuses proposals before it goes on leading.
        batch_bytes: entries in one AppendEntries.
        batch_entries: likewise, in number.
        inflight_bytes: entries sent to one follower and not acknowledged.
        command_bytes: longest command; a batch holds at least one, and a frame of 16 MiB a batch.
        waiting_reads: reads that may wait for a ReadIndex round in one group.
        queued_commands: commands that may wait for the next tick in one group.
        apply_s: time spent applying in one tick before other groups get their turn.
        snapshot_entries: entries after the last snapshot that call for the next.
        snapshot_bytes: likewise in bytes of log, or a third of the last snapshot when that is more: so much log is in memory and is
            applied again at a start, and for each byte of log at most three of state are written.
        trailing_entries: entries kept after a snapshot for followers that lag a little.
        rewrite_bytes: a tail of at most this size that pins old segments is written again rather than snapshot.
        fenced_log_bytes: log of a group whose state here is fenced; with more, its entries are refused until the leader
            sends a snapshot.
        snapshot_chunk_bytes: piece of a snapshot file in one message.
        snapshot_slice_s: longest stretch of the loop spent on drawing or restoring a snapshot.
        snapshot_rest: after a slice no snapshot is drawn for so many times as long as it took.
        segment_bytes: of the write-ahead log.
        log_bytes: past this much write-ahead log, groups that hold its oldest segments are made to let go.
        backlog_bytes: with more log than this waiting for the disk, nothing new is taken.
        scan_s: how often idle groups are looked at for due timers.
    """

    election_timeout_s_min: float = 0.8
    election_timeout_s_max: float = 1.6
    retry_share: float = 0.3
    heartbeat_s: float = 0.2
    beat_groups: int = 1024
    lease_drift: float = 0.1
    leader_timeout_s: float = 1.0
    transfer_s: float = 1.0
    batch_bytes: int = 1 << 20
    batch_entries: int = 1024
    inflight_bytes: int = 8 << 20
    command_bytes: int = 13 << 20
    waiting_reads: int = 10_000
    queued_commands: int = 1_000
    apply_s: float = 0.005
    snapshot_entries: int = 20_000
    snapshot_bytes: int = 6 << 20
    trailing_entries: int = 500
    rewrite_bytes: int = 1 << 20
    fenced_log_bytes: int = 64 << 20
    snapshot_chunk_bytes: int = 256 << 10
    snapshot_slice_s: float = 0.002
    snapshot_rest: float = 4.0
    segment_bytes: int = 32 << 20
    log_bytes: int = 512 << 20
    backlog_bytes: int = 24 << 20
    scan_s: float = 0.025

    def due_bytes(self, snapshot_bytes: int) -> int:
        """How much log calls for a snapshot when the last one has so many bytes."""
        return max(self.snapshot_bytes, snapshot_bytes // 3)

    def next_heartbeat_s(self, now_s: float) -> float:
        """When heartbeats are sent next: at the same instants by all groups of a node, so that they share messages."""
        return (now_s // self.heartbeat_s + 1) * self.heartbeat_s
