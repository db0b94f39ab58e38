"""The data methods of a node: finds the group of a request and holds it to the limits of the protocol."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from shard import failures, faults
from shard.group import ChecksumCall, GroupService
from shard.lock_waits import AwaitLockCall
from shard.reads import ListCall, ReadCall
from shard.watches import WatchCall
from shard.write_queue import WriteCall
from wire.methods import AWAIT_LOCK, CHECKSUM, LIST, READ, WATCH, WRITE
from wire.rpc import Call, Method

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

LIMIT_OPERATION_BYTES = 12 << 20  # above a full HTTP body of 8 MiB, below a frame of 16 MiB


class Registrar(Protocol):
    """The part of `wire.RpcServer` that is needed here."""

    def on(self, method: Method[RequestT, ReplyT], handler: Callable[[Call[RequestT, ReplyT]], None]) -> None:
        """Have `handler` called with each request of the method."""


class ShardService:
    """Answers the data methods and CHECKSUM for the groups that a node hosts; `groups` may change at any time."""

    def __init__(self, groups: Mapping[int, GroupService], server: Registrar) -> None:
        self._groups = groups
        server.on(WRITE, self.write)
        server.on(READ, self.read)
        server.on(LIST, self.page)
        server.on(CHECKSUM, self.checksum)
        server.on(WATCH, self.watch)
        server.on(AWAIT_LOCK, self.await_lock)

    def write(self, call: WriteCall) -> None:
        """Check and queue a write."""
        fault = _too_large(call) or faults.of_identity(call.request.id) or faults.of_operation(call.request.operation)
        if group := self._host(call, call.request.group, fault):
            group.write(call)

    def read(self, call: ReadCall) -> None:
        """Check and begin a read of keys; one of no keys only asks whether the group serves reads."""
        fault = faults.of_keys(call.request.keys) if call.request.keys else ""
        if group := self._host(call, call.request.group, fault):
            group.read(call)

    def checksum(self, call: ChecksumCall) -> None:
        """Say what is known of a hash of the state; have a new one requested if the caller asks for that."""
        if group := self._host(call, call.request.group, ""):
            group.checksum(call)

    def watch(self, call: WatchCall) -> None:
        """Check and begin a wait for changes."""
        asked = call.request
        negative = min(asked.index, asked.taken, asked.wait_ms) < 0
        fault = "a position and a wait are not negative" if negative else ""
        if group := self._host(call, asked.group, fault):
            group.watch(call)

    def await_lock(self, call: AwaitLockCall) -> None:
        """Check and begin to wait for a lock."""
        if group := self._host(call, call.request.group, faults.of_await(call.request)):
            group.await_lock(call)

    def page(self, call: ListCall) -> None:
        """Check and begin a list."""
        if group := self._host(call, call.request.group, faults.of_list(call.request)):
            group.page(call)

    def _host(self, call: Call[RequestT, ReplyT], number: int, fault: str) -> GroupService | None:
        """The group that serves a call; None when the call was failed, by its fault or because no such group is here."""
        group = self._groups.get(number)
        if fault:
            call.fail(failures.invalid(fault))
            return None
        if group is None:
            call.fail(failures.NOT_HOSTED)
        return group


def _too_large(call: WriteCall) -> str:
    large = call.size > LIMIT_OPERATION_BYTES
    return f"an operation has at most {LIMIT_OPERATION_BYTES} bytes" if large else ""
