"""The process's RPC channels: one to each address, opened when it is first needed, closed when the map drops it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from wire.rpc import Channel


class ClosableChannel(Channel, Protocol):
    """A channel that its owner closes."""

    async def close(self) -> None:
        """Close the connection; calls under way fail."""


class Pool:
    """Shared channels by address.

    Args:
        open_channel: makes a lazily connecting channel to `host:port`.
        pinned: addresses that are kept whatever the map says (the seeds of the map watcher).
    """

    def __init__(self, open_channel: Callable[[str], ClosableChannel], pinned: Iterable[str] = ()) -> None:
        self._open = open_channel
        self._pinned = frozenset(pinned)
        self._channels: dict[str, ClosableChannel] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def channel(self, address: str) -> ClosableChannel:
        """The channel to an address."""
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._open(address)
        return channel

    def keep(self, addresses: Iterable[str]) -> None:
        """Close, in the background, the channels to every other address that is not pinned."""
        wanted = self._pinned.union(addresses)
        for address in [address for address in self._channels if address not in wanted]:
            task = asyncio.get_running_loop().create_task(self._channels.pop(address).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all of them."""
        channels = list(self._channels.values())
        self._channels.clear()
        await asyncio.gather(*self._closing, *(channel.close() for channel in channels))
