"""The state machine of a data group: deterministic, total, without a clock of its own.

`now` is cluster time: the greatest time that an entry brought. Every decision about expiry uses it. Each entry first
moves the time on, removes keys that are due (a bounded number; a due key that still waits for its removal is already
gone for every operation and read), then takes a change of ownership, then applies its operations in order. All
changes of an entry share one revision, the entry's log index.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

from shard.machine.entry import Verdict, decode
from shard.machine.keyspace import GRAIN_MS, Change, Keyspace, Record
from shard.machine.listing import Page, take_page
from shard.machine.ownership import Ownership
from shard.machine.sessions import Answer, Sessions
from shard.machine.snapshot import SNAPSHOT_FORMAT, Header, Restored, Restorer, draw
from shard.machine.state_hash import StateHash
from wire.messages import (
    LIMIT_TTL_MS,
    NEVER,
    Delete,
    ItemResult,
    Operation,
    OperationId,
    Put,
    PutItem,
    Status,
    TouchItem,
    WriteReply,
)
from wire.slots import slot_of

EXPIRE_PER_ENTRY = 1_000
_NOT_FOUND = ItemResult(Status.NOT_FOUND)
_WRONG_GROUP = ItemResult(Status.WRONG_GROUP)
_STALE_OPERATION = ItemResult(Status.STALE_OPERATION)

Results: TypeAlias = list[ItemResult]


class _Applying:
    """What the operations of one entry share."""

    __slots__ = ("answer", "index", "ok", "reply")

    def __init__(self, index: int) -> None:
        self.index = index
        self.ok = ItemResult(Status.OK, index)
        self.answer = Answer(index, b"\0")
        self.reply = WriteReply([self.ok], index)


class Observer(Protocol):
    """Is told what an entry says beside its operations; nothing of it changes the state."""

    def checksum_requested(self, index: int, version: int) -> None:
        """The state is now the one of which a hash is wanted."""

    def verdict_reached(self, verdict: Verdict) -> None:
        """Replicas compared their hashes."""

    def restored(self) -> None:
        """The state was replaced by that of a snapshot."""


class Audience(Protocol):
    """Is told what every entry changed."""

    def changed(self, index: int, changes: list[Change]) -> None:
        """The entry at `index` changed these keys, in this order; entries that changed none are not told."""

    def restored(self) -> None:
        """The state was replaced by that of a snapshot: nobody knows what changed."""


class Machine:
    """One group's keys, sessions and ownership. Implements `raft.interface.StateMachine`."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._keyspace = Keyspace()
        self._sessions = Sessions()
        self._ownership = Ownership()
        self._observer: Observer | None = None
        self._audience: Audience | None = None

    def observe(self, observer: Observer) -> None:
        """Have `observer` told of what follows."""
        self._observer = observer

    def tell(self, audience: Audience) -> None:
        """Have `audience` told of every change that follows."""
        self._audience = audience
        self._keyspace.note_changes()

    # --- commands

    def apply(self, index: int, term: int, command: bytes) -> list[WriteReply]:  # noqa: ARG002 - StateMachine's shape
        """Apply an entry and return one answer for each of its operations, in order.

        A command of an unknown format, or a malformed one, changes nothing and has no answers.
        """
        entry = decode(command)
        if entry is None:
            return []
        self._now_ms = max(self._now_ms, entry.time_ms)
        self._keyspace.expire(self._now_ms, EXPIRE_PER_ENTRY)
        self._sessions.forget_idle(self._now_ms)
        if entry.own is not None:
            self._ownership.take(entry.own.ranges, entry.own.epoch)
        applying = _Applying(index)
        replies = [self._once(applying, identity, operation) for identity, operation in entry.operations]
        if self._audience is not None and (changes := self._keyspace.take_changes()):
            self._audience.changed(index, changes)
        if self._observer is not None:
            if entry.verdict is not None:
                self._observer.verdict_reached(entry.verdict)
            if entry.checksum:
                self._observer.checksum_requested(index, entry.checksum)
        return replies

    def _once(self, applying: _Applying, identity: OperationId, operation: Operation) -> WriteReply:
        session = self._sessions.open(identity, self._now_ms)
        answer = session.answers.get(identity.sequence)
        if answer is not None:
            return answer.reply()
        if identity.sequence < session.floor:
            return WriteReply([_STALE_OPERATION] * _item_count(operation), 0)
        results = self._operate(applying, operation)
        if len(results) == 1 and results[0] is applying.ok:  # most writes: spare them objects of their own
            self._sessions.remember(session, identity.sequence, applying.answer)
            return applying.reply
        statuses = bytes([result.status for result in results])
        if statuses.count(Status.WRONG_GROUP) < len(statuses):
            self._sessions.remember(session, identity.sequence, Answer(applying.index, statuses))
        return WriteReply(results, applying.index)

    def _operate(self, applying: _Applying, operation: Operation) -> Results:
        if isinstance(operation, Put):
            return self._put(applying, operation.items)
        if isinstance(operation, Delete):
            return [self._delete(applying, key) for key in operation.keys]
        return [self._touch(applying, item) for item in operation.items]

    def _put(self, applying: _Applying, items: list[PutItem]) -> Results:
        index, ok, owned, put = applying.index, applying.ok, self._ownership.owned, self._keyspace.put
        results: Results = []
        for item in items:
            slot = slot_of(item.key)
            if owned[slot]:
                expires_ms = self._expires_ms(item.ttl_ms) if item.ttl_ms else NEVER
                put(slot, item.key, Record(item.value, item.content_type, index, expires_ms))
                results.append(ok)
            else:
                results.append(_WRONG_GROUP)
        return results

    def _delete(self, applying: _Applying, key: str) -> ItemResult:
        slot = slot_of(key)
        if not self._ownership.owned[slot]:
            return _WRONG_GROUP
        if self._visible(slot, key) is None:
            return _NOT_FOUND
        self._keyspace.remove(slot, key)
        return applying.ok

    def _touch(self, applying: _Applying, item: TouchItem) -> ItemResult:
        slot = slot_of(item.key)
        if not self._ownership.owned[slot]:
            return _WRONG_GROUP
        old = self._visible(slot, item.key)
        if old is None:
            return _NOT_FOUND
        record = Record(old.value, old.content_type, applying.index, self._expires_ms(item.ttl_ms))
        self._keyspace.put(slot, item.key, record)
        return applying.ok

    def _visible(self, slot: int, key: str) -> Record | None:
        record = self._keyspace.get(slot, key)
        return None if record is None or record.expired(self._now_ms) else record

    def _expires_ms(self, ttl_ms: int) -> int:
        """When a key expires that lives for `ttl_ms` from now; a length out of range counts as the nearest in it."""
        return NEVER if ttl_ms == NEVER else self._now_ms + min(max(ttl_ms, 1), LIMIT_TTL_MS) + GRAIN_MS

    # --- reads of the local state

    @property
    def now_ms(self) -> int:
        """Cluster time of the last entry."""
        return self._now_ms

    @property
    def keys(self) -> int:
        """How many keys there are, due ones that wait for their removal included."""
        return self._keyspace.keys

    @property
    def size_bytes(self) -> int:
        """Bytes of all keys and values."""
        return self._keyspace.size_bytes

    @property
    def epoch(self) -> int:
        """Map epoch of the ownership in force; 0 before the first."""
        return self._ownership.epoch

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The owned slots as sorted ranges, both ends included."""
        return self._ownership.ranges()

    def owns(self, key: str) -> bool:
        """Whether the key's slot belongs to this group."""
        return bool(self._ownership.owned[slot_of(key)])

    def get(self, key: str) -> Record | None:
        """The record of an owned key that has not expired at the time of the last entry."""
        slot = slot_of(key)
        return self._visible(slot, key) if self._ownership.owned[slot] else None

    def next_expiry_ms(self) -> int:
        """A cluster time before which no key is due, mostly the exact one; NEVER when no key expires."""
        return self._keyspace.next_expiry_ms()

    def page(self, prefix: str, after: str, limit: int, now_ms: int, *, with_values: bool) -> Page:
        """Owned keys with a prefix in order, strictly after `after`, as they are at `now_ms` (at least `self.now_ms`).

        At most `limit` and 1,000 entries and 4 MiB (one entry at least).
        """
        return take_page(self._listed(prefix, after), limit, now_ms, with_values=with_values)

    def _listed(self, prefix: str, after: str) -> Iterator[tuple[str, Record | None]]:
        """Names with the prefix in order, each with its record if it is owned and visible now."""
        inclusive = after < prefix
        for key in self._keyspace.names_after(prefix if inclusive else after, inclusive=inclusive):
            if not key.startswith(prefix):
                return
            yield key, self.get(key)

    def begin_hash(self) -> StateHash:
        """A hash of the state as of this call, to be taken piece by piece; entries may be applied meanwhile."""
        return StateHash((self._now_ms, self.epoch, self.ranges), self._sessions, self._keyspace)

    def checksum(self) -> int:
        """The same hash, all at once: about 1 µs a key."""
        return self.begin_hash().finish()

    # --- snapshots

    def snapshot(self) -> Iterator[bytes]:
        """The state as of this call, as chunks of at most 256 KiB; entries may be applied while they are drawn."""
        header = Header(SNAPSHOT_FORMAT, self._now_ms, self.epoch, self.ranges)
        return draw(header, self._sessions, self._keyspace)

    def restore(self) -> Restorer:
        """Begin to replace the state by a snapshot; the present state serves until the restorer's `finish`."""
        return Restorer(self._replace)

    def _replace(self, restored: Restored) -> None:
        self._now_ms = restored.now_ms
        self._ownership = restored.ownership
        self._sessions = restored.sessions
        self._keyspace = restored.keyspace
        if self._audience is not None:
            self._keyspace.note_changes()
            self._audience.restored()
        if self._observer is not None:
            self._observer.restored()


def _item_count(operation: Operation) -> int:
    items: Sequence[object] = operation.keys if isinstance(operation, Delete) else operation.items
    return len(items)
