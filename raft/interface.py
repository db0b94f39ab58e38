"""The door of raft/: what a replicated state machine must offer and what it gets.

A `StateMachine` is deterministic and total: the same commands in the same order give the same state and the same
results on every replica; `apply` does not raise. All calls happen on the one event-loop thread of the process.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import msgspec


class Restorer(Protocol):
    """Rebuilds a state machine from a snapshot, chunk by chunk over many loop turns."""

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk, exactly as `StateMachine.snapshot` produced it."""

    def finish(self) -> None:
        """Replace the machine's state by what was fed. Until then the old state is untouched."""


class StateMachine(Protocol):
    """What a group replicates."""

    def apply(self, index: int, term: int, command: bytes) -> object:
        """Apply a committed command and return its result for the proposer."""

    def snapshot(self) -> Iterator[bytes]:
        """The state as it is now, as chunks of at most about 256 KiB, drawn over many loop turns.

        Commands may be applied between two chunks and must not show in it. At most one snapshot is drawn at a time;
        an abandoned iterator is closed.
        """

    def restore(self) -> Restorer:
        """Begin to replace the state by a snapshot."""


class Committed(msgspec.Struct, frozen=True, gc=False):
    """The command is in the log at `index` for good, was applied here in `apply_s` seconds, and apply returned `result`."""

    index: int
    term: int
    result: object
    apply_s: float = 0.0


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Definitely not applied and never will be. `leader` is a node id or ""; `overloaded` says try later, same place."""

    leader: str
    overloaded: bool = False


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """May have been committed or may yet be: leadership was lost while it was on its way, or the replica closed."""

    leader: str


Outcome: TypeAlias = Committed | Refused | Unknown


class ReadGranted(msgspec.Struct, frozen=True, gc=False):
    """The local state may be read now, on this loop turn, and is linearizable. `by_lease` is False after a ReadIndex round."""

    by_lease: bool


ReadOutcome: TypeAlias = ReadGranted | Refused


class Replica(Protocol):
    """One node's member of one group, as its hosting room sees it."""

    @property
    def group(self) -> int:
        """The group's number."""

    @property
    def is_leader(self) -> bool:
        """Whether this replica believes that it leads and has applied the first entry of its own term."""

    @property
    def role(self) -> str:
        """`leader`, `follower` or `candidate`."""

    @property
    def leader(self) -> str:
        """Node id of the last known leader, "" when there is none."""

    @property
    def term(self) -> int:
        """Current term."""

    @property
    def commit_index(self) -> int:
        """Highest index known to be committed."""

    @property
    def applied_index(self) -> int:
        """Highest index applied to the state machine."""

    @property
    def last_index(self) -> int:
        """Index of the last entry in the log."""

    @property
    def snapshot_index(self) -> int:
        """Index of the last entry that the newest snapshot holds."""

    @property
    def replicas(self) -> tuple[str, ...]:
        """Node ids of all members, this one included."""

    def propose(self, command: bytes, done: Callable[[Outcome], None]) -> None:
        """Append a command. `done` is called exactly once, possibly before this returns."""

    def read(self, done: Callable[[ReadOutcome], None]) -> None:
        """Ask for a linearizable view of the local state. `done` is called exactly once, possibly before this returns.

        With a valid leader lease it is called at once; else after one ReadIndex round that serves all who wait.
        """

    def age_ms(self) -> int:
        """How old the local state may be, in milliseconds: the time since the leader was last heard, 0 for a leader."""

    def transfer_leadership(self, to: str) -> bool:
        """Hand leadership to another, caught-up member. False when this replica does not lead or `to` is not ready."""

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        """Call `listener(True)` once this replica leads and its first entry is applied, `listener(False)` when it stops."""

    def fence(self, index: int) -> None:
        """The machine's state is wrong, and stays so unless a snapshot takes its place that ends after `index`.

        Until then this replica does not lead, and takes and ships no snapshots. Its log is not in doubt: it goes on to
        vote and to store entries, up to a limit, and applies them.
        """

    @property
    def is_fenced(self) -> bool:
        """Whether `fence` was called and no such snapshot has come."""
