"""Mistakes in the heartbeats that idle groups send together."""

from functools import partial

from tests.mutation.mistake import Mistake

_in_replica = partial(Mistake, module="raft.replica")
_in_beats = partial(Mistake, module="raft.beats")
_in_library = partial(Mistake, module="raft.library")

BEATS = (
    _in_replica(
        name="lease-from-the-answer-to-a-beat",
        right="            self._lease.renewed(sender, sent_s)\n",
        wrong="            self._lease.renewed(sender, now)\n",
        breaks="a lease counts from when the heartbeats were sent",
    ),
    _in_replica(
        name="count-answers-to-beats-of-other-terms",
        right="        if node is not None and self.leads(term):\n",
        wrong="        if node is not None and self.state == LEADER:\n",
        breaks="an answer counts in its term only",
    ),
    _in_library(
        name="note-beats-of-other-terms",
        right="            and self._SyncObj__raftCurrentTerm == term\n",
        wrong="",
        breaks="a leader of another term is not taken for the present one",
    ),
    _in_library(
        name="note-beats-of-anybody",
        right="            self._SyncObj__raftLeader is leader\n            and ",
        wrong="            ",
        breaks="only the known leader's heartbeats are noted; another's may be news",
    ),
    _in_library(
        name="lose-the-commit-index-of-a-beat",
        right="            and self._SyncObj__raftLastApplied == applied\n",
        wrong="",
        breaks="a follower learns from a heartbeat what was committed",
    ),
    _in_replica(
        name="promise-a-log-that-differs",
        right="log.last_index != index or log.last_term != term or log.barrier > durable",
        wrong="log.barrier > durable",
        breaks="a follower's answer says that it has the leader's log",
    ),
    _in_replica(
        name="answer-a-beat-before-sync",
        right=" or log.last_term != term or log.barrier > durable",
        wrong=" or log.last_term != term",
        breaks="an answer leaves after what it promises is durable",
    ),
    _in_replica(
        name="forget-when-a-beat-was-heard",
        right="        self._heard_leader_s = now\n        self.election_deadline = now",
        wrong="        self.election_deadline = now",
        breaks="a follower that answered a leader owes it a lease",
    ),
    _in_replica(
        name="campaign-in-spite-of-beats",
        right="        self.election_deadline = now + self._random_timeout()\n        return True\n",
        wrong="        return True\n",
        breaks="who hears a leader does not campaign",
    ),
    _in_replica(
        name="let-reads-wait-for-ever",
        right="        if self._reads or self.is_fenced or self._shelf.is_put_off:",
        wrong="        if self.is_fenced or self._shelf.is_put_off:",
        breaks="reads that wait get the round that they wait for",
    ),
    _in_replica(
        name="lead-by-beats-without-a-quorum",
        right="or now < self.heartbeat_due or not self._lease.valid(now) or",
        wrong="or now < self.heartbeat_due or",
        breaks="a leader that no quorum answers steps down",
    ),
    _in_replica(
        name="leave-a-laggard-alone",
        right="                if not progress.is_level(last):\n                    return None\n",
        wrong="",
        breaks="who lags is sent what it lacks",
    ),
    _in_beats(
        name="rest-through-everything",
        right="            self._resting.pop(replica, None)\n",
        wrong="            pass\n",
        breaks="a leader to whom something happens is looked at anew",
    ),
    _in_replica(
        name="rest-without-a-lease",
        right="        if not self._lease.valid(now):\n            return False\n        self.heartbeat_due = next_s\n",
        wrong="        self.heartbeat_due = next_s\n",
        breaks="a leader that no quorum answers steps down",
    ),
)
