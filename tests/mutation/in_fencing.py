"""Mistakes in what a replica does whose state was found wrong."""

from functools import partial

from tests.mutation.mistake import Mistake

_in_replica = partial(Mistake, module="raft.replica")

FENCING = (
    _in_replica(
        name="lead-though-fenced",
        right="        if self.state == LEADER and (self._around.log_stalled or self.is_fenced):\n",
        wrong="        if self.state == LEADER and self._around.log_stalled:\n",
        breaks="a leader whose state is wrong steps down",
    ),
    _in_replica(
        name="campaign-though-fenced",
        right="        if self._installation_finishing or self._around.log_stalled or self.is_fenced:\n",
        wrong="        if self._installation_finishing or self._around.log_stalled:\n",
        breaks="a member whose state is wrong does not campaign",
    ),
    _in_replica(
        name="take-over-though-fenced",
        right="        if self._installation is not None or self.is_fenced:\n",
        wrong="        if self._installation is not None:\n",
        breaks="a member whose state is wrong does not take leadership over",
    ),
    _in_replica(
        name="snapshot-though-fenced",
        right="        if self._installation is None and not self.is_fenced:\n",
        wrong="        if self._installation is None:\n",
        breaks="a wrong state does not get into a snapshot",
    ),
    _in_replica(
        name="finish-the-snapshot-though-fenced",
        right="            self._shelf.stop_writing()\n            self._around.wake(self)\n",
        wrong="            self._around.wake(self)\n",
        breaks="a wrong state does not get into a snapshot that was begun before",
    ),
    _in_replica(
        name="fence-for-ever",
        right="        return self._fenced_at >= 0 and self._fenced_at >= self._shelf.index\n",
        wrong="        return self._fenced_at >= 0\n",
        breaks="a leader's snapshot makes a fenced member well",
    ),
    _in_replica(
        name="gather-log-for-ever-though-fenced",
        right=" or (self.is_fenced and self._log.bytes >= self._config.fenced_log_bytes)",
        wrong="",
        breaks="the log of a fenced member is bounded",
    ),
)
