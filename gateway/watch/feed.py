"""The changes of one group, fetched once for all watchers of a gateway.

A feed stands at a position: every change up to it was delivered, none after it. It asks the group's leader for what
follows and waits there (`run`); a watcher that has read further than the feed stands has it asked at once (`reach`). Both
may be answered for the same stretch, so what lies behind the position is dropped.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

from gateway.caller import GroupCaller
from process.backoff import Backoff
from process.clock import Clock, Sleep
from process.tasks import start_task, stop_task
from wire.errors import RpcError
from wire.messages import ReadRequest, WatchEvent, WatchReply, WatchRequest
from wire.methods import READ, WATCH
from wire.positions import Position, place

Placed: TypeAlias = Sequence[tuple[Position, WatchEvent]]
PATIENCE_S = 5.0  # for one call of `run`; then it begins again after a pause


class HistoryLostError(Exception):
    """The changes after a position are not known any more."""


class Feed:
    """Follows one group.

    Args:
        group: its number.
        caller: reaches its leader.
        wait_ms: how long the leader may wait for changes; well under the time limit of an attempt.
        deliver: given changes in order, each with the position after it.
        lost: told that changes before the position were missed.
        backoff: pauses after failures.
        clock: the event loop's clock, in seconds.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        group: int,
        caller: GroupCaller,
        wait_ms: int,
        *,
        deliver: Callable[[int, Placed], object],
        lost: Callable[[], object],
        backoff: Backoff,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self.position: Position | None = None
        self._group = group
        self._caller = caller
        self._wait_ms = wait_ms
        self._deliver = deliver
        self._lost = lost
        self._backoff = backoff
        self._clock = clock
        self._sleep = sleep
        self._asking = asyncio.Lock()  # of those who do not wait at the leader
        self._task = start_task(self._run(), f"watch-feed-{group}")

    async def close(self) -> None:
        """Stop to follow."""
        await stop_task(self._task)

    async def ask(self, position: Position, wait_ms: int, deadline: float) -> WatchReply:
        """The changes after a position.

        Raises:
            RpcError: the group could not answer in time.
        """
        request = WatchRequest(self._group, position.through, position.taken, wait_ms)
        return await self._caller.to_leader(self._group, WATCH, request, deadline, write=False)

    async def reach(self, index: int, deadline: float) -> None:
        """Have the feed stand at the end of the entry at `index` or later.

        Raises:
            RpcError: the group could not answer in time.
            HistoryLostError: the group has no such entry.
        """
        async with self._asking:
            position = self.position or await self._begin(deadline)
            while position.through < index:
                reply = await self.ask(position, 0, deadline)
                self._take(position, reply)
                if not reply.events and reply.index < index:
                    raise HistoryLostError
                position = self.position or position

    async def _begin(self, deadline: float) -> Position:
        """Stand where the group is now."""
        request = ReadRequest(self._group, [])
        reply = await self._caller.to_leader(self._group, READ, request, deadline, write=False)
        self.position = Position(reply.revision)
        return self.position

    async def _run(self) -> None:
        while True:
            deadline = self._clock() + PATIENCE_S
            try:
                if self.position is None:
                    with contextlib.suppress(HistoryLostError):
                        await self.reach(0, deadline)
                else:
                    position = self.position
                    self._take(position, await self.ask(position, self._wait_ms, deadline))
                self._backoff.reset()
            except RpcError:
                await self._sleep(self._backoff.next_s())

    def _take(self, asked: Position, reply: WatchReply) -> None:
        """Take what follows on `asked`, which the feed may have left meanwhile."""
        end = Position(reply.index, reply.taken)
        if reply.resync and asked == self.position:
            self.position = end
            self._lost()
        elif not reply.resync and self.position is not None and end > self.position:
            behind = self.position
            self.position = end
            self._deliver(self._group, [placed for placed in place(asked, reply) if placed[0] > behind])
