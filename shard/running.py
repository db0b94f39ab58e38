"""A node from its start to its end: the one way into it, for a process of its own and for a program that has one inside."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from raft import DataDirectory, PromptOffload, StorageError, ThreadOffload, describe_storage_error
from shard.node import Node
from shard.settings import NodeSettings
from shard.surroundings import OWN_PROCESS, Surroundings
from wire.tls import load_credentials
from wire.tracing import Tracer


def check_certificate(settings: NodeSettings) -> None:
    """Look at the node's certificate before its data directory is claimed in the name of the settings.

    Raises:
        TlsConfigError: the certificates cannot be used, or are not this node's.
    """
    if settings.tls is not None:
        load_credentials(settings.tls, cluster=settings.cluster, node=settings.id)


@contextlib.asynccontextmanager
async def running(
    settings: NodeSettings,
    directory: DataDirectory,
    refuse: Callable[[str], None],
    tracer: Tracer | None = None,
    surroundings: Surroundings = OWN_PROCESS,
    *,
    begins: bool = True,
) -> AsyncIterator[Node]:
    """A node that listens, on the running loop; it is stopped in order, and its directory closed, whatever happens.

    Args:
        settings: what it is told.
        directory: its data.
        refuse: called when placement will never take this node, with a sentence for a person.
        tracer: see Node.
        surroundings: what it takes of this process.
        begins: whether it takes part at once; else it only listens, until `Node.begin`.

    Raises:
        StorageError: the data cannot be used.
        InsecureBindError, OSError: the address cannot be used.
        TlsConfigError: the certificates cannot be used, or are not this node's.
    """
    with contextlib.closing(directory):
        node = _made(settings, directory, refuse, tracer, surroundings)
        try:
            await node.listen()
            if begins:
                node.begin()
            yield node
        finally:
            await node.close()


def _made(
    settings: NodeSettings,
    directory: DataDirectory,
    refuse: Callable[[str], None],
    tracer: Tracer | None,
    surroundings: Surroundings,
) -> Node:
    loop = asyncio.get_running_loop()
    offloads = PromptOffload(loop, "log"), ThreadOffload(loop, "snapshots")
    try:
        return Node(settings, directory, offloads, refuse, tracer=tracer, surroundings=surroundings)
    except BaseException as error:
        for offload in offloads:
            offload.close()
        if isinstance(error, OSError):
            raise StorageError(describe_storage_error("reading the data directory", error)) from error
        raise
