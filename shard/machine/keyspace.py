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
from shard.machine.record import Record, Stored, all_packed, pack, unpack, value_bytes, weigh
from wire.messages import NEVER, ChangeKind

GRAIN_MS = 1
"""Cluster time is cut to whole milliseconds: a key lives so much longer by it, so that it never goes early by the clock."""


_PUT, _DELETE, _EXPIRED = ChangeKind.PUT, ChangeKind.DELETE, ChangeKind.EXPIRED


class Change(msgspec.Struct, frozen=True, gc=False):
    """A key that was seen to change: `stored` is its new record, None when it is gone."""

    kind: ChangeKind
    key: str
    stored: Stored | None

    @property
    def record(self) -> Record | None:
        """The new record."""
        return None if self.stored is None else unpack(self.stored)


Slots = dict[int, dict[str, Stored]]


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

    def take(self, slot: int) -> dict[str, Stored]:
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
        stored = records.get(key) if records else None
        return None if stored is None else unpack(stored)

    def put(self, slot: int, key: str, record: Record) -> None:
        """Set a key."""
        if record.fence:
            self.has_fences = True
        self.put_stored(slot, key, pack(record))

    def put_stored(self, slot: int, key: str, stored: Stored) -> None:
        """Set a key to a record without a fence, as it is kept."""
        for capture in self._captures:
            capture.before_change(slot)
        records = self._slots.get(slot)
        if records is None:
            records = self._slots[slot] = {}
        old = records.get(key)
        records[key] = stored
        if old.__class__ is bytes and stored.__class__ is bytes:  # nearly always, in fewer steps than isinstance takes
            self.size_bytes += len(stored) - len(old)
        else:
            self._account(key, old, stored)
        if self._changes is not None:
            if key >= FIRST_PLAIN:
                self._changes.append(Change(_PUT, key, stored))
            else:
                self._note(_PUT, key, stored)

    def _account(self, key: str, old: Stored | None, stored: Stored) -> None:
        """The key was set, from `old`."""
        size_bytes, expires_ms = weigh(stored)
        if old is None:
            self._names.add(key)
            self.keys += 1
            self._count_kept(key, 1)
            self.size_bytes += key_bytes(key) + size_bytes
            if expires_ms:
                self._expiry.replace(key, NEVER, expires_ms)
            return
        old_bytes, old_expires_ms = weigh(old)
        self.size_bytes += size_bytes - old_bytes
        if old_expires_ms or expires_ms:
            self._expiry.replace(key, old_expires_ms, expires_ms)
            if NEVER != old_expires_ms <= self._now_ms:
                self._note(_EXPIRED, key, None)

    def remove(self, slot: int, key: str) -> None:
        """Remove a key that is there."""
        _, expires_ms = weigh(self._take_out(slot, key))
        self._expiry.replace(key, expires_ms, NEVER)
        self._note(_DELETE, key, None)

    def expire(self, now_ms: int, limit: int) -> list[tuple[str, Stored]]:
        """Remove keys that are due at `now_ms`, the earliest first, at most `limit`; what was removed."""
        self._now_ms = now_ms
        due = [(key, self._take_out(slot_of_name(key), key)) for key in self._expiry.take_due(now_ms, limit)]
        for key, _ in due:
            self._note(_EXPIRED, key, None)
        return due

    def _note(self, kind: ChangeKind, name: str, stored: Stored | None) -> None:
        """Keep a change of a client's key; the group's own records are nobody else's business."""
        if self._changes is None:
            return
        key = key_of(name)
        if key is not None:
            self._changes.append(Change(kind, key, stored))

    def _count_kept(self, name: str, change: int) -> None:
        if name < FIRST_PLAIN and (kind := kind_of(name)):
            self.kept[kind] = self.kept.get(kind, 0) + change

    def next_expiry_ms(self) -> int:
        """A cluster time before which no key expires, mostly the exact one; NEVER when none expires."""
        return self._expiry.next_ms()

    def names_after(self, key: str, *, inclusive: bool) -> Iterator[str]:
        """The keys after `key` in order, expired ones that were not removed yet included."""
        return self._names.after(key, inclusive=inclusive)

    def fill(self, slot: int, records: dict[str, Stored]) -> None:
        """Add the records of a slot, or a further part of them, from a snapshot; the dict becomes the keyspace's own."""
        there = self._slots.get(slot)
        if there is None:
            self._slots[slot] = records
        else:
            there.update(records)
        names, values = list(records), records.values()
        self.keys += len(names)
        self.size_bytes += key_bytes("".join(names)) + value_bytes(values)
        self._names.add_all(names)
        if min(names, default=FIRST_PLAIN) < FIRST_PLAIN:
            for name in names:
                self._count_kept(name, 1)
        if not all_packed(values):
            self._fill_others(records)

    def _fill_others(self, records: dict[str, Stored]) -> None:
        for name, record in records.items():
            if isinstance(record, Record):
                self._expiry.replace(name, NEVER, record.expires_ms)
                self.has_fences = self.has_fences or record.fence > 0

    def begin_capture(self) -> Capture:
        """Take a picture of all slots as they are now, beside any other that is in force."""
        capture = Capture(self._slots)
        self._captures += (capture,)
        return capture

    def end_capture(self, capture: Capture) -> None:
        """Slots may change again without being copied for this capture."""
        self._captures = tuple(other for other in self._captures if other is not capture)

    def _take_out(self, slot: int, key: str) -> Stored:
        for capture in self._captures:
            capture.before_change(slot)
        records = self._slots[slot]
        stored = records.pop(key)
        if not records:
            del self._slots[slot]
        self._names.remove(key)
        self.keys -= 1
        self._count_kept(key, -1)
        self.size_bytes -= key_bytes(key) + weigh(stored)[0]
        return stored


def key_bytes(key: str) -> int:
    """Length of a key in UTF-8."""
    return len(key) if key.isascii() else len(key.encode())
