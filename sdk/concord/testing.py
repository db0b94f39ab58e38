"""A real server in this process for your own tests: the same code as in production, without a disk. Needs `concord[server]`.

    with concord.testing.server() as server:
        client = Concord(server.url)

For pytest there are fixtures: see docs/testing.md.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from concord._errors import Unavailable
from concord._inprocess import Node, start_node
from concord._member import Durability

READY_S = 30.0
GROUPS = 4


class Server:
    """A server that runs; threads may share it.

    Attributes:
        url: where it is; for `Concord` and everything else that speaks HTTP.
    """

    def __init__(self, node: Node, port: int) -> None:
        self._node = node
        self.url = node.serve_http("127.0.0.1", port, auth=None, insecure=False)

    def clear(self) -> None:
        """Forget everything: keys, locks, limits, registrations. Revisions go on; an open watch goes on, and is not told.

        Raises:
            RuntimeError: it keeps its data on disk.
        """
        self._node.clear()


@contextmanager
def server(*, port: int = 0, groups: int = GROUPS, durability: Durability = "memory") -> Iterator[Server]:
    """A server for a `with`: a node of its own, empty, in a temporary directory that goes with it.

    Args:
        port: of the HTTP API on 127.0.0.1; 0 lets the kernel choose.
        groups: Raft groups; keys are spread over them as in a real cluster.
        durability: `fsync` or `os` to write to the directory, too.

    Raises:
        ImportError: `concord[server]` is not installed.
        OSError: the port is in use.
        Unavailable: it did not become ready within 30 s.
    """
    with tempfile.TemporaryDirectory(prefix="concord-testing-") as directory:
        node = start_node(
            {"path": f"{directory}/node", "cluster": "testing", "groups": groups, "durability": durability}
        )
        try:
            running = Server(node, port)
            if missing := node.missing(READY_S):
                raise Unavailable(f"the server did not become ready: {missing}")
            yield running
        finally:
            node.close()


@asynccontextmanager
async def async_server(
    *, port: int = 0, groups: int = GROUPS, durability: Durability = "memory"
) -> AsyncIterator[Server]:
    """The same for an `async with`; the event loop is not held up."""
    context = server(port=port, groups=groups, durability=durability)
    running = await asyncio.to_thread(context.__enter__)
    try:
        yield running
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
