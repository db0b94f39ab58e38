"""What must hold in every run, checked as it happens. A broken promise raises `Violation` with the whole story's seed."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field


class Violation(BaseException):
    """A promise was broken. Not an `Exception`: the code under test must not take it for one of the state machine's."""


@dataclass
class GroupHistory:
    """What was committed, acknowledged and read in one group."""

    group: int
    applied: dict[int, tuple[int, bytes, int]] = field(default_factory=dict)  # index → (term, command, state hash)
    acknowledged: dict[bytes, int] = field(default_factory=dict)  # command → index
    refused: set[bytes] = field(default_factory=set)  # commands of which it was said that they never will be applied
    acknowledged_by_term: dict[int, int] = field(default_factory=dict)  # term of the entry → highest index
    highest_applied: int = 0
    leaders: dict[int, str] = field(default_factory=dict)  # term → node
    calls: Counter[int] = field(default_factory=Counter)  # call → number of outcomes

    def on_applied(self, node: str, index: int, term: int, command: bytes, state: int) -> None:
        known = self.applied.setdefault(index, (term, command, state))
        if known != (term, command, state):
            raise Violation(f"group {self.group}: {node} applied {(term, command, state)} at {index}, others {known}")
        self.highest_applied = max(self.highest_applied, index)

    def on_leader(self, node: str, term: int) -> None:
        if self.leaders.setdefault(term, node) != node:
            raise Violation(f"group {self.group}: {node} and {self.leaders[term]} both lead term {term}")

    def on_acknowledged(self, command: bytes, index: int, term: int) -> None:
        self.acknowledged[command] = index
        self.acknowledged_by_term[term] = max(index, self.acknowledged_by_term.get(term, 0))

    @property
    def highest_acknowledged(self) -> int:
        return max(self.acknowledged_by_term.values(), default=0)

    def acknowledged_before(self, term: int) -> int:
        """What a leader of this term must have; one that slept may come to its leadership when a later one has gone on."""
        return max((index for earlier, index in self.acknowledged_by_term.items() if earlier < term), default=0)

    def on_read(self, node: str, seen_index: int, needed_index: int) -> None:
        if seen_index < needed_index:
            raise Violation(
                f"group {self.group}: {node} served a linearizable read at {seen_index}, "
                f"but {needed_index} was acknowledged before the read began"
            )

    def on_outcome(self, call: int) -> None:
        self.calls[call] += 1
        if self.calls[call] > 1:
            raise Violation(f"group {self.group}: call {call} got a second outcome")

    def check_final(self, node: str, applied_index: int, commands: list[bytes]) -> None:
        if applied_index < self.highest_applied:
            raise Violation(f"group {self.group}: {node} is stuck at {applied_index} of {self.highest_applied}")
        there = set(commands)
        missing = [command for command in self.acknowledged if command not in there]
        if missing:
            raise Violation(f"group {self.group}: {node} lost acknowledged {missing[:3]} ({len(missing)} in all)")
        if len(there) != len(commands):
            raise Violation(f"group {self.group}: {node} applied a command twice")
        if there & self.refused:
            raise Violation(f"group {self.group}: {node} applied what was refused: {sorted(there & self.refused)[:3]}")


@dataclass
class History:
    """All groups of a run, and how often each fault struck."""

    groups: dict[int, GroupHistory] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.groups = _Groups()


class _Groups(defaultdict[int, GroupHistory]):
    def __missing__(self, group: int) -> GroupHistory:
        self[group] = GroupHistory(group)
        return self[group]
