"""Replicas of a group compare hashes of their state through the log (the idea is etcd's corruption check).

The leader logs a request at index i. Every replica, having applied it, takes the hash of that very state, a little at a
time. The leader gathers the hashes and logs them as a verdict, by which every replica judges itself: one that differs
from the majority fences itself. As both are entries, nothing depends on who leads, and a replica that reads its log
again after a crash comes to the same end.

A replica that cannot tell the hash (restarted, got a snapshot, fenced) does not report. If hashes differ and no majority
shows, the question is asked again at a later index, with the alarm on; if no majority is possible, all fence themselves.
"""

import logging
from collections.abc import Callable

from raft.interface import Replica
from shard.fence import Fence
from shard.fence_mark import Marks
from shard.machine import HASH_VERSION, Machine, Verdict
from shard.own_hashes import OwnHashes
from shard.seams import ChecksumPace, Colleagues, Scheduler, Timer
from shard.survey import Survey
from shard.verdicts import judge
from wire.messages import ChecksumReply, ChecksumRequest, HashState

logger = logging.getLogger(__name__)

_BYTES_LIKE_A_KEY = 4096  # hashing so many bytes costs about as much as hashing a key


class Checksums:
    """The checks of one group at one replica. Implements `shard.machine.Observer`.

    Attributes:
        fence: whether this replica's state may be used.
        checked_index: the newest index at which a majority agreed.
        diverged: the newest verdict had more than one hash.
        suspects: nodes whose state was found wrong and not yet right again.
    """

    def __init__(
        self,
        replica: Replica,
        machine: Machine,
        scheduler: Scheduler,
        *,
        colleagues: Colleagues,
        marks: Marks,
        pace: ChecksumPace | None = None,
    ) -> None:
        self.fence = Fence(replica, marks)
        self.checked_index = 0
        self.diverged = False
        self.suspects: frozenset[str] = frozenset()
        self._replica = replica
        self._machine = machine
        self._scheduler = scheduler
        self._colleagues = colleagues
        self._pace = pace or ChecksumPace()
        self._own = OwnHashes(machine, scheduler, self._pace, self._hash_taken)
        self._wake: Callable[[], None] = lambda: None
        self._fence_moved: Callable[[], None] = lambda: None
        self._leading = False
        self._under_way = False  # an entry of ours was proposed
        self._not_before_s = 0.0  # nothing is proposed earlier
        self._wanted = False  # a request shall be logged now
        self._counted_from = replica.applied_index
        self._open_index = 0  # requested, and without a verdict yet
        self._judged: tuple[int, int | None] = (0, None)  # the newest verdict's index and right hash
        self._survey: Survey | None = None
        self._verdict: Verdict | None = None
        self._retry_timer: Timer | None = None
        machine.observe(self)

    def attach(self, wake: Callable[[], None], fence_moved: Callable[[], None]) -> None:
        """`wake` is called when `take` has something; `fence_moved` when the fence went up or down."""
        self._wake, self._fence_moved = wake, fence_moved

    # --- what a leader logs

    def lead(self, *, leading: bool) -> None:
        """Leadership began, with all earlier entries applied, or ended."""
        self._leading = leading
        self._under_way, self._verdict = False, None
        self._close_survey()
        if leading and self._open_index:
            self._begin_survey()

    def take(self) -> tuple[int, Verdict | None]:
        """The request (a version of the hash, or 0) and the verdict that the leader's next entry shall carry.

        When there is one, tell `landed` once the entry's outcome is known.
        """
        if self._under_way or (self._verdict is None and not self._is_due()):
            return 0, None
        if self._scheduler.time() < self._not_before_s:
            return 0, None
        self._under_way = True
        return (HASH_VERSION, None) if self._verdict is None else (0, self._verdict)

    def landed(self, *, committed: bool) -> None:
        """The outcome of an entry that `take` gave something to; what did not come to be is given again, later."""
        self._under_way = False
        if not committed:
            self._not_before_s = self._scheduler.time() + self._pace.ask_interval_s
            self._scheduler.call_later(self._pace.ask_interval_s, self._wake)

    def begin(self) -> None:
        """Log a request now, if this replica leads."""
        self._wanted = True
        self._wake()

    def _is_due(self) -> bool:
        if self._open_index or self._wanted:
            return not self._open_index
        every, machine = self._pace.entries, self._machine
        passed = self._replica.last_index - self._counted_from
        if not every or passed < every or len(self._replica.replicas) == 1:
            return False  # a single replica has nobody to compare with
        # With many keys it is done less often, so that it always costs the same share of what the entries cost.
        return passed >= max(every, machine.keys, machine.size_bytes // _BYTES_LIKE_A_KEY)

    # --- what the log says (shard.machine.Observer)

    def checksum_requested(self, index: int, version: int) -> None:
        """Take the hash of the present state, if its version is known here."""
        self._counted_from = self._open_index = index
        self._wanted = False
        self._verdict = None
        self._close_survey()
        if version == HASH_VERSION and not self.fence.is_up:
            self._own.begin(index)
        if self._leading:
            self._begin_survey()

    def verdict_reached(self, verdict: Verdict) -> None:
        """Judge, and fence this replica if it is in the wrong."""
        if verdict.index == self._open_index:
            self._open_index = 0
            self._verdict = None
            self._close_survey()
        judgement = judge(verdict, self._replica.replicas)
        self.diverged = judgement.diverged
        self._judged = (verdict.index, judgement.right)
        if judgement.right is not None:
            self.checked_index = verdict.index
            self.suspects = (self.suspects - dict(verdict.hashes).keys()) | judgement.wrong
        if judgement.diverged:
            self._say(verdict)
        if judgement.hopeless:
            self._put_up_fence(f"at entry {verdict.index} there was no majority for any hash of the state")
        elif judgement.diverged:
            self._retry_later()  # to decide, or to see that all who are left agree
        own = dict(verdict.hashes).get(self._colleagues.node, self._own.get(verdict.index))
        self._compare(own)

    def restored(self) -> None:
        """A snapshot took the place of the state; how far it goes is known only when the replica has booked it."""
        self._scheduler.call_soon(self._look_again)

    def _look_again(self) -> None:
        index = self._replica.snapshot_index
        self._counted_from = max(self._counted_from, index)
        if self._open_index <= index:
            self._open_index = 0  # its verdict may have been jumped
        self.fence.look_again()
        self._fence_moved()

    def _hash_taken(self, index: int, found: int) -> None:
        if self._survey is not None and self._survey.index == index:
            self._survey.report(self._colleagues.node, found)
        if self._judged[0] == index:  # too late to report, but not to compare
            self._compare(found)

    def _compare(self, own: int | None) -> None:
        index, right = self._judged
        if own is not None and right is not None and own != right:
            self._put_up_fence(f"at entry {index} its hash was {own:016x}, but a majority has {right:016x}")

    def _put_up_fence(self, reason: str) -> None:
        self.fence.put_up(reason)
        if self.fence.is_up:
            self._own.abandon()
            self._fence_moved()

    def _say(self, verdict: Verdict) -> None:
        listed = ", ".join(f"{node} {found:016x}" for node, found in verdict.hashes)
        logger.error("group %d: replicas DIVERGED at entry %d: %s", self._replica.group, verdict.index, listed)

    # --- gathering

    def _begin_survey(self) -> None:
        index, node = self._open_index, self._colleagues.node
        self._survey = Survey(
            ChecksumRequest(self._replica.group, index),
            self._replica.replicas,
            self._colleagues,
            self._scheduler,
            pace=self._pace,
            done=self._gathered,
        )
        if not self._own.is_taking(index):
            self._survey.report(node, self._own.get(index))

    def _gathered(self, verdict: Verdict) -> None:
        self._survey = None
        self._verdict = verdict
        self._wake()

    def _close_survey(self) -> None:
        if self._survey is not None:
            self._survey.close()
            self._survey = None

    def _retry_later(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        self._retry_timer = self._scheduler.call_later(self._pace.retry_s, self.begin)

    # --- what others ask

    def answer(self, request: ChecksumRequest) -> ChecksumReply:
        """What this replica knows of the hash of its state."""
        index = request.index or self._own.newest_index
        found = self._own.get(index)
        pending = index > self._replica.applied_index or self._own.is_taking(index)
        state = HashState.KNOWN if found is not None else HashState.PENDING if pending else HashState.UNABLE
        if self.fence.is_up:
            state, found = HashState.UNABLE, None
        return ChecksumReply(state, index, found or 0, self.checked_index, self.diverged, self.fence.is_up)

    def close(self) -> None:
        """Leave no work behind."""
        self._own.abandon()
        self._close_survey()
        if self._retry_timer is not None:
            self._retry_timer.cancel()
