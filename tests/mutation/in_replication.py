"""Mistakes in the shipping, storing and committing of entries."""

from functools import partial

from tests.mutation.mistake import Mistake

_in_replica = partial(Mistake, module="raft.replica")
_in_progress = partial(Mistake, module="raft.progress")

REPLICATION = (
    _in_replica(
        name="count-before-sync",
        right="        if self.state == LEADER and index > self._log.durable_index:\n",
        wrong="        if False:\n",
        breaks="a leader counts itself only for what is on its disk",
    ),
    _in_replica(
        name="commit-older-terms-by-counting",
        right="own = durable > self._commit_index and self._log.term_at(durable) == self.current_term",
        wrong="own = durable > self._commit_index",
        breaks="only entries of its own term are committed by counting (the paper, 5.4.2)",
    ),
    _in_replica(
        name="promise-before-sync",
        right="        self._around.send(to, self.group, message, self._log.barrier)\n",
        wrong="        self._around.send(to, self.group, message, 0)\n",
        breaks="votes and acknowledgements leave after what they promise is durable",
    ),
    _in_replica(
        name="truncate-always",
        right="                if index <= log.base_index or log.term_at(index) == entry.term:\n",
        wrong="                if index <= self._commit_index:\n",
        breaks="entries that match stay (the library dropped them)",
    ),
    _in_replica(
        name="truncate-never",
        right="                log.truncate_from(index)\n",
        wrong="                continue\n",
        breaks="entries that contradict the leader's are dropped",
    ),
    _in_replica(
        name="trust-own-tail",
        right="        return max(message.prev_index + len(message.entries), log.base_index)\n",
        wrong="        return log.last_index\n",
        breaks="only what a message showed to be equal is acknowledged (the library took its own tail)",
    ),
    _in_replica(
        name="acknowledge-one-too-many",
        right="        return max(message.prev_index + len(message.entries), log.base_index)\n",
        wrong="        return max(message.prev_index + len(message.entries) + 1, log.base_index)\n",
        breaks="only what came is acknowledged",
    ),
    _in_replica(
        name="commit-what-was-not-verified",
        right="min(message.commit_index, verified)",
        wrong="min(message.commit_index, self._log.last_index)",
        breaks="a follower commits only what this message showed to be equal",
    ),
    _in_replica(
        name="accept-any-previous-entry",
        right="if message.prev_index <= log.base_index or log.term_at(message.prev_index) == message.prev_term:",
        wrong="if True:",
        breaks="entries are taken only after one that matches",
    ),
    _in_replica(
        name="accept-a-gap",
        right="        if message.prev_index > log.last_index:\n",
        wrong="        if message.prev_index > log.last_index + 1:\n",
        breaks="a log has no gaps",
    ),
    _in_replica(
        name="rewrite-committed-entries",
        right="        if index <= self._commit_index:\n            self._around.fatal(\n",
        wrong="        if index < 0:\n            self._around.fatal(\n",
        breaks="a leader that contradicts a committed entry ends the process",
    ),
    _in_replica(
        name="believe-everything-arrived",
        right="            self.record_match(self._nodes[sender], progress.match_index)\n",
        wrong="            self.record_match(self._nodes[sender], self._log.last_index)\n",
        breaks="a leader counts a follower up to what it acknowledged",
    ),
    _in_replica(
        name="count-answers-of-other-terms",
        right="        if self.state != LEADER or message.term != self.current_term:\n",
        wrong="        if self.state != LEADER:\n",
        breaks="an answer counts in its term only (the library's had none)",
    ),
    _in_replica(
        name="heartbeats-commit-everything",
        right="            commit_index=self._commit_index,\n",
        wrong="            commit_index=self._log.last_index,\n",
        breaks="a leader announces what is committed, not what it has",
    ),
    _in_replica(
        name="previous-entry-of-the-wrong-term",
        right="            prev_term=self._log.term_at(prev_index),\n",
        wrong="            prev_term=self._log.last_term,\n",
        breaks="the consistency check compares the term of the entry before",
    ),
    _in_replica(
        name="never-probe-again",
        right="                progress.probe_again()\n",
        wrong="",
        breaks="a lost probe is sent again",
    ),
    _in_progress(
        name="believe-older-refusals",
        right="        if overtaken or prev_index <= self.match_index:\n",
        wrong="        if False:\n",
        breaks="an overtaken refusal does not send a follower back",
    ),
    _in_progress(
        name="flood-a-follower",
        right="return not self._probe_sent if self.probing else self._inflight_bytes < self._limit_bytes",
        wrong="return True",
        breaks="what is under way to a follower is bounded",
    ),
    _in_progress(
        name="go-on-after-a-lost-connection",
        right="        self.probing = True\n        self._probe_sent = False\n        self._inflight.clear()\n",
        wrong="        self._inflight.clear()\n",
        breaks="after a lost connection a leader looks where the follower stands",
    ),
    _in_progress(
        name="skip-an-entry",
        right="        self.next_index = max(self.next_index, self.match_index + 1)\n",
        wrong="        self.next_index = max(self.next_index, self.match_index + 2)\n",
        breaks="every entry is sent",
    ),
    Mistake(
        name="cut-batches-short",
        module="raft.journal",
        right="taken = self.between(first, min(first + limit_entries, self.last_index + 1))",
        wrong="taken = self.between(first, min(first + limit_entries, self.last_index))",
        breaks="the last entry is sent, too",
    ),
)
