"""Packets between nodes over wire's RPC: one connection to each other node carries what all groups send there."""

import logging
from collections.abc import Callable, Mapping

from wire import Notification, Peer, Role, RpcClient

from .messages import RAFT, Packet

logger = logging.getLogger(__name__)


class WireNetwork:
    """Sends packets to nodes whose addresses are known; a packet that cannot leave at once is dropped."""

    def __init__(self, node_id: str, cluster: str, incarnation: str, connect: Callable[[str, str], RpcClient]) -> None:
        """`connect(address, node_id)` makes a channel that refuses any other node."""
        self._hello = Packet(cluster, node_id, incarnation, [])
        self._connect = connect
        self._addresses: dict[str, str] = {}
        self._channels: dict[str, RpcClient] = {}
        self._retired: list[RpcClient] = []

    def learn(self, addresses: Mapping[str, str]) -> None:
        """Take addresses by node id; a changed one gets a new channel."""
        for node, address in addresses.items():
            if self._addresses.get(node) != address:
                self._addresses[node] = address
                old = self._channels.pop(node, None)
                if old is not None:
                    self._retired.append(old)

    def send(self, to: str, packet: Packet) -> bool:
        """See `raft.host.Network`."""
        channel = self._channel(to)
        return channel is not None and channel.notify(RAFT, packet)

    def connected(self, to: str) -> bool:
        """See `raft.host.Network`; an empty packet makes an idle channel connect."""
        channel = self._channel(to)
        if channel is None:
            return False
        return channel.connected or channel.notify(RAFT, self._hello)

    async def close(self) -> None:
        """Close all channels."""
        for channel in [*self._channels.values(), *self._retired]:
            await channel.close()

    def _channel(self, node: str) -> RpcClient | None:
        channel = self._channels.get(node)
        if channel is None and node in self._addresses:
            channel = self._channels[node] = self._connect(self._addresses[node], node)
        return channel


def receiving(take: Callable[[Packet], None]) -> tuple[Notification[Packet], Callable[[Peer, Packet], None], Role]:
    """The notification that carries packets, a handler that passes on those whose sender is who it says, and who may send."""

    def handle(peer: Peer, packet: Packet) -> None:
        if peer.role and (peer.role != Role.NODE or peer.node != packet.sender):
            logger.warning("%s %r sent a packet in the name of %r: dropped", peer.role, peer.node, packet.sender)
            return
        take(packet)

    return RAFT, handle, Role.NODE
