"""The state machine of a group that owns every slot for good, with its records in one dict instead of one a slot.

It means what `Machine` means, entry for entry, and its snapshots and hashes are the same bytes (tests/embedded compares them). A node keeps
records by slot because slots move, and because a snapshot must not hold its event loop; here neither is so. Two look-ups in tables that
no cache holds are most of what a put and a get take, so one dict makes them two to three times as fast. The picture for a snapshot
is a copy of that dict.
"""

from collections.abc import Mapping

from shard.machine import Machine, Record
from shard.machine.keyspace import Capture, Keyspace, key_bytes
from shard.machine.machine import OneAnswer
from shard.machine.names import FIRST_PLAIN, slot_of_name
from wire.messages import NEVER, ItemResult, PutItem
from wire.slots import SLOT_COUNT


class FlatCapture(Capture):
    """A picture of all records, put in order by slot when it is drawn; changes after it do not concern it."""

    def __init__(self, flat: dict[str, Record]) -> None:
        super().__init__({})
        self._flat = flat.copy()

    @property
    def order(self) -> list[int]:
        """The slots."""
        for name, record in self._flat.items():
            self._copies.setdefault(slot_of_name(name), {})[name] = record
        self._flat = {}
        return sorted(self._copies)

    @order.setter
    def order(self, _: list[int]) -> None:
        """Those of no records, as the base class finds them."""


class FlatKeyspace(Keyspace):
    """A keyspace whose slots are all the same dict.

    Attributes:
        flat: that dict: all records by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flat: dict[str, Record] = {}
        self._slots = dict.fromkeys(range(SLOT_COUNT), self.flat)

    def begin_capture(self) -> Capture:
        """See Keyspace; nothing has to be told of changes."""
        return FlatCapture(self.flat)

    def _take_out(self, slot: int, key: str) -> Record:
        record = super()._take_out(slot, key)
        self._slots[slot] = self.flat  # the base class has no use for an empty one
        return record

    def put_plain(self, items: list[PutItem], index: int) -> None:
        """Set keys that are not conditional, never expire and begin with no NUL: what a store is busy with."""
        flat, add, grown = self.flat, self._names.add, 0
        for item in items:
            name, value = item.key, item.value
            old = flat.get(name)
            if old is None:
                add(name)
                self.keys += 1
                grown += key_bytes(name) + len(value)
                flat[name] = Record(value, item.content_type, index, NEVER)
            elif old.expires_ms:
                self.put(0, name, Record(value, item.content_type, index, NEVER))
            else:
                grown += len(value) - len(old.value)
                flat[name] = Record(value, item.content_type, index, NEVER)
        self.size_bytes += grown


class SoleMachine(Machine):
    """See the module."""

    keyspace_kind = FlatKeyspace

    @property
    def flat(self) -> Mapping[str, Record]:
        """All records by name, due ones included; to be read only."""
        keyspace = self._keyspace
        assert isinstance(keyspace, FlatKeyspace)  # noqa: S101 - it is of that kind
        return keyspace.flat

    def _put(self, ok: OneAnswer, items: list[PutItem]) -> list[ItemResult]:
        keyspace = self._keyspace
        if keyspace.has_fences or keyspace.notes_changes or not isinstance(keyspace, FlatKeyspace):
            return super()._put(ok, items)
        if any(item.condition is not None or item.ttl_ms or item.key < FIRST_PLAIN for item in items):
            return super()._put(ok, items)
        keyspace.put_plain(items, ok.result.revision)
        return [ok.result] * len(items)
