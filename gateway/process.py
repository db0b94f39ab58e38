"""`concord gateway`: one process, one event loop, stopped by SIGTERM or SIGINT."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence

import uvloop

from gateway.app import Gateway, create_app
from gateway.server import HttpServer
from gateway.settings import GatewaySettings
from wire import RpcClient, TlsConfig, TlsConfigError
from wire.address import format_address, parse_address
from wire.logs import configure
from wire.otel import set_up
from wire.settings import SettingsError, load
from wire.tracing import Tracer, current_ids

_log = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
GC_THRESHOLD = (
    50_000  # young objects before a collection: what a request leaves behind is freed by its reference counts
)


def main(argv: Sequence[str]) -> int:
    """Run a gateway until it is told to stop; returns the exit status."""
    try:
        settings = load(GatewaySettings, "gateway", argv, os.environ)
        otel = set_up("gateway", settings.listen, os.environ) if settings.otel else None
    except SettingsError as error:
        sys.stderr.write(f"concord gateway: {error}\n")
        return EXIT_USAGE
    configure(settings.log_format, "gateway", settings.listen, context=current_ids)
    try:
        uvloop.run(_run(settings, otel.tracer if otel else None))
    except (OSError, TlsConfigError) as error:
        sys.stderr.write(f"concord gateway: {error}\n")
        return EXIT_FAILED
    finally:
        if otel is not None:
            otel.close()
    return EXIT_OK


async def _run(settings: GatewaySettings, tracer: Tracer | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(settings, _channels(settings, tracer), tracer=tracer)
    if gateway.audit is not None:
        loop.add_signal_handler(signal.SIGHUP, gateway.audit.log.reopen)
    host, port = parse_address(settings.listen)
    server = HttpServer(create_app(gateway), host, port, connections_max=settings.connections)
    serving = server.start()
    _calm_collector()
    _log.info("gateway of %s listens on http://%s", settings.cluster, format_address(server.host, server.port))
    stopping = loop.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    gateway.drain()
    if serving.done():
        serving.result()
        raise OSError("the HTTP server ended by itself")
    if not await server.close(settings.shutdown_grace_s):
        _log.warning("requests were still under way after %s s and are cut off", settings.shutdown_grace_s)
    _log.info("gateway stopped")


def _channels(settings: GatewaySettings, tracer: Tracer | None) -> Callable[[str], RpcClient]:
    tls = TlsConfig(settings.tls_cert, settings.tls_key, settings.tls_ca) if settings.tls_cert else None

    def open_channel(address: str) -> RpcClient:
        return RpcClient(address, tls=tls, cluster=settings.cluster, tracer=tracer)

    return open_channel


def _calm_collector() -> None:
    """Keep what was made at the start out of every collection, and collect seldom: pauses show as tail latency."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
