"""Who writes next: writes of many threads gathered into one, without a thread of its own.

The first to come leads: it takes all that is queued, settles it, and hands the lead to the first who came meanwhile (as the
writers' queue of LevelDB does). Everybody else sleeps until their ticket is settled or the lead is theirs. So one thread
alone never waits for another, and many share a sync.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from shard.embedded.trouble import Trouble, TroubleError
from wire.messages import Operation, WriteReply

T = TypeVar("T")


class Ticket:
    """A write on its way, or `work` that wants the lead for itself.

    Attributes:
        operations: what to apply, all by one entry; none only brings the time.
        size: their bytes, about.
        replies, error: one of them is set once it is settled.
    """

    __slots__ = ("error", "gate", "is_leader", "operations", "replies", "size", "work")

    def __init__(
        self,
        operations: Sequence[Operation],
        size: int,
        *,
        work: Callable[[], object] | None = None,
    ) -> None:
        self.operations = operations
        self.size = size
        self.work = work
        self.is_leader = False
        self.replies: list[WriteReply] | None = None
        self.error: TroubleError | None = None
        self.gate: threading.Lock | None = None

    def outcome(self) -> list[WriteReply]:
        """What came of it, operation by operation; raises TroubleError."""
        if self.replies is not None:
            return self.replies
        raise self.error or TroubleError(Trouble.UNKNOWN, "the write was cut short")


class Turns:
    """The queue.

    Args:
        commit: settles tickets (sets `replies` or `error`), those of one entry; what it raises is raised where it leads.
        queued_max: tickets that may wait.
        batch_max: operations in one entry; a ticket with more goes alone.
        batch_bytes: their sizes; a larger one goes alone.
    """

    def __init__(
        self, commit: Callable[[list[Ticket]], None], *, queued_max: int, batch_max: int, batch_bytes: int
    ) -> None:
        self._commit = commit
        self._queued_max = queued_max
        self._batch_max = batch_max
        self._batch_bytes = batch_bytes
        self._mutex = threading.Lock()
        self._queue: deque[Ticket] = deque()
        self._is_led = False

    def run(self, ticket: Ticket, timeout_s: float) -> None:
        """Have a ticket settled; it is, when this returns.

        Raises:
            TroubleError: as many wait as may.
        """
        try:
            if self._enter(ticket) or self._wait(ticket, timeout_s):
                self.lead()
        except BaseException:
            self._leave(ticket)
            raise

    def alone(self, work: Callable[[], T], timeout_s: float) -> T:
        """The result of something that is done while nobody else leads.

        Raises:
            TroubleError: it was not its turn in time, or as many wait as may.
        """
        results: list[T] = []
        ticket = Ticket((), 0, work=lambda: results.append(work()))
        self.run(ticket, timeout_s)
        if ticket.error is not None:
            raise ticket.error
        return results[0]

    def lead(self) -> None:
        """Settle what is at the head of the queue, and hand the lead on. Only for who was given it."""
        tickets: list[Ticket] = []
        try:
            with self._mutex:
                tickets = self._take()
            if tickets and (work := tickets[0].work) is not None:
                work()
            elif tickets:
                self._commit(tickets)
        finally:
            self._settled(tickets)

    def _enter(self, ticket: Ticket) -> bool:
        """Queue a ticket; whether it has the lead."""
        with self._mutex:
            if len(self._queue) >= self._queued_max:
                raise TroubleError(Trouble.OVERLOADED, f"{self._queued_max} writes wait already")
            self._queue.append(ticket)
            if not self._is_led:
                self._is_led = ticket.is_leader = True
            else:
                ticket.gate = threading.Lock()
                ticket.gate.acquire()
            return ticket.is_leader

    def _wait(self, ticket: Ticket, timeout_s: float) -> bool:
        """Sleep until it is settled, or has the lead (True), or the time is up."""
        gate = ticket.gate
        if gate is None or gate.acquire(timeout=timeout_s):
            return ticket.is_leader
        with self._mutex:
            if ticket.is_leader or ticket.replies is not None or ticket.error is not None:
                return ticket.is_leader
            if ticket in self._queue:
                self._queue.remove(ticket)
                ticket.error = TroubleError(Trouble.TIMEOUT, "the time was up before its turn; nothing was applied")
            else:
                ticket.error = TroubleError(Trouble.UNKNOWN, "the time was up while it was on its way to the disk")
        return False

    def _leave(self, ticket: Ticket) -> None:
        """Its thread goes on without it."""
        with self._mutex:
            if ticket in self._queue:
                self._queue.remove(ticket)
                if ticket.is_leader:
                    self._hand_on()

    def _take(self) -> list[Ticket]:
        """The tickets of the next entry, or one that has work."""
        queue = self._queue
        taken: list[Ticket] = []
        size = count = 0
        while queue:
            first = queue[0]
            size += first.size
            count += len(first.operations) or 1
            if taken and (first.work is not None or count > self._batch_max or size > self._batch_bytes):
                break
            taken.append(queue.popleft())
            if first.work is not None:
                break
        return taken

    def _settled(self, tickets: list[Ticket]) -> None:
        """Wake those whose tickets they are, and give the lead to the next."""
        with self._mutex:
            for ticket in tickets:
                if ticket.gate is not None and not ticket.is_leader:
                    ticket.gate.release()
            self._hand_on()

    def _hand_on(self) -> None:
        if not self._queue:
            self._is_led = False
            return
        first = self._queue[0]
        first.is_leader = True
        if first.gate is not None:
            first.gate.release()
