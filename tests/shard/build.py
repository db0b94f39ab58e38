"""Short ways to build entries and feed machines."""

from collections.abc import Iterable

import msgspec

from shard.machine import Entry, Machine, Own, encode
from wire.messages import (
    LIMIT_BULK_ITEMS,
    Delete,
    ItemResult,
    LockInfo,
    Operation,
    OperationId,
    Put,
    PutItem,
    QuotaInfo,
    Touch,
    TouchItem,
    WriteReply,
)
from wire.slots import SLOT_COUNT

EVERY_SLOT = [(0, SLOT_COUNT - 1)]


class Log:
    """Feeds a machine entry by entry; every write gets an id of its own unless one is given."""

    def __init__(self, machine: Machine | None = None, *, own: bool = True) -> None:
        self.machine = machine or Machine()
        self.index = 0
        self.sequence = 0
        self.commands: list[bytes] = []
        if own:
            self.append(Entry(0, [], Own(EVERY_SLOT, 1)))

    def append(self, entry: Entry) -> list[WriteReply]:
        return self.append_command(encode(entry))

    def append_command(self, command: bytes) -> list[WriteReply]:
        self.index += 1
        self.commands.append(command)
        return self.machine.apply(self.index, 1, command)

    def next_id(self, session: int = 1) -> OperationId:
        self.sequence += 1
        return OperationId(session, self.sequence, 0)

    def write(self, time_ms: int, operation: Operation, identity: OperationId | None = None) -> list[ItemResult]:
        [reply] = self.append(Entry(time_ms, [(identity or self.next_id(), operation)]))
        return reply.results

    def fill(self, time_ms: int, items: Iterable[PutItem]) -> None:
        """Put any number of keys in one entry."""
        operations = [(self.next_id(), Put(part)) for part in portions(items)]
        self.append(Entry(time_ms, [*operations]))

    def put(self, time_ms: int, key: str, value: bytes = b"1", ttl_ms: int = 0) -> ItemResult:
        return self.write(time_ms, Put([PutItem(key, value, "", ttl_ms)]))[0]

    def delete(self, time_ms: int, key: str) -> ItemResult:
        return self.write(time_ms, Delete([key]))[0]

    def touch(self, time_ms: int, key: str, ttl_ms: int) -> ItemResult:
        return self.write(time_ms, Touch([TouchItem(key, ttl_ms)]))[0]

    def tick(self, time_ms: int) -> None:
        self.append(Entry(time_ms))


def portions(items: Iterable[PutItem]) -> list[list[PutItem]]:
    """The items in lists that one operation may have."""
    every = list(items)
    return [every[at : at + LIMIT_BULK_ITEMS] for at in range(0, len(every), LIMIT_BULK_ITEMS)]


def names(machine: Machine, prefix: str = "", after: str = "", limit: int = 1000) -> list[str]:
    page = machine.page(prefix, after, limit, machine.now_ms, with_values=False)
    return [entry.key for entry in page.entries]


def copy_by_snapshot(machine: Machine) -> Machine:
    copy = Machine()
    install_snapshot(machine, copy)
    return copy


def install_snapshot(source: Machine, target: Machine) -> None:
    """Replace the state of a machine by a snapshot of another, or of itself."""
    restorer = target.restore()
    for chunk in source.snapshot():
        restorer.feed(chunk)
    restorer.finish()


def replayed(log: Log) -> Machine:
    """Another machine that was given the same commands."""
    again = Log(own=False)
    for command in log.commands:
        again.append_command(command)
    return again.machine


def lock_info(result: ItemResult) -> LockInfo:
    return msgspec.msgpack.decode(result.value, type=LockInfo)


def quota_info(result: ItemResult) -> QuotaInfo:
    return msgspec.msgpack.decode(result.value, type=QuotaInfo)


def value_of(machine: Machine, key: str) -> bytes | None:
    record = machine.get(key)
    return None if record is None else record.value
