"""The state machine of a group that owns every slot for good, with its records in one dict instead of one a slot.

It means what `Machine` means, entry for entry, and its snapshots and hashes are the same bytes (tests/embedded compares them). A node keeps
records by slot because slots move, and because a snapshot must not hold its event loop; here neither is so. Two look-ups in tables that
no cache holds are most of what a put and a get take, so one dict makes them two to three times as fast. The picture for a snapshot
is a copy of that dict.
"""

from collections.abc import Mapping
from typing import cast

from shard.machine import Machine, Record
from shard.machine.keyspace import Capture, Keyspace, key_bytes
from shard.machine.machine import OneAnswer
from shard.machine.names import NUL, slot_of_name
from shard.machine.ordered import LEAF_SIZE_MAX
from shard.machine.record import Stored, pack, unpack
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
            self._copies.setdefault(slot_of_name(name), {})[name] = pack(record)
        self._flat = {}
        return sorted(self._copies)

    @order.setter
    def order(self, _: list[int]) -> None:
        """Those of no records, as the base class finds them."""


class FlatKeyspace(Keyspace):
    """A keyspace whose slots are all the same dict, and whose records are never packed: a get takes them as they are.

    Attributes:
        flat: that dict: all records by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flat: dict[str, Record] = {}
        self._slots = dict.fromkeys(range(SLOT_COUNT), cast("dict[str, Stored]", self.flat))

    def put_stored(self, slot: int, key: str, stored: Stored) -> None:
        """See Keyspace."""
        super().put_stored(slot, key, unpack(stored))

    def fill(self, slot: int, records: dict[str, Stored]) -> None:
        """See Keyspace."""
        super().fill(slot, {name: unpack(stored) for name, stored in records.items()})

    def begin_capture(self) -> Capture:
        """See Keyspace; nothing has to be told of changes."""
        return FlatCapture(self.flat)

    def _take_out(self, slot: int, key: str) -> Stored:
        stored = super()._take_out(slot, key)
        self._slots[slot] = cast("dict[str, Stored]", self.flat)  # the base class has no use for an empty one
        return stored

    def put_plain(self, items: list[PutItem], index: int) -> bool:
        """Set keys without conditions that never expire, which is what a store is busy with: a few steps for all of them.

        Returns:
            Whether that was done. If not, nothing was: an item wants a closer look.
        """
        grown = 0
        for item in items:
            if item.condition is not None or item.ttl_ms:
                return False
            grown += len(item.value)
        records = {item.key: Record(item.value, item.content_type, index, NEVER) for item in items}
        flat = self.flat
        olds = [old for old in map(flat.get, records) if old is not None]
        if len(records) != len(items) or NUL in "".join(records):
            return False
        for old in olds:
            if old.expires_ms:
                return False
            grown -= len(old.value)
        if len(olds) < len(records):
            new = [name for name in records if name not in flat]
            self._names.add_all(new)
            self.keys += len(new)
            grown += key_bytes("".join(new))
        self.size_bytes += grown
        flat.update(records)
        return True


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
        if len(items) > LEAF_SIZE_MAX or not keyspace.put_plain(items, ok.result.revision):
            return super()._put(ok, items)
        return [ok.result] * len(items)
