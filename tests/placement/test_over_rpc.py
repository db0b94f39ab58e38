import asyncio
import random

from placement import MapHolder, MapWatcher, PlacementClient, PlacementMachine, PlacementService, ServiceSettings
from placement.client import ClientSettings
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

    def __init__(self) -> None:
        self.made: dict[str, RpcClient] = {}

    def connect(self, address: str) -> RpcClient:
        return self.made.setdefault(address, RpcClient(address))

    async def close(self) -> None:
        for client in self.made.values():
            await client.close()


def client_of(number: int, placement: str, maps: MapHolder, clients: Clients) -> PlacementClient:
    return PlacementClient(
        NodeInfo(f"n{number}", f"127.0.0.1:{number}", f"z{number}", f"h{number}", "i"),
        {"n1": placement},
        maps,
        clients.connect,
        beats=list,
        on_transfers=lambda _: None,
        on_fatal=lambda _: None,
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
