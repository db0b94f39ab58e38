"""One group with one member, driven by the threads that use it.

**Writes.** Who leads (`turns.py`) takes all that is queued as one entry, logs it, waits until it is durable, applies it and settles
everybody's ticket. So the longer a sync takes, the more writes share the next one.

**Reads.** They see what is applied, which is durable, and never half of an entry: `plain` is all records, and while an entry is
applied nothing, so who does not find a key there asks with `state` held. A read that looked at `plain` before may see one key of
the entry; then that is the moment of the entry, because nobody that begins later sees less of it.

**Time.** Cluster time, counted on from the log. A key that is due by the clock is shown as gone only once an entry has brought that time, or
it would come back when the store is opened again.

**Failure.** After an error of the disk, or a write that was cut short (Ctrl-C), nothing is done any more: what the disk has then, only
opening it again can tell.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from raft.snapshot_format import SnapshotMeta
from shard.cluster_time import ClusterClock
from shard.embedded.feed import Feed
from shard.embedded.limits import EngineLimits
from shard.embedded.log import EntryLog
from shard.embedded.machine import SoleMachine
from shard.embedded.trouble import Trouble, TroubleError
from shard.embedded.turns import Ticket, Turns
from shard.machine import Entry, Page, Record, decode, encode
from shard.waiters import Place, Waiters
from wire.messages import NEVER, AcquireLock, ItemResult, Operation, OperationId, Put, Status, WatchEvent, WriteReply
from wire.positions import Position

T = TypeVar("T")

_FIRST_INDEX = 1
ALONE_S = 60.0  # that a snapshot waits for its turn
_NOTHING_PLAIN: Mapping[str, Record] = {}
_TRIES = 8  # of a read that finds a key due each time it looks


class Helper(Protocol):
    """A thread of the engine's."""

    def wake(self) -> None:
        """There may be something to do."""

    def stop(self) -> None:
        """Come to an end, and wait for it."""


class Engine:
    """See the module. Made by `open_engine`; threads may share it.

    Attributes:
        plain: where keys that do not begin with NUL may be found, to be asked for anew each time; those due by `now_ms` may not be gone yet.
        machine: to be looked at only with `state` held.
        state: held while the machine changes or is read in more than one step.
        limits: its sizes.
    """

    def __init__(
        self,
        machine: SoleMachine,
        log: EntryLog | None,
        session: int,
        clock: Callable[[], float],
        limits: EngineLimits,
        *,
        keeps: bool,
    ) -> None:
        self.machine = machine
        self.limits = limits
        self.state = threading.Lock()
        self.plain: Mapping[str, Record] = machine.flat
        self.index = _FIRST_INDEX if log is None else log.index
        self._log = log
        self._keeps = keeps
        self._session = session
        self._sequence = 0
        self._clock = ClusterClock(machine, clock)
        self._clock.start()
        self._turns = self._new_turns()
        self._snapshotting = threading.Lock()
        self._trouble: TroubleError | None = None
        self._upkeep: Helper | None = None
        self._feed = Feed(machine)
        self._lock_waits: Waiters[threading.Event] = Waiters()
        machine.on_granted(self._granted)
        _opened.add(self)

    # --- writing

    def begin(self, entry: Entry) -> None:
        """Log and apply the first entry."""
        self._turns.alone(lambda: self._log_and_apply(entry), self.limits.time_entry_s)

    def write(self, operation: Operation, timeout_s: float, size: int = 0) -> WriteReply:
        """Apply an operation; it is durable when this returns.

        Args:
            operation: within the limits of `shard.faults`.
            timeout_s: how long it may wait.
            size: bytes, about.

        Raises:
            TroubleError: what is known of it says its `trouble`.
        """
        ticket = Ticket((operation,), size)
        self._turns.run(ticket, timeout_s)
        return ticket.outcome()[0]

    def write_all(self, operations: Sequence[Operation], timeout_s: float, size: int) -> list[WriteReply]:
        """The same for several, which share an entry: they are durable, and are seen, together."""
        ticket = Ticket(operations, size)
        self._turns.run(ticket, timeout_s)
        return ticket.outcome()

    def bring_time(self) -> None:
        """Log the present time, so that keys that are due are gone for good; raises TroubleError."""
        self.write_all((), self.limits.time_entry_s, 0)

    def check(self) -> None:
        """Raise TroubleError if nothing can be done any more."""
        if self._trouble is not None:
            raise TroubleError(self._trouble.trouble, self._trouble.message)

    def _commit(self, tickets: list[Ticket]) -> None:
        """Settle tickets by one entry. Called by who leads."""
        if self._trouble is not None:
            _refuse(tickets, self._trouble)
            return
        if self._log is not None and self._log.is_pinned and self._log.size_bytes > self.limits.log_bytes:
            self._wake_upkeep()
            _refuse(tickets, TroubleError(Trouble.OVERLOADED, "the log waits for a snapshot"))
            return
        try:
            replies = self._log_and_apply(self._entry(tickets))
        except BaseException as error:
            _refuse(tickets, TroubleError(Trouble.UNKNOWN, f"it was on its way to the disk: {error}"))
            if not isinstance(error, TroubleError):
                raise
            return
        if len(tickets) == 1:
            tickets[0].replies = replies
        else:
            each = iter(replies)
            for ticket in tickets:
                ticket.replies = list(islice(each, len(ticket.operations)))
        if self.snapshot_is_due:
            self._wake_upkeep()

    def _entry(self, tickets: list[Ticket]) -> Entry:
        """Ids count up, and each says that those before have their answers: nothing is ever sent twice."""
        operations: list[tuple[OperationId, Operation]] = []
        for ticket in tickets:
            for operation in ticket.operations:
                self._sequence += 1
                operations.append((OperationId(self._session, self._sequence, self._sequence), operation))
        return Entry(self._clock.now_ms(), operations)

    def _log_and_apply(self, entry: Entry) -> list[WriteReply]:
        """Make an entry durable, then apply it. Called by who leads; whatever goes wrong here is the end."""
        try:
            command = encode(entry)
            if self._log is not None:
                self._log.append(command)
            self.plain = _NOTHING_PLAIN
            replies = self._apply(entry if _is_as_logged(entry) else decode(command), len(entry.operations))
            if self._trouble is None:
                self.plain = self.machine.flat
        except BaseException as error:
            self.fail(error)
            raise
        return replies

    def _apply(self, entry: Entry | None, operations: int) -> list[WriteReply]:
        if entry is None or len(entry.operations) != operations:
            raise TroubleError(Trouble.FAILED, "the machine does not understand an entry; this is a defect")
        with self.state:
            replies = self.machine.apply_entry(self.index + 1, entry)
            self.index += 1
        return replies

    def fail(self, error: BaseException) -> None:
        """Nothing is done any more, because of this."""
        if not isinstance(error, TroubleError):
            error = TroubleError(Trouble.FAILED, f"a write was cut short ({error!r}); open the store again")
        if self._trouble is None:
            self._trouble = error
        self.plain = _NOTHING_PLAIN
        self._wake_all()

    def _wake_all(self) -> None:
        """Whoever waits for changes or for a lock has to look how it stands."""
        self._feed.wake_all()
        for _, event in self._lock_waits.every():
            event.set()

    def _wake_upkeep(self) -> None:
        if self._upkeep is not None:
            self._upkeep.wake()

    # --- reading

    def now_ms(self) -> int:
        """Cluster time."""
        return self._clock.now_ms()

    def find(self, keys: Sequence[str]) -> tuple[list[Record | None], int]:
        """The records of keys, all at one moment, and the cluster time of it.

        Raises:
            TroubleError: the engine is closed or broken, or a key that is due could not be ended in time.
        """

        def look(now_ms: int) -> tuple[list[Record | None], int] | None:
            found = [self.machine.get(key) for key in keys]
            is_due = any(record is not None and record.expired(now_ms) for record in found)
            return None if is_due else (found, now_ms)

        return self._look(look)

    def find_at_once(self, key: str) -> tuple[Record | None, int] | None:
        """The record of a key, and the cluster time; None when it is due, and only `find` can settle that, by a write."""
        with self.state:
            self.check()
            record, now_ms = self.machine.get(key), self._clock.now_ms()
        return None if record is not None and record.expired(now_ms) else (record, now_ms)

    def page(self, prefix: str, after: str, limit: int, *, with_values: bool) -> tuple[Page, int]:
        """Keys with a prefix in order, strictly after `after`, and the index of the entry after which they were so."""

        def look(now_ms: int) -> tuple[Page, int] | None:
            page = self.machine.page(prefix, after, limit, now_ms, with_values=with_values)
            return None if page.due or (page.overrun and not page.entries) else (page, self.index)

        return self._look(look)

    def _look(self, look: Callable[[int], T | None]) -> T:
        """What is seen at the present time; None says that a key is due whose end must be logged first."""
        for _ in range(_TRIES):
            with self.state:
                self.check()
                seen = look(self._clock.now_ms())
            if seen is not None:
                return seen
            self.bring_time()
        raise TroubleError(Trouble.OVERLOADED, "too many keys that are gone stand in the way; try again")

    # --- waiting for locks

    def await_lock(self, asked: AcquireLock) -> ItemResult:
        """How it stands with a request that waits for a lock, as soon as its owner has it, or after `wait_ms`.

        Raises:
            TroubleError: OVERLOADED: as many wait as may; or it is closed or broken.
        """
        place = Place(asked.name, asked.owner, asked.request)
        with self.state:
            self.check()
            result = self.machine.lock(asked.name, asked.owner, asked.request)
            if result.status is not Status.QUEUED:
                return result
            if len(self._lock_waits) >= self.limits.lock_waits:
                raise TroubleError(Trouble.OVERLOADED, f"{self.limits.lock_waits} wait for locks already")
            event = threading.Event()
            self._lock_waits.add(place, event)
        try:
            event.wait(asked.wait_ms / 1000)
        finally:
            with self.state:
                self._lock_waits.pop(place)
        with self.state:
            self.check()
            return self.machine.lock(asked.name, asked.owner, asked.request)

    def _granted(self, name: str, owner: str) -> None:
        for _, event in self._lock_waits.of_owner(name, owner):
            event.set()

    # --- watching

    def listen(self, wake: Callable[[], object]) -> tuple[object, Position]:
        """See `Feed.listen`; also where the changes begin that follow."""
        with self.state:
            self.check()
            return self._feed.listen(self.index, wake), Position(self.index)

    def leave(self, token: object) -> None:
        """See `Feed.leave`."""
        with self.state:
            self._feed.leave(token)

    def changes(self, asked: Position) -> tuple[list[tuple[Position, WatchEvent]], Position]:
        """See `Feed.after`."""
        with self.state:
            self.check()
            return self._feed.after(asked, self.index)

    # --- upkeep

    def expire(self) -> float:
        """Remove keys that are due, some of them if they are many; returns after how many seconds to look again."""
        due_ms = self.machine.next_expiry_ms()
        if due_ms == NEVER:
            return self.limits.time_entry_s
        if due_ms <= self._clock.now_ms():
            self.bring_time()
            due_ms = self.machine.next_expiry_ms()
        left_s = (due_ms - self._clock.now_ms()) / 1000 if due_ms != NEVER else self.limits.time_entry_s
        return min(max(left_s, self.limits.backlog_s), self.limits.time_entry_s)

    def kept_by(self, upkeep: Helper) -> None:
        """Wake it when there is something to do, and stop it at the end."""
        self._upkeep = upkeep

    @property
    def name(self) -> str:
        """Of this opening of the store: no other has it."""
        return f"{self._session:x}"

    @property
    def snapshot_is_due(self) -> bool:
        """Whether enough log has gathered since the last one."""
        log, limits = self._log, self.limits
        if log is None or not self._keeps:
            return False
        entries = self.index - max(log.snapshot_index, _FIRST_INDEX)
        return (
            (log.is_pinned and entries > 0)
            or entries >= max(limits.snapshot_entries, self.machine.keys)
            or log.tail_bytes >= max(limits.snapshot_bytes, log.snapshot_bytes)
        )

    def snapshot(self) -> None:
        """Write the state as it is now, and drop the log before it. Writes go on meanwhile.

        Raises:
            TroubleError: the disk failed, or the engine was closed meanwhile.
        """
        with self._snapshotting:
            self._snapshot()

    def _snapshot(self) -> None:
        log = self._log
        if log is None or not self._keeps:
            return
        index, before, chunks = self._turns.alone(self._begin_snapshot, ALONE_S)
        try:
            meta = log.write_snapshot(index, self._unless_stopped(chunks))
            self._turns.alone(lambda: self._end_snapshot(log, meta, before), ALONE_S)
        except BaseException as error:
            if self._trouble is None:
                self.fail(error)
            raise

    def _begin_snapshot(self) -> tuple[int, int, Iterator[bytes]]:
        self.check()
        with self.state:
            return self.index, 0 if self._log is None else self._log.tail_bytes, self.machine.snapshot()

    def _end_snapshot(self, log: EntryLog, meta: SnapshotMeta, before: int) -> None:
        self.check()
        log.compact(meta, log.tail_bytes - before)

    def _unless_stopped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.check()
            yield chunk

    # --- the end

    def close(self) -> None:
        """Settle what is on its way, then release everything. Closing twice is harmless."""
        if self._trouble is None and self.machine.next_expiry_ms() != NEVER:
            with contextlib.suppress(TroubleError):  # else keys live a little longer
                self.bring_time()  # the time until here counts
        self._turns.alone(self._stop, ALONE_S)
        if self._upkeep is not None:
            self._upkeep.stop()
        log, self._log = self._log, None
        if log is not None:
            log.close()
        _opened.discard(self)

    def _stop(self) -> None:
        self._trouble = self._trouble or TroubleError(Trouble.CLOSED, "the store is closed")
        self.plain = _NOTHING_PLAIN
        with self.state:
            self._wake_all()

    def forked(self) -> None:
        """This is a fork: the files are the parent's."""
        self._trouble = TroubleError(Trouble.FORKED, "the parent process has the store open: a fork cannot use it")
        self.plain = _NOTHING_PLAIN
        self._turns, self.state = self._new_turns(), threading.Lock()
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def _new_turns(self) -> Turns:
        limits = self.limits
        return Turns(
            self._commit,
            queued_max=limits.queued_writes,
            batch_max=limits.entry_operations,
            batch_bytes=limits.entry_bytes,
        )


_opened: "weakref.WeakSet[Engine]" = weakref.WeakSet()


def _is_as_logged(entry: Entry) -> bool:
    """Whether a replay is sure to find these very operations in the log.

    So it is with puts, whose members were all looked at by whoever asked for them; of the rest the log itself is read.
    """
    return all(isinstance(operation, Put) for _, operation in entry.operations)


def _refuse(tickets: list[Ticket], error: TroubleError) -> None:
    for ticket in tickets:
        ticket.error = TroubleError(error.trouble, error.message)


def _after_fork() -> None:
    for engine in list(_opened):
        engine.forked()


os.register_at_fork(after_in_child=_after_fork)
