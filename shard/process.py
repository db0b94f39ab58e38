"""`concord node`: one process, one event loop, stopped by SIGTERM or SIGINT."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from process.listener import InsecureBindError
from process.logs import configure
from process.memory import give_large_buffers_back, move_into_huge_pages
from process.settings import SettingsError, load
from raft import DataDirectory, StorageError, describe_storage_error
from shard.running import check_certificate, running
from shard.settings import NodeSettings
from wire import TlsConfigError
from wire.otel import set_up
from wire.tracing import Tracer, current_ids

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
GC_THRESHOLD = 50_000  # young objects before a collection; keys and log entries are out of its sight anyway


def main(argv: Sequence[str]) -> int:
    """Run a node until it is told to stop; returns the exit status."""
    give_large_buffers_back()
    try:
        settings = load(NodeSettings, "node", argv, os.environ)
        otel = set_up("node", settings.id, os.environ) if settings.otel else None
    except SettingsError as error:
        return _say(error, EXIT_USAGE)
    configure(settings.log_format, "node", settings.id, context=current_ids)
    try:
        check_certificate(settings)
        directory = DataDirectory.open(Path(settings.data_dir), cluster=settings.cluster, node=settings.id)
    except TlsConfigError as error:
        return _say(error, EXIT_FAILED)
    except (StorageError, OSError) as error:
        return _say(describe_storage_error("opening the data directory", error), EXIT_FAILED)
    try:
        return uvloop.run(_run(settings, directory, otel.tracer if otel else None))
    except (InsecureBindError, OSError, StorageError, TlsConfigError) as error:
        return _say(error, EXIT_FAILED)
    finally:
        if otel is not None:
            otel.close()


def _say(error: Exception | str, status: int) -> int:
    sys.stderr.write(f"concord node: {error}\n")
    return status


async def _run(settings: NodeSettings, directory: DataDirectory, tracer: Tracer | None) -> int:
    stop = asyncio.Event()
    refusals: list[str] = []

    def refuse(reason: str) -> None:
        refusals.append(reason)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gc.set_threshold(GC_THRESHOLD, 20, 50)  # before the state is restored
    async with running(settings, directory, refuse, tracer) as node:
        gc.collect()
        gc.freeze()
        move_into_huge_pages()
        logger.info("node %s of %s listens on %s", settings.id, settings.cluster, node.address)
        if node.metrics_address:
            logger.info("figures at http://%s/metrics", node.metrics_address)
        await stop.wait()
    if refusals:
        sys.stderr.write(f"concord node: {refusals[0]}\n")
        return EXIT_FAILED
    logger.info("node stopped")
    return EXIT_OK
