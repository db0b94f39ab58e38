"""What is counted: the ways that operations take through the rooms, in turns of so many operations each.

Every path is a context in which turns are taken. Nothing in it depends on time, on chance or on another process, so that all turns
cost nearly the same, and those of two runs the same within a fraction of a percent.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count, cycle
from pathlib import Path

import msgspec

import concord
from gateway.app import Gateway
from raft.disk import OsDisk
from raft.wal_space import Limits
from shard.machine import Entry
from tests.cost.houses import GROUP, MAP, LoneNode
from tests.gateway.double import SETTINGS, Client, FakeCluster
from tests.raft.members import Group
from tests.raft.storage import Log
from tests.shard.build import Log as Commands
from tests.shard.build import names
from wire import RpcClient, RpcServer
from wire.messages import ItemResult, OperationId, Put, PutItem, Status, WriteReply, WriteRequest
from wire.methods import WRITE

Turn = Callable[[], Awaitable[None]]
Opened = AbstractAsyncContextManager[Turn]
VALUE = "v" * 98  # 100 bytes as JSON
STORED = json.dumps(VALUE).encode()
KEYS = [f"flags/{number:04}" for number in range(64)]
BULK = 500
PIPELINED = 32
TIMEOUT_S = 60.0
SEGMENTS = Limits(segment_bytes=4 << 20)  # none is full before the end


class Way(msgspec.Struct, frozen=True):
    """One path.

    Attributes:
        open: gives the turn.
        operations: in a turn.
        turns: that are counted; a third as many are taken before.
    """

    open: Callable[[], Opened]
    operations: int
    turns: int


@asynccontextmanager
async def _gateway() -> AsyncIterator[Client]:
    """A gateway that knows the map, before a node with some keys."""
    node = LoneNode()
    gateway = Gateway(SETTINGS, lambda _address: node)
    gateway.holder.publish(MAP)
    client = Client(gateway, FakeCluster(), checks=False)
    try:
        for key in KEYS:
            await _sent(client, "PUT", f"/api/v1/kv/{key}", b'{"value":%s}' % STORED)
        yield client
    finally:
        await gateway.close()


async def _sent(client: Client, method: str, target: str, body: bytes = b"") -> None:
    reply = await client.send(method, target, raw=body)
    assert reply.status == 200, reply.body


@asynccontextmanager
async def _put() -> AsyncIterator[Turn]:
    """A PUT from its ASGI scope to the state machine and back; the node's group commits at once."""
    async with _gateway() as client:
        keys, body = cycle(KEYS), b'{"value":%s}' % STORED
        yield lambda: _sent(client, "PUT", f"/api/v1/kv/{next(keys)}", body)


@asynccontextmanager
async def _get() -> AsyncIterator[Turn]:
    """A linearizable GET, by the leader's lease."""
    async with _gateway() as client:
        keys = cycle(KEYS)
        yield lambda: _sent(client, "GET", f"/api/v1/kv/{next(keys)}")


@asynccontextmanager
async def _bulk() -> AsyncIterator[Turn]:
    """A bulk request of 500 puts, one write in one group."""
    async with _gateway() as client:
        operations = [{"key": f"bulk/{number:04}", "value": VALUE} for number in range(BULK)]
        body = json.dumps({"operations": operations}).encode()
        yield lambda: _sent(client, "POST", "/api/v1/kv/bulk", body)


@asynccontextmanager
async def _rpc() -> AsyncIterator[Turn]:
    """Writes over one connection on loopback, many under way at once; both ends are in this process."""
    server = RpcServer()
    server.on(WRITE, lambda call: call.reply(WriteReply([ItemResult(Status.OK, 7)], 7)))
    await server.start("127.0.0.1", 0)
    client = RpcClient(server.address)
    request = WriteRequest(GROUP, OperationId(1, 1, 1), Put([PutItem(KEYS[0], STORED)]))

    async def turn() -> None:
        await asyncio.gather(*(client.call(WRITE, request, TIMEOUT_S) for _ in range(PIPELINED)))

    try:
        yield turn
    finally:
        await client.close()
        await server.close(0)


@asynccontextmanager
async def _raft() -> AsyncIterator[Turn]:
    """An entry of three replicas: appended, sent, synced, acknowledged, committed and applied by all; disks are in memory."""
    group = Group(3)
    leader = group.elect("a")

    async def turn() -> None:
        outcomes = leader.propose(STORED)
        group.settle()
        assert outcomes

    yield turn


@asynccontextmanager
async def _wal() -> AsyncIterator[Turn]:
    """Entries of several groups that one write and one sync make durable, on a real file."""
    with tempfile.TemporaryDirectory() as folder:
        log, index = Log(OsDisk(Path(folder)), SEGMENTS), count(1)

        async def turn() -> None:
            at = next(index)
            for group in range(PIPELINED):
                log.wal.append(group, at, 1, STORED)
            log.sync()
            assert not log.fatal

        yield turn


@asynccontextmanager
async def _apply() -> AsyncIterator[Turn]:
    """An entry of many single puts, as it comes from the log."""
    log = Commands()

    async def turn() -> None:
        replies = log.append(Entry(log.index, [(log.next_id(), Put([PutItem(key, STORED)])) for key in KEYS]))
        assert len(replies) == len(KEYS)

    yield turn


@asynccontextmanager
async def _page() -> AsyncIterator[Turn]:
    """A page of keys in order, one of many."""
    log = Commands()
    log.fill(1, (PutItem(f"page/{number:05}", STORED) for number in range(4 * BULK)))

    async def turn() -> None:
        assert len(names(log.machine, "page/", "page/00700", BULK)) == BULK

    yield turn


@asynccontextmanager
async def _embedded_get() -> AsyncIterator[Turn]:
    """A get from a store in this process."""
    with tempfile.TemporaryDirectory() as folder, concord.open(folder, durability="os") as store:
        for key in KEYS:
            store.put(key, VALUE)

        async def turn() -> None:
            for key in KEYS:
                store.get(key)

        yield turn


@asynccontextmanager
async def _embedded_put() -> AsyncIterator[Turn]:
    """A put into a store in this process, by one thread."""
    with tempfile.TemporaryDirectory() as folder, concord.open(folder, durability="os") as store:
        keys = cycle(KEYS)

        async def turn() -> None:
            store.put(next(keys), VALUE)

        yield turn


WAYS = {
    "put": Way(_put, 1, 24),
    "get": Way(_get, 1, 24),
    "bulk-put": Way(_bulk, BULK, 1),
    "rpc": Way(_rpc, PIPELINED, 4),
    "raft-entry": Way(_raft, 1, 12),
    "wal-append": Way(_wal, PIPELINED, 12),
    "apply-put": Way(_apply, len(KEYS), 5),
    "list": Way(_page, BULK, 1),
    "embedded-get": Way(_embedded_get, len(KEYS), 12),
    "embedded-put": Way(_embedded_put, 1, 36),
}
"""By name. Turns are so many that all take about as long under valgrind."""
