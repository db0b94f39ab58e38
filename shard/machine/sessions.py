"""What makes the retry of a write harmless: the answers of recent writes, by session and sequence.

A write that was applied is remembered until its session says (by `floor`) that it has the answer. What is dropped
before that, because a limit is reached, raises the session's floor past it, so that a late retry answers
STALE_OPERATION and is not applied again. Limits, each enforced by dropping the oldest:

- 4,096 answers a session: the one with the lowest sequence is dropped.
- 10,000 sessions, 262,144 answers and 64 MiB of their details over all of them: the session that was idle longest is
  forgotten whole; when there is only one, its lowest sequences are dropped.
- 10 minutes (cluster time) without a write: the session is forgotten. A retry after that, or after its session fell
  to the limit before this one, would be applied as a new write; callers retry for 30 s at most.

A write none of whose items belonged to this group changed nothing and is not remembered.
"""

from collections import OrderedDict
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import TypeAlias

import msgspec

from wire.messages import ItemResult, OperationId, Status, WriteReply

LIMIT_SESSIONS = 10_000
LIMIT_SESSION_ANSWERS = 4_096
LIMIT_ANSWERS = 1 << 18
LIMIT_DETAIL_BYTES = 64 << 20
IDLE_MS_MAX = 600_000
_FORGET_PER_ENTRY = 100  # idle sessions dropped by one entry
_SEQUENCE_MAX = (1 << 64) - 1
_DETAIL_BYTES = 60  # of a result in memory, beside its value and content type


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A remembered write: the revision it got, and one status byte for each item, or its results when they say more."""

    revision: int
    statuses: bytes
    details: list[ItemResult] | None = None

    @property
    def weight(self) -> int:
        """About how many bytes the details take."""
        if self.details is None:
            return 0
        return sum(_DETAIL_BYTES + len(result.value) + len(result.content_type) for result in self.details)

    def reply(self) -> WriteReply:
        """The answer as it was first given."""
        if self.details is not None:
            return WriteReply(self.details, self.revision)
        ok = ItemResult(Status.OK, self.revision)
        results = [ok if status == Status.OK else ItemResult(Status(status)) for status in self.statuses]
        return WriteReply(results, self.revision)


def answer_to(results: list[ItemResult], revision: int) -> Answer:
    """What to remember of a write."""
    simple = all(_says_no_more_than_its_status(result, revision) for result in results)
    if simple:
        return Answer(revision, bytes([result.status for result in results]))
    return Answer(revision, b"", results)


def _says_no_more_than_its_status(result: ItemResult, revision: int) -> bool:
    return not result.value and result.revision == (revision if result.status is Status.OK else 0)


class Session:
    """Answers of one client session: every remembered sequence is at or over `floor`."""

    __slots__ = ("answers", "floor", "last_ms", "sequences")

    def __init__(self, floor: int, last_ms: int) -> None:
        self.floor = floor
        self.last_ms = last_ms
        self.answers: dict[int, Answer] = {}
        self.sequences: list[int] = []  # a heap of the keys of `answers`


class SessionImage(msgspec.Struct, frozen=True, array_like=True):
    """One session, or a part of it, in a snapshot: (sequence, answer)."""

    session: int
    floor: int
    last_ms: int
    answers: list[tuple[int, Answer]]


SessionPicture: TypeAlias = tuple[int, int, int, dict[int, Answer]]  # session, floor, last use, its answers


class Sessions:
    """All sessions of a group, the one idle longest first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[int, Session] = OrderedDict()
        self._answers = 0
        self._detail_bytes = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def forget_idle(self, now_ms: int) -> None:
        """Drop sessions that were idle too long, a bounded number of them."""
        for _ in range(_FORGET_PER_ENTRY):
            oldest = next(iter(self._sessions.values()), None)
            if oldest is None or oldest.last_ms + IDLE_MS_MAX > now_ms:
                return
            self._forget_oldest()

    def open(self, identity: OperationId, now_ms: int) -> Session:
        """The session of a write, in use as of now, with its floor raised to what the write says."""
        session = self._sessions.get(identity.session)
        if session is None:
            session = self._sessions[identity.session] = Session(identity.floor, now_ms)
            if len(self._sessions) > LIMIT_SESSIONS:
                self._forget_oldest()
            return session
        session.last_ms = now_ms
        self._sessions.move_to_end(identity.session)
        if identity.floor > session.floor:
            session.floor = identity.floor
            sequences = session.sequences
            while sequences and sequences[0] < identity.floor:
                answer = session.answers.pop(heappop(sequences))
                self._answers -= 1
                if answer.details is not None:
                    self._detail_bytes -= answer.weight
        return session

    def remember(self, session: Session, sequence: int, answer: Answer) -> None:
        """Keep the answer of a write of a session just opened, whose sequence is not remembered yet."""
        session.answers[sequence] = answer
        heappush(session.sequences, sequence)
        self._answers += 1
        if answer.details is not None:
            self._detail_bytes += answer.weight
        if len(session.answers) > LIMIT_SESSION_ANSWERS:
            self._drop_lowest(session)
        if self._answers > LIMIT_ANSWERS or self._detail_bytes > LIMIT_DETAIL_BYTES:
            self._make_room(session)

    def capture(self) -> list[SessionPicture]:
        """A picture of all sessions, the one idle longest first."""
        return [(name, one.floor, one.last_ms, one.answers.copy()) for name, one in self._sessions.items()]

    def fill(self, image: SessionImage) -> None:
        """Add a session, or a further part of one, from a snapshot."""
        session = self._sessions.get(image.session)
        if session is None:
            session = self._sessions[image.session] = Session(image.floor, image.last_ms)
        self._add_answers(session, image.answers)

    def _add_answers(self, session: Session, answers: Iterable[tuple[int, Answer]]) -> None:
        for sequence, answer in answers:
            session.answers[sequence] = answer
            heappush(session.sequences, sequence)
            self._answers += 1
            self._detail_bytes += answer.weight

    def _make_room(self, session: Session) -> None:
        while self._is_over_limits() and len(self._sessions) > 1:
            self._forget_oldest()
        while self._is_over_limits() and len(session.answers) > 1:
            self._drop_lowest(session)

    def _drop_lowest(self, session: Session) -> None:
        """Drop an answer; a late retry of that write is then refused, not applied."""
        lowest = heappop(session.sequences)
        self._detail_bytes -= session.answers.pop(lowest).weight
        session.floor = max(session.floor, min(lowest + 1, _SEQUENCE_MAX))
        self._answers -= 1

    def _is_over_limits(self) -> bool:
        return self._answers > LIMIT_ANSWERS or self._detail_bytes > LIMIT_DETAIL_BYTES

    def _forget_oldest(self) -> None:
        _, session = self._sessions.popitem(last=False)
        self._answers -= len(session.answers)
        self._detail_bytes -= sum(answer.weight for answer in session.answers.values())
