"""A replica, a scheduler and calls that a test drives by hand."""

from collections.abc import Callable
from typing import Generic, TypeVar

from raft.interface import Committed, Outcome, ReadGranted, ReadOutcome, Refused, StateMachine
from shard.fence_mark import Mark
from shard.machine import Entry, decode
from wire.errors import Failure
from wire.messages import (
    ChecksumReply,
    ChecksumRequest,
    Consistency,
    HashState,
    ListReply,
    ListRequest,
    Operation,
    OperationId,
    Put,
    PutItem,
    ReadReply,
    ReadRequest,
    WriteReply,
    WriteRequest,
)
from wire.rpc import Call, Peer

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")
FAR = 1e9


class FakeTimer:
    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeScheduler:
    """Time moves when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], object]] = []
        self.timers: list[FakeTimer] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], object], /) -> None:
        self.soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], object], /) -> FakeTimer:
        timer = FakeTimer(self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def turn(self) -> None:
        """End of the loop turn, and of the turns that it calls for."""
        while self.soon:
            callbacks, self.soon = self.soon, []
            for callback in callbacks:
                callback()

    def advance(self, seconds: float) -> None:
        """Let time pass, calling timers when they are due."""
        end = self.now + seconds
        self.turn()
        while (timer := self._next(end)) is not None:
            self.timers.remove(timer)
            self.now = max(self.now, timer.at)
            timer.callback()
            self.turn()
        self.now = end

    def _next(self, end: float) -> FakeTimer | None:
        self.timers = [timer for timer in self.timers if not timer.cancelled]
        return min((timer for timer in self.timers if timer.at <= end), key=lambda timer: timer.at, default=None)


class FakeReplica:
    """Keeps what is proposed and asked until the test decides the outcome."""

    def __init__(self, machine: StateMachine) -> None:
        self.machine = machine
        self.group = 1
        self.is_leader = False
        self.leader = "n2"
        self.term = 1
        self.applied_index = 0
        self.proposed: list[tuple[bytes, Callable[[Outcome], None]]] = []
        self.asked: list[Callable[[ReadOutcome], None]] = []
        self.listeners: list[Callable[[bool], None]] = []
        self.refuse: Refused | None = None
        self.age = 0
        self.transferred_to = ""
        self.fenced_at = -1
        self.snapshot_index = 0

    @property
    def role(self) -> str:
        return "leader" if self.is_leader else "follower"

    @property
    def commit_index(self) -> int:
        return self.applied_index

    @property
    def last_index(self) -> int:
        return self.applied_index + len(self.proposed)

    @property
    def replicas(self) -> tuple[str, ...]:
        return ("n1", "n2", "n3")

    def propose(self, command: bytes, done: Callable[[Outcome], None]) -> None:
        if self.refuse is not None:
            done(self.refuse)
        else:
            self.proposed.append((command, done))

    def read(self, done: Callable[[ReadOutcome], None]) -> None:
        self.asked.append(done)

    def age_ms(self) -> int:
        return self.age

    def transfer_leadership(self, to: str) -> bool:
        self.transferred_to = to
        return self.is_leader

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        self.listeners.append(listener)

    def fence(self, index: int) -> None:
        self.fenced_at = index

    @property
    def is_fenced(self) -> bool:
        return self.fenced_at >= self.snapshot_index

    def lead(self, *, leading: bool = True) -> None:
        self.is_leader = leading
        for listener in self.listeners:
            listener(leading)

    def entry(self, position: int = 0) -> Entry:
        entry = decode(self.proposed[position][0])
        assert entry is not None
        return entry

    def commit(self) -> None:
        command, done = self.proposed.pop(0)
        self.applied_index += 1
        done(Committed(self.applied_index, self.term, self.machine.apply(self.applied_index, self.term, command)))

    def finish(self, outcome: Outcome) -> None:
        self.proposed.pop(0)[1](outcome)

    def grant(self, *, by_lease: bool = True) -> None:
        asked, self.asked = self.asked, []
        for done in asked:
            done(ReadGranted(by_lease))


class FakeColleagues:
    """Keeps every question until the test answers it."""

    node = "n1"

    def __init__(self) -> None:
        self.asked: dict[str, tuple[ChecksumRequest, Callable[[ChecksumReply], None]]] = {}

    def ask(self, node: str, request: ChecksumRequest, take: Callable[[ChecksumReply], None]) -> None:
        self.asked[node] = request, take

    def answer(self, node: str, found: int | None) -> None:
        request, take = self.asked.pop(node)
        state = HashState.UNABLE if found is None else HashState.KNOWN
        take(ChecksumReply(state, request.index, found or 0))


class FakeMarks:
    """A disk that keeps one mark."""

    def __init__(self) -> None:
        self.mark: Mark | None = None

    def load(self) -> Mark | None:
        return self.mark

    def save(self, mark: Mark) -> None:
        self.mark = mark

    def remove(self) -> None:
        self.mark = None


class Answered(Generic[RequestT, ReplyT]):
    """A call, and what it was answered with. A second answer is a failure of the test."""

    def __init__(self, request: RequestT, deadline: float = FAR, size: int = 100) -> None:
        self.answers: list[object] = []
        self.call: Call[RequestT, ReplyT] = Call(request, Peer(), deadline, 1, size, self)

    def answer(self, call: object, value: object) -> None:
        del call
        self.answers.append(value)

    def refuse(self, call: object, failure: Failure) -> None:
        del call
        self.answers.append(failure)

    @property
    def pending(self) -> bool:
        return not self.answers

    @property
    def failure(self) -> Failure:
        [answer] = self.answers
        assert isinstance(answer, Failure)
        return answer

    @property
    def reply(self) -> ReplyT:
        [answer] = self.answers
        assert not isinstance(answer, Failure)
        return answer  # type: ignore[return-value]  # the group answers with the reply of the method


class Write(Answered[WriteRequest, WriteReply]):
    _sequence = 0

    def __init__(self, operation: Operation | str, deadline: float = FAR, size: int = 100, group: int = 1) -> None:
        if isinstance(operation, str):
            operation = Put([PutItem(operation, b"v")])
        Write._sequence += 1
        super().__init__(WriteRequest(group, OperationId(9, Write._sequence, 0), operation), deadline, size)


class Read(Answered[ReadRequest, ReadReply]):
    def __init__(self, *keys: str, deadline: float = FAR, stale: bool = False, group: int = 1) -> None:
        super().__init__(ReadRequest(group, [*keys], Consistency(int(stale))), deadline)


class Listing(Answered[ListRequest, ListReply]):
    def __init__(self, prefix: str = "", limit: int = 100, *, deadline: float = FAR, stale: bool = False) -> None:
        super().__init__(
            ListRequest(1, prefix, "", limit, with_values=True, consistency=Consistency(int(stale))), deadline
        )
