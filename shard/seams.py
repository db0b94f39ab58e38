"""What a hosted group is given: timers, limits, and the figures it keeps for whoever asks."""

from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec

from wire.errors import Code, Failure
from wire.messages import ChecksumReply, ChecksumRequest

Positive = Annotated[int, msgspec.Meta(gt=0)]


class Timer(Protocol):
    """A call that was put off."""

    def cancel(self) -> object:
        """Do not make the call."""


class Scheduler(Protocol):
    """The part of an asyncio event loop that a group uses; the simulator hands in its own."""

    def time(self) -> float:
        """Monotonic seconds; deadlines of calls are told on the same clock."""

    def call_soon(self, callback: Callable[[], object], /) -> object:
        """Call at the end of this loop turn, after what was read in it."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call after `delay` seconds."""


class Colleagues(Protocol):
    """The nodes that host the other replicas of a group, and this one's name."""

    node: str

    def ask(self, node: str, request: ChecksumRequest, take: Callable[[ChecksumReply], None]) -> None:
        """Ask a node; `take` gets its answer, or is never called when there is none."""


class ChecksumPace(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how fast the state is checked.

    Attributes:
        entries: a request is logged after so many entries, or as many as there are keys when they are more; 0: never.
        slice_s: longest stretch of the loop spent on hashing.
        pause_s: between two stretches.
        ask_interval_s: between two questions to a replica that has not answered.
        gather_s: how long the leader waits for all replicas before it does without.
        retry_s: when hashes differed and no majority was found, the next request is logged after this.
    """

    entries: int = 20_000
    slice_s: float = 0.001
    pause_s: float = 0.004
    ask_interval_s: float = 0.5
    gather_s: float = 60.0
    retry_s: float = 10.0


class GroupLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one hosted group.

    Attributes:
        entry_operations_max: operations in one entry.
        entry_bytes_max: request bytes in one entry; a single larger operation goes alone.
        entries_in_flight_max: entries proposed and not yet applied.
        queued_writes_max: writes that wait for an entry.
        queued_bytes_max: their request bytes.
        waiting_reads_max: linearizable reads that wait for a read round or an entry.
        lock_waits_max: calls that wait for a lock.
        sweep_interval_s: how late an expired deadline may be answered.
        time_entry_interval_s: between entries that are logged only because keys are due.
        backlog_interval_s: the same while due keys wait for their removal.
        retry_after_ms: what a refused caller is told.
        history_events_max: changes that are kept for those who watch.
        history_bytes_max: their bytes.
        watchers_max: calls that wait for changes.
        watch_wait_ms_max: the longest that one of them waits.
    """

    entry_operations_max: Positive = 1_000
    entry_bytes_max: Positive = 2 << 20
    entries_in_flight_max: Positive = 1
    queued_writes_max: Positive = 10_000
    queued_bytes_max: Positive = 32 << 20
    waiting_reads_max: Positive = 10_000
    lock_waits_max: Positive = 10_000
    sweep_interval_s: float = 0.05
    time_entry_interval_s: float = 1.0
    backlog_interval_s: float = 0.05
    retry_after_ms: Positive = 50
    history_events_max: Positive = 20_000
    history_bytes_max: Positive = 8 << 20
    watchers_max: Positive = 1_000
    watch_wait_ms_max: Positive = 30_000


class GroupFigures(msgspec.Struct):
    """What a group has done since it was opened. Counts, unless the name says otherwise.

    Attributes:
        operations: writes that were proposed.
        entries: entries that were proposed, `time_entries` of them without an operation.
        entry_sizes: how many entries had fewer than 1, 2, 4, 8 … operations (by position).
        reads: linearizable reads and lists answered, `lease_reads` of them under a lease.
        stale_reads: reads and lists answered without asking anybody.
        refused: calls answered NOT_LEADER.
        overloaded: calls answered OVERLOADED.
        timed_out: calls answered TIMEOUT.
        unknown: writes whose outcome is unknown.
        watch_replies: calls for changes that were answered.
        watch_events: changes in those answers.
        resyncs: such answers that said that history is gone.
    """

    operations: int = 0
    entries: int = 0
    time_entries: int = 0
    entry_sizes: list[int] = msgspec.field(default_factory=lambda: [0] * 16)
    reads: int = 0
    lease_reads: int = 0
    stale_reads: int = 0
    refused: int = 0
    overloaded: int = 0
    timed_out: int = 0
    unknown: int = 0
    watch_replies: int = 0
    watch_events: int = 0
    resyncs: int = 0

    def count_failure(self, failure: Failure) -> None:
        """A call was answered with this failure."""
        self.refused += failure.code == Code.NOT_LEADER
        self.overloaded += failure.code == Code.OVERLOADED
        self.timed_out += failure.code == Code.TIMEOUT
        self.unknown += failure.code == Code.UNKNOWN

    def count_entry(self, operations: int) -> None:
        """An entry with so many operations was proposed."""
        self.entries += 1
        self.operations += operations
        self.time_entries += operations == 0
        self.entry_sizes[min(operations.bit_length(), len(self.entry_sizes) - 1)] += 1
