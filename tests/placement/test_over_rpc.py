import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest

from placement import MapHolder, MapWatcher, PlacementClient, PlacementMachine, PlacementService, ServiceSettings
from placement.client import ClientSettings
from placement.commands import RegisterNode, encode_command
from placement.maps import empty_map
from placement.planner import Goals
from tests.placement.replicas import FakeReplica
from wire import RpcClient, RpcServer
from wire.messages import ClusterMap, NodeInfo
from wire.methods import HEARTBEAT, REGISTER, WATCH_MAP

FAST = ClientSettings(heartbeat_s=0.02)


async def reached(maps: MapHolder, epoch: int) -> ClusterMap:
    """The map once it has the epoch, or whatever is there after 10 s."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[ClusterMap] = loop.create_future()
    maps.wait(epoch - 1, loop.time() + 10, answer.set_result)
    return await answer


class Clients:
    """The process's shared channels."""

    def __init__(self, cluster: str = "c") -> None:
        self._cluster = cluster
        self.made: dict[str, RpcClient] = {}

    def connect(self, address: str) -> RpcClient:
        return self.made.setdefault(address, RpcClient(address, cluster=self._cluster))

    async def close(self) -> None:
        for client in self.made.values():
            await client.close()


def client_of(
    number: int,
    placement: str,
    maps: MapHolder,
    clients: Clients,
    refuse: Callable[[str], object] = lambda _: None,
) -> PlacementClient:
    return PlacementClient(
        NodeInfo(f"n{number}", f"127.0.0.1:{number}", f"z{number}", f"h{number}", "i"),
        {"n1": placement},
        maps,
        clients.connect,
        beats=list,
        on_transfers=lambda _: None,
        on_fatal=refuse,
        rng=random.Random(number),
        settings=FAST,
    )


async def scenario() -> tuple[list[ClusterMap], ClusterMap]:
    server, clients = RpcServer(), Clients()
    central = MapHolder("c")
    machine = PlacementMachine("c", central.publish)
    goals = Goals(expected_nodes=3, groups=8, replicas=3)
    service = PlacementService(FakeReplica(machine), machine, goals, settings=ServiceSettings(tick_s=0.02))
    server.on(REGISTER, service.register)
    server.on(HEARTBEAT, service.heartbeat)
    server.on(WATCH_MAP, central.watch)
    await server.start("127.0.0.1", 0)
    service.start()
    holders = [central, MapHolder("c"), MapHolder("c")]
    nodes = [client_of(n, server.address, maps, clients) for n, maps in enumerate(holders, start=1)]
    gateway_maps = MapHolder("c")
    gateway = MapWatcher(gateway_maps, [server.address], clients.connect, rng=random.Random(0), follow_nodes=False)
    everyone: list[PlacementClient | MapWatcher] = [*nodes, gateway]
    for each in everyone:
        each.start()
    seen = [await reached(maps, 4) for maps in (*holders, gateway_maps)]
    assert gateway.age_s < 20
    for each in everyone:
        await each.close()
    service.close()
    central.close()
    await clients.close()
    await server.close()
    return seen, machine.map


def test_nodes_register_groups_are_created_and_everyone_gets_the_map() -> None:
    maps, decided = asyncio.run(scenario())
    assert [each == decided for each in maps] == [True] * 4
    assert len(decided.groups) == 8


async def visit(known: ClusterMap | None, cluster: str) -> tuple[list[str], ClusterMap, ClusterMap]:
    """Node n4, of cluster c and told the address of another's placement: what it refused, what it knows, what they have."""
    server, clients, refusals = RpcServer(cluster=cluster), Clients(), list[str]()
    refused = asyncio.Event()
    central, maps = MapHolder(cluster), MapHolder("c")
    machine = PlacementMachine(cluster, central.publish)
    service = PlacementService(FakeReplica(machine), machine, Goals(expected_nodes=3, groups=8, replicas=3))
    server.on(REGISTER, service.register)
    server.on(WATCH_MAP, central.watch)
    await server.start("127.0.0.1", 0)
    theirs = encode_command(RegisterNode(NodeInfo("n1", "127.0.0.1:1", "z1", "h1", "theirs")))
    machine.apply(1, 1, theirs)
    if known is not None:
        maps.publish(known)

    def refuse(message: str) -> None:
        refusals.append(message)
        refused.set()

    node = client_of(4, server.address, maps, clients, refuse)
    node.start()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(refused.wait(), 10 if known is not None and cluster == "c" else 1)
    await node.close()
    await clients.close()
    await server.close()
    return refusals, maps.current, machine.map


OURS = ClusterMap("c", 1, [NodeInfo("n1", "127.0.0.1:2", "z1", "h1", "ours")], [], [])


@pytest.mark.parametrize("known", [None, OURS], ids=["its first start", "it knows its cluster"])
def test_the_placement_of_a_cluster_of_another_name_does_not_even_hear_of_a_node(known: ClusterMap | None) -> None:
    refusals, seen, theirs = asyncio.run(visit(known, "another"))
    assert refusals == []
    assert seen == (known or empty_map("c"))
    assert [node.id for node in theirs.nodes] == ["n1"]


def test_a_node_refuses_the_placement_of_another_cluster_of_the_same_name() -> None:
    (refusal,), seen, theirs = asyncio.run(visit(OURS, "c"))
    assert "is another cluster's: node n1 has another data directory there" in refusal
    assert seen == OURS
    assert [node.id for node in theirs.nodes] == ["n1"]
