"""The figures of an embedded engine, with their reasons."""

import msgspec

from raft.wal_space import Limits


class EngineLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds.

    Attributes:
        entry_operations: operations in one entry.
        entry_bytes: their sizes together, about; a larger operation goes alone.
        queued_writes: that wait for an entry. Threads bring one each, so this bounds asyncio's tasks.
        snapshot_entries: entries after a snapshot that call for the next, or as many as there are keys when they are more.
        snapshot_bytes: bytes of log that do, or as many as the last snapshot has when they are more.
        log_bytes: with more log than this on disk, writes wait until a snapshot has taken the place of the oldest.
        segment_bytes: of the log; two of them are reserved on disk from the beginning on.
        time_entry_s: longest time from when a key is due to the entry that removes it, while nobody writes.
        backlog_s: the same while due keys wait for their removal.
        lock_waits: calls that wait for a lock.
    """

    entry_operations: int = 1_000
    entry_bytes: int = 2 << 20
    queued_writes: int = 10_000
    snapshot_entries: int = 20_000
    snapshot_bytes: int = 32 << 20
    log_bytes: int = 512 << 20
    segment_bytes: int = 16 << 20
    time_entry_s: float = 1.0
    backlog_s: float = 0.05
    lock_waits: int = 10_000

    @property
    def log(self) -> Limits:
        """Those of the log."""
        return Limits(segment_bytes=self.segment_bytes, max_bytes=self.log_bytes // 2)
