"""Knows which groups have a replica whose state was found wrong: asks all nodes now and then, for the alarm in the metrics."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from process.clock import Sleep
from wire.messages import NodeInfo, NodeStatus

INTERVAL_S = 10.0


class DivergenceWatch:
    """What a node said last stands until it says something else: a fenced replica is not well because its node is down.

    Args:
        nodes: those of the map.
        ask: gets a node's status, None when it does not answer.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        nodes: Callable[[], Sequence[NodeInfo]],
        ask: Callable[[NodeInfo], Awaitable[NodeStatus | None]],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._nodes = nodes
        self._ask = ask
        self._sleep = sleep
        self._groups: dict[str, set[int]] = {}  # by node
        self._task: asyncio.Task[None] | None = None

    def count(self) -> int:
        """How many groups have a replica that is fenced or found a difference."""
        return len(set().union(*self._groups.values()))

    def start(self) -> None:
        """Begin to ask, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="divergence-watch")

    async def close(self) -> None:
        """Stop to ask."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def look(self) -> None:
        """Ask every node once."""
        nodes = list(self._nodes())
        replies = await asyncio.gather(*(self._ask(node) for node in nodes))
        known = {node.id: self._groups.get(node.id, set()) for node in nodes}
        for node, status in zip(nodes, replies, strict=True):
            if status is not None:
                known[node.id] = {group.id for group in status.groups if group.fenced or group.diverged}
        self._groups = known

    async def _run(self) -> None:
        while True:
            await self.look()
            await self._sleep(INTERVAL_S)
