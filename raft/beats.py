"""Heartbeats of idle groups, together: one message for all groups that a node leads and another follows, and one answer.

A group is *idle* when its leader has nothing to say but that it leads: it holds its lease, everything in its log is applied
and acknowledged by every member that can be reached, and nobody waits for a read or a write. Then term and last index say all that an
AppendEntries without entries would: the last entry is of the leader's own term, and it is the commit index, too. A
follower that is level with that notes that it heard its leader and answers with the term; the leader counts the answer
from when the message was sent, as any other. Whatever is not as simple takes the way of single messages: at a leader that has more to do,
and at a follower to whom a heartbeat brings something, which takes it as the AppendEntries that it stands for.

An answer confirms no ReadIndex round: a leader with reads that wait sends single messages.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .config import RaftConfig
from .messages import AppendEntries, Beat, BeatReply, Heartbeat
from .replica import SafeReplica
from .timers import Timers


class Look(NamedTuple):
    """What is due.

    Attributes:
        awake: replicas to be ticked.
        together: for each peer the heartbeats of idle groups that are to be sent to it.
    """

    awake: list[SafeReplica]
    together: dict[str, list[Heartbeat]]


class Beats:
    """Finds the replicas of a node for which something is due.

    A leader that was found idle *rests*: it says the same in each heartbeat, and only its lease is looked at, until something happens to
    it, that is, until it is touched.

    Attributes:
        touched: replicas to which something happened since the last look, in order.
    """

    def __init__(self, config: RaftConfig) -> None:
        self._config = config
        self._timers: Timers[SafeReplica] = Timers()
        self._resting: dict[SafeReplica, tuple[Heartbeat, list[str]]] = {}
        self._due_s = 0.0  # when those that rest send their next heartbeats
        self.touched = self._timers.touched

    def look(self, now_s: float, *, may_lead: bool) -> Look:
        """Look at timers; unless `may_lead`, leaders are to be ticked rather than to send heartbeats."""
        look = Look([], defaultdict(list))
        next_s = self._config.next_heartbeat_s(now_s)
        for replica in self.touched:
            self._resting.pop(replica, None)
        if now_s >= self._due_s:
            self._due_s = next_s
            self._beat_on(now_s, next_s, look, may_lead=may_lead)
        for replica in self._timers.due(now_s):
            idle = replica.beat(now_s, next_s) if may_lead else None
            if idle is not None:
                self._resting[replica] = idle
                self._timers.leave(replica)
                _add(idle, look)
                continue
            self.touched[replica] = None
            if replica.due(now_s):
                look.awake.append(replica)
        return look

    def _beat_on(self, now_s: float, next_s: float, look: Look, *, may_lead: bool) -> None:
        ended: list[SafeReplica] = []
        for replica, idle in self._resting.items():
            if may_lead and replica.beat_on(now_s, next_s):
                _add(idle, look)
            else:
                ended.append(replica)
        for replica in ended:
            del self._resting[replica]
            self.touched[replica] = None


def _add(idle: tuple[Heartbeat, list[str]], look: Look) -> None:
    heartbeat, peers = idle
    for peer in peers:
        look.together[peer].append(heartbeat)


def cut(sent_s: float, groups: Sequence[Heartbeat], limit: int) -> Iterator[Beat]:
    """Messages of at most `limit` groups each, sent at `sent_s`."""
    for first in range(0, len(groups), limit):
        yield Beat(sent_s, list(groups[first : first + limit]))


def hear(
    sender: str, beat: Beat, replicas: Mapping[int, SafeReplica], now_s: float, durable: int
) -> tuple[BeatReply, list[SafeReplica]]:
    """Take the heartbeats of one message at a node whose log is durable up to `durable`.

    Returns:
        What to answer at once, and the replicas that took their heartbeat as a single message and answer for themselves.
    """
    level: list[tuple[int, int]] = []
    others: list[SafeReplica] = []
    for group, term, index in beat.groups:
        replica = replicas.get(group)
        if replica is None:
            continue
        if replica.hear_beat(sender, term, index, now_s, durable):
            level.append((group, term))
        else:
            replica.receive(sender, _single(term, index, beat.sent_s))
            others.append(replica)
    return BeatReply(beat.sent_s, level), others


def _single(term: int, index: int, sent_s: float) -> AppendEntries:
    """What the heartbeat of one group stands for. It is of no round: numbers of rounds begin at 1."""
    return AppendEntries(
        term=term, prev_index=index, prev_term=term, commit_index=index, sent_s=sent_s, round=0, entries=[]
    )


def count(sender: str, reply: BeatReply, replicas: Mapping[int, SafeReplica], now_s: float) -> None:
    """Take the answers of a follower."""
    sent_s = reply.sent_s
    for group, term in reply.groups:
        replica = replicas.get(group)
        if replica is not None:
            replica.count_beat(sender, term, sent_s, now_s)
