"""Mistakes in votes, elections and the hand-over of leadership."""

from functools import partial

from tests.mutation.mistake import Mistake

_in_replica = partial(Mistake, module="raft.replica")

ELECTIONS = (
    _in_replica(
        name="vote-without-looking-at-the-log",
        right="""            and self.voted_for in ("", sender)
            and self._is_up_to_date(message.last_term, message.last_index)
""",
        wrong="""            and self.voted_for in ("", sender)
""",
        breaks="a vote goes only to a log that lacks nothing",
    ),
    _in_replica(
        name="vote-twice",
        right="""            and self.voted_for in ("", sender)
""",
        wrong="",
        breaks="one vote a term",
    ),
    _in_replica(
        name="vote-without-record",
        right="            self.set_term(message.term, sender)\n",
        wrong="            pass\n",
        breaks="a vote is recorded before it is given",
    ),
    Mistake(
        name="record-no-vote-in-the-same-term",
        module="raft.journal",
        right='if (term, voted_for or "") != (self._term, self._voted_for):',
        wrong="if term != self._term:",
        breaks="a vote is recorded, also when the term is not new",
    ),
    _in_replica(
        name="compare-logs-by-length-first",
        right="return (last_term, last_index) >= (self._log.last_term, self._log.last_index)",
        wrong="return (last_index, last_term) >= (self._log.last_index, self._log.last_term)",
        breaks="of two logs the one with the later last term is newer, however short",
    ),
    _in_replica(
        name="vote-only-for-longer-logs",
        right="return (last_term, last_index) >= (self._log.last_term, self._log.last_index)",
        wrong="return (last_term, last_index) > (self._log.last_term, self._log.last_index)",
        breaks="equal logs can elect each other",
    ),
    _in_replica(
        name="vote-for-anybody",
        right="        if self._is_sticky() and not message.transfer:\n",
        wrong="        if False:\n",
        breaks="who hears a leader votes for no other",
    ),
    _in_replica(
        name="campaign-against-a-promise",
        right="        if self._nodes and self._is_sticky() and not self._transfer_campaign:",
        wrong="        if False:",
        breaks="who hears a leader, or may have just before it was restarted, does not vote for itself either",
    ),
    _in_replica(
        name="pre-vote-for-anybody",
        right="            and not self._is_sticky()\n",
        wrong="",
        breaks="who hears a leader encourages no candidate",
    ),
    _in_replica(
        name="campaign-without-pre-vote",
        right="        self._start_pre_vote()\n        return False\n",
        wrong="        self._voters = {self._around.node_id}\n        return True\n",
        breaks="terms do not grow without a majority that would vote",
    ),
    _in_replica(
        name="count-votes-of-other-terms",
        right="elif self.state == CANDIDATE and message.term == self.current_term and message.granted:",
        wrong="elif self.state == CANDIDATE and message.granted:",
        breaks="a vote counts in its term only",
    ),
    _in_replica(
        name="count-refusals-as-votes",
        right="elif self.state == CANDIDATE and message.term == self.current_term and message.granted:",
        wrong="elif self.state == CANDIDATE and message.term == self.current_term:",
        breaks="a refusal is no vote",
    ),
    _in_replica(
        name="lead-without-majority",
        right="            self._voters.add(sender)\n            if len(self._voters) >= self._quorum:\n",
        wrong="            self._voters.add(sender)\n            if len(self._voters) >= self._quorum - 1:\n",
        breaks="a leader has a majority of votes",
    ),
    _in_replica(
        name="quorum-of-half",
        right="self._quorum = len(replicas) // 2 + 1",
        wrong="self._quorum = len(replicas) // 2",
        breaks="a quorum is more than half",
    ),
    _in_replica(
        name="vote-right-after-a-restart",
        right="self._heard_leader_s = surroundings.now()  #",
        wrong='self._heard_leader_s = float("-inf")  #',
        breaks="a restarted member keeps the promise that it may have given to a leader",
    ),
    _in_replica(
        name="follow-leaders-of-older-terms",
        right="        if term < self.current_term:\n            return False\n",
        wrong="",
        breaks="a leader of an older term is refused",
    ),
    _in_replica(
        name="forget-when-the-leader-was-heard",
        right="        self.leader_node = self._nodes[sender]\n        self._heard_leader_s = self._around.now()\n",
        wrong="        self.leader_node = self._nodes[sender]\n",
        breaks="a follower that answered a leader owes it a lease",
    ),
    _in_replica(
        name="keep-the-lease-while-handing-over",
        right="        self._lease.revoke()\n",
        wrong="",
        breaks="a leader that hands over serves no more reads by its lease",
    ),
    _in_replica(
        name="propose-while-handing-over",
        right="        if not self._led or now < self._transfer_until:\n",
        wrong="        if not self._led:\n",
        breaks="a leader that hands over takes no new commands",
    ),
    _in_replica(
        name="hand-over-to-a-laggard",
        right="progress.match_index != self._log.last_index",
        wrong="False",
        breaks="only a member that has everything is handed the leadership",
    ),
    _in_replica(
        name="lead-with-a-hung-disk",
        right="        if self.state == LEADER and (self._around.log_stalled or self.is_fenced):\n",
        wrong="        if self.state == LEADER and self.is_fenced:\n",
        breaks="a leader whose disk hangs steps down",
    ),
    _in_replica(
        name="ignore-newer-terms-in-answers",
        right="""        if message.term > self.current_term:
            self._follow(message.term)
        if self.state != LEADER""",
        wrong="""        if self.state != LEADER""",
        breaks="a leader that hears of a newer term follows",
    ),
)
