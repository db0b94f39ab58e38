"""What replicas of a group say to one another (the Raft paper's RPCs as one-way messages), and the packet that carries them.

Every message has the sender's term, replies too: a reply of another term is never counted. `sent_s` is the leader's
own clock when it sent a message; followers echo it, so that a lease counts from the moment of sending. `round` is
echoed likewise and tells which ReadIndex rounds an answer confirms.
"""

from typing import TypeAlias

import msgspec

from wire import Notification


class LogEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry; its index follows from the message that carries it. `command` starts with the entry's type byte."""

    term: int
    command: bytes


class PreVote(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Would you vote for me in `term`? Changes nothing at the receiver (Ongaro's thesis, section 9.6)."""

    term: int
    last_index: int
    last_term: int


class PreVoteReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """`asked_term` echoes the question; `term` is the voter's own."""

    term: int
    asked_term: int
    granted: bool


class RequestVote(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """The paper's RequestVote. `transfer`: the leader itself asked for this election, so its lease is no obstacle."""

    term: int
    last_index: int
    last_term: int
    transfer: bool


class VoteReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The voter's term and whether it voted for the candidate in it."""

    term: int
    granted: bool


class AppendEntries(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """The paper's AppendEntries; without entries a heartbeat."""

    term: int
    prev_index: int
    prev_term: int
    commit_index: int
    sent_s: float
    round: int
    entries: list[LogEntry]


class AppendReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Success: the logs agree, durably, up to `match_index`. Failure: `prev_index` did not match, try from `next_index`."""

    term: int
    success: bool
    match_index: int
    prev_index: int
    next_index: int
    sent_s: float
    round: int


class InstallSnapshot(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """A piece of the snapshot file that ends with the entry (`index`, `index_term`): `data` stands at `offset` of `size`."""

    term: int
    index: int
    index_term: int
    size: int
    sha256: bytes
    offset: int
    data: bytes
    sent_s: float
    round: int


class InstallReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The receiver wants the piece that begins at `offset`; one that it was sent already while its disk is busy."""

    term: int
    index: int
    offset: int
    sent_s: float
    round: int


class TimeoutNow(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """The leader asks a caught-up member to hold an election at once (Ongaro's thesis, section 3.10)."""

    term: int


Message: TypeAlias = (
    PreVote
    | PreVoteReply
    | RequestVote
    | VoteReply
    | AppendEntries
    | AppendReply
    | InstallSnapshot
    | InstallReply
    | TimeoutNow
)


class Addressed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message and the group that it is for."""

    group: int
    message: Message


Heartbeat: TypeAlias = tuple[int, int, int]
"""Of one idle group: its number, its leader's term, and the index of its last entry, which is of that term and committed."""


class Beat(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Heartbeats of idle groups (see beats.py), all sent at `sent_s`."""

    sent_s: float
    groups: list[Heartbeat]


class BeatReply(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The groups of a Beat, with its terms, of which the answering node's log is level, durably, with the leader's."""

    sent_s: float
    groups: list[tuple[int, int]]


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """All that one node has to say to another at the end of a loop turn, over all groups, in order; or one Beat or its answer.

    `incarnation` names the sender's data directory (see peers.py).
    """

    cluster: str
    sender: str
    incarnation: str
    messages: list[Addressed]
    beat: Beat | BeatReply | None = None


RAFT = Notification(8, "raft", Packet)
