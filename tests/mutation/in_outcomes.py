"""Mistakes in applying, in what callers are told, and in reads."""

from functools import partial

from tests.mutation.mistake import Mistake

_in_replica = partial(Mistake, module="raft.replica")
_in_lease = partial(Mistake, module="raft.lease")

OUTCOMES = (
    _in_replica(
        name="apply-before-commit",
        right="self._log.between(self.last_applied + 1, self._commit_index + 1)",
        wrong="self._log.between(self.last_applied + 1, self._commit_index + 2)",
        breaks="only committed entries are applied",
    ),
    _in_replica(
        name="stop-applying-one-too-early",
        right="self._log.between(self.last_applied + 1, self._commit_index + 1)",
        wrong="self._log.between(self.last_applied + 1, self._commit_index)",
        breaks="every committed entry is applied",
    ),
    _in_replica(
        name="apply-again-after-an-error",
        right="                result = error\n",
        wrong="                self.last_applied = index - 1\n                result = error\n",
        breaks="an entry is applied once, whatever happens (the library repeated it for ever)",
    ),
    _in_replica(
        name="pass-the-machines-errors-on",
        right='            except Exception as error:\n                logger.exception("group %d: the state machine',
        wrong='            except LookupError as error:\n                logger.exception("group %d: the state machine',
        breaks="an exception of the state machine is a result",
    ),
    _in_replica(
        name="unknown-as-refused",
        right="            done(Unknown(leader=leader), FAIL_REASON.SUCCESS)\n",
        wrong="            done(Refused(leader=leader), FAIL_REASON.SUCCESS)\n",
        breaks="what may yet be applied is never called refused",
    ),
    _in_replica(
        name="forget-who-waits",
        right="        for _term, done in self.take_all_waiting():\n            done(Unknown(leader=leader), FAIL_REASON.SUCCESS)\n",
        wrong="        self.take_all_waiting()\n",
        breaks="every call gets an outcome",
    ),
    _in_replica(
        name="serve-before-the-own-no-op",
        right="not self._led and self.last_applied >= self._leading_since > 0:",
        wrong="not self._led and self._leading_since > 0:",
        breaks="a new leader serves after its no-op is applied (the thesis, 6.4)",
    ),
    _in_replica(
        name="lease-from-the-answer",
        right="self._lease.answered(sender, message.sent_s, message.round)",
        wrong="self._lease.answered(sender, self._around.now(), message.round)",
        breaks="a lease counts from when the message was sent",
    ),
    _in_replica(
        name="lease-longer-than-the-promise",
        right="self._config.election_timeout_s_min * (1 - self._config.lease_drift)",
        wrong="self._config.election_timeout_s_min * 2",
        breaks="a lease ends before a member that granted it may vote",
    ),
    _in_replica(
        name="refusal-by-term-renews-a-lease",
        right="""            sent_s=float("-inf"),
            round=0,
        )

    def _reply_append""",
        wrong="""            sent_s=self._around.now(),
            round=0,
        )

    def _reply_append""",
        breaks="a refusal by term counts for nothing but the term",
    ),
    _in_replica(
        name="join-a-round-under-way",
        right="            if self._round_sent or not self._round:\n",
        wrong="            if not self._round:\n",
        breaks="a read is confirmed by a round that began after it came",
    ),
    _in_replica(
        name="read-before-applied",
        right="self._reads[0][0] <= confirmed and self._reads[0][1] <= self.last_applied:",
        wrong="self._reads[0][0] <= confirmed:",
        breaks="a read waits until what was committed when it came is applied",
    ),
    _in_replica(
        name="followers-serve-reads",
        right="        if not self._led:\n            done(Refused(leader=self.leader))\n        elif",
        wrong="        if False:\n            done(Refused(leader=self.leader))\n        elif",
        breaks="only a leader serves linearizable reads",
    ),
    _in_lease(
        name="lease-for-ever",
        right="        return now_s < self._valid_until_s\n",
        wrong="        return True\n",
        breaks="a lease ends",
    ),
    _in_lease(
        name="lease-of-one-member",
        right="sorted(self._sent_s.values(), reverse=True)[self._others_needed - 1]",
        wrong="max(self._sent_s.values())",
        breaks="a lease is a quorum's",
    ),
    _in_lease(
        name="round-of-one-member",
        right="sorted(self._round.values(), reverse=True)[self._others_needed - 1]",
        wrong="max(self._round.values())",
        breaks="a read round is a quorum's",
    ),
    _in_lease(
        name="lease-goes-back",
        right="self._sent_s[member] = max(self._sent_s[member], sent_s)\n        self._round",
        wrong="self._sent_s[member] = sent_s\n        self._round",
        breaks="a late answer takes nothing back",
    ),
)
