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

    def put_plain(self, item: PutItem, index: int) -> None:
        """Set a key that is not conditional and never expires: what a store is busy with, in as few steps as can be."""
        name, value = item.key, item.value
        flat = self.flat
        old = flat.get(name)
        if old is None:
            flat[name] = Record(value, item.content_type, index, NEVER)
            self._names.add(name)
            self.keys += 1
            self.size_bytes += key_bytes(name) + len(value)
        elif old.expires_ms:
            self.put(0, name, Record(value, item.content_type, index, NEVER))
        else:
            flat[name] = Record(value, item.content_type, index, NEVER)
            self.size_bytes += len(value) - len(old.value)


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
        put_plain, index, done = keyspace.put_plain, ok.result.revision, ok.result
        results: list[ItemResult] = []
        for item in items:
            if item.condition is None and not item.ttl_ms and item.key >= FIRST_PLAIN:
                put_plain(item, index)
                results.append(done)
            else:
                results += super()._put(ok, [item])
        return results
