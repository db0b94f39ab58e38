"""Keeps a replica whose state was found wrong from doing harm, also after a restart."""

import logging

from raft.interface import Replica
from shard.fence_mark import Mark, Marks

logger = logging.getLogger(__name__)


class Fence:
    """The fence of one replica. `is_up` says whether its state must not be used."""

    def __init__(self, replica: Replica, marks: Marks) -> None:
        """Put it up again when there is a mark, unless a snapshot of the leader has come since."""
        self._replica = replica
        self._marks = marks
        self.is_up = False
        self._trusted_index = -1  # an operator overruled whatever was found up to here
        mark = marks.load()
        if mark is None:
            return
        if mark.trusted:
            self._trusted_index = mark.index
            return
        replica.fence(mark.index)
        self.is_up = replica.is_fenced
        if self.is_up:
            self._say(mark)
        else:
            marks.remove()

    def put_up(self, reason: str) -> None:
        """The state is wrong."""
        if self.is_up or self._replica.applied_index <= self._trusted_index:
            return
        self.is_up = True
        mark = Mark(max(self._replica.applied_index, self._replica.snapshot_index), reason)
        self._marks.save(mark)
        self._replica.fence(mark.index)
        self._say(mark)

    def look_again(self) -> None:
        """A snapshot was installed: if it ends late enough, the state is the leader's, and right."""
        if self.is_up and not self._replica.is_fenced:
            self.is_up = False
            self._marks.remove()
            logger.warning("group %d: the leader's snapshot took the place of the wrong state", self._replica.group)

    def _say(self, mark: Mark) -> None:
        logger.error(
            "group %d: the state of this replica is WRONG and it is fenced: it serves no reads, does not lead and takes no "
            "snapshots (%s). Check this machine's memory and disk. The replica is well again once the leader has sent it "
            "a snapshot",
            self._replica.group,
            mark.reason,
        )
