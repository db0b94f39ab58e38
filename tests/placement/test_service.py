from collections import Counter

import msgspec
import pytest

from placement.machine import PlacementMachine
from placement.maps import MapHolder
from placement.planner import Goals, Idle, Reason
from placement.service import PlacementService
from raft.interface import Outcome, ReadOutcome, Refused, Unknown
from tests.placement.fakes import Desk, Time, call_of, node
from tests.placement.replicas import FakeReplica, refused
from wire.errors import Applied, Code
from wire.messages import GroupBeat, HeartbeatReply, HeartbeatRequest, NodeInfo, RegisterRequest, Transfer
from wire.rpc import Peer

NODES = [node(number) for number in (1, 2, 3)]


class Stage:
    """A placement leader, and a cluster of nodes that follow its advice."""

    def __init__(self, groups: int = 6) -> None:
        self.time = Time()
        self.maps = MapHolder("c", clock=self.time.clock, call_later=self.time.call_later)
        self.machine = PlacementMachine("c", self.maps.publish)
        self.replica = FakeReplica(self.machine)
        self.service = PlacementService(
            self.replica,
            self.machine,
            Goals(expected_nodes=3, groups=groups, replicas=3, settle_ms=2000),
            clock=self.time.clock,
            call_later=self.time.call_later,
        )
        self.service.start()
        self.leaders: dict[int, str] = {}
        self.dead: set[str] = set()
        self.transfers = 0

    def register(self, info: NodeInfo, peer: Peer = Peer()) -> Desk:  # noqa: B008 - frozen
        call, desk = call_of(RegisterRequest(info), peer=peer)
        self.service.register(call)
        return desk

    def heartbeat(self, info: NodeInfo, peer: Peer = Peer()) -> Desk:  # noqa: B008 - frozen
        term = int(self.time.now)  # a later leader has a higher term
        beats = [GroupBeat(group, leading=leader == info.id, term=term) for group, leader in self.leaders.items()]
        call, desk = call_of(HeartbeatRequest(info.id, info.incarnation, 0, beats), peer=peer)
        self.service.heartbeat(call)
        return desk

    def bootstrap(self) -> None:
        for each in NODES:
            assert self.register(each).replies
        self.time.advance(1)
        assert self.machine.map.groups
        self.leaders = {group.id: group.replicas[0] for group in self.machine.map.groups}

    def live(self, seconds: int, *, obey: bool = True) -> None:
        """Let all living nodes send heartbeats each second and hand over what they are told to."""
        for _ in range(seconds):
            for each in NODES:
                if each.id not in self.dead:
                    (reply,) = self.heartbeat(each).replies
                    assert isinstance(reply, HeartbeatReply)
                    self.transfers += len(reply.transfers)
                    followed = [transfer for transfer in reply.transfers if obey and transfer.to not in self.dead]
                    self.leaders |= {transfer.group: transfer.to for transfer in followed}
            self.time.advance(1)

    def spread(self) -> list[int]:
        return sorted(Counter(self.leaders.values()).values())


def test_groups_are_created_once_the_expected_nodes_are_registered_and_published() -> None:
    stage = Stage()
    for each in NODES[:2]:
        stage.register(each)
    stage.time.advance(3)
    assert stage.service.decision == Idle(Reason.WAITING_FOR_NODES)
    stage.register(NODES[2])
    stage.time.advance(1)
    assert len(stage.maps.current.groups) == 6
    assert stage.maps.current == stage.machine.map
    assert len(stage.replica.proposed) == 4


def test_registering_again_without_a_change_writes_nothing() -> None:
    stage = Stage()
    for _ in range(3):
        (reply,) = stage.register(NODES[0]).replies
        assert reply.map == stage.machine.map
    assert len(stage.replica.proposed) == 1
    moved = msgspec.structs.replace(NODES[0], address="127.0.0.1:9")
    assert stage.register(moved).replies
    assert len(stage.replica.proposed) == 2


def test_another_incarnation_is_refused_without_writing() -> None:
    stage = Stage()
    stage.register(NODES[0])
    (failure,) = stage.register(node(1, incarnation="i2")).failures
    assert failure.code is Code.INVALID
    assert "another data directory" in failure.message
    assert len(stage.replica.proposed) == 1


def test_a_follower_names_the_leader() -> None:
    stage = Stage()
    stage.replica.lead(leads=False)
    stage.replica.leader = "n3"
    for desk in (stage.register(NODES[0]), stage.heartbeat(NODES[0])):
        (failure,) = desk.failures
        assert (failure.code, failure.leader, failure.applied) == (Code.NOT_LEADER, "n3", Applied.NO)


@pytest.mark.parametrize(
    ("outcome", "code", "applied"),
    [
        (refused("n2"), Code.NOT_LEADER, Applied.NO),
        (refused(), Code.UNAVAILABLE, Applied.NO),
        (refused("n1", overloaded=True), Code.OVERLOADED, Applied.NO),
        (Unknown("n2"), Code.UNKNOWN, Applied.UNKNOWN),
    ],
)
def test_what_raft_says_of_a_registration_is_what_the_node_hears(
    outcome: Outcome, code: Code, applied: Applied
) -> None:
    stage = Stage()
    stage.replica.outcome = outcome
    (failure,) = stage.register(NODES[0]).failures
    assert (failure.code, failure.applied) == (code, applied)


@pytest.mark.parametrize(("outcome", "code"), [(refused("n2"), Code.NOT_LEADER), (refused(), Code.UNAVAILABLE)])
def test_a_leader_that_cannot_prove_that_it_leads_registers_nobody(outcome: ReadOutcome, code: Code) -> None:
    stage = Stage()
    stage.register(NODES[0])
    stage.replica.read_outcome = outcome
    (failure,) = stage.register(NODES[0]).failures
    assert failure.code is code
    assert isinstance(outcome, Refused)


def test_a_certificate_for_another_node_or_role_is_refused() -> None:
    stage = Stage()
    assert stage.register(NODES[0], Peer(node="n1", role="node")).replies
    for peer in (Peer(node="n2", role="node"), Peer(node="n1", role="gateway")):
        assert stage.register(NODES[0], peer).failures[0].code is Code.INVALID
        assert stage.heartbeat(NODES[0], peer).failures[0].code is Code.INVALID


def test_a_heartbeat_of_a_node_that_is_not_registered_is_refused() -> None:
    stage = Stage()
    assert stage.heartbeat(NODES[0]).failures[0].code is Code.INVALID
    stage.register(NODES[0])
    assert stage.heartbeat(node(1, incarnation="i2")).failures[0].code is Code.INVALID
    assert stage.heartbeat(NODES[0]).replies == [HeartbeatReply(1, [])]


def test_leaders_that_gathered_on_one_node_are_spread_and_then_left_alone() -> None:
    stage = Stage()
    stage.bootstrap()
    stage.leaders = dict.fromkeys(stage.leaders, "n2")
    stage.live(20)
    assert stage.spread() == [2, 2, 2]
    assert stage.service.decision == Idle(Reason.BALANCED)
    before = stage.transfers
    stage.live(20)
    assert stage.transfers == before


def test_a_dead_node_gets_no_leaders_and_gets_its_share_some_time_after_it_is_back() -> None:
    stage = Stage()
    stage.bootstrap()
    stage.live(3)
    stage.dead = {"n3"}
    stage.leaders = {group: "n1" if leader == "n3" else leader for group, leader in stage.leaders.items()}
    stage.live(20)
    assert stage.spread() == [3, 3]
    stage.dead = set()
    stage.live(2)
    assert stage.spread() == [3, 3]
    stage.live(10)
    assert stage.spread() == [2, 2, 2]


def test_advice_goes_only_to_the_leaders_node_and_is_repeated_until_followed() -> None:
    stage = Stage(groups=3)
    stage.bootstrap()
    stage.leaders = dict.fromkeys(stage.leaders, "n1")
    stage.live(4, obey=False)
    advice = stage.heartbeat(NODES[0]).replies[0].transfers
    assert advice == stage.heartbeat(NODES[0]).replies[0].transfers
    assert sorted(advice, key=lambda each: each.group) == [Transfer(2, "n2"), Transfer(3, "n3")]
    assert stage.heartbeat(NODES[1]).replies[0].transfers == []


def test_advice_that_is_not_followed_makes_room_for_another_and_is_tried_again_later() -> None:
    stage = Stage(groups=3)
    stage.bootstrap()
    stage.leaders = dict.fromkeys(stage.leaders, "n1")
    advised: list[list[int]] = []
    for _ in range(20):
        stage.live(1, obey=False)
        groups = sorted(each.group for each in stage.heartbeat(NODES[0]).replies[0].transfers)
        if groups and groups not in advised[-1:]:
            advised.append(groups)
    assert advised[:3] == [[2, 3], [1], [1, 3]]


def test_a_new_leader_waits_until_it_has_heard_and_settled() -> None:
    stage = Stage()
    stage.bootstrap()
    stage.leaders = dict.fromkeys(stage.leaders, "n2")
    stage.live(1)
    stage.replica.lead(leads=False)
    stage.time.advance(30)
    stage.replica.lead(leads=True)
    stage.time.advance(1)
    assert stage.service.decision == Idle(Reason.NO_LEADERS)
    stage.live(1)
    assert stage.transfers == 0
    stage.live(20)
    assert stage.spread() == [2, 2, 2]


def test_a_bootstrap_that_got_lost_is_proposed_again() -> None:
    stage = Stage()
    for each in NODES:
        stage.register(each)
    stage.replica.outcome = Unknown("")
    stage.time.advance(1)
    assert not stage.machine.map.groups
    stage.replica.outcome = None
    stage.time.advance(1)
    assert stage.machine.map.groups


def test_reports_about_groups_that_do_not_exist_are_ignored() -> None:
    stage = Stage()
    stage.bootstrap()
    stage.leaders = {99: "n1"}
    stage.live(3)
    assert stage.service.decision == Idle(Reason.NO_LEADERS)


def test_nothing_is_decided_after_close() -> None:
    stage = Stage()
    for each in NODES:
        stage.register(each)
    stage.service.close()
    stage.time.advance(5)
    assert not stage.machine.map.groups
