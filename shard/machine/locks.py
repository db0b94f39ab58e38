"""Locks that are handed on in the order of asking, each time under a greater fence. Pure.

A lock that is held is one record of the group's own: its holder, the fence, and who waits. It expires when the holder's time is up;
then, or when the holder gives it back, it passes to the first in the queue who still waits, under a new fence: the index of the
entry that handed it over. A lock never changes hands twice within one entry (only a fence of an earlier entry can give it
back), so fences strictly rise, and what was done under an old one can be told from what is done under the present one.

An owner may ask by more than one request: a client whose connection broke asks again. The lock, and a place in the queue, are the
newest request's that asked for it or was told of it, and the end of another takes neither away.
"""

from collections.abc import Callable

import msgspec

from shard.machine.listing import remaining_ms
from shard.machine.names import is_kept, kept_as, kept_name
from shard.machine.record import Record, Stored, unpack
from shard.machine.store import Store, expires_ms
from wire.messages import (
    LIMIT_QUEUE,
    LIMIT_WAIT_MS,
    AcquireLock,
    ItemResult,
    LeaveQueue,
    LockInfo,
    LockOperation,
    ReleaseLock,
    RenewLock,
    Status,
)
from wire.slots import slot_of

_KIND = "l"
_WRONG_GROUP = ItemResult(Status.WRONG_GROUP)

Granted = Callable[[str, str], object]
"""Told the name of a lock and the owner that has been waiting and holds it now."""


class _Waiter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who waits, until when (cluster time), how long it will hold the lock, and by which request."""

    owner: str
    until_ms: int
    ttl_ms: int
    request: str = ""


class _Lock(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A lock that somebody holds until its time is up, and the request that was told so, or is to be."""

    owner: str
    fence: int
    queue: list[_Waiter] = []
    request: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Lock).decode


class Locks:
    """The locks in a store."""

    def __init__(self, store: Store, granted: Granted) -> None:
        self._store = store
        self._granted = granted

    def operate(self, operation: LockOperation) -> ItemResult:
        """Do what is asked of one lock."""
        if not self._store.owns(operation.name):
            return _WRONG_GROUP
        key = _key(operation.name)
        self._hand_on_if_due(key)
        record = self._store.get_kept(key)
        if isinstance(operation, AcquireLock):
            return self._acquire(operation, key, record)
        if isinstance(operation, LeaveQueue):
            return self._leave(operation, key, record)
        if record is None or not _is_held(_decode(record.value), operation, self._store.index):
            return self._result(Status.NOT_HOLDER, record)
        if isinstance(operation, RenewLock):
            return self._hold(key, _decode(record.value), operation.ttl_ms)
        return self._release(key, _decode(record.value))

    def look(self, name: str, owner: str, request: str = "") -> ItemResult:
        """How it stands with an owner that waits, by whatever request or a certain one.

        OK when it holds the lock, QUEUED, LOCKED when it is in no queue or another request of it got the lock, or WRONG_GROUP.
        """
        if not self._store.owns(name):
            return _WRONG_GROUP
        record = self._store.get_kept(_key(name))
        if record is None:
            return self._result(Status.LOCKED, None)
        lock = _decode(record.value)
        if lock.owner == owner and not record.expired(self._store.now_ms):
            return self._result(Status.OK if request in {"", lock.request} else Status.LOCKED, record)
        waits = any(waiter.owner == owner for waiter in self._waiting(lock))
        return self._result(Status.QUEUED if waits else Status.LOCKED, record)

    def expired(self, key: str, stored: Stored) -> None:
        """A key is gone because its time was up: if it was a lock that others wait for, the first of them has it."""
        if is_kept(_KIND, key):
            self._hand_on(key, _decode(unpack(stored).value))

    def _acquire(self, asked: AcquireLock, key: str, record: Record | None) -> ItemResult:
        if record is None:
            return self._hold(key, _Lock(asked.owner, self._store.index, [], asked.request), asked.ttl_ms)
        lock = _decode(record.value)
        if lock.owner == asked.owner:
            return self._hold(key, msgspec.structs.replace(lock, request=asked.request), asked.ttl_ms)
        queue = self._waiting(lock)
        at = next((at for at, other in enumerate(queue) if other.owner == asked.owner), len(queue))
        if asked.wait_ms > 0:
            until_ms = self._store.now_ms + min(asked.wait_ms, LIMIT_WAIT_MS)
            waiter = _Waiter(asked.owner, until_ms, asked.ttl_ms, asked.request)
        elif at < len(queue):
            waiter = msgspec.structs.replace(queue[at], request=asked.request)
        else:
            return self._result(Status.LOCKED, record)
        if at >= LIMIT_QUEUE:
            return self._result(Status.QUEUE_FULL, record)
        if asked.wait_ms > 0 or waiter != queue[at]:
            queue[at : at + 1] = [waiter]
            record = self._keep(key, msgspec.structs.replace(lock, queue=queue), record.expires_ms)
        return self._result(Status.QUEUED, record)

    def _leave(self, operation: LeaveQueue, key: str, record: Record | None) -> ItemResult:
        if record is None:
            return self._result(Status.LOCKED, None)
        lock = _decode(record.value)
        if lock.owner == operation.owner:
            return self._leave_held(operation, key, record, lock)
        queue = [waiter for waiter in self._waiting(lock) if not _is_left(waiter, operation)]
        return self._result(
            Status.LOCKED, self._keep(key, msgspec.structs.replace(lock, queue=queue), record.expires_ms)
        )

    def _leave_held(self, operation: LeaveQueue, key: str, record: Record, lock: _Lock) -> ItemResult:
        """The owner holds what it waited for: the request is told, and has the lock from now on, or gives its own back."""
        if lock.request == operation.request:
            return self._give_back(key, lock) if operation.gives_back else self._result(Status.OK, record)
        if not operation.gives_back:
            record = self._keep(key, msgspec.structs.replace(lock, request=operation.request), record.expires_ms)
        return self._result(Status.OK, record)

    def _give_back(self, key: str, lock: _Lock) -> ItemResult:
        """Hand on what nobody was told of; in the entry that handed it over it only ends, and the next one hands it on."""
        if lock.fence == self._store.index:
            return self._result(Status.LOCKED, self._keep(key, lock, expires_ms(self._store, 1)))
        self._release(key, lock)
        return self._result(Status.LOCKED, self._store.get_kept(key))

    def _release(self, key: str, lock: _Lock) -> ItemResult:
        self._store.remove_kept(key)
        self._hand_on(key, lock)
        return self._result(Status.OK, self._store.get_kept(key))

    def _hand_on_if_due(self, key: str) -> None:
        """A lock whose time is up, but which waits for its removal, passes on now."""
        record = self._store.get_kept(key)
        if record is not None and record.expired(self._store.now_ms):
            self._store.remove_kept(key)
            self._hand_on(key, _decode(record.value))

    def _hand_on(self, key: str, lock: _Lock) -> None:
        """Give a lock that nobody holds any more to the first who waits."""
        queue = self._waiting(lock)
        if queue:
            first, *rest = queue
            self._hold(key, _Lock(first.owner, self._store.index, rest, first.request), first.ttl_ms)
            self._granted(kept_as(key), first.owner)

    def _waiting(self, lock: _Lock) -> list[_Waiter]:
        return [waiter for waiter in lock.queue if waiter.until_ms > self._store.now_ms]

    def _hold(self, key: str, lock: _Lock, ttl_ms: int) -> ItemResult:
        return self._result(Status.OK, self._keep(key, lock, expires_ms(self._store, ttl_ms)))

    def _keep(self, key: str, lock: _Lock, due_ms: int) -> Record:
        return self._store.put_kept(key, _pack(lock), due_ms)

    def _result(self, status: Status, record: Record | None) -> ItemResult:
        """`revision` is the fence, `value` a LockInfo."""
        if record is None:
            return ItemResult(status, 0, _encode(LockInfo()))
        lock = _decode(record.value)
        waiting = len(self._waiting(lock))
        if record.expired(self._store.now_ms):
            return ItemResult(status, 0, _encode(LockInfo(waiting=waiting)))
        info = LockInfo(lock.owner, lock.fence, remaining_ms(record, self._store.now_ms), waiting)
        return ItemResult(status, lock.fence, _encode(info))


def _key(name: str) -> str:
    return kept_name(_KIND, slot_of(name), name)


def _pack(lock: _Lock) -> bytes:
    """A lock as it is kept. What came without the name of a request is kept without one.

    So what an earlier build kept, and what comes of its entries now, are the same bytes: replicas compare hashes of them.
    """
    queue = [waiter if waiter.request else (waiter.owner, waiter.until_ms, waiter.ttl_ms) for waiter in lock.queue]
    kept = (lock.owner, lock.fence, queue)
    return _encode((*kept, lock.request) if lock.request else kept)


def _is_left(waiter: _Waiter, operation: LeaveQueue) -> bool:
    return waiter.owner == operation.owner and operation.request in {"", waiter.request}


def _is_held(lock: _Lock, operation: RenewLock | ReleaseLock, index: int) -> bool:
    """Whether it is the owner's, by a fence that the owner can have been told: one of an earlier entry."""
    return lock.owner == operation.owner and lock.fence == operation.fence and lock.fence < index
