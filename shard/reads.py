"""Reads of one group: rounds of the replica, answers from the machine, and reads that must wait for a time entry.

A linearizable read waits for the end of the loop turn; one question to the replica serves all that came in the turn,
and never one that came later. The answer is taken from the machine at the leader's cluster time. When that finds a
key due, which no entry has expired yet, the read waits until an entry has brought the time: else the key would come
back when the next leader's clock starts from the last entry.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

from raft.interface import ReadGranted, ReadOutcome, Replica
from shard import failures
from shard.machine import Machine, remaining_ms
from shard.seams import GroupFigures, GroupLimits
from wire.errors import Applied, Failure
from wire.messages import ItemResult, ListReply, ListRequest, ReadReply, ReadRequest, Status
from wire.rpc import Call

ReadCall: TypeAlias = Call[ReadRequest, ReadReply]
ListCall: TypeAlias = Call[ListRequest, ListReply]

_NOT_FOUND = ItemResult(Status.NOT_FOUND)
_WRONG_GROUP = ItemResult(Status.WRONG_GROUP)


class Reader:
    """A linearizable read that waits.

    Attributes:
        deadline: on the scheduler's clock.
        answer: answers as of a cluster time; False when that time must be logged first.
        fail: answers with a failure.
    """

    __slots__ = ("answer", "deadline", "fail")

    def __init__(self, deadline: float, answer: Callable[[int], bool], fail: Callable[[Failure], None]) -> None:
        self.deadline = deadline
        self.answer = answer
        self.fail = fail


class Answers:
    """Answers reads from the machine as of `now_ms`, which is at least the machine's time.

    Each method says False when it did not answer, because the read found a key that is due at `now_ms` but not yet at
    the machine's time.
    """

    def __init__(self, replica: Replica, machine: Machine, limits: GroupLimits) -> None:
        self.map_epoch = 0  # of the newest map that the node has
        self.fenced = False  # the machine's state was found wrong
        self._replica = replica
        self._machine = machine
        self._limits = limits

    def keys(self, call: ReadCall, age_ms: int, now_ms: int) -> bool:
        """Answer a read of keys with data that may be `age_ms` old."""
        if self.fenced:
            call.fail(failures.FENCED)
            return True
        results = [self._result(key, now_ms) for key in call.request.keys]
        if None in results:
            return False
        if failures.all_elsewhere(found := [result for result in results if result is not None]):
            call.fail(failures.wrong_group(self.map_epoch))
        else:
            call.reply(ReadReply(found, self._replica.applied_index, age_ms))
        return True

    def page(self, call: ListCall, age_ms: int, now_ms: int) -> bool:
        """Answer a page of keys with data that may be `age_ms` old."""
        if self.fenced:
            call.fail(failures.FENCED)
            return True
        asked = call.request
        page = self._machine.page(
            asked.prefix, asked.after, asked.limit, now_ms, with_values=asked.with_values, bytes_max=asked.bytes_max
        )
        if page.due:
            return False
        if page.overrun and not page.entries:
            call.fail(failures.overloaded(self._limits.retry_after_ms))
        else:
            call.reply(ListReply(page.entries, page.more, self._replica.applied_index, age_ms))
        return True

    def _result(self, key: str, now_ms: int) -> ItemResult | None:
        record = self._machine.get(key)
        if record is None:
            return _NOT_FOUND if self._machine.owns(key) else _WRONG_GROUP
        if record.expired(now_ms):
            return None
        return ItemResult(Status.OK, record.revision, record.value, record.content_type, remaining_ms(record, now_ms))


class Reads:
    """The reads of one group; at most `limits.waiting_reads_max` wait.

    `now_ms` tells a leader's cluster time; `wake` is called when a read begins to wait for an entry.
    """

    def __init__(
        self,
        replica: Replica,
        machine: Machine,
        now_ms: Callable[[], int],
        wake: Callable[[], None],
        *,
        limits: GroupLimits,
        figures: GroupFigures,
    ) -> None:
        self.answers = Answers(replica, machine, limits)
        self._replica = replica
        self._machine = machine
        self._now_ms = now_ms
        self._wake = wake
        self._limits = limits
        self._figures = figures
        self._waiting: dict[Reader, None] = {}  # all that are not answered, the oldest first
        self._fresh: list[Reader] = []  # wait for a round
        self._due: list[Reader] = []  # wait for an entry

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def want_entry(self) -> bool:
        """Whether a read waits for an entry that brings the present time."""
        return bool(self._due)

    @property
    def is_full(self) -> bool:
        """Whether no further read may wait."""
        return len(self._waiting) >= self._limits.waiting_reads_max

    def stale_keys(self, call: ReadCall) -> None:
        """Answer from the state as it is."""
        self._figures.stale_reads += 1
        self.answers.keys(call, self._replica.age_ms(), self._machine.now_ms)

    def stale_page(self, call: ListCall) -> None:
        """Answer from the state as it is."""
        self._figures.stale_reads += 1
        self.answers.page(call, self._replica.age_ms(), self._machine.now_ms)

    def add_keys(self, call: ReadCall) -> None:
        """Take in a linearizable read for the round at the end of this turn."""
        self._add(Reader(call.deadline, partial(self.answers.keys, call, 0), call.fail))

    def add_page(self, call: ListCall) -> None:
        """Take in a linearizable list for the round at the end of this turn."""
        self._add(Reader(call.deadline, partial(self.answers.page, call, 0), call.fail))

    def _add(self, reader: Reader) -> None:
        self._waiting[reader] = None
        self._fresh.append(reader)

    def begin_round(self) -> None:
        """Ask the replica once for all that came since the last round."""
        if self._fresh:
            readers, self._fresh = self._fresh, []
            self._replica.read(partial(self._granted, readers))

    def take_due(self) -> list[Reader]:
        """The reads that the next entry will answer; hand them to `finish` or `fail`."""
        readers, self._due = self._due, []
        return readers

    def finish(self, readers: Iterable[Reader]) -> None:
        """An entry that was logged for them is applied: what was due is gone, and no other key need be due."""
        for reader in self._take(readers):
            reader.answer(self._machine.now_ms)

    def fail(self, readers: Iterable[Reader], failure: Failure) -> None:
        """They cannot be answered here."""
        for reader in self._take(readers):
            self._figures.count_failure(failure)
            reader.fail(failure)

    def fail_unasked(self, failure: Failure) -> None:
        """Fail the reads that no round and no entry will answer."""
        readers = [*self._fresh, *self._due]
        self._fresh, self._due = [], []
        self.fail(readers, failure)

    def fail_all(self, failure: Failure) -> None:
        """Fail whoever waits."""
        self._fresh, self._due = [], []
        self.fail(list(self._waiting), failure)

    def sweep(self, now_s: float) -> None:
        """Answer TIMEOUT to reads whose deadline passed."""
        expired = [reader for reader in self._waiting if reader.deadline <= now_s]
        self.fail(expired, failures.timed_out(Applied.NO))

    def _take(self, readers: Iterable[Reader]) -> list[Reader]:
        """Those of them that still wait; they do so no longer."""
        found = [reader for reader in readers if reader in self._waiting]
        for reader in found:
            del self._waiting[reader]
        return found

    def _granted(self, readers: list[Reader], outcome: ReadOutcome) -> None:
        if not isinstance(outcome, ReadGranted):
            self.fail(readers, failures.refused(outcome, self._limits.retry_after_ms))
            return
        now_ms = self._now_ms()
        for reader in self._take(readers):
            self._figures.reads += 1
            self._figures.lease_reads += outcome.by_lease
            if not reader.answer(now_ms):
                self._waiting[reader] = None
                self._due.append(reader)
        if self._due:
            self._wake()
