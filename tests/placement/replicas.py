"""A replica of the placement group that commits when the test says so."""

from collections.abc import Callable
from dataclasses import dataclass, field

from placement.machine import PlacementMachine
from raft.interface import Committed, Outcome, ReadGranted, ReadOutcome, Refused


@dataclass
class FakeReplica:
    """Leads by default, and commits and grants at once while `outcome` is None."""

    machine: PlacementMachine
    is_leader: bool = True
    leader: str = "n1"
    outcome: Outcome | None = None
    read_outcome: ReadOutcome = field(default_factory=lambda: ReadGranted(by_lease=True))
    proposed: list[bytes] = field(default_factory=list)
    group: int = 0
    term: int = 1
    snapshot_index: int = 0
    replicas: tuple[str, ...] = ("n1", "n2", "n3")
    listeners: list[Callable[[bool], None]] = field(default_factory=list)

    @property
    def role(self) -> str:
        return "leader" if self.is_leader else "follower"

    @property
    def commit_index(self) -> int:
        return len(self.proposed)

    applied_index = commit_index
    last_index = commit_index

    def propose(self, command: bytes, done: Callable[[Outcome], None]) -> None:
        self.proposed.append(command)
        if self.outcome is not None:
            done(self.outcome)
            return
        index = len(self.proposed)
        done(Committed(index, self.term, self.machine.apply(index, self.term, command)))

    def read(self, done: Callable[[ReadOutcome], None]) -> None:
        done(self.read_outcome)

    def age_ms(self) -> int:
        return 0

    def transfer_leadership(self, to: str) -> bool:
        del to
        return False

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        self.listeners.append(listener)

    def fence(self, index: int) -> None:
        del index

    @property
    def is_fenced(self) -> bool:
        return False

    def lead(self, *, leads: bool) -> None:
        self.is_leader = leads
        for listener in self.listeners:
            listener(leads)


def refused(leader: str = "", *, overloaded: bool = False) -> Refused:
    return Refused(leader, overloaded=overloaded)
