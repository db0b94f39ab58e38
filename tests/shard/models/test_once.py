"""Idempotency keys and operation ids against a book of first answers."""

from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from shard.machine.keyspace import GRAIN_MS
from tests.shard.build import value_of
from tests.shard.models.replicas import IN_THE_SUITE, Replicas
from wire.messages import (
    Condition,
    Fetch,
    Increment,
    IncrementItem,
    ItemResult,
    Operation,
    OperationId,
    Status,
    Transaction,
    WriteReply,
)
from wire.operations import keys_of

MINUTES_10 = 600_000
COUNTER = "n"
KEPT_MS = MINUTES_10 + GRAIN_MS
REQUESTS: list[Operation] = [
    Increment([IncrementItem(COUNTER)]),
    Increment([IncrementItem(COUNTER), IncrementItem(COUNTER)]),
    Increment([IncrementItem(COUNTER, maximum=3)]),
    Transaction([], [Increment([IncrementItem(COUNTER)]), Fetch([COUNTER])]),
    Transaction([], [Increment([IncrementItem(COUNTER, condition=Condition(revision=0))])]),
]
NUMBERS = st.integers(0, len(REQUESTS) - 1)
SESSIONS = st.integers(1, 3)
KEYS = st.sampled_from(["", "k", "l"])


class First(NamedTuple):
    """What was answered to the first write with a key, and until when it is known."""

    number: int
    reply: WriteReply
    until_ms: int


class Once(Replicas):
    """Every request counts: how often one was applied is in the counter."""

    waits_ms = st.sampled_from([1, 1_000, MINUTES_10 // 2, MINUTES_10 - 1, MINUTES_10, MINUTES_10 + 1])

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.first: dict[str, First] = {}
        self.sent: dict[int, list[tuple[OperationId, int, WriteReply]]] = {}  # by sessions that are known
        self.used_ms: dict[int, int] = {}

    @rule(
        step_ms=st.sampled_from([0, 1, MINUTES_10, MINUTES_10 + 1]),
        batch=st.lists(st.tuples(SESSIONS, KEYS, NUMBERS), min_size=1, max_size=3),
    )
    def write_with_keys(self, step_ms: int, batch: list[tuple[int, str, int]]) -> None:
        self.now_ms += step_ms
        self.forget_idle_sessions()
        asked = [
            (OperationId(session, self.log.next_id().sequence, 0, key, b"%d" % number), REQUESTS[number])
            for session, key, number in batch
        ]
        replies = self.append(asked)
        for (identity, operation), (session, key, number), reply in zip(asked, batch, replies, strict=True):
            self.used_ms[session] = self.now_ms
            self.sent.setdefault(session, []).append((identity, number, reply))
            first = self.first.get(key)
            if first is None or first.until_ms <= self.now_ms:
                self.check_applied(operation, reply)
                if key:
                    self.first[key] = First(number, reply, self.now_ms + KEPT_MS)
            elif first.number == number:
                assert reply == first.reply
            else:
                assert reply == WriteReply([ItemResult(Status.REUSED_KEY)] * len(keys_of(operation)), 0)

    def check_applied(self, operation: Operation, reply: WriteReply) -> None:
        """The answer is that of this entry, and counts on from the last."""
        assert reply.revision == self.log.index
        is_refused = operation == REQUESTS[2] and self.count >= 3
        is_aborted = operation == REQUESTS[4] and self.count > 0
        if not is_refused and not is_aborted:
            self.count += len(operation.items) if isinstance(operation, Increment) else 1
        shown = [result.value for result in reply.results if result.value]
        assert shown[-1:] == [] if is_aborted else shown[-1] == b"%d" % self.count

    def forget_idle_sessions(self) -> None:
        """A session is known until ten minutes have passed without a write of it."""
        for session in [*self.sent]:
            if self.now_ms - self.used_ms[session] >= MINUTES_10:
                del self.sent[session]

    @rule(data=st.data(), step_ms=st.sampled_from([0, 1, MINUTES_10 - 1]), session=SESSIONS)
    def send_again(self, data: st.DataObject, step_ms: int, session: int) -> None:
        self.now_ms += step_ms
        self.forget_idle_sessions()
        if session in self.sent:
            identity, number, reply = data.draw(st.sampled_from(self.sent[session]))
            assert self.append([(identity, REQUESTS[number])]) == [reply]
            self.used_ms[session] = self.now_ms

    @invariant()
    def every_write_counts_once(self) -> None:
        for replica in (self.log.machine, self.second):
            assert value_of(replica, COUNTER) == (b"%d" % self.count if self.count else None)


TestOnce = Once.TestCase
TestOnce.settings = IN_THE_SUITE
