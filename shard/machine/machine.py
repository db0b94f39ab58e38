"""The state machine of a data group: deterministic, total, without a clock of its own.

`now` is cluster time: the greatest time that an entry brought. Every decision about expiry uses it. Each entry first
moves the time on, removes keys that are due (a bounded number; a due key that still waits for its removal is already
gone for every operation and read), then takes a change of ownership, then applies its operations in order. All
changes of an entry share one revision, the entry's log index.
"""

from collections.abc import Iterator
from typing import Protocol

from shard.machine.changes import take_step
from shard.machine.entry import Entry, Verdict, decode
from shard.machine.keyspace import Change, Keyspace
from shard.machine.listing import Page, take_page
from shard.machine.locks import Granted, Locks
from shard.machine.names import FIRST_PLAIN, NUL, key_of, name_of
from shard.machine.once import Once
from shard.machine.ownership import Ownership
from shard.machine.quotas import take_quota
from shard.machine.record import Record, revision_mark
from shard.machine.sessions import Answer, Sessions, answer_to
from shard.machine.snapshot import SNAPSHOT_FORMAT, Header, Restored, Restorer, draw
from shard.machine.state_hash import StateHash
from shard.machine.store import Store, expires_ms
from shard.machine.transactions import transact
from wire.messages import (
    Delete,
    Increment,
    ItemResult,
    Operation,
    OperationId,
    Put,
    PutItem,
    Status,
    TakeQuota,
    Touch,
    Transaction,
    WriteReply,
)
from wire.operations import keys_of
from wire.slots import slot_of

EXPIRE_PER_ENTRY = 1_000
_WRONG_GROUP = ItemResult(Status.WRONG_GROUP)
_STALE_OPERATION = ItemResult(Status.STALE_OPERATION)


class OneAnswer:
    """What most operations of one entry answer, made once."""

    __slots__ = ("answer", "mark", "reply", "result")

    def __init__(self, index: int) -> None:
        self.mark = revision_mark(index)
        self.result = ItemResult(Status.OK, index)
        self.answer = Answer(index, b"\0")
        self.reply = WriteReply([self.result], index)


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

    keyspace_kind: type[Keyspace] = Keyspace

    def __init__(self) -> None:
        self._observer: Observer | None = None
        self._audience: Audience | None = None
        self._granted: Granted = _tell_nobody
        self._set_up(0, self.keyspace_kind(), Sessions(), Ownership())

    def _set_up(self, now_ms: int, keyspace: Keyspace, sessions: Sessions, ownership: Ownership) -> None:
        self._keyspace = keyspace
        self._sessions = sessions
        self._ownership = ownership
        self._store = Store(keyspace, ownership, now_ms)
        self._locks = Locks(self._store, self._tell_granted)
        self._once = Once(self._store)

    def observe(self, observer: Observer) -> None:
        """Have `observer` told of what follows."""
        self._observer = observer

    def tell(self, audience: Audience) -> None:
        """Have `audience` told of every change that follows."""
        self._audience = audience
        self._keyspace.note_changes()

    def on_granted(self, granted: Granted) -> None:
        """Have `granted` told whenever somebody who has been waiting for a lock gets it."""
        self._granted = granted

    # --- commands

    def apply(self, index: int, term: int, command: bytes) -> list[WriteReply]:  # noqa: ARG002 - StateMachine's shape
        """Apply an entry and return one answer for each of its operations, in order.

        A command of an unknown format, or a malformed one, changes nothing and has no answers.
        """
        entry = decode(command)
        return [] if entry is None else self.apply_entry(index, entry)

    def apply_entry(self, index: int, entry: Entry) -> list[WriteReply]:
        """The same for an entry that need not be decoded; it must be equal to what `decode` makes of its command."""
        store = self._store
        store.index, store.now_ms = index, max(store.now_ms, entry.time_ms)
        for key, stored in self._keyspace.expire(store.now_ms, EXPIRE_PER_ENTRY):
            self._locks.expired(key, stored)
        self._sessions.forget_idle(store.now_ms)
        if entry.own is not None:
            self._ownership.take(entry.own.ranges, entry.own.epoch)
        ok = OneAnswer(index)
        replies = [self._apply_once(ok, identity, operation) for identity, operation in entry.operations]
        if self._audience is not None and (changes := self._keyspace.take_changes()):
            self._audience.changed(index, changes)
        if self._observer is not None:
            if entry.verdict is not None:
                self._observer.verdict_reached(entry.verdict)
            if entry.checksum:
                self._observer.checksum_requested(index, entry.checksum)
        return replies

    def _apply_once(self, ok: OneAnswer, identity: OperationId, operation: Operation) -> WriteReply:
        session = self._sessions.open(identity, self._store.now_ms)
        answer = session.answers.get(identity.sequence)
        if answer is not None:
            return answer.reply()
        if identity.sequence < session.floor:
            return WriteReply([_STALE_OPERATION] * len(keys_of(operation)), 0)
        if identity.key:
            answer = self._once.earlier(identity, operation)
        if answer is None:
            results = self._operate(ok, operation)
            if len(results) == 1 and results[0] is ok.result and not identity.key:  # most writes
                self._sessions.remember(session, identity.sequence, ok.answer)
                return ok.reply
            if results.count(ok.result) == len(results) and not identity.key:  # most bulk writes
                self._sessions.remember(session, identity.sequence, Answer(self._store.index, bytes(len(results))))
                return WriteReply(results, self._store.index)
            answer = answer_to(results, self._store.index)
            if all(result.status is Status.WRONG_GROUP for result in results):
                return answer.reply()
            self._once.remember(identity, operation, answer)
        self._sessions.remember(session, identity.sequence, answer)
        return answer.reply()

    def _operate(self, ok: OneAnswer, operation: Operation) -> list[ItemResult]:
        if isinstance(operation, Put):
            return self._put(ok, operation.items)
        if isinstance(operation, Delete | Touch | Increment):
            return take_step(self._store, operation)
        if isinstance(operation, Transaction):
            return transact(self._store, operation)
        return [
            take_quota(self._store, operation) if isinstance(operation, TakeQuota) else self._locks.operate(operation)
        ]

    def _put(self, ok: OneAnswer, items: list[PutItem]) -> list[ItemResult]:
        """What `changes.put` does, at half its cost: this is what a store is busy with."""
        store, keyspace, owned, done = self._store, self._keyspace, self._ownership.owned, ok.result
        put_stored, mark = keyspace.put_stored, ok.mark
        results: list[ItemResult] = []
        for item in items:
            key = item.key
            slot, name = slot_of(key), key if key >= FIRST_PLAIN else name_of(key)
            if item.condition is not None:
                results += take_step(store, Put([item]))
            elif owned[slot]:
                if item.ttl_ms or item.content_type or keyspace.has_fences:
                    fence = self._fence(slot, name) if keyspace.has_fences else 0
                    due_ms = expires_ms(store, item.ttl_ms)
                    keyspace.put(slot, name, Record(item.value, item.content_type, store.index, due_ms, fence))
                else:
                    put_stored(slot, name, item.value + mark)
                results.append(done)
            else:
                results.append(_WRONG_GROUP)
        return results

    def _fence(self, slot: int, name: str) -> int:
        """The fence that a key keeps when it is set without one."""
        old = self._keyspace.get(slot, name)
        return 0 if old is None or old.expired(self._store.now_ms) else old.fence

    def _tell_granted(self, name: str, owner: str) -> None:
        self._granted(name, owner)

    # --- reads of the local state

    @property
    def now_ms(self) -> int:
        """Cluster time of the last entry."""
        return self._store.now_ms

    @property
    def keys(self) -> int:
        """How many keys there are, due ones that wait for their removal included."""
        return self._keyspace.keys

    @property
    def size_bytes(self) -> int:
        """Bytes of all keys and values."""
        return self._keyspace.size_bytes

    @property
    def sessions(self) -> int:
        """How many sessions are remembered."""
        return len(self._sessions)

    def kept(self, kind: str) -> int:
        """How many of the keys are the group's own records of a kind (see names.py)."""
        return self._keyspace.kept.get(kind, 0)

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
        return self._store.owns(key)

    def get(self, key: str) -> Record | None:
        """The record of an owned key that has not expired at the time of the last entry."""
        slot = slot_of(key)
        if not self._ownership.owned[slot]:
            return None
        record = self._keyspace.get(slot, key if key >= FIRST_PLAIN else name_of(key))
        return None if record is None or record.expired(self._store.now_ms) else record

    def lock(self, name: str, owner: str, request: str = "") -> ItemResult:
        """How it stands with an owner that waits for a lock: see `Locks.look`."""
        return self._locks.look(name, owner, request)

    def next_expiry_ms(self) -> int:
        """A cluster time before which no key is due, mostly the exact one; NEVER when no key expires."""
        return self._keyspace.next_expiry_ms()

    def page(self, prefix: str, after: str, limit: int, now_ms: int, *, with_values: bool, bytes_max: int = 0) -> Page:
        """Owned keys with a prefix in order, strictly after `after`, as they are at `now_ms` (at least `self.now_ms`).

        At most `limit` and 1,000 entries and 4 MiB, or `bytes_max` if that is given and less (one entry at least).
        """
        listed = self._listed(prefix, after)
        return take_page(listed, limit, now_ms, with_values=with_values, bytes_max=bytes_max)

    def _listed(self, prefix: str, after: str) -> Iterator[tuple[str, Record | None]]:
        """Keys with the prefix in order, each with its record if it is owned and visible now."""
        if prefix[:1] in {"", NUL} and after[:1] in {
            "",
            NUL,
        }:  # their names sort before those of the group's own records
            yield from self._listed_names(NUL + (prefix or NUL), name_of(after))
        if prefix[:1] != NUL:
            yield from self._listed_names(prefix, after)

    def _listed_names(self, prefix: str, after: str) -> Iterator[tuple[str, Record | None]]:
        first = prefix or FIRST_PLAIN
        inclusive = after < first
        for name in self._keyspace.names_after(first if inclusive else after, inclusive=inclusive):
            if not name.startswith(prefix):
                return
            key = name if name >= FIRST_PLAIN else key_of(name)
            if key is not None:
                yield key, self.get(key)

    def begin_hash(self) -> StateHash:
        """A hash of the state as of this call, to be taken piece by piece; entries may be applied meanwhile."""
        return StateHash((self.now_ms, self.epoch, self.ranges), self._sessions, self._keyspace)

    def checksum(self) -> int:
        """The same hash, all at once: about 1 µs a key."""
        return self.begin_hash().finish()

    # --- snapshots

    def snapshot(self) -> Iterator[bytes]:
        """The state as of this call, as chunks of at most 256 KiB; entries may be applied while they are drawn."""
        header = Header(SNAPSHOT_FORMAT, self.now_ms, self.epoch, self.ranges)
        return draw(header, self._sessions, self._keyspace)

    def restore(self) -> Restorer:
        """Begin to replace the state by a snapshot; the present state serves until the restorer's `finish`."""
        return Restorer(self._replace, self.keyspace_kind)

    def clear(self) -> None:
        """Forget all keys and sessions, beside the log: for tests, where a replica is alone and its log is kept nowhere."""
        self._replace(Restored(Header(SNAPSHOT_FORMAT, self.now_ms, self.epoch, self.ranges), self.keyspace_kind()))

    def _replace(self, restored: Restored) -> None:
        self._set_up(restored.now_ms, restored.keyspace, restored.sessions, restored.ownership)
        if self._audience is not None:
            self._keyspace.note_changes()
            self._audience.restored()
        if self._observer is not None:
            self._observer.restored()


def _tell_nobody(name: str, owner: str) -> None:
    """Nobody asked."""
