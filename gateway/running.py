"""A gateway that serves HTTP, from its start to its end: in a process of its own, and in a program that has one inside."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

import msgspec

from gateway.app import Gateway, create_app
from gateway.health import HealthPace
from gateway.server import HttpServer
from gateway.settings import GatewaySettings
from process.address import parse_address
from wire import RpcClient, TlsConfig
from wire.tracing import Tracer

_log = logging.getLogger(__name__)


class Serving(msgspec.Struct, frozen=True):
    """A gateway with its HTTP server, and the task that ends when the server does."""

    gateway: Gateway
    server: HttpServer
    ended: "asyncio.Task[None]"


@contextlib.asynccontextmanager
async def serving(
    settings: GatewaySettings,
    tracer: Tracer | None = None,
    health_pace: HealthPace = HealthPace(),  # noqa: B008 - frozen
) -> AsyncIterator[Serving]:
    """Serve until the end of the context; then let the requests under way finish for as long as the settings say.

    Raises:
        OSError: the address cannot be bound, or the server ended by itself.
        TlsConfigError: the certificates cannot be used.
    """
    gateway = Gateway(settings, open_channels(settings, tracer), health_pace=health_pace, tracer=tracer)
    host, port = parse_address(settings.listen)
    server = HttpServer(create_app(gateway), host, port, connections_max=settings.connections)
    ended = server.start()
    try:
        yield Serving(gateway, server, ended)
    finally:
        gateway.drain()
        if ended.done():
            server.abandon()
            ended.result()
            raise OSError("the HTTP server ended by itself")
        if not await server.close(settings.shutdown_grace_s):
            _log.warning("requests were still under way after %s s and are cut off", settings.shutdown_grace_s)


def open_channels(settings: GatewaySettings, tracer: Tracer | None) -> Callable[[str], RpcClient]:
    """What makes a gateway's channels to nodes."""
    tls = TlsConfig(settings.tls_cert, settings.tls_key, settings.tls_ca) if settings.tls_cert else None

    def open_channel(address: str) -> RpcClient:
        return RpcClient(address, tls=tls, cluster=settings.cluster, tracer=tracer)

    return open_channel
