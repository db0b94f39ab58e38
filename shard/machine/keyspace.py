"""The keys of a group: records by slot, the order of their names, and when they expire.

Invariants: every record is in the dict of its key's slot, its key in `names`, and in the expiry queue when it has a
time to live. A record is never changed, only replaced, so a shallow copy of a slot's dict is a picture of the slot:
that is what copy on write by slot rests on. Every `Capture` in force is told of every slot about to change.
"""

from collections.abc import Iterator

import msgspec

from shard.machine.expiry import ExpiryQueue
from shard.machine.names import FIRST_PLAIN, key_of, kind_of, slot_of_name
from shard.machine.ordered import OrderedKeys
from wire.messages import NEVER, ChangeKind

GRAIN_MS = 1
"""Cluster time is cut to whole milliseconds: a key lives so much longer by it, so that it never goes early by the clock."""


_PUT, _DELETE, _EXPIRED = ChangeKind.PUT, ChangeKind.DELETE, ChangeKind.EXPIRED


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state of one key. `expires_ms` is cluster time (NEVER: it does not expire), `fence` the greatest used on it."""

    value: bytes
    content_type: str
    revision: int
    expires_ms: int
    fence: int = 0

    def expired(self, now_ms: int) -> bool:
        """Whether the key is gone at this cluster time."""
        return self.expires_ms != NEVER and self.expires_ms <= now_ms


class Change(msgspec.Struct, frozen=True, gc=False):
    """A key that was seen to change: `record` is its new one, None when it is gone."""

    kind: ChangeKind
    key: str
    record: Record | None


Slots = dict[int, dict[str, Record]]


class Capture:
    """The slots of a keyspace as they were, while it goes on changing: copy on write, slot by slot."""

    def __init__(self, slots: Slots) -> None:
        self._live = slots
        self._untouched = set(slots)
        self._copies: Slots = {}
        self.order = sorted(slots)

    def before_change(self, slot: int) -> None:
        """Keep a picture of the slot, unless it was taken or needs none."""
        if slot in self._untouched:
            self._untouched.remove(slot)
            self._copies[slot] = self._live[slot].copy()

    def take(self, slot: int) -> dict[str, Record]:
        """The slot as it was when the capture began, once; the caller's own to keep over loop turns."""
        self.before_change(slot)
        return self._copies.pop(slot)


class Keyspace:
    """All records of a group."""

    def __init__(self) -> None:
        self.keys = 0
        self.size_bytes = 0  # of keys and values
        self.has_fences = False  # a record was ever put with a fence
        self.kept: dict[str, int] = {}  # how many of the keys are the group's own records, by their kind
        self._slots: Slots = {}
        self._names: OrderedKeys[str] = OrderedKeys()
        self._expiry = ExpiryQueue()
        self._captures: tuple[Capture, ...] = ()
        self._changes: list[Change] | None = None
        self._now_ms = 0  # as `expire` was told

    @property
    def notes_changes(self) -> bool:
        """Whether changes are kept for `take_changes`."""
        return self._changes is not None

    def note_changes(self) -> None:
        """From now on keep what changes for `take_changes`."""
        self._changes = []

    def take_changes(self) -> list[Change]:
        """What changed since the last call, in order. A due key is seen to expire before another takes its name."""
        changes = self._changes
        if not changes:
            return []
        self._changes = []
        return changes

    def get(self, slot: int, key: str) -> Record | None:
        """The record of a key, expired ones that were not removed yet included."""
        records = self._slots.get(slot)
        return records.get(key) if records else None

    def put(self, slot: int, key: str, record: Record) -> None:
        """Set a key."""
        for capture in self._captures:
            capture.before_change(slot)
        records = self._slots.get(slot)
        if records is None:
            records = self._slots[slot] = {}
        old = records.get(key)
        records[key] = record
        if record.fence:
            self.has_fences = True
        if old is None:
            self._names.add(key)
            self.keys += 1
            self._count_kept(key, 1)
            self.size_bytes += key_bytes(key) + len(record.value)
            if record.expires_ms:
                self._expiry.replace(key, NEVER, record.expires_ms)
        else:
            self.size_bytes += len(record.value) - len(old.value)
            if old.expires_ms or record.expires_ms:
                self._expiry.replace(key, old.expires_ms, record.expires_ms)
                if old.expired(self._now_ms):
                    self._note(_EXPIRED, key, None)
        self._note(_PUT, key, record)

    def remove(self, slot: int, key: str) -> None:
        """Remove a key that is there."""
        record = self._take_out(slot, key)
        self._expiry.replace(key, record.expires_ms, NEVER)
        self._note(_DELETE, key, None)

    def expire(self, now_ms: int, limit: int) -> list[tuple[str, Record]]:
        """Remove keys that are due at `now_ms`, the earliest first, at most `limit`; what was removed."""
        self._now_ms = now_ms
        due = [(key, self._take_out(slot_of_name(key), key)) for key in self._expiry.take_due(now_ms, limit)]
        for key, _ in due:
            self._note(_EXPIRED, key, None)
        return due

    def _note(self, kind: ChangeKind, name: str, record: Record | None) -> None:
        """Keep a change of a client's key; the group's own records are nobody else's business."""
        if self._changes is not None and (key := key_of(name)) is not None:
            self._changes.append(Change(kind, key, record))

    def _count_kept(self, name: str, change: int) -> None:
        if kind := kind_of(name):
            self.kept[kind] = self.kept.get(kind, 0) + change

    def next_expiry_ms(self) -> int:
        """A cluster time before which no key expires, mostly the exact one; NEVER when none expires."""
        return self._expiry.next_ms()

    def names_after(self, key: str, *, inclusive: bool) -> Iterator[str]:
        """The keys after `key` in order, expired ones that were not removed yet included."""
        return self._names.after(key, inclusive=inclusive)

    def fill(self, slot: int, records: dict[str, Record]) -> None:
        """Add the records of a slot, or a further part of them, from a snapshot."""
        self._slots.setdefault(slot, {}).update(records)
        self.keys += len(records)
        add, size_bytes = self._names.add, 0
        for key, record in records.items():  # what a start with many keys is busy with
            add(key)
            size_bytes += key_bytes(key) + len(record.value)
            if record.expires_ms:
                self._expiry.replace(key, NEVER, record.expires_ms)
            if record.fence:
                self.has_fences = True
            if key < FIRST_PLAIN:
                self._count_kept(key, 1)
        self.size_bytes += size_bytes

    def begin_capture(self) -> Capture:
        """Take a picture of all slots as they are now, beside any other that is in force."""
        capture = Capture(self._slots)
        self._captures += (capture,)
        return capture

    def end_capture(self, capture: Capture) -> None:
        """Slots may change again without being copied for this capture."""
        self._captures = tuple(other for other in self._captures if other is not capture)

    def _take_out(self, slot: int, key: str) -> Record:
        for capture in self._captures:
            capture.before_change(slot)
        records = self._slots[slot]
        record = records.pop(key)
        if not records:
            del self._slots[slot]
        self._names.remove(key)
        self.keys -= 1
        self._count_kept(key, -1)
        self.size_bytes -= key_bytes(key) + len(record.value)
        return record


def key_bytes(key: str) -> int:
    """Length of a key in UTF-8."""
    return len(key) if key.isascii() else len(key.encode())
