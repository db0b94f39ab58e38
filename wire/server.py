"""The server: handlers, a listener, and the connections it was given."""

import asyncio
import logging
import socket
from collections.abc import Callable

from process.listener import Listener, bind
from wire.hello import Hello
from wire.holdings import Holdings
from wire.limits import DEFAULT_LIMITS, Limits
from wire.rpc import Call, M, Method, MethodFigures, Notification, Peer, Rep, Req
from wire.service import Served, Service, Traffic
from wire.serving import ServerConnection
from wire.tls import CredentialSource, Role, TlsConfig
from wire.tracing import Tracer
from wire.turns import Turns

log = logging.getLogger(__name__)


class RpcServer:
    """Answers calls on one address.

    Args:
        limits: see Limits.
        tls: with it, only peers with a certificate for the same cluster are heard.
        cluster: the cluster that is served: with TLS, the own certificate must be for it; without, callers that say another
            are refused. "" takes all.
        node: the own node id: with TLS, the own certificate must be for it; without, callers may expect it. "" leaves it open.
        tracer: with it, calls that are part of a trace get a span.

    Raises:
        TlsConfigError: the files of `tls` cannot be used, or are somebody else's.
    """

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        tls: TlsConfig | None = None,
        *,
        cluster: str = "",
        node: str = "",
        tracer: Tracer | None = None,
    ) -> None:
        credentials = CredentialSource(tls, cluster=cluster, node=node) if tls else None
        hello = Hello() if tls else Hello(cluster=cluster, node=node)
        holdings, turns = Holdings(limits.held_bytes_max), Turns(limits.turn_s)
        self._service = Service(limits, hello, credentials, holdings, turns, tracer=tracer)
        self._listener: Listener | None = None
        self._handshakes: dict[Served, asyncio.Task[None]] = {}

    def on(self, method: Method[Req, Rep], handler: Callable[[Call[Req, Rep]], None]) -> None:
        """Let `handler` answer the calls of a method. It must not block; it may keep the call and answer it later.

        Raises:
            ValueError: the number has a handler.
        """
        if method.number in self._service.methods:
            raise ValueError(f"method {method.number} has a handler")
        self._service.methods[method.number] = (method, handler, MethodFigures())

    def on_notification(
        self, notification: Notification[M], handler: Callable[[Peer, M], None], role: Role | None = None
    ) -> None:
        """Let `handler` take the notifications of a kind. It must not block.

        With `role`, what a peer whose certificate has another one sends is dropped undecoded.

        Raises:
            ValueError: the number has a handler.
        """
        if notification.number in self._service.notifications:
            raise ValueError(f"notification {notification.number} has a handler")
        self._service.notifications[notification.number] = (notification, handler, role or "")

    async def start(self, host: str, port: int, *, insecure: bool = False) -> None:
        """Listen on the first address of `host`; with port 0 the kernel chooses one.

        Raises:
            InsecureBindError: other machines can reach the address, there is no TLS and `insecure` is not set.
            OSError: the address cannot be bound.
            RuntimeError: the server was started before.
        """
        if self._listener is not None or self._service.draining:
            raise RuntimeError("a server is started once")
        sock = await bind(host, port, exposed=insecure or self._service.credentials is not None)
        self._listener = Listener(sock, self._accepted)

    @property
    def address(self) -> str:
        """`host:port` as bound.

        Raises:
            RuntimeError: the server does not listen.
        """
        if self._listener is None:
            raise RuntimeError("the server does not listen")
        return self._listener.address

    @property
    def connections(self) -> int:
        """How many connections are open, unfinished handshakes included."""
        return len(self._service.connections)

    @property
    def handshakes(self) -> int:
        """How many of them have not greeted yet."""
        return len(self._service.newcomers)

    @property
    def traffic(self) -> Traffic:
        """What went through since the server was made."""
        return self._service.traffic

    def calls(self) -> dict[str, MethodFigures]:
        """What became of the calls of each method, by its name; `unknown` for those of methods that are not here."""
        counted = {method.name: figures for method, _, figures in self._service.methods.values()}
        return {**counted, "unknown": self._service.unknown}

    async def close(self, grace_s: float = 1.0) -> None:
        """Stop in order: accept nothing new, let open calls be answered for `grace_s`, part, and cut off who stays.

        Calls that come in meanwhile, or are on their way when the connection ends, fail as not applied.
        """
        service = self._service
        service.draining = True
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        for task in self._handshakes.values():
            task.cancel()
        for connection in list(service.connections):
            connection.drain()
        if not await self._emptied(grace_s):
            for connection in list(service.connections):
                connection.end("the server is shutting down", planned=True)
            await self._emptied(2 * service.limits.goodbye_timeout_s)
        await asyncio.gather(*self._handshakes.values(), return_exceptions=True)

    async def _emptied(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._service.empty.wait()
        except TimeoutError:
            return False
        return True

    def _accepted(self, sock: socket.socket) -> None:
        service = self._service
        if len(service.connections) >= service.limits.connections_max:
            service.traffic.refused += 1
            log.warning("server: refusing a connection, %d are open", len(service.connections))
            sock.close()
            return
        if len(service.newcomers) >= service.limits.handshakes_max:
            self._cut_off_the_oldest_newcomer()
        loop = asyncio.get_running_loop()
        connection = ServerConnection(loop, service)
        service.add(connection)
        task = loop.create_task(self._shake_hands(connection, sock))
        self._handshakes[connection] = task
        task.add_done_callback(lambda _: self._handshakes.pop(connection, None))

    def _cut_off_the_oldest_newcomer(self) -> None:
        """An honest peer greets within milliseconds, so that a flood of idle ones leaves it its turn."""
        oldest = next(iter(self._service.newcomers))
        self._service.remove(oldest)
        handshake = self._handshakes.get(oldest)
        if handshake is not None:
            handshake.cancel()  # closes the socket
        oldest.abort()

    async def _shake_hands(self, connection: ServerConnection, sock: socket.socket) -> None:
        credentials = self._service.credentials
        context = credentials.current().server if credentials else None
        timeout_s = self._service.limits.handshake_timeout_s if context else None
        made = False
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, sock, ssl=context, ssl_handshake_timeout=timeout_s
            )
            made = True
        except OSError as error:
            log.warning("server: a handshake failed: %s", error)
        finally:
            if not made:
                self._service.remove(connection)
