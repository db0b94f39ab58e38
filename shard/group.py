"""One hosted group: writes gathered into entries, linearizable reads, deadlines.

Group commit is self-clocking: writes that arrive while an entry is on its way form the next one, at the end of a loop
turn, so that all that was read in one turn goes together. Every call is answered once. What is known about a write
when its deadline passes decides the answer: not proposed yet, nothing was applied; proposed, nobody knows.
"""

from collections.abc import Iterable
from functools import partial
from typing import TypeAlias

from raft.interface import Committed, Outcome, Refused, Replica, Unknown
from shard import failures, spans
from shard.checksums import Checksums
from shard.cluster_time import ClusterClock
from shard.lock_waits import AwaitLockCall, LockWaits
from shard.machine import Entry, Machine, Own, encode, normalized
from shard.reads import ListCall, ReadCall, Reader, Reads
from shard.seams import GroupFigures, GroupLimits, Scheduler, Timer
from shard.watches import WatchCall, Watches
from shard.write_queue import WriteCall, WriteQueue
from wire.errors import Applied, Failure
from wire.messages import NEVER, ChecksumReply, ChecksumRequest, Consistency, WriteReply
from wire.rpc import Call

ChecksumCall: TypeAlias = Call[ChecksumRequest, ChecksumReply]


class _Flight:
    """An entry on its way, and who waits for it. A write that was answered meanwhile is None."""

    __slots__ = ("began_ns", "own", "part_of_check", "readers", "writes")

    def __init__(self, writes: list[WriteCall], readers: list[Reader], own: Own | None, *, part_of_check: bool) -> None:
        self.writes: list[WriteCall | None] = [*writes]
        self.readers = readers
        self.own = own
        self.part_of_check = part_of_check
        self.began_ns = 0  # when it was proposed, if somebody wants to know


class GroupService:
    """Serves one group at one replica. All methods are called on the event-loop thread."""

    def __init__(
        self,
        replica: Replica,
        machine: Machine,
        scheduler: Scheduler,
        checksums: Checksums,
        limits: GroupLimits | None = None,
    ) -> None:
        self.replica = replica
        self.machine = machine
        self.checksums = checksums
        self.figures = GroupFigures()
        self._limits = limits or GroupLimits()
        self._scheduler = scheduler
        self._clock = ClusterClock(machine, scheduler.time)
        self._queue = WriteQueue(self._limits.queued_writes_max, self._limits.queued_bytes_max)
        self._reads = Reads(replica, machine, self._clock.now_ms, self._wake, limits=self._limits, figures=self.figures)
        self._watches = Watches(replica, machine, scheduler, limits=self._limits, figures=self.figures)
        self._lock_waits = LockWaits(
            machine, self._limits.lock_waits_max, lambda: self._reads.answers.map_epoch, self.figures
        )
        self._flights: list[_Flight] = []
        self._leading = False
        self._closed = False
        self._turn_is_due = False
        self._time_entry_is_due = False
        self._expiry_timer: Timer | None = None
        self._sweep_timer: Timer | None = None
        self._assigned: Own | None = None  # what the map says and the leader has not found in the machine
        self._own_from_s = 0.0  # no ownership is proposed earlier
        checksums.attach(self._wake, self._fence_moved)
        self._fence_moved()
        replica.on_leadership(self._on_leadership)
        if replica.is_leader:
            self._on_leadership(True)

    @property
    def queue_depth(self) -> int:
        """Writes that wait for an entry."""
        return len(self._queue)

    @property
    def waiting_reads(self) -> int:
        """Linearizable reads that wait for a round of the replica or an entry."""
        return len(self._reads)

    @property
    def watches(self) -> int:
        """Calls that wait for changes."""
        return len(self._watches)

    @property
    def lock_waits(self) -> int:
        """Calls that wait for a lock."""
        return len(self._lock_waits)

    @property
    def history_events(self) -> int:
        """Changes that are kept for watchers that come back."""
        return self._watches.history.events

    @property
    def history_bytes(self) -> int:
        """Bytes of these changes."""
        return self._watches.history.size_bytes

    # --- calls

    def write(self, call: WriteCall) -> None:
        """Queue a write; it is answered when its entry is applied, or with a failure that says what is known."""
        failure = self._obstacle()
        if failure is None and not self._queue.offer(call):
            failure = failures.overloaded(self._limits.retry_after_ms)
        self._continue(call, failure)

    def read(self, call: ReadCall) -> None:
        """Answer a read of keys, at once when it may be stale."""
        if call.request.consistency == Consistency.STALE:
            self._reads.stale_keys(call)
            return
        failure = self._obstacle_to_read()
        if failure is None:
            self._reads.add_keys(call)
        self._continue(call, failure)

    def page(self, call: ListCall) -> None:
        """Answer a page of keys, at once when it may be stale."""
        if call.request.consistency == Consistency.STALE:
            self._reads.stale_page(call)
            return
        failure = self._obstacle_to_read()
        if failure is None:
            self._reads.add_page(call)
        self._continue(call, failure)

    def watch(self, call: WatchCall) -> None:
        """Answer with the changes after a position, as soon as there are any."""
        failure = self._obstacle()
        if failure is None and self._watches.is_full:
            failure = failures.overloaded(self._limits.retry_after_ms)
        if failure is None:
            self._watches.add(call)
        else:
            self.figures.count_failure(failure)
            call.fail(failure)

    def await_lock(self, call: AwaitLockCall) -> None:
        """Answer when a lock is handed to who waits for it."""
        if failure := self._obstacle():
            self.figures.count_failure(failure)
            call.fail(failure)
            return
        self._lock_waits.add(call, self._scheduler.time(), self._limits.retry_after_ms)
        self._arm_sweep()

    def checksum(self, call: ChecksumCall) -> None:
        """Say what is known of a hash of the state, at once."""
        if call.request.begin:
            if failure := self._obstacle():
                call.fail(failure)
                return
            self.checksums.begin()
        call.reply(self.checksums.answer(call.request))

    def hand_over(self, to: str) -> None:
        """Hand leadership to another replica, if this one leads and the other's state is not known to be wrong."""
        if self.replica.is_leader and to not in self.checksums.suspects:
            self.replica.transfer_leadership(to)

    def assign(self, ranges: Iterable[tuple[int, int]], epoch: int) -> None:
        """The cluster map of `epoch` gives these slots to the group; the leader logs it when it is news."""
        if epoch <= self._reads.answers.map_epoch:
            return
        self._reads.answers.map_epoch = epoch
        self._assigned = Own(normalized(ranges), epoch)
        self._wake()

    def close(self) -> None:
        """Answer everybody and stop. The replica is closed by its host."""
        self._closed = True
        self._leading = False
        self.checksums.close()
        self._fail_writes(self._queue.take_all(), failures.CLOSING)
        for flight in self._flights:
            self._fail_writes(flight.writes, failures.CLOSING_WRITE)
            flight.writes = []
        self._reads.fail_all(failures.CLOSING)
        self._watches.fail_all(failures.CLOSING)
        self._lock_waits.fail_all(failures.CLOSING)
        for timer in (self._expiry_timer, self._sweep_timer):
            if timer is not None:
                timer.cancel()

    def _obstacle(self) -> Failure | None:
        """Why nothing can be done here at present."""
        if self._closed:
            return failures.CLOSING
        if self.checksums.fence.is_up:
            return failures.not_leader(
                "" if self.replica.is_leader else self.replica.leader, self._limits.retry_after_ms
            )
        if not self._leading:
            return failures.not_leader(self.replica.leader, self._limits.retry_after_ms)
        return None

    def _obstacle_to_read(self) -> Failure | None:
        if self._reads.is_full:
            return failures.overloaded(self._limits.retry_after_ms)
        return self._obstacle()

    def _continue(self, call: WriteCall | ReadCall | ListCall, failure: Failure | None) -> None:
        if failure is None:
            self._wake()
        else:
            self.figures.count_failure(failure)
            call.fail(failure)

    # --- turns

    def _on_leadership(self, leading: bool) -> None:  # noqa: FBT001 - Replica.on_leadership asks for this shape
        if self._closed:
            return
        self._leading = leading
        self.checksums.lead(leading=leading)
        if leading:
            self._clock.start()
            self._arm_expiry()
            self._wake()
        else:
            failure = failures.not_leader(self.replica.leader, self._limits.retry_after_ms)
            self._fail_writes(self._queue.take_all(), failure)
            self._reads.fail_unasked(failure)
            self._watches.fail_all(failure)
            self._lock_waits.fail_all(failure)

    def _fence_moved(self) -> None:
        self._reads.answers.fenced = self.checksums.fence.is_up
        if self.checksums.fence.is_up:
            self._watches.fail_all(failures.FENCED)
            self._lock_waits.fail_all(failures.FENCED)

    def _wake(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._scheduler.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        if not self._leading:
            return
        self._reads.begin_round()
        while self._may_propose() and self._propose() and self._queue:
            pass
        self._arm_sweep()

    def _may_propose(self) -> bool:
        return self._leading and len(self._flights) < self._limits.entries_in_flight_max

    def _propose(self) -> bool:
        """Put everything that waits into one entry; False when nothing does."""
        writes = self._take_writes()
        own = self._news_of_ownership()
        checksum, verdict = self.checksums.take()
        part_of_check = bool(checksum or verdict)
        if not (writes or own or part_of_check or self._time_entry_is_due or self._reads.want_entry):
            return False
        self._time_entry_is_due = False
        flight = _Flight(writes, self._reads.take_due(), own, part_of_check=part_of_check)
        self._flights.append(flight)
        self.figures.count_entry(len(writes))
        flight.began_ns = spans.proposed(writes)
        operations = [(call.request.id, call.request.operation) for call in writes]
        entry = Entry(self._clock.now_ms(), operations, own, checksum, verdict)
        self.replica.propose(encode(entry), partial(self._landed, flight))
        return True

    def _take_writes(self) -> list[WriteCall]:
        if not self._queue:
            return []
        now_s = self._scheduler.time()
        taken = self._queue.take(self._limits.entry_operations_max, self._limits.entry_bytes_max)
        expired = [call for call in taken if call.deadline <= now_s]
        if not expired:
            return taken
        self._fail_writes(expired, failures.timed_out(Applied.NO))
        return [call for call in taken if call.deadline > now_s]

    def _news_of_ownership(self) -> Own | None:
        own = self._assigned
        if own is None or self._scheduler.time() < self._own_from_s or any(flight.own for flight in self._flights):
            return None
        if own.epoch <= self.machine.epoch:
            self._assigned = None
            return None
        return own

    def _landed(self, flight: _Flight, outcome: Outcome) -> None:
        """The entry's outcome is known."""
        self._flights.remove(flight)
        if flight.began_ns:
            spans.landed(flight.began_ns, flight.writes, outcome)
        if flight.part_of_check:
            self.checksums.landed(committed=isinstance(outcome, Committed))
        if isinstance(outcome, Committed) and self.checksums.fence.is_up:
            outcome = Unknown("")  # it is in the log, but what this machine made of it may be wrong
        if isinstance(outcome, Committed):
            self._deliver(flight.writes, outcome.result)
            self._reads.finish(flight.readers)
        elif isinstance(outcome, Refused):
            failure = failures.refused(outcome, self._limits.retry_after_ms)
            self._fail_writes(flight.writes, failure)
            self._reads.fail(flight.readers, failure)
        else:
            self._fail_writes(flight.writes, failures.unknown(outcome))
            failure = failures.not_leader(outcome.leader, self._limits.retry_after_ms)
            self._reads.fail(flight.readers, failure)
        if flight.own is not None and not isinstance(outcome, Committed):
            self._own_from_s = self._scheduler.time() + self._limits.retry_after_ms / 1000
        if self._leading:
            self._arm_expiry()
            self._wake()

    def _deliver(self, writes: list[WriteCall | None], result: object) -> None:
        replies: list[WriteReply] = result if isinstance(result, list) else []
        if len(replies) != len(writes):
            self._fail_writes(writes, failures.MISMATCH)
            return
        for call, reply in zip(writes, replies, strict=True):
            if call is None:
                continue
            if failures.all_elsewhere(reply.results):
                call.fail(failures.wrong_group(self._reads.answers.map_epoch))
            else:
                call.reply(reply)

    def _fail_writes(self, writes: Iterable[WriteCall | None], failure: Failure) -> None:
        for call in writes:
            if call is not None:
                self.figures.count_failure(failure)
                call.fail(failure)

    # --- timers

    def _arm_sweep(self) -> None:
        """Look at deadlines, and at an ownership that could not be logged, as long as there are any."""
        if self._sweep_timer is not None:
            return
        if self._flights or self._queue or self._reads or self._lock_waits or (self._leading and self._assigned):
            self._sweep_timer = self._scheduler.call_later(self._limits.sweep_interval_s, self._sweep)

    def _sweep(self) -> None:
        self._sweep_timer = None
        now_s = self._scheduler.time()
        self._fail_writes(self._queue.take_expired(now_s), failures.timed_out(Applied.NO))
        for flight in self._flights:
            for position, call in enumerate(flight.writes):
                if call is not None and call.deadline <= now_s:
                    flight.writes[position] = None
                    self._fail_writes([call], failures.timed_out(Applied.UNKNOWN))
        self._reads.sweep(now_s)
        self._lock_waits.sweep(now_s)
        if self._leading and self._assigned is not None:
            self._wake()
        self._arm_sweep()

    def _arm_expiry(self) -> None:
        """Wake up for keys that become due although nobody writes."""
        due_ms = self.machine.next_expiry_ms()
        if self._expiry_timer is not None or due_ms == NEVER:
            return
        backlog = due_ms <= self.machine.now_ms
        wait_s = self._limits.backlog_interval_s if backlog else self._limits.time_entry_interval_s
        self._expiry_timer = self._scheduler.call_later(wait_s, self._look_at_expiry)

    def _look_at_expiry(self) -> None:
        self._expiry_timer = None
        if not self._leading:
            return
        if NEVER != self.machine.next_expiry_ms() <= self._clock.now_ms():
            self._time_entry_is_due = True
            self._wake()
        else:
            self._arm_expiry()
