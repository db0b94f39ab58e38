"""A small HTTP listener for Prometheus: `GET /metrics` and `GET /healthz`, one request a connection, everything bounded.

It serves a process that has no HTTP otherwise. The text is put together in slices with a turn of the event loop between
them, and one that was made within FRESH_S serves whoever else asks, so that no crowd of scrapers holds the loop up.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from process.address import format_address
from process.exposition import CONTENT_TYPE, Figures, render
from process.listener import bind

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 16
HEAD_BYTES_MAX = 8 << 10
REQUEST_S_MAX = 5.0  # from the connection to the last byte of the answer
SLICE_S = 0.002
FRESH_S = 0.25

_PLAIN = "text/plain; charset=utf-8"
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class MetricsServer:
    """Answers with what `figures` gives at the time."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._making = asyncio.Lock()
        self._made = b""
        self._made_at = -FRESH_S
        self.address = ""

    async def start(self, host: str, port: int, *, exposed: bool) -> None:
        """Listen; `exposed` allows an address that other machines can reach.

        Raises:
            InsecureBindError: it is such an address and may not be.
            OSError: the address cannot be bound.
        """
        sock = await bind(host, port, exposed=exposed)
        self._server = await asyncio.start_server(self._connected, sock=sock, limit=HEAD_BYTES_MAX)
        bound = sock.getsockname()
        self.address = format_address(bound[0], bound[1])

    @property
    def connections(self) -> int:
        """How many are being answered."""
        return len(self._tasks)

    async def close(self) -> None:
        """Accept nothing more and cut off who is being answered."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CONNECTIONS_MAX:
            writer.write(_answer(503, b"too many connections\n"))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._respond(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except asyncio.LimitOverrunError:
            writer.write(_answer(400, b"the request is too long\n"))
            writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise

    async def _respond(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if not rest.endswith((b" HTTP/1.1", b" HTTP/1.0")):
            return _answer(400, b"not HTTP/1.1\n")
        if path not in (b"/metrics", b"/healthz"):
            return _answer(404, b"there are /metrics and /healthz\n")
        if method != b"GET":
            return _answer(405, b"only GET\n", "Allow: GET\r\n")
        if path == b"/healthz":
            return _answer(200, b"ok\n")
        return _answer(200, await self._text(), content_type=CONTENT_TYPE)

    async def _text(self) -> bytes:
        async with self._making:
            if time.monotonic() - self._made_at >= FRESH_S:
                self._made = await self._make()
                self._made_at = time.monotonic()
            return self._made

    async def _make(self) -> bytes:
        parts: list[str] = []
        until = time.monotonic() + SLICE_S
        for part in render(self._figures()):
            parts.append(part)
            if time.monotonic() >= until:
                await asyncio.sleep(0)
                until = time.monotonic() + SLICE_S
        return "".join(parts).encode()


def _answer(status: int, body: bytes, headers: str = "", *, content_type: str = _PLAIN) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        f"{headers}Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n"
    )
    return head.encode() + body
