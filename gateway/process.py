"""`concord gateway`: one process, one event loop, stopped by SIGTERM or SIGINT."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from gateway.running import serving
from gateway.settings import GatewaySettings
from process.address import format_address
from process.logs import configure
from process.memory import move_into_huge_pages
from process.settings import SettingsError, load
from wire import TlsConfigError
from wire.otel import set_up
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
    async with serving(settings, tracer) as running:
        audit, server = running.gateway.audit, running.server
        if audit is not None:
            loop.add_signal_handler(signal.SIGHUP, audit.log.reopen)
        _settle_memory()
        _log.info("gateway of %s listens on http://%s", settings.cluster, format_address(server.host, server.port))
        stopping = loop.create_task(stop.wait())
        await asyncio.wait((running.ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    _log.info("gateway stopped")


def _settle_memory() -> None:
    """Keep what was made at the start together and out of every collection, and collect seldom: pauses show as tail latency."""
    gc.collect()
    gc.freeze()
    move_into_huge_pages()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
