"""The data methods of a node: finds the group of a request and holds it to the limits of the protocol."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from shard import failures
from shard.group import ChecksumCall, GroupService
from shard.reads import ListCall, ReadCall
from shard.watches import WatchCall
from shard.write_queue import WriteCall
from wire.messages import (
    LIMIT_BULK_ITEMS,
    LIMIT_KEY_BYTES,
    LIMIT_LIST_ITEMS,
    LIMIT_TTL_MS,
    LIMIT_VALUE_BYTES,
    NEVER,
    Delete,
    Operation,
    PutItem,
    Touch,
    TouchItem,
)
from wire.methods import CHECKSUM, LIST, READ, WATCH, WRITE
from wire.rpc import Call, Method

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

LIMIT_OPERATION_BYTES = 12 << 20  # above a full HTTP body of 8 MiB, below a frame of 16 MiB
LIMIT_CONTENT_TYPE_BYTES = 255
TTL_MS_MIN = 1_000


class Registrar(Protocol):
    """The part of `wire.RpcServer` that is needed here."""

    def on(self, method: Method[RequestT, ReplyT], handler: Callable[[Call[RequestT, ReplyT]], None]) -> None:
        """Have `handler` called with each request of the method."""


class ShardService:
    """Answers WRITE, READ, LIST, WATCH and CHECKSUM for the groups that a node hosts; `groups` may change at any time."""

    def __init__(self, groups: Mapping[int, GroupService], server: Registrar) -> None:
        self._groups = groups
        server.on(WRITE, self.write)
        server.on(READ, self.read)
        server.on(LIST, self.page)
        server.on(CHECKSUM, self.checksum)
        server.on(WATCH, self.watch)

    def write(self, call: WriteCall) -> None:
        """Check and queue a write."""
        fault = _fault_of_write(call)
        group = self._groups.get(call.request.group)
        if fault:
            call.fail(failures.invalid(fault))
        elif group is None:
            call.fail(failures.NOT_HOSTED)
        else:
            group.write(call)

    def read(self, call: ReadCall) -> None:
        """Check and begin a read of keys; one of no keys only asks whether the group serves reads."""
        fault = _fault_of_keys(call.request.keys) if call.request.keys else ""
        group = self._groups.get(call.request.group)
        if fault:
            call.fail(failures.invalid(fault))
        elif group is None:
            call.fail(failures.NOT_HOSTED)
        else:
            group.read(call)

    def checksum(self, call: ChecksumCall) -> None:
        """Say what is known of a hash of the state; have a new one requested if the caller asks for that."""
        group = self._groups.get(call.request.group)
        if group is None:
            call.fail(failures.NOT_HOSTED)
        else:
            group.checksum(call)

    def watch(self, call: WatchCall) -> None:
        """Check and begin a wait for changes."""
        asked = call.request
        group = self._groups.get(asked.group)
        if min(asked.index, asked.taken, asked.wait_ms) < 0:
            call.fail(failures.invalid("a position and a wait are not negative"))
        elif group is None:
            call.fail(failures.NOT_HOSTED)
        else:
            group.watch(call)

    def page(self, call: ListCall) -> None:
        """Check and begin a list."""
        fault = _fault_of_list(call)
        group = self._groups.get(call.request.group)
        if fault:
            call.fail(failures.invalid(fault))
        elif group is None:
            call.fail(failures.NOT_HOSTED)
        else:
            group.page(call)


# Each of these says in one sentence what is wrong with a part of a request, or "".


def _fault_of_write(call: WriteCall) -> str:
    if call.size > LIMIT_OPERATION_BYTES:
        return f"an operation has at most {LIMIT_OPERATION_BYTES} bytes"
    if not 0 <= call.request.id.floor <= call.request.id.sequence:
        return "an operation id has 0 <= floor <= sequence"
    return _fault_of_operation(call.request.operation)


def _fault_of_operation(operation: Operation) -> str:
    if isinstance(operation, Delete):
        return _fault_of_keys(operation.keys)
    if isinstance(operation, Touch):
        return _fault_of_count(operation.items) or next(filter(None, map(_fault_of_touch, operation.items)), "")
    return _fault_of_count(operation.items) or next(filter(None, map(_fault_of_put, operation.items)), "")


def _fault_of_keys(keys: Sequence[str]) -> str:
    return _fault_of_count(keys) or next(filter(None, map(_fault_of_key, keys)), "")


def _fault_of_count(items: Sequence[object]) -> str:
    return "" if 1 <= len(items) <= LIMIT_BULK_ITEMS else f"there are 1 to {LIMIT_BULK_ITEMS} items in a request"


def _fault_of_key(key: str) -> str:
    if not key or len(key) > LIMIT_KEY_BYTES or not (key.isascii() or len(key.encode()) <= LIMIT_KEY_BYTES):
        return f"a key has 1 to {LIMIT_KEY_BYTES} bytes"
    return ""


def _fault_of_put(item: PutItem) -> str:
    if len(item.value) > LIMIT_VALUE_BYTES:
        return f"a value has at most {LIMIT_VALUE_BYTES} bytes"
    if len(item.content_type) > LIMIT_CONTENT_TYPE_BYTES:
        return f"a content type has at most {LIMIT_CONTENT_TYPE_BYTES} characters"
    return _fault_of_key(item.key) or ("" if item.ttl_ms == NEVER else _fault_of_ttl(item.ttl_ms))


def _fault_of_touch(item: TouchItem) -> str:
    return _fault_of_key(item.key) or _fault_of_ttl(item.ttl_ms)


def _fault_of_ttl(ttl_ms: int) -> str:
    return "" if TTL_MS_MIN <= ttl_ms <= LIMIT_TTL_MS else f"a ttl_ms is in {TTL_MS_MIN}..{LIMIT_TTL_MS}"


def _fault_of_list(call: ListCall) -> str:
    request = call.request
    if not 1 <= request.limit <= LIMIT_LIST_ITEMS:
        return f"a page has 1 to {LIMIT_LIST_ITEMS} items"
    if any(len(text.encode()) > LIMIT_KEY_BYTES for text in (request.prefix, request.after)):
        return f"a prefix and a cursor have at most {LIMIT_KEY_BYTES} bytes"
    return ""
