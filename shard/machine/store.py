"""Keys as operations see them: only what is owned and has not expired, changed at once or in a draft.

Operations are written against `View`. A `Draft` lies over a store: what is changed in it shows only in it until it is
committed, so that a transaction whose last step is refused leaves nothing behind.
"""

from typing import Protocol

from shard.machine.keyspace import GRAIN_MS, Keyspace
from shard.machine.names import name_of, slot_of_name
from shard.machine.ownership import Ownership
from shard.machine.record import Record
from wire.messages import LIMIT_TTL_MS, NEVER
from wire.slots import slot_of


class View(Protocol):
    """What an operation may do. `index` is the revision that its changes get, `now_ms` cluster time."""

    index: int
    now_ms: int

    def owns(self, key: str) -> bool:
        """Whether the key's slot belongs to this group."""

    def get(self, key: str) -> Record | None:
        """The record of a key that is visible now."""

    def put(self, key: str, record: Record) -> None:
        """Set a key."""

    def remove(self, key: str) -> None:
        """Remove a key that is visible."""


def expires_ms(view: View, ttl_ms: int) -> int:
    """When a key expires that lives for `ttl_ms` from now; a length out of range counts as the nearest in it."""
    return NEVER if ttl_ms == NEVER else view.now_ms + min(max(ttl_ms, 1), LIMIT_TTL_MS) + GRAIN_MS


class Store:
    """The keyspace itself. Implements `View`; the methods that end in `_kept` are for the group's own records (see names.py)."""

    def __init__(self, keyspace: Keyspace, ownership: Ownership, now_ms: int) -> None:
        self.index = 0
        self.now_ms = now_ms
        self._keyspace = keyspace
        self._ownership = ownership

    def owns(self, key: str) -> bool:
        """See View."""
        return bool(self._ownership.owned[slot_of(key)])

    def get(self, key: str) -> Record | None:
        """See View."""
        record = self._keyspace.get(slot_of(key), name_of(key))
        return None if record is None or record.expired(self.now_ms) else record

    def put(self, key: str, record: Record) -> None:
        """See View."""
        self._keyspace.put(slot_of(key), name_of(key), record)

    def remove(self, key: str) -> None:
        """See View."""
        self._keyspace.remove(slot_of(key), name_of(key))

    def get_kept(self, name: str) -> Record | None:
        """A record of the group's own, one whose time is up but which was not removed yet included."""
        return self._keyspace.get(slot_of_name(name), name)

    def put_kept(self, name: str, value: bytes, due_ms: int) -> Record:
        """Set a record of the group's own."""
        record = Record(value, "", self.index, due_ms)
        self._keyspace.put(slot_of_name(name), name, record)
        return record

    def remove_kept(self, name: str) -> None:
        """Remove a record of the group's own that is there."""
        self._keyspace.remove(slot_of_name(name), name)


class Draft:
    """Changes over another view, to be committed or dropped. Implements `View`."""

    def __init__(self, below: View) -> None:
        self.index = below.index
        self.now_ms = below.now_ms
        self._below = below
        self._changed: dict[str, Record | None] = {}

    def owns(self, key: str) -> bool:
        """See View."""
        return self._below.owns(key)

    def get(self, key: str) -> Record | None:
        """See View."""
        return self._changed[key] if key in self._changed else self._below.get(key)

    def put(self, key: str, record: Record) -> None:
        """See View."""
        self._changed[key] = record

    def remove(self, key: str) -> None:
        """See View."""
        self._changed[key] = None

    def commit(self) -> None:
        """Make the changes in the view below."""
        for key, record in self._changed.items():
            if record is not None:
                self._below.put(key, record)
            elif self._below.get(key) is not None:
                self._below.remove(key)
