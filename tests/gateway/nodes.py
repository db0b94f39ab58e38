"""The nodes of a FakeCluster behind real RPC servers, for tests with real processes and sockets."""

from typing import Any

from tests.gateway.double import NAME, FakeCluster
from wire import Call, Method, RpcError, RpcServer
from wire.messages import ClusterMap, ListRequest, ReadRequest, WatchMapRequest, WriteRequest
from wire.methods import AWAIT_LOCK, LIST, READ, STATUS, WATCH_MAP, WRITE

Held = list[Call[Any, Any]]


class Nodes:
    """One RPC server a node. While `holding`, requests of groups are kept in `held` and not answered."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.held: Held = []
        self.holding = False
        self._servers: list[RpcServer] = []

    async def start(self) -> None:
        """Listen on ports that the kernel chooses."""
        for node in self.cluster.nodes:
            server = RpcServer(cluster=NAME)
            for method in (READ, WRITE, LIST, STATUS, AWAIT_LOCK):
                self._serve(server, method, node)
            server.on(WATCH_MAP, self._watch)
            await server.start("127.0.0.1", 0)
            self.cluster.addresses[node] = server.address
            self._servers.append(server)

    async def close(self) -> None:
        """Stop all of them."""
        for server in self._servers:
            await server.close(grace_s=0.0)

    def answer_held(self) -> None:
        """Answer what was kept."""
        self.holding = False
        held, self.held = self.held, []
        for call in held:
            _answer(call, self.cluster, self.cluster.leaders[call.request.group])

    def _serve(self, server: RpcServer, method: Method[Any, Any], node: str) -> None:
        def handler(call: Call[Any, Any]) -> None:
            if self.holding and isinstance(call.request, (ReadRequest, WriteRequest, ListRequest)):
                self.held.append(call)
            else:
                _answer(call, self.cluster, node)

        server.on(method, handler)

    def _watch(self, call: Call[WatchMapRequest, ClusterMap]) -> None:
        call.reply(self.cluster.map)


def _answer(call: Call[Any, Any], cluster: FakeCluster, node: str) -> None:
    try:
        call.reply(cluster.handle(node, call.request))
    except RpcError as error:
        call.fail(error.failure)
