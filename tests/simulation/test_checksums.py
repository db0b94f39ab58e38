"""Replicas that went wrong are found: whole clusters on virtual time, in which a test corrupts one of them.

That no replica is ever found wrong without that is checked in every seed of the simulation.
"""

import random
from collections.abc import Callable
from itertools import count

import pytest
from msgspec.structs import replace

from shard.fence_mark import MarkFile
from shard.machine.keyspace import Keyspace
from shard.machine.record import Stored, pack, unpack
from tests.simulation.history import History, Violation
from tests.simulation.keys import KeyCluster, KeyNode
from tests.simulation.run import Case, simulate
from tests.simulation.world import World
from wire.errors import Failure
from wire.messages import (
    ChecksumRequest,
    Consistency,
    OperationId,
    Put,
    PutItem,
    ReadReply,
    ReadRequest,
    WriteRequest,
)
from wire.rpc import Call, Peer
from wire.slots import slot_of

GROUP = 1
KEY = "untouched"


class Scene:
    """A cluster whose clients have written something, with nothing else going wrong."""

    def __init__(self, replicas: int = 3, seed: int = 1) -> None:
        self.world = World(seed)
        self.cluster = KeyCluster(self.world, replicas, History())
        self.cluster.is_corrupted = True
        self.pass_until(lambda: len(self.nodes_that("lead")) == 1)
        self.answers: list[object] = []
        [leader] = self.nodes_that("lead")
        request = WriteRequest(GROUP, OperationId(1, 1, 1), Put([PutItem(KEY, b"whole")]))
        leader.services[GROUP].write(Call(request, Peer(), float("inf"), 0, 100, self))
        self.pass_until(lambda: all(node.key_machines[GROUP].get(KEY) for node in self.nodes))
        self.go_on(20)

    def answer(self, _call: object, value: object) -> None:
        """See wire.rpc: takes the answers to the scene's own calls."""
        self.answers.append(value)

    def refuse(self, _call: object, failure: Failure) -> None:
        """See `answer`."""
        self.answers.append(failure.code.value)

    @property
    def acknowledged(self) -> int:
        return sum(client.acknowledged for client in self.cluster.clients if client.group == GROUP)

    @property
    def nodes(self) -> list[KeyNode]:
        return [node for node in self.cluster.nodes.values() if isinstance(node, KeyNode) and node.life is not None]

    def nodes_that(self, do: str) -> list[KeyNode]:
        """Those that `lead` the group or are `fenced` in it."""
        replicas = {node.name: node.host.replicas[GROUP] for node in self.nodes}
        return [
            node
            for node in self.nodes
            if (replicas[node.name].is_leader if do == "lead" else replicas[node.name].is_fenced)
        ]

    def pass_until(self, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
        end = self.world.now + limit_s
        while not condition():
            assert self.world.now < end, "it never came to pass"
            self.world.run_until(self.world.now + 0.05)

    def follower(self) -> KeyNode:
        return next(node for node in self.nodes if node not in self.nodes_that("lead"))

    def go_on(self, writes: int = 100) -> None:
        """Clients get so many more writes acknowledged, and none of their reads is wrong."""
        target = self.acknowledged + writes
        self.pass_until(lambda: self.acknowledged >= target)

    def read_stale(self, node: KeyNode) -> str:
        request = ReadRequest(GROUP, [KEY], Consistency.STALE)
        node.services[GROUP].read(Call(request, Peer(), float("inf"), 0, 100, self))
        answer = self.answers.pop()
        return answer.results[0].value.decode() if isinstance(answer, ReadReply) else str(answer)


def flip(node: KeyNode, value: bytes = b"flipped") -> None:
    """Change the value of the key that no client writes again."""
    records = node.key_machines[GROUP]._keyspace._slots[slot_of(KEY)]
    records[KEY] = pack(replace(unpack(records[KEY]), value=value))


def test_a_corrupted_follower_is_fenced_and_the_others_go_on() -> None:
    scene = Scene()
    wrong = scene.follower()
    flip(wrong)
    scene.pass_until(lambda: bool(scene.nodes_that("fenced")))
    scene.go_on()
    assert scene.nodes_that("fenced") == [wrong]
    assert scene.read_stale(wrong) == "UNAVAILABLE"
    assert [scene.read_stale(node) for node in scene.nodes if node is not wrong] == ["whole"] * 2


def test_a_corrupted_leader_steps_down_and_the_group_goes_on() -> None:
    scene = Scene()
    [wrong] = scene.nodes_that("lead")
    flip(wrong)
    scene.pass_until(lambda: bool(scene.nodes_that("fenced")))
    scene.pass_until(lambda: bool(scene.nodes_that("lead")))
    scene.go_on()
    assert scene.nodes_that("fenced") == [wrong]
    assert wrong not in scene.nodes_that("lead")


def test_the_fence_outlives_a_power_cut_and_the_fenced_never_leads() -> None:
    scene = Scene()
    wrong = scene.follower()
    flip(wrong)
    scene.pass_until(lambda: bool(scene.nodes_that("fenced")))
    scene.cluster.power_cut(wrong.name)
    scene.cluster.restart(wrong.name)
    assert scene.nodes_that("fenced") == [wrong]
    for node in scene.nodes_that("lead"):
        scene.cluster.stop(node.name, 3.0)
    scene.go_on()
    assert scene.nodes_that("fenced") == [wrong]
    assert wrong not in scene.nodes_that("lead")


def test_a_crash_between_the_verdict_and_the_mark_changes_nothing() -> None:
    scene = Scene()
    wrong = scene.follower()
    flip(wrong)
    scene.pass_until(lambda: bool(scene.nodes_that("fenced")))
    scene.cluster.crash(wrong.name)
    MarkFile(wrong.disk, GROUP, print).remove()
    scene.cluster.restart(wrong.name)
    scene.pass_until(lambda: scene.nodes_that("fenced") == [wrong])


def test_a_fenced_replica_that_was_away_for_long_gets_the_leaders_snapshot_and_is_well() -> None:
    scene = Scene()
    wrong = scene.follower()
    flip(wrong)
    scene.pass_until(lambda: bool(scene.nodes_that("fenced")))
    scene.cluster.crash(wrong.name)
    scene.go_on(200)
    scene.cluster.restart(wrong.name)
    scene.pass_until(lambda: not scene.nodes_that("fenced"))
    assert MarkFile(wrong.disk, GROUP, print).load() is None
    assert scene.read_stale(wrong) == "whole"
    compared = wrong.services[GROUP].checksums.checked_index
    scene.pass_until(lambda: wrong.services[GROUP].checksums.checked_index > compared)
    scene.go_on()
    assert not scene.nodes_that("fenced")


@pytest.mark.parametrize("replicas", [3, 5])
def test_when_all_differ_none_serves(replicas: int) -> None:
    scene = Scene(replicas)
    for number, node in enumerate(scene.nodes):
        flip(node, b"flipped %d" % number)
    scene.pass_until(lambda: len(scene.nodes_that("fenced")) == replicas)
    scene.world.run_until(scene.world.now + 5.0)
    assert not scene.nodes_that("lead")
    assert {scene.read_stale(node) for node in scene.nodes} == {"UNAVAILABLE"}


def test_two_of_five_that_are_wrong_are_fenced() -> None:
    scene = Scene(5)
    wrong = [node for node in scene.nodes if node not in scene.nodes_that("lead")][:2]
    for node in wrong:
        flip(node)
    scene.pass_until(lambda: len(scene.nodes_that("fenced")) == 2)
    scene.go_on()
    assert scene.nodes_that("fenced") == wrong


def test_with_one_down_a_difference_raises_the_alarm_until_the_third_decides() -> None:
    scene = Scene()
    [leader] = scene.nodes_that("lead")
    third = scene.follower()
    scene.cluster.crash(third.name)
    [wrong] = [node for node in scene.nodes if node is not leader]
    flip(wrong)
    scene.pass_until(lambda: all(node.services[GROUP].checksums.diverged for node in (leader, wrong)))
    scene.go_on()
    assert not scene.nodes_that("fenced")
    scene.cluster.restart(third.name)
    scene.pass_until(lambda: scene.nodes_that("fenced") == [wrong])


def test_a_hash_can_be_asked_for_at_any_time() -> None:
    scene = Scene()
    scene.cluster.resting = True
    [leader] = scene.nodes_that("lead")
    scene.world.run_until(scene.world.now + 10.0)
    before = leader.services[GROUP].checksums.checked_index
    leader.services[GROUP].checksums.begin()
    scene.pass_until(lambda: all(node.services[GROUP].checksums.checked_index > before for node in scene.nodes))
    index = leader.services[GROUP].checksums.checked_index
    answers = [node.services[GROUP].checksums.answer(ChecksumRequest(GROUP, index)) for node in scene.nodes]
    assert len({(answer.state, answer.hash) for answer in answers}) == 1
    assert answers[0].hash


def test_replicas_that_are_right_are_never_fenced() -> None:
    """In a quiet world; the seeds of the simulation say so under every fault."""
    for seed in random.Random(4).sample(range(1000), 3):
        scene = Scene(seed=seed)
        scene.cluster.is_corrupted = False
        scene.go_on(300)
        assert not scene.nodes_that("fenced"), f"seed {seed}"


def test_a_machine_that_decides_by_something_of_its_own_is_found_under_every_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No client can see this mistake, no answer and no watcher; only the comparison of states does."""
    put, puts = Keyspace.put_stored, count(1)

    def drift(self: Keyspace, slot: int, key: str, stored: Stored) -> None:
        put(self, slot, key, replace(unpack(stored), fence=1) if next(puts) % 7 == 0 else stored)

    monkeypatch.setattr(Keyspace, "put_stored", drift)
    for seed in (2, 4, 6):
        with pytest.raises(Violation, match="the states of replicas differ"):
            simulate(Case(seed))
