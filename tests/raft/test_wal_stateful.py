"""Random histories of the write-ahead log with crashes and power cuts, against a model.

What is recovered must be the state after some whole number of records, at least those that were called durable and at
most those that were handed in.
"""

import contextlib
import copy
import errno
from collections.abc import Callable
from random import Random
from typing import TypeAlias

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from raft.wal_replay import Recovered
from raft.wal_space import Limits
from raft.wal_writer import WriteFailedError
from tests.raft.storage import Log
from tests.simulation.simdisk import DeadProcessError, SimDisk

Model: TypeAlias = dict[int, Recovered]
Step: TypeAlias = Callable[[Model], None]

GROUPS = st.integers(1, 4)
OPERATIONS = st.sampled_from(["write", "sync", "sync", "sync", "create", "rename", "sync_dir", "unlink"])
SEEDS = st.integers(0, 2**32)
LIMITS = Limits(segment_bytes=4096, max_bytes=6 * 4096, max_segments=6)


def _nothing(_: Model) -> None:
    """A record that changes nothing."""


def _visible(model: Model) -> Model:
    return {group: found for group, found in model.items() if found != Recovered()}


class WalHistory(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.disk = SimDisk()
        self.base: Model = {}  # the state when the log was opened
        self.now: Model = {}  # with all steps since
        self.steps: list[Step] = []  # one for each record since
        self.counter = 0
        self.log = Log(self.disk, LIMITS)

    def record(self, lsn: int, step: Step) -> None:
        """The model takes the step with the last of the records that were just written."""
        self.steps.extend([_nothing] * (lsn - len(self.steps) - 1))
        self.steps.append(step)
        step(self.now)

    def of(self, group: int) -> Recovered:
        return self.now.setdefault(group, Recovered())

    @rule(group=GROUPS, count=st.integers(1, 5), size=st.sampled_from([0, 1, 30, 600, 3000, 9000]), zeros=st.booleans())
    def append(self, group: int, count: int, size: int, zeros: bool) -> None:  # noqa: FBT001 - drawn
        for _ in range(count):
            self.put(group, self.of(group).last_index + 1, size, zeros=zeros)

    @rule(group=GROUPS, count=st.integers(4, 12))
    def fill_segments(self, group: int, count: int) -> None:
        for _ in range(count):
            self.put(group, self.of(group).last_index + 1, 400, zeros=False)
            self.settle()
        self.compact(group, 1)
        self.settle()

    @rule(group=GROUPS, back=st.integers(0, 6))
    def overwrite(self, group: int, back: int) -> None:
        found = self.of(group)
        self.put(group, max(found.base_index + 1, found.last_index - back), 10, zeros=False)

    def put(self, group: int, index: int, size: int, *, zeros: bool) -> None:
        self.counter += 1
        term = self.counter // 10
        command = f"{self.counter}:".encode() + (b"\0" if zeros else b"\xa5") * size

        def step(model: Model) -> None:
            found = model.setdefault(group, Recovered())
            found.entries = [*found.entries[: index - found.base_index - 1], (command, index, term)]

        self.record(self.log.wal.append(group, index, term, command), step)

    @rule(group=GROUPS, back=st.integers(0, 6))
    def truncate(self, group: int, back: int) -> None:
        found = self.of(group)
        index = max(found.base_index + 1, found.last_index - back)
        if index > found.last_index:
            return

        def step(model: Model) -> None:
            del model[group].entries[index - model[group].base_index - 1 :]

        self.record(self.log.wal.truncate(group, index), step)

    @rule(group=GROUPS, more=st.integers(0, 2), vote=st.sampled_from(["", "node-1", "node-2"]))
    def hard_state(self, group: int, more: int, vote: str) -> None:
        term = self.of(group).term + more

        def step(model: Model) -> None:
            found = model.setdefault(group, Recovered())
            found.term, found.voted_for = term, vote

        self.record(self.log.wal.hard_state(group, term, vote), step)

    @rule(group=GROUPS, keep=st.integers(0, 5))
    def compact(self, group: int, keep: int) -> None:
        found = self.of(group)
        index = max(found.base_index, found.last_index - keep)
        term = found.base_term if index == found.base_index else found.entries[index - found.base_index - 1][2]

        def step(model: Model) -> None:
            of = model.setdefault(group, Recovered())
            del of.entries[: index - of.base_index]
            of.base_index, of.base_term = index, term

        self.record(self.log.wal.compact(group, index, term), step)

    @rule(group=GROUPS, more=st.integers(0, 50))
    def reset(self, group: int, more: int) -> None:
        index = self.of(group).last_index + more

        def step(model: Model) -> None:
            of = model.setdefault(group, Recovered())
            of.base_index, of.base_term, of.entries = index, 1, []

        self.record(self.log.wal.reset(group, index, 1), step)

    @rule(group=GROUPS)
    def drop(self, group: int) -> None:
        self.record(self.log.wal.drop(group), lambda model: (model.pop(group, None), None)[1])

    @precondition(lambda self: self.log.pinned)
    @rule(by_rewriting=st.booleans())
    def answer_a_pin(self, by_rewriting: bool) -> None:  # noqa: FBT001 - drawn
        group = self.log.pinned.pop(0)
        if group not in self.now:
            return
        if by_rewriting:
            found = self.of(group)
            self.record(self.log.wal.rewrite(group, found.base_index, found.base_term, found.entries), _nothing)
        else:
            self.compact(group, 0)

    @rule()
    def flush(self) -> None:
        self.log.wal.flush()

    @rule()
    def work(self) -> None:
        self.log.steps.work()

    @rule()
    def turn(self) -> None:
        self.log.steps.turn()

    @rule()
    def settle(self) -> None:
        self.log.sync()
        assert self.log.wal.durable == self.log.wal.written

    @rule()
    def crash(self) -> None:
        self.disk.crash()
        self.reopen()

    @rule(seed=SEEDS)
    def power_cut(self, seed: int) -> None:
        self.disk.power_cut(Random(seed))
        self.reopen()

    @rule(seed=SEEDS, operation=OPERATIONS, again=st.sampled_from([None, "write", "sync", "unlink", "sync_dir"]))
    def power_cut_at_a_step(self, seed: int, operation: str, again: str | None) -> None:
        """Perhaps a second one while the log is being mended."""
        rng = Random(seed)
        self.disk.die(operation, 1)
        self.put(1, self.of(1).last_index + 1, rng.randrange(6000), zeros=rng.random() < 0.3)
        self.log.sync()
        self.disk.clear_faults()
        self.disk.power_cut(rng)
        if again:
            self.disk.die(again, rng.randint(1, 3))
            with contextlib.suppress(DeadProcessError, WriteFailedError):
                Log(self.disk, LIMITS)
            self.disk.clear_faults()
            self.disk.power_cut(rng)
        self.reopen()

    @rule(operation=OPERATIONS)
    def failure_of_the_disk(self, operation: str) -> None:
        """Then the process dies, and the next power cut is never far."""
        self.disk.fail(operation, 1, errno.EIO)
        self.put(1, self.of(1).last_index + 1, 100, zeros=False)
        self.log.sync()
        self.disk.clear_faults()
        self.disk.crash()
        self.reopen()

    def reopen(self) -> None:
        durable = self.log.wal.durable
        self.log = Log(self.disk, LIMITS)
        recovered = self.log.wal.recovered()
        model = copy.deepcopy(self.base)
        for step in self.steps[:durable]:
            step(model)
        for step in self.steps[durable:]:
            if _visible(model) == _visible(recovered):
                break
            step(model)
        assert _visible(model) == _visible(recovered)
        self.base, self.now, self.steps = copy.deepcopy(model), model, []

    @invariant()
    def healthy(self) -> None:
        assert self.log.fatal == []
        assert len(self.steps) == self.log.wal.written


TestWalHistory = WalHistory.TestCase
TestWalHistory.settings = settings(max_examples=80, stateful_step_count=60, deadline=None, derandomize=True)
