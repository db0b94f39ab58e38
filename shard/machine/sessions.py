"""What makes the retry of a write harmless: the answers of recent writes, by session and sequence.

A write that was applied is remembered until its session says (by `floor`) that it has the answer. What is dropped
before that, because a limit is reached, raises the session's floor past it, so that a late retry answers
STALE_OPERATION and is not applied again. Limits, each enforced by dropping the oldest:

- 4,096 answers a session: the one with the lowest sequence is dropped.
- 10,000 sessions, and 262,144 answers over all of them: the session that was idle longest is forgotten whole.
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
IDLE_MS_MAX = 600_000
_FORGET_PER_ENTRY = 100  # idle sessions dropped by one entry
_SEQUENCE_MAX = (1 << 64) - 1


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A remembered write: the revision it got, and one status byte for each item."""

    revision: int
    statuses: bytes

    def reply(self) -> WriteReply:
        """The answer as it was first given."""
        ok = ItemResult(Status.OK, self.revision)
        results = [ok if status == Status.OK else ItemResult(Status(status)) for status in self.statuses]
        return WriteReply(results, self.revision)


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
                del session.answers[heappop(sequences)]
                self._answers -= 1
        return session

    def remember(self, session: Session, sequence: int, answer: Answer) -> None:
        """Keep the answer of a write of a session just opened, whose sequence is not remembered yet."""
        session.answers[sequence] = answer
        heappush(session.sequences, sequence)
        self._answers += 1
        if len(session.answers) > LIMIT_SESSION_ANSWERS:
            lowest = heappop(session.sequences)
            del session.answers[lowest]
            session.floor = min(lowest + 1, _SEQUENCE_MAX)
            self._answers -= 1
        while self._answers > LIMIT_ANSWERS and len(self._sessions) > 1:
            self._forget_oldest()

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

    def _forget_oldest(self) -> None:
        _, session = self._sessions.popitem(last=False)
        self._answers -= len(session.answers)
