"""The client's own code over a gateway in memory, whose groups are real state machines: no socket."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from concord import Concord
from concord._transports import Request, Response, Stream
from gateway.app import Gateway
from tests.gateway.double import QUICK, SETTINGS, Client
from tests.gateway.machines import MachineCluster

WAIT_S = 30.0


class GatewayTransport:
    """Sends each request into the gateway's loop, which runs in a thread."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def send(self, base_url: str, request: Request, timeout_s: float) -> Response:
        del base_url, timeout_s
        sent = self._client.send(
            request.method, request.target, raw=request.body, headers=tuple(request.headers.items())
        )
        reply = asyncio.run_coroutine_threadsafe(sent, self._loop).result(WAIT_S)
        return Response(reply.status, reply.headers, reply.body)

    def stream(self, base_url: str, request: Request, silence_s: float) -> Stream:
        raise NotImplementedError

    def close(self) -> None:
        """There is no connection."""


@contextmanager
def over_http() -> Iterator[Concord]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> tuple[Gateway, Client]:
        cluster = MachineCluster()
        gateway = Gateway(SETTINGS, cluster.open_channel, pace=QUICK)
        gateway.holder.publish(cluster.map)
        return gateway, Client(gateway, cluster)

    gateway, client = asyncio.run_coroutine_threadsafe(begin(), loop).result(WAIT_S)
    try:
        with Concord(transport=GatewayTransport(client, loop)) as sdk:
            yield sdk
    finally:
        asyncio.run_coroutine_threadsafe(gateway.close(), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
