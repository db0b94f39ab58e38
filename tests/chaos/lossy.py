"""A TCP proxy before a server that answers each request: it passes every request on, and loses some of the answers.

An answer is lost when the server has begun to give it, so the request was carried out; the client sees its connection
closed, as when a load balancer or a network between the two breaks at that moment.
"""

import asyncio
import random
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

CHUNK_BYTES = 1 << 16
JOIN_TIMEOUT_S = 10.0


class LossyProxies:
    """One proxy before each port while the `with` block runs, all in one thread.

    Args:
        targets: ports on loopback.
        share: of the answers that are lost.
        rng: decides which.

    Attributes:
        ports: of the proxies, in the order of their targets.
        answers: how many there were.
        lost: how many of them were lost.
    """

    def __init__(self, targets: Sequence[int], share: float, rng: random.Random) -> None:
        self.ports: list[int] = []
        self.answers = 0
        self.lost = 0
        self._targets = targets
        self._share = share
        self._rng = rng
        self._loop: asyncio.AbstractEventLoop
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="lossy", daemon=True)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        assert self._ready.wait(JOIN_TIMEOUT_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close every connection."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(JOIN_TIMEOUT_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        servers = [await self._listen(target) for target in self._targets]
        self.ports = [server.sockets[0].getsockname()[1] for server in servers]
        self._ready.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _listen(self, target: int) -> asyncio.Server:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = asyncio.ensure_future(self._connect(target, reader, writer))
            self._connections.add(connection)
            connection.add_done_callback(self._connections.discard)

        return await asyncio.start_server(serve, "127.0.0.1", 0)

    async def _connect(self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", target)
        except OSError:  # the server is away
            writer.close()
            return
        waiting = True  # for the answer to what the client has sent

        async def requests() -> None:
            nonlocal waiting
            while asked := await reader.read(CHUNK_BYTES):
                waiting = True
                to_server.write(asked)
                await to_server.drain()

        async def answers() -> None:
            nonlocal waiting
            while answer := await from_server.read(CHUNK_BYTES):
                if waiting and self._loses():
                    return
                waiting = False
                writer.write(answer)
                await writer.drain()

        directions = [asyncio.ensure_future(requests()), asyncio.ensure_future(answers())]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            to_server.close()
            writer.close()

    def _loses(self) -> bool:
        self.answers += 1
        is_lost = self._rng.random() < self._share
        self.lost += is_lost
        return is_lost
