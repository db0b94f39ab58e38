"""Reads from the nodes themselves, past the gateways, which turn away from a leader that is slow to answer.

A leader that was stopped finds these requests in its socket when it goes on, while another was elected long ago: nothing is
harder for a leader's lease. Only reads that were answered are kept; most are refused, because one node in three leads.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping

import msgspec

from tests.chaos.clients import name_of
from tests.linearizability import Kind, Operation
from wire import RpcClient, RpcError
from wire.messages import ItemResult, ReadRequest, Status
from wire.methods import READ

EVERY_S = 0.2
TIMEOUT_S = 25.0  # over the longest stop
WAITING_MAX = 100  # requests to one node
FIRST_CLIENT = 1000


class DirectReaders:
    """Read one key of each group from every node, again and again.

    Args:
        addresses: of the nodes.
        keys: group → key.
        complain: told of a value that nobody wrote.
    """

    def __init__(self, addresses: list[str], keys: Mapping[int, str], complain: Callable[[str], None]) -> None:
        self.history: list[Operation] = []
        self._addresses = addresses
        self._keys = keys
        self._complain = complain

    def run(self, stopping: threading.Event) -> None:
        """Go on until told to stop, in a thread on the clients' host."""
        asyncio.run(self._run(stopping))

    async def _run(self, stopping: threading.Event) -> None:
        channels = [RpcClient(address) for address in self._addresses]
        tasks: list[set[asyncio.Task[None]]] = [set() for _ in channels]
        while not stopping.is_set():
            for number, (channel, waiting) in enumerate(zip(channels, tasks, strict=True)):
                for group, key in self._keys.items() if len(waiting) < WAITING_MAX else ():
                    task = asyncio.create_task(self._read(channel, number, group, key))
                    waiting.add(task)
                    task.add_done_callback(waiting.discard)
            await asyncio.sleep(EVERY_S)
        await asyncio.gather(*(task for waiting in tasks for task in waiting))
        for channel in channels:
            await channel.close()

    async def _read(self, channel: RpcClient, number: int, group: int, key: str) -> None:
        called_ns = time.monotonic_ns()
        try:
            reply = await channel.call(READ, ReadRequest(group, [key]), TIMEOUT_S)
        except RpcError:
            return
        returned_ns = time.monotonic_ns()
        (result,) = reply.results
        if result.status in (Status.OK, Status.NOT_FOUND):
            value, revision = (
                (self._value(key, result), result.revision) if result.status is Status.OK else (None, None)
            )
            client = FIRST_CLIENT + number
            self.history.append(
                Operation(client, key, Kind.GET, called_ns, returned_ns, result=value, revision=revision)
            )

    def _value(self, key: str, result: ItemResult) -> str:
        name = name_of(msgspec.json.decode(result.value))
        if not name.startswith(f"{key}="):
            self._complain(f"{key} holds what nobody wrote: {result.value!r}")
        return name
