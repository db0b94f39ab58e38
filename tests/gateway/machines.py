"""A fake cluster whose groups are real state machines: for what the plain double does not know."""

import asyncio
from typing import Any

from shard.lock_waits import LockWaits
from shard.machine import Entry, Machine, Own, encode, normalized, remaining_ms
from shard.seams import GroupFigures
from tests.gateway.double import FakeChannel, FakeCluster
from wire.errors import Failure, RpcError
from wire.messages import (
    AwaitLockRequest,
    ItemResult,
    ListReply,
    ListRequest,
    ReadReply,
    ReadRequest,
    Status,
    WriteReply,
    WriteRequest,
)
from wire.rpc import Call, Peer


class MachineCluster(FakeCluster):
    """Every write is an entry of its own at `now_ms`. A wait for a lock is answered at once."""

    def __init__(self, groups: int = 4) -> None:
        super().__init__(groups)
        self.now_ms = 1_000
        self.machines = {group: Machine() for group in self.groups}
        for slots in self.map.slots:
            own = Own(normalized([(slots.first, slots.last)]), 1)
            self.machines[slots.group].apply(1, 1, encode(Entry(self.now_ms, [], own)))
        self.index = 1

    def handle(self, node: str, request: object) -> object:
        if isinstance(request, AwaitLockRequest):
            self.calls.append((node, request))
            self._check_leader(node, request.group)
            result = self.machines[request.group].lock(request.name, request.owner, request.request)
            return WriteReply([result], self.index)
        return super().handle(node, request)

    def _write(self, request: WriteRequest) -> WriteReply:
        self.index += 1
        entry = Entry(self.now_ms, [(request.id, request.operation)])
        [reply] = self.machines[request.group].apply(self.index, 1, encode(entry))
        return reply

    def _read(self, request: ReadRequest) -> ReadReply:
        machine = self.machines[request.group]
        results = []
        for key in request.keys:
            record = machine.get(key)
            results.append(
                ItemResult(Status.NOT_FOUND)
                if record is None
                else ItemResult(
                    Status.OK, record.revision, record.value, record.content_type, remaining_ms(record, machine.now_ms)
                )
            )
        return ReadReply(results, self.index, 7 if request.consistency else 0)

    def _list(self, request: ListRequest) -> ListReply:
        machine = self.machines[request.group]
        page = machine.page(
            request.prefix,
            request.after,
            request.limit,
            machine.now_ms,
            with_values=request.with_values,
            bytes_max=request.bytes_max,
        )
        return ListReply(page.entries, page.more, self.index, 7 if request.consistency else 0)


class WaitingCluster(MachineCluster):
    """A wait for a lock is answered as leaders do: when there is something to say. Nobody's time is ever up."""

    def __init__(self, groups: int = 4) -> None:
        super().__init__(groups)
        figures = GroupFigures()
        self.waits = {group: LockWaits(self.machines[group], 100, lambda: self.epoch, figures) for group in self.groups}

    def open_channel(self, address: str) -> FakeChannel:
        return _WaitingChannel(self, next(node for node in self.nodes if self.addresses[node] == address))

    @property
    def waiting(self) -> int:
        """Calls that wait for a lock."""
        return sum(map(len, self.waits.values()))


class _WaitingChannel(FakeChannel):
    def __init__(self, cluster: WaitingCluster, node: str) -> None:
        super().__init__(cluster, node)
        self._waits = cluster.waits

    def _serve(self, future: asyncio.Future[Any], request: object, timeout_s: float) -> None:
        if not isinstance(request, AwaitLockRequest):
            super()._serve(future, request, timeout_s)
            return
        self._cluster.calls.append((self._node, request))
        call = Call[AwaitLockRequest, WriteReply](request, Peer(), float("inf"), 1, 0, _Desk(future))
        self._waits[request.group].add(call, 0.0, 0)


class _Desk:
    """Brings what a call was answered with to who waits for it."""

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def answer(self, call: object, value: object) -> None:
        del call
        if not self._future.done():
            self._future.set_result(value)

    def refuse(self, call: object, failure: Failure) -> None:
        del call
        if not self._future.done():
            self._future.set_exception(RpcError(failure))
