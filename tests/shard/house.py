"""A group with everything around it in the test's hands."""

from typing import Any

from shard.checksums import Checksums
from shard.group import GroupService
from shard.machine import Machine
from shard.seams import ChecksumPace, GroupLimits
from tests.shard.build import EVERY_SLOT
from tests.shard.fakes import FakeColleagues, FakeMarks, FakeReplica, FakeScheduler, Write


class House:
    """A group under test; it leads and owns every slot unless told otherwise."""

    def __init__(
        self, *, lead: bool = True, pace: ChecksumPace | None = None, marks: FakeMarks | None = None, **limits: Any
    ) -> None:
        self.machine = Machine()
        self.replica = FakeReplica(self.machine)
        self.scheduler = FakeScheduler()
        self.colleagues = FakeColleagues()
        self.marks = marks or FakeMarks()
        self.checksums = Checksums(
            self.replica, self.machine, self.scheduler, colleagues=self.colleagues, marks=self.marks, pace=pace
        )
        self.group = GroupService(self.replica, self.machine, self.scheduler, self.checksums, GroupLimits(**limits))
        if lead:
            self.group.assign(EVERY_SLOT, 1)
            self.replica.lead()
            self.scheduler.turn()
            self.replica.commit()
            self.scheduler.turn()

    def write(self, *keys: str, deadline: float = 1e9, size: int = 100) -> list[Write]:
        writes = [Write(key, deadline, size) for key in keys]
        for write in writes:
            self.group.write(write.call)
        return writes

    def entries(self) -> list[int]:
        """Operations in each entry on its way."""
        return [len(self.replica.entry(position).operations) for position in range(len(self.replica.proposed))]
