"""Which segments there are, where the next batch goes, and when one may be deleted. Pure bookkeeping, no disk."""

import msgspec

from raft.wal_format import MAX_BATCH_BYTES, SECTOR_BYTES
from raft.wal_live import LiveIndex

PINNED_AT_ONCE = 4
"""How many groups are asked at the same time to free the oldest segment: each answer may be a snapshot."""


class Limits(msgspec.Struct, frozen=True):
    """How much disk the log takes.

    Attributes:
        segment_bytes: size of a segment; a larger batch gets one of its own.
        max_bytes: from this size of all segments on, groups that need the oldest one are reported.
        max_segments: the same by their number.
        waiting_bytes: more than this may never gather for one batch.
    """

    segment_bytes: int = 32 << 20
    max_bytes: int = 512 << 20
    max_segments: int = 64
    waiting_bytes: int = MAX_BATCH_BYTES


DEFAULT_LIMITS = Limits()


class NewSegment(msgspec.Struct, frozen=True):
    """A segment that must be created before anything is written to it."""

    sequence: int
    size: int


class Place(msgspec.Struct, frozen=True):
    """Where a batch goes, and the segment to create first, if any."""

    sequence: int
    offset: int
    create: NewSegment | None


class SegmentSpace:
    """The segments of one log, oldest first, and what is live in them."""

    def __init__(self, limits: Limits, live: LiveIndex, sizes: dict[int, int], used: int) -> None:
        """`sizes` are the bytes of each segment by sequence number; records go on at `used` in the last one."""
        self.live = live
        self._limits = limits
        self._sizes = sizes
        self._active = max(sizes)
        self._used = used
        self._spare: int | None = None
        self._first = min(sizes)
        self._total = sum(sizes.values())
        self._told: dict[int, int] = {}  # group -> the segment that it was asked to free

    @property
    def size_bytes(self) -> int:
        """Disk space of all segments."""
        return self._total

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._sizes)

    def place(self, size: int) -> Place:
        """Take `size` bytes for the next batch; in the next segment when they do not fit here."""
        create = None
        if self._used + size > self._sizes[self._active]:
            if self._spare is not None and SECTOR_BYTES + size <= self._sizes[self._spare]:
                self._active = self._spare
            else:
                create = self._add(max(self._limits.segment_bytes, SECTOR_BYTES + size))
                self._active = create.sequence
            self._spare, self._used = None, SECTOR_BYTES
        offset = self._used
        self._used += size
        return Place(self._active, offset, create)

    def oldest_needed(self) -> int:
        """The oldest segment that is needed once everything placed so far is durable."""
        return self.live.oldest(self._active)

    def is_settled(self, oldest: int) -> bool:
        """Whether there is nothing to `release`, no `spare` to make and nobody `pinned`; so it is after nearly every batch."""
        return oldest <= self._first and not self._wants_spare() and not self._is_over()

    def release(self, oldest: int) -> list[int]:
        """The segments before `oldest`, to be deleted, oldest first. They count no more."""
        unneeded = [sequence for sequence in self._sizes if sequence < oldest]
        for sequence in unneeded:
            self._total -= self._sizes.pop(sequence)
        self._first = min(self._sizes)
        return unneeded

    def spare(self) -> NewSegment | None:
        """The next segment, once half of this one is used: made ahead, so that moving on does not wait for it."""
        if not self._wants_spare():
            return None
        new = self._add(self._limits.segment_bytes)
        self._spare = new.sequence
        return new

    def pinned(self) -> list[int]:
        """The groups to report now because the log is over its limits and they need the oldest segment.

        A group is reported once for each segment that it pins, and at most `PINNED_AT_ONCE` are pending.
        """
        if not self._is_over():
            return []
        self._told = {group: at for group, at in self._told.items() if self.live.needs(group, at)}
        oldest = min(self._sizes)
        room = PINNED_AT_ONCE - len(self._told)
        if oldest == self._active or room <= 0:
            return []
        groups = [group for group in self.live.groups_needing(oldest) if group not in self._told][:room]
        self._told.update(dict.fromkeys(groups, oldest))
        return groups

    def _wants_spare(self) -> bool:
        return self._spare is None and self._used * 2 > self._sizes[self._active]

    def _is_over(self) -> bool:
        return self._total > self._limits.max_bytes or len(self._sizes) > self._limits.max_segments

    def _add(self, size: int) -> NewSegment:
        sequence = max(self._sizes) + 1
        self._sizes[sequence] = size
        self._total += size
        return NewSegment(sequence, size)
