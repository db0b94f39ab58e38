import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import pytest

from placement.client import PlacementClient
from placement.maps import MapHolder
from tests.placement.fakes import Network, Sent, Time, map_of, node
from wire import RpcClient, RpcServer
from wire.errors import Code
from wire.messages import ClusterMap, GroupBeat, HeartbeatReply, RegisterReply, Transfer
from wire.rpc import Connect

PLACEMENT = {"n1": "p1:1", "n2": "p2:1", "n3": "p3:1"}
BEATS = [GroupBeat(1, leading=True, term=3)]


class Stage:
    """The client of node n9, its fake servers and its time."""

    def __init__(self, placement: dict[str, str] | None = None, connect: Connect | None = None) -> None:
        self.time = Time()
        self.network = Network()
        self.pauses: list[float] = []
        self.transfers: list[Transfer] = []
        self.fatal: list[str] = []
        self.refused = asyncio.Event()
        self.maps = MapHolder("c", clock=self.time.clock, call_later=self.time.call_later)
        self.client = PlacementClient(
            node(9),
            placement or PLACEMENT,
            self.maps,
            connect or self.network.connect,
            beats=lambda: BEATS,
            on_transfers=self.take,
            on_fatal=self.refuse,
            rng=random.Random(1),
            clock=self.time.clock,
            sleep=self.pause,
        )

    def take(self, transfers: Sequence[Transfer]) -> None:
        self.transfers.extend(transfers)

    def refuse(self, message: str) -> None:
        self.fatal.append(message)
        self.refused.set()

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def registered(self) -> Sent:
        sent = await self.network.next("register")
        sent.answer.set_result(RegisterReply(map_of(1, node(9))))
        return sent

    async def compared(self, found: ClusterMap) -> Sent:
        """Answer the look at a server's map that comes before a registration."""
        others = []
        while (sent := await self.network.next("watch_map")).request.wait_ms:
            others.append(sent)
        for other in others:
            self.network.sent.put_nowait(other)
        sent.answer.set_result(found)
        return sent


def play(scenario: Callable[[Stage], Awaitable[None]]) -> None:
    async def scene() -> None:
        stage = Stage()
        stage.client.start()
        await scenario(stage)
        await stage.client.close()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())


def test_a_node_registers_and_then_sends_heartbeats_to_the_same_server() -> None:
    async def scenario(stage: Stage) -> None:
        register = await stage.registered()
        assert register.request.node == node(9)
        beat = await stage.network.next("heartbeat")
        assert beat.address == register.address
        assert (beat.request.node, beat.request.incarnation, beat.request.groups) == ("n9", "i1", BEATS)
        assert beat.request.epoch == 1
        assert stage.client.registered
        assert stage.maps.current == map_of(1, node(9))
        assert stage.pauses[-1] == 1.0

    play(scenario)


def test_the_named_leader_is_asked_next() -> None:
    async def scenario(stage: Stage) -> None:
        for leader in ("n3", "n1", "n2"):
            (await stage.network.next("register")).fail(Code.NOT_LEADER, leader=leader)
            sent = await stage.network.next("register")
            assert sent.address == PLACEMENT[leader]
            stage.network.sent.put_nowait(sent)

    play(scenario)


def test_every_server_is_tried_when_none_knows_the_leader() -> None:
    async def scenario(stage: Stage) -> None:
        asked = []
        for code in (Code.UNAVAILABLE, Code.TIMEOUT, Code.NOT_LEADER):
            sent = await stage.network.next("register")
            asked.append(sent.address)
            sent.fail(code)
        assert set(asked) == set(PLACEMENT.values())

    play(scenario)


def test_a_leader_outside_the_settings_is_not_followed() -> None:
    async def scenario(stage: Stage) -> None:
        (await stage.network.next("register")).fail(Code.NOT_LEADER, leader="stranger")
        assert (await stage.network.next("register")).address in PLACEMENT.values()

    play(scenario)


def test_an_overloaded_leader_stays_the_one_to_ask() -> None:
    async def scenario(stage: Stage) -> None:
        first = await stage.network.next("register")
        first.fail(Code.OVERLOADED)
        assert (await stage.network.next("register")).address == first.address

    play(scenario)


def test_pauses_grow_to_their_cap_with_jitter() -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(20):
            (await stage.network.next("register")).fail(Code.UNAVAILABLE)
        await stage.network.next("register")
        assert 0.025 <= stage.pauses[0] <= 0.05
        assert all(pause <= 1.0 for pause in stage.pauses)
        assert len(set(stage.pauses[-5:])) == 5

    play(scenario)


def test_an_unknown_outcome_is_tried_again() -> None:
    async def scenario(stage: Stage) -> None:
        (await stage.network.next("register")).fail(Code.UNKNOWN)
        await stage.registered()
        await stage.network.next("heartbeat")
        assert stage.fatal == []

    play(scenario)


def test_a_refusal_for_good_is_told_once_and_ends_the_client() -> None:
    async def scenario(stage: Stage) -> None:
        sent = await stage.network.next("register")
        sent.fail(Code.INVALID, message="Node n9 is registered with another data directory.")
        await asyncio.wait_for(stage.refused.wait(), 10)
        assert stage.fatal == ["Node n9 is registered with another data directory."]
        assert not stage.client.registered

    play(scenario)


def test_a_leader_that_does_not_know_the_node_makes_it_register_again() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.registered()
        (await stage.network.next("heartbeat")).fail(Code.INVALID)
        compared = await stage.compared(map_of(1, node(9)))
        assert (await stage.registered()).address == compared.address
        await stage.network.next("heartbeat")
        assert stage.fatal == []

    play(scenario)


@pytest.mark.parametrize(
    "found",
    [map_of(9, node(1, incarnation="other")), map_of(9, node(7)), map_of(9, node(1), cluster="other")],
    ids=["another data directory", "other nodes", "another name"],
)
def test_a_node_that_knows_its_cluster_is_not_registered_in_another(found: ClusterMap) -> None:
    async def scenario() -> None:
        stage = Stage()
        known = map_of(4, node(1), node(9))
        stage.maps.publish(known)
        stage.client.start()
        where = (await stage.compared(found)).address
        await asyncio.wait_for(stage.refused.wait(), 10)
        assert stage.fatal[0].startswith(f"The placement at {where} is another cluster's: ")
        assert "Correct the addresses in --placement" in stage.fatal[0]
        await stage.client.close()
        left = [stage.network.sent.get_nowait() for _ in range(stage.network.sent.qsize())]
        assert all(sent.method == "watch_map" for sent in left)
        assert stage.maps.current == known

    asyncio.run(scenario())


@pytest.mark.parametrize("found", [map_of(0), map_of(2, node(1)), map_of(9, node(1), node(9), node(3))])
def test_a_node_that_knows_its_cluster_is_registered_there_again(found: ClusterMap) -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.maps.publish(map_of(4, node(1), node(9)))
        stage.client.start()
        where = (await stage.compared(found)).address
        assert (await stage.registered()).address == where
        await stage.network.next("heartbeat")
        assert stage.fatal == []
        await stage.client.close()

    asyncio.run(scenario())


def test_servers_without_placement_are_passed_over() -> None:
    """Such a one once made nodes that had lost their leader register there, take its answer for a refusal and stop."""

    async def scenario() -> None:
        server = RpcServer()
        await server.start("127.0.0.1", 0)
        channels = [RpcClient(server.address)]
        stage = Stage(connect=lambda _address: channels[0])
        stage.client.start()
        while len(stage.pauses) < 2 * len(PLACEMENT) and not stage.fatal:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        assert stage.fatal == []
        await stage.client.close()
        await channels[0].close()
        await server.close(0)

    asyncio.run(scenario())


def test_advice_is_passed_on() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.registered()
        (await stage.network.next("heartbeat")).answer.set_result(HeartbeatReply(1, [Transfer(1, "n2")]))
        await stage.network.next("heartbeat")
        assert stage.transfers == [Transfer(1, "n2")]

    play(scenario)


def test_heartbeats_go_on_at_another_server_when_the_leader_dies() -> None:
    async def scenario(stage: Stage) -> None:
        first = await stage.registered()
        (await stage.network.next("heartbeat")).fail(Code.TIMEOUT)
        assert (await stage.network.next("heartbeat")).address != first.address
        assert stage.client.registered

    play(scenario)


def test_a_newer_epoch_in_a_heartbeats_answer_fetches_the_map_from_the_leader() -> None:
    async def scenario(stage: Stage) -> None:
        register = await stage.registered()
        await stage.network.next("watch_map")
        beat = await stage.network.next("heartbeat")
        beat.answer.set_result(HeartbeatReply(5, []))
        poll = await stage.network.next("watch_map")
        assert poll.address == register.address
        poll.answer.set_result(map_of(5, node(9)))
        await stage.network.next("watch_map")
        assert stage.maps.current == map_of(5, node(9))

    play(scenario)


def test_a_placement_node_does_not_watch_itself() -> None:
    async def scenario() -> None:
        stage = Stage({"n9": "self:1"})
        stage.client.start()
        await stage.registered()
        (await stage.network.next("heartbeat")).answer.set_result(HeartbeatReply(1, []))
        await stage.network.next("heartbeat")
        assert stage.network.sent.empty()
        await stage.client.close()

    asyncio.run(scenario())
