import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.commands import (
    Accepted,
    Bootstrap,
    Command,
    RegisterNode,
    Rejected,
    Rejection,
    Result,
    decode_command,
    encode_command,
)
from placement.machine import SNAPSHOT_CHUNK_BYTES, PlacementMachine, SnapshotError
from placement.planner.groups import create_groups
from tests.placement.fakes import map_of, node
from wire.messages import ClusterMap, GroupInfo, NodeInfo, SlotRange

NODES = [node(number) for number in (1, 2, 3)]


def bootstrap(groups: int = 4, replicas: int = 3) -> Bootstrap:
    step = create_groups(NODES, groups, replicas)
    return Bootstrap(list(step.groups), list(step.slots))


class Driven:
    """A machine and what its listener heard."""

    def __init__(self, *commands: Command) -> None:
        self.heard: list[ClusterMap] = []
        self.machine = PlacementMachine("c", self.heard.append)
        for command in commands:
            assert isinstance(self.apply(command), Accepted)

    def apply(self, command: Command) -> Result:
        return self.machine.apply(1, 1, encode_command(command))


REGISTERED: list[Command] = [RegisterNode(each) for each in NODES]


def test_every_visible_change_raises_the_epoch_by_one_and_is_told_once() -> None:
    driven = Driven(*REGISTERED, bootstrap())
    assert [each.epoch for each in driven.heard] == [1, 2, 3, 4]
    assert driven.heard[-1] == driven.machine.map
    assert driven.machine.map.nodes == NODES
    assert len(driven.machine.map.groups) == 4


def test_repeating_a_command_changes_nothing_and_is_accepted() -> None:
    driven = Driven(*REGISTERED, bootstrap())
    for command in (*REGISTERED, bootstrap()):
        assert driven.apply(command) == Accepted(4)
    assert len(driven.heard) == 4


def test_a_node_that_moves_raises_the_epoch() -> None:
    driven = Driven(*REGISTERED)
    moved = msgspec.structs.replace(NODES[1], address="127.0.0.1:9", zone="z9")
    assert driven.apply(RegisterNode(moved)) == Accepted(4)
    assert driven.machine.node("n2") == moved


def test_another_incarnation_of_a_known_node_is_refused() -> None:
    driven = Driven(*REGISTERED)
    result = driven.apply(RegisterNode(node(1, incarnation="i2")))
    assert isinstance(result, Rejected)
    assert result.rejection is Rejection.OTHER_INCARNATION
    assert "another data directory" in result.message
    assert driven.machine.map.epoch == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": "n1\n"},
        {"id": "x" * 64},
        {"address": "nowhere"},
        {"address": "host:0"},
        {"address": "host:65536"},
        {"zone": "z" * 256},
        {"host": "h" * 256},
        {"incarnation": ""},
    ],
)
def test_a_node_with_a_wrong_description_is_refused(wrong: dict[str, str]) -> None:
    result = Driven().apply(RegisterNode(msgspec.structs.replace(node(1), **wrong)))
    assert isinstance(result, Rejected)
    assert result.rejection is Rejection.INVALID_NODE


def test_one_node_too_many_is_refused() -> None:
    driven = Driven(*(RegisterNode(node(number)) for number in range(1, 1025)))
    result = driven.apply(RegisterNode(node(1025)))
    assert isinstance(result, Rejected)
    assert result.rejection is Rejection.TOO_MANY_NODES
    moved = msgspec.structs.replace(node(7), zone="elsewhere")
    assert driven.apply(RegisterNode(moved)) == Accepted(1025)


@pytest.mark.parametrize(
    "wrong",
    [
        Bootstrap([], []),
        Bootstrap([GroupInfo(0, ["n1"])], [SlotRange(0, 16383, 0)]),
        Bootstrap([GroupInfo(1, ["n1"]), GroupInfo(1, ["n2"])], [SlotRange(0, 16383, 1)]),
        Bootstrap([GroupInfo(1, [])], [SlotRange(0, 16383, 1)]),
        Bootstrap([GroupInfo(1, ["n1", "n1"])], [SlotRange(0, 16383, 1)]),
        Bootstrap([GroupInfo(1, ["n9"])], [SlotRange(0, 16383, 1)]),
        Bootstrap([GroupInfo(1, ["n1"])], [SlotRange(0, 16382, 1)]),
        Bootstrap([GroupInfo(1, ["n1"])], [SlotRange(0, 16384, 1)]),
        Bootstrap([GroupInfo(1, ["n1"])], [SlotRange(0, 9, 1), SlotRange(9, 16383, 1)]),
        Bootstrap([GroupInfo(1, ["n1"])], [SlotRange(0, 16383, 2)]),
    ],
)
def test_groups_that_do_not_own_every_slot_once_on_known_nodes_are_refused(wrong: Bootstrap) -> None:
    result = Driven(*REGISTERED).apply(wrong)
    assert isinstance(result, Rejected)
    assert result.rejection is Rejection.INVALID_GROUPS


def test_a_second_and_different_bootstrap_is_refused() -> None:
    result = Driven(*REGISTERED, bootstrap()).apply(bootstrap(groups=5))
    assert isinstance(result, Rejected)
    assert result.rejection is Rejection.ALREADY_BOOTSTRAPPED


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda tail: b"\x01" + tail))
def test_apply_answers_any_bytes(garbage: bytes) -> None:
    driven = Driven(*REGISTERED)
    result = driven.machine.apply(1, 1, garbage)
    assert isinstance(result, Result)


@given(st.integers(0, 255), st.data())
def test_a_command_with_one_byte_changed_is_answered(byte: int, data: st.DataObject) -> None:
    command = bytearray(encode_command(bootstrap()))
    command[data.draw(st.integers(0, len(command) - 1))] = byte
    assert isinstance(Driven(*REGISTERED).machine.apply(1, 1, bytes(command)), Result)


def test_commands_read_back_as_they_were_written() -> None:
    for command in (*REGISTERED, bootstrap()):
        assert decode_command(encode_command(command)) == command


node_infos = st.builds(
    NodeInfo,
    id=st.sampled_from(["n1", "n2", "n3", "n4", "bad id"]),
    address=st.sampled_from(["127.0.0.1:1", "127.0.0.1:2"]),
    zone=st.sampled_from(["a", "b"]),
    host=st.just("h"),
    incarnation=st.sampled_from(["i1", "i2"]),
)
commands: st.SearchStrategy[Command] = st.builds(RegisterNode, node_infos) | st.builds(
    bootstrap, st.integers(1, 3), st.integers(1, 3)
)


@given(st.lists(commands, max_size=20), st.integers(0, 20))
def test_replicas_agree_whether_they_applied_everything_or_began_with_a_snapshot(
    script: list[Command], cut: int
) -> None:
    whole, early, late = Driven(), Driven(), Driven()
    results = [whole.apply(command) for command in script]
    assert [early.apply(command) for command in script[:cut]] == results[:cut]
    chunks = early.machine.snapshot()
    for command in script[cut:]:
        early.apply(command)  # must not show in the snapshot that is being drawn
    restorer = late.machine.restore()
    for chunk in chunks:
        restorer.feed(chunk)
    restorer.finish()
    assert [late.apply(command) for command in script[cut:]] == results[cut:]
    assert late.machine.map == early.machine.map == whole.machine.map


def test_a_restored_map_is_told_and_the_old_one_stays_until_then() -> None:
    source, target = Driven(*REGISTERED, bootstrap()), Driven(REGISTERED[0])
    restorer = target.machine.restore()
    for chunk in source.machine.snapshot():
        restorer.feed(chunk)
    assert target.machine.map.epoch == 1
    restorer.finish()
    assert target.machine.map == target.heard[-1] == source.machine.map
    assert target.machine.node("n3") == NODES[2]


def test_a_large_map_is_cut_into_chunks() -> None:
    driven = Driven(
        *(RegisterNode(msgspec.structs.replace(node(n), zone="z" * 255, host="h" * 255)) for n in range(999))
    )
    sizes = [len(chunk) for chunk in driven.machine.snapshot()]
    assert len(sizes) > 1
    assert max(sizes) <= SNAPSHOT_CHUNK_BYTES


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "format"),
        (b"\x09abc", "format"),
        (b"\x01abc", "cannot be read"),
        (b"\x01" + msgspec.msgpack.encode(map_of(3, cluster="other")), "belongs to cluster"),
    ],
)
def test_a_wrong_snapshot_is_refused_and_the_map_stays(data: bytes, why: str) -> None:
    driven = Driven(*REGISTERED)
    restorer = driven.machine.restore()
    restorer.feed(data)
    with pytest.raises(SnapshotError, match=why):
        restorer.finish()
    assert driven.machine.map.nodes == NODES
