"""One watcher's stream: what `joining` says, then what the hub puts into its buffer, until somebody ends it."""

import asyncio
import contextlib
from collections.abc import Mapping

from litestar.types import Receive, Send

from gateway.answers import PART_BYTES, Header
from gateway.watch import buffer, frames
from gateway.watch.buffer import Buffer
from gateway.watch.feed import HistoryLostError
from gateway.watch.hub import Hub
from gateway.watch.joining import Joining
from wire.errors import RpcError
from wire.positions import Position


class WatchStream:
    """Implements `gateway.answers.Stream`.

    Args:
        hub: where the watcher has entered.
        watcher: its buffer.
        joining: its beginning.
        start: where it goes on; None for the state.
    """

    content_type = b"text/event-stream"
    headers: tuple[Header, ...] = ((b"x-accel-buffering", b"no"),)

    def __init__(self, hub: Hub, watcher: Buffer, joining: Joining, start: Mapping[int, Position] | None) -> None:
        self._hub = hub
        self._watcher = watcher
        self._joining = joining
        self._start = start

    async def run(self, receive: Receive, send: Send) -> None:
        """Send until the watcher is sent away or its client is gone."""
        telling = asyncio.ensure_future(self._tell(send))
        gone = asyncio.ensure_future(_client_gone(receive))
        try:
            await asyncio.wait((telling, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._watcher.end(buffer.GONE)
            gone.cancel()
            telling.cancel()
            await asyncio.gather(telling, gone, return_exceptions=True)
        if not telling.cancelled():
            telling.result()

    def close(self) -> None:
        """The watcher leaves; may be called again."""
        self._hub.leave(self._watcher)

    async def _tell(self, send: Send) -> None:
        try:
            await self._send(send, frames.OPENING)
            async for chunk in self._joining.chunks(self._start):
                await self._send(send, chunk)
            while chunk := await self._watcher.take():
                await self._send(send, chunk)
        except HistoryLostError:
            self._watcher.end(buffer.RESYNC)
        except RpcError:
            self._watcher.end(buffer.UNAVAILABLE)
        except TimeoutError:
            self._watcher.end(buffer.SLOW)
        reason = self._watcher.ended or buffer.GONE
        last = frames.resync() if reason == buffer.RESYNC else frames.goaway(reason)
        with contextlib.suppress(TimeoutError):
            await self._send(send, last)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, chunk: bytes) -> None:
        """Hand a chunk to the server, in parts: it takes one of any size whole, whatever the client takes.

        Raises:
            TimeoutError: the client does not take what was sent before.
        """
        for at in range(0, len(chunk), PART_BYTES):
            part = chunk if len(chunk) <= PART_BYTES else chunk[at : at + PART_BYTES]
            async with asyncio.timeout(self._hub.pace.stall_s):
                await send({"type": "http.response.body", "body": part, "more_body": True})


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
