"""What the models of the operations share: replicas that apply the same entries, and a dict of what keys hold.

Every model is a state machine of hypothesis whose rules send operations and compare the answers with what a few lines
over plain dicts say. Beside its own rules each lets time pass, replaces replicas by what they restore from snapshots, and
finds the replicas equal after every step.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shard.embedded.machine import SoleMachine
from shard.machine import Entry, Machine, machine
from shard.machine.keyspace import GRAIN_MS
from tests.shard.build import Log, install_snapshot, names, replayed
from wire.messages import ItemResult, Operation, OperationId, Status, WriteReply

IN_THE_SUITE = settings(max_examples=100, stateful_step_count=30)
STEPS_MS = st.sampled_from([0, 0, 0, 1, 2, 5, 10, 11, 40])
TTLS_MS = st.sampled_from([1, 4, 5, 10, 30])
TTLS_MS_OR_NEVER = st.just(0) | TTLS_MS
NOT_FOUND = ItemResult(Status.NOT_FOUND)


class Replicas(RuleBasedStateMachine):
    """Two replicas of a group that owns every slot: a node's, and one as a program has in its own process."""

    waits_ms = STEPS_MS

    def __init__(self) -> None:
        super().__init__()
        self.saved = machine.EXPIRE_PER_ENTRY
        self.log = Log(self.prepared(Machine()))
        self.second: Machine = self.prepared(SoleMachine())
        self.second.apply(1, 1, self.log.commands[0])
        self.now_ms = 0

    def prepared(self, replica: Machine) -> Machine:
        """A replica before its first entry."""
        return replica

    def teardown(self) -> None:
        again = replayed(self.log).checksum()
        machine.EXPIRE_PER_ENTRY = self.saved
        assert again == self.log.machine.checksum()

    @initialize(removed_max=st.sampled_from([0, 1, 1_000]))
    def let_an_entry_remove_so_many_due_keys(self, removed_max: int) -> None:
        """A due key is gone for everybody however long it waits for its removal."""
        machine.EXPIRE_PER_ENTRY = removed_max

    @rule(giver=st.integers(0, 1), taker=st.integers(0, 1), data=st.data())
    def restore_and_wait(self, giver: int, taker: int, data: st.DataObject) -> None:
        """One rule for both, so that those of the models have their turn."""
        both = [self.log.machine, self.second]
        install_snapshot(both[giver], both[taker])
        self.now_ms += data.draw(self.waits_ms)
        self.append([])

    @invariant()
    def replicas_are_equal(self) -> None:
        assert self.log.machine.checksum() == self.second.checksum()

    @property
    def next_index(self) -> int:
        """The revision that the next entry gives to what it changes."""
        return self.log.index + 1

    def append(self, operations: Sequence[tuple[OperationId, Operation]]) -> list[WriteReply]:
        """One entry with these operations."""
        replies = self.log.append(Entry(self.now_ms, [*operations]))
        assert self.second.apply(self.log.index, 1, self.log.commands[-1]) == replies
        return replies

    def write(self, operations: Iterable[Operation]) -> list[list[ItemResult]]:
        """One entry with these operations, each for the first time."""
        replies = self.append([(self.log.next_id(), operation) for operation in operations])
        assert all(reply.revision == self.log.index for reply in replies)
        return [reply.results for reply in replies]


class Cell(NamedTuple):
    """What a key holds."""

    value: bytes
    revision: int
    due_ms: int = 0  # 0: never
    content_type: str = ""
    fence: int = 0


class Cells(Replicas):
    """Replicas beside a dict of what every key holds; what is due in it is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: dict[str, Cell] = {}

    def alive(self, key: str) -> Cell | None:
        cell = self.cells.get(key)
        return None if cell is None or 0 < cell.due_ms <= self.now_ms else cell

    def due_ms(self, ttl_ms: int) -> int:
        """When a key is gone that is to live for `ttl_ms` from now."""
        return self.now_ms + ttl_ms + GRAIN_MS if ttl_ms else 0

    def done(self, value: bytes = b"") -> ItemResult:
        """The answer to a change by the next entry."""
        return ItemResult(Status.OK, self.next_index, value)

    @invariant()
    def every_replica_shows_the_cells(self) -> None:
        alive = {key: cell for key in self.cells if (cell := self.alive(key))}
        for replica in (self.log.machine, self.second):
            assert names(replica) == sorted(alive)
            for key in self.cells:
                record = replica.get(key)
                shown = record and Cell(
                    record.value, record.revision, record.expires_ms, record.content_type, record.fence
                )
                assert shown == alive.get(key)
