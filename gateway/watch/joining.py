"""How a watcher comes up to the feeds: the state, or a cursor, and then the changes up to where they stand.

1. Tell the state page by page, and keep at which index each page was read (`Coverage`); or begin at a cursor.
2. Have every feed reach that place, and register: the hub keeps all later changes in the watcher's buffer.
3. Ask for the changes between that place and the feeds' and tell those that the state does not hold.

From there on the buffer has everything, and the ids in it are good for this watcher too. An id says that everything
before it was told and nothing after it. While the pages of a group are of different indexes no position says that, so
until step 3 is over events go out without an id.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Protocol

from gateway.watch import cursor, frames
from gateway.watch.buffer import Buffer
from gateway.watch.feed import HistoryLostError, Placed
from gateway.watch.hub import Hub
from process.clock import Clock
from wire.coverage import Coverage
from wire.messages import ListReply, ListRequest
from wire.positions import Position, place

PAGE_BYTES = 256 << 10  # of a state that is read at once: a watcher that takes nothing holds a page until it is cut off


class Lister(Protocol):
    """The part of `Cluster` that is needed here."""

    async def list_group(self, request: ListRequest, deadline: float) -> ListReply:
        """One page of one group."""


class Joining:
    """The beginning of one watcher's stream.

    Args:
        hub: where it registers.
        lister: reads the state.
        watcher: its buffer.
        prefix: of the keys that it is for.
        clock: the event loop's clock, in seconds.
    """

    def __init__(self, hub: Hub, lister: Lister, watcher: Buffer, prefix: str, clock: Clock) -> None:
        self._hub = hub
        self._lister = lister
        self._watcher = watcher
        self._prefix = prefix
        self._clock = clock
        self._layout = hub.layout
        self._feeds = dict(hub.feeds)
        self._coverage: dict[int, Coverage] = {}

    async def chunks(self, start: Mapping[int, Position] | None) -> AsyncIterator[bytes]:
        """What to send before the buffer; it ends early when the watcher does.

        Args:
            start: where to go on; None for the state.

        Raises:
            RpcError: a group could not answer in time.
            HistoryLostError: changes since `start` are not known any more.
        """
        if start is None:
            async for chunk in self._state():
                yield chunk
        if self._watcher.ended is not None:
            return
        positions = dict(start) if start is not None else {g: held.first for g, held in self._coverage.items()}
        for group, feed in self._feeds.items():
            held = self._coverage.get(group)
            await feed.reach(_entry_of(held.last if held else positions[group]), self._deadline())
        if self._watcher.ended is not None:
            return
        ends = self._hub.register(self._watcher)
        has_ids = all(held.first == held.last for held in self._coverage.values())
        yield frames.synced(cursor.encode(self._layout, positions) if has_ids else None)
        for group in self._layout.groups:
            async for chunk in self._catch_up(group, positions, ends[group], has_ids=has_ids):
                yield chunk
        if any(positions[group] < ends[group] for group in self._layout.groups):
            self._watcher.discard()  # it was sent away before: what waits would say that all before it was told
        elif not has_ids:
            yield frames.heartbeat(cursor.encode(self._layout, positions))

    def _deadline(self) -> float:
        return self._clock() + self._hub.pace.patience_s

    async def _state(self) -> AsyncIterator[bytes]:
        for group in self._layout.groups:
            held = self._coverage[group] = Coverage()
            after, more = "", True
            while more and self._watcher.ended is None:
                page = await self._page(group, after)
                more = page.more
                after = page.entries[-1].key if page.entries else after
                held.add_page(after if more else None, page.revision)
                if page.entries:
                    yield b"".join(map(frames.state, page.entries))

    async def _page(self, group: int, after: str) -> ListReply:
        items = self._hub.limits.page_items
        async with self._hub.reading:
            request = ListRequest(group, self._prefix, after, items, with_values=True, bytes_max=PAGE_BYTES)
            return await self._lister.list_group(request, self._deadline())

    async def _catch_up(
        self, group: int, positions: dict[int, Position], end: Position, *, has_ids: bool
    ) -> AsyncIterator[bytes]:
        """The changes of a group from its position to `end`, which becomes its position."""
        while positions[group] < end and self._watcher.ended is None:
            asked = positions[group]
            reply = await self._feeds[group].ask(asked, 0, self._deadline())
            if reply.resync:
                raise HistoryLostError
            positions[group] = min(Position(reply.index, reply.taken), end)
            before = [(position, event) for position, event in place(asked, reply) if position <= end]
            if chunk := b"".join(self._made(group, positions, before, has_ids=has_ids)):
                yield chunk

    def _made(self, group: int, positions: Mapping[int, Position], placed: Placed, *, has_ids: bool) -> Iterable[bytes]:
        """Those of the changes that the watcher wants and the state does not hold."""
        held = self._coverage.get(group)
        for position, event in placed:
            if event.key.startswith(self._prefix) and not (held and held.holds(event.key, event.revision)):
                place_after = cursor.encode(self._layout, {**positions, group: position}) if has_ids else None
                yield frames.change(event, place_after)


def _entry_of(position: Position) -> int:
    """The last entry of which a position has something."""
    return position.through + (position.taken > 0)
