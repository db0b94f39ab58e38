"""Asks other nodes over RPC for the hashes of their replicas. Implements `shard.seams.Colleagues`."""

import asyncio
from collections.abc import Callable

from wire import RpcClient
from wire.errors import RpcError
from wire.messages import ChecksumReply, ChecksumRequest, ClusterMap
from wire.methods import CHECKSUM

ANSWER_S = 1.0


class NodeColleagues:
    """The nodes that the map names."""

    def __init__(self, node: str, current_map: Callable[[], ClusterMap], connect: Callable[[str], RpcClient]) -> None:
        self.node = node
        self._current_map = current_map
        self._connect = connect

    def ask(self, node: str, request: ChecksumRequest, take: Callable[[ChecksumReply], None]) -> None:
        """See `Colleagues.ask`."""
        address = next((known.address for known in self._current_map().nodes if known.id == node), "")
        if not address:
            return

        def answered(future: asyncio.Future[ChecksumReply]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            if error is None:
                take(future.result())
            elif not isinstance(error, RpcError):
                raise error

        self._connect(address).call(CHECKSUM, request, ANSWER_S).add_done_callback(answered)
