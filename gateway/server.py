"""Serves an ASGI application with granian inside this process and event loop: one process, nothing to orphan.

Granian binds with SO_REUSEPORT, so two servers could share a port without a word. The port is therefore taken first
by a socket of our own that shares it with nobody, which fails if it is in use, and is then held by one that shares
it only with granian's and never listens; that also lets the kernel choose a port.
"""

import asyncio
import ipaddress
import socket
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.net import SocketSpec  # type: ignore[attr-defined]  # it is another class on each system
from granian.server.embed import Server

from process.listener import cannot_listen

BACKLOG = 1024
ACCEPTING_S = 10.0
ACCEPTING_POLL_S = 0.002

_LOG_LIKE_EVERYBODY: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {}, "granian.access": {}},
}


class _Granian(Server):
    """Granian without its own probe of the port, which leaves a bound socket behind for as long as the process lives."""

    def _init_shared_socket(self) -> None:
        self._ssp: Any = SocketSpec(self.bind_addr, self.bind_port, self.backlog)


class HttpServer:
    """An HTTP/1.1 server on one address.

    Args:
        app: the ASGI application; its lifespan runs with the server.
        host: where to listen.
        port: 0 lets the kernel choose.
        connections_max: connections at once; further ones wait to be accepted.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, app: Any, host: str, port: int, *, connections_max: int) -> None:  # noqa: ANN401 - any ASGI app
        self._reservation = _reserve(host, port)
        self.host: str = self._reservation.getsockname()[0]
        self.port: int = self._reservation.getsockname()[1]
        self._server = _Granian(
            app,
            address=self.host,
            port=self.port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=connections_max,
            log_enabled=True,
            log_level=LogLevels.error,
            log_dictconfig=_LOG_LIKE_EVERYBODY,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> "asyncio.Task[None]":
        """Begin to serve; the task ends when the server does."""
        self._task = asyncio.get_running_loop().create_task(self._server.serve(), name="http-server")
        return self._task

    async def accepting(self) -> None:
        """Return once it takes connections, which is a moment after `start`.

        Raises:
            OSError: it does not within ACCEPTING_S.
        """
        host = "localhost" if ipaddress.ip_address(self.host).is_unspecified else self.host
        async with asyncio.timeout(ACCEPTING_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection(host, self.port, family=self._reservation.family)
                except ConnectionRefusedError:
                    await asyncio.sleep(ACCEPTING_POLL_S)
                else:
                    writer.close()
                    return

    def abandon(self) -> None:
        """Give the port free after the server has ended by itself."""
        self._reservation.close()

    async def close(self, grace_s: float) -> bool:
        """Accept nothing new, let requests under way finish for `grace_s`; says whether all did."""
        self._reservation.close()
        if self._task is None:
            return True
        self._server.stop()  # type: ignore[no-untyped-call]  # granian's embed module has no annotations
        done, _ = await asyncio.wait((self._task,), timeout=grace_s)
        if not done:
            self._task.cancel()
        return bool(done)


def _reserve(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            alone.bind(address)
        except OSError as error:
            raise cannot_listen(error, host, port) from error
        taken = alone.getsockname()
    shared = socket.socket(family, kind, protocol)
    try:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind(taken)
    except BaseException:
        shared.close()
        raise
    return shared
