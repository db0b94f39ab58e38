"""Those who wait for changes of a group, and the changes they are given.

Every replica remembers the newest changes, so that the next leader can go on where the last one stopped. Only applied
entries are told. An answer with changes needs nobody's leave, as what it says is committed; an answer that there are
none, or that history is gone, is given only after the replica was found to lead still: else a leader that was replaced
without knowing it would hold its watchers for ever.
"""

import math
from collections.abc import Iterable
from functools import partial
from typing import TypeAlias

import msgspec

from raft.interface import ReadGranted, ReadOutcome, Replica
from shard import failures
from shard.history import History
from shard.machine import Change, Machine
from shard.seams import GroupFigures, GroupLimits, Scheduler, Timer
from wire.errors import Failure
from wire.messages import LIMIT_WATCH_BYTES, WatchReply, WatchRequest
from wire.rpc import Call

WatchCall: TypeAlias = Call[WatchRequest, WatchReply]


class _Waiter(msgspec.Struct, eq=False):
    """A call, and when it is to be answered although there are no changes, on the scheduler's clock."""

    call: WatchCall
    until: float


class Watches:
    """The watchers of one group at one replica. Implements `shard.machine.machine.Audience`."""

    def __init__(
        self, replica: Replica, machine: Machine, scheduler: Scheduler, *, limits: GroupLimits, figures: GroupFigures
    ) -> None:
        self._replica = replica
        self._scheduler = scheduler
        self._limits = limits
        self._figures = figures
        self.history = History(replica.applied_index, limits.history_events_max, limits.history_bytes_max)
        self._is_lost = False  # a snapshot came; where history begins is known with the next entry or question
        self._waiting: dict[_Waiter, None] = {}  # for changes
        self._asking: dict[_Waiter, None] = {}  # whether this replica leads
        self._timer: Timer | None = None
        self._timer_at = math.inf
        self._turn_is_due = False
        machine.tell(self)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._asking)

    @property
    def is_full(self) -> bool:
        """Whether no further call may wait."""
        return len(self) >= self._limits.watchers_max

    def add(self, call: WatchCall) -> None:
        """Take in a call; the replica leads."""
        if self._answer(call):
            return
        wait_s = min(call.request.wait_ms, self._limits.watch_wait_ms_max) / 1000
        waiter = _Waiter(call, self._scheduler.time() + wait_s)
        if self._is_resync(call) or wait_s == 0:
            self._ask([waiter])
        else:
            self._waiting[waiter] = None
            self._arm()

    def fail_all(self, failure: Failure) -> None:
        """They cannot be answered here."""
        waiters = [*self._waiting, *self._asking]
        self._waiting.clear()
        self._asking.clear()
        self._disarm()
        self._fail(waiters, failure)

    # --- what the machine tells

    def changed(self, index: int, changes: list[Change]) -> None:
        """An entry was applied that changed something."""
        self._settle(index - 1)
        self.history.add(index, changes)
        if self._waiting and not self._turn_is_due:
            self._turn_is_due = True
            self._scheduler.call_soon(self._turn)

    def restored(self) -> None:
        """The changes up to the end of the snapshot are not known."""
        self._is_lost = True

    # --- answers

    def _settle(self, begin: int) -> None:
        if self._is_lost:
            self._is_lost = False
            self.history.restart(begin)

    def _turn(self) -> None:
        """Answer those whom the applied entries concern: all, unless a call names a position that has not come yet."""
        self._turn_is_due = False
        for waiter in [waiter for waiter in self._waiting if self._answer(waiter.call)]:
            del self._waiting[waiter]
        if not self._waiting:
            self._disarm()

    def _answer(self, call: WatchCall) -> bool:
        """Give a call its changes, if there are any; True too when nobody waits for them any more."""
        if not call.is_open:
            return True
        applied = self._replica.applied_index
        self._settle(applied)
        asked = call.request
        found = self.history.after(asked.index, asked.taken, applied, LIMIT_WATCH_BYTES)
        if found is None or not found.events:
            return False
        self._reply(call, WatchReply(found.events, found.index, found.taken))
        return True

    def _is_resync(self, call: WatchCall) -> bool:
        asked = call.request
        return self.history.after(asked.index, asked.taken, self._replica.applied_index, 0) is None

    def _ask(self, waiters: list[_Waiter]) -> None:
        """Find out whether this replica leads still, to tell them that there is nothing."""
        self._asking.update(dict.fromkeys(waiters))
        self._replica.read(partial(self._asked, waiters))

    def _asked(self, waiters: Iterable[_Waiter], outcome: ReadOutcome) -> None:
        here = [waiter for waiter in waiters if waiter in self._asking]
        for waiter in here:
            del self._asking[waiter]
        if not isinstance(outcome, ReadGranted):
            self._fail(here, failures.refused(outcome, self._limits.retry_after_ms))
            return
        applied = self._replica.applied_index
        for waiter in here:
            if not self._answer(waiter.call):
                self._reply(waiter.call, WatchReply([], applied, resync=self._is_resync(waiter.call)))

    def _reply(self, call: WatchCall, reply: WatchReply) -> None:
        self._figures.watch_replies += 1
        self._figures.watch_events += len(reply.events)
        self._figures.resyncs += reply.resync
        call.reply(reply)

    def _fail(self, waiters: Iterable[_Waiter], failure: Failure) -> None:
        for waiter in waiters:
            self._figures.count_failure(failure)
            waiter.call.fail(failure)

    # --- the end of waits

    def _arm(self) -> None:
        """Look again when the first wait ends."""
        first = min((waiter.until for waiter in self._waiting), default=math.inf)
        if first < self._timer_at:
            self._disarm()
            self._timer = self._scheduler.call_later(max(first - self._scheduler.time(), 0.0), self._look)
            self._timer_at = first

    def _disarm(self) -> None:
        self._timer_at = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._disarm()
        now_s = self._scheduler.time()
        due = [waiter for waiter in self._waiting if waiter.until <= now_s or not waiter.call.is_open]
        for waiter in due:
            del self._waiting[waiter]
        if due:
            self._ask(due)
        self._arm()
