"""Heartbeats of idle groups, together: one message for all groups that a node leads and another follows, and one answer.

A group is *idle* when its leader has nothing to say but that it leads: it holds its lease, everything in its log is applied
and acknowledged by every member that can be reached, and nobody waits for a read or a write. Then term and last index say all that an
AppendEntries without entries would: the last entry is of the leader's own term, and it is the commit index, too. A
follower that is level with that notes that it heard its leader and answers with the term; the leader counts the answer
from when the message was sent, as any other. Whatever is not as simple takes the way of single messages: at a leader that has more to do,
and at a follower to whom a heartbeat brings something, which takes it as the AppendEntries that it stands for.

An answer confirms no ReadIndex round: a leader with reads that wait sends single messages.
"""

from collections.abc import Iterator, Mapping, Sequence

from .messages import AppendEntries, Beat, BeatReply
from .replica import SafeReplica


def cut(sent_s: float, groups: Sequence[tuple[int, int, int]], limit: int) -> Iterator[Beat]:
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
