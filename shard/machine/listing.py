"""A page of keys in order."""

from collections.abc import Iterator

import msgspec

from shard.machine.keyspace import GRAIN_MS, key_bytes
from shard.machine.record import Record
from wire.messages import LIMIT_LIST_BYTES, LIMIT_LIST_ITEMS, NEVER, ListEntry

_SKIP_PER_PAGE = 20_000  # names without a visible key behind them that one page passes over
_ENTRY_BYTES = 48  # of a listed key, beside key, content type and value


class Page(msgspec.Struct, frozen=True, gc=False):
    """A page of a listing.

    Attributes:
        entries: in key order.
        more: there may be further keys, all of them after the last entry.
        due: a key was left out because it is due at the reader's time, which no entry has brought yet.
        overrun: too many removed keys stood in the way; without entries there is nothing to continue from.
    """

    entries: list[ListEntry]
    more: bool
    due: bool
    overrun: bool


def take_page(
    listed: Iterator[tuple[str, Record | None]], limit: int, now_ms: int, *, with_values: bool, bytes_max: int = 0
) -> Page:
    """The first page of `listed`: names in order, each with its record unless that is not to be seen."""
    entries: list[ListEntry] = []
    room = min(bytes_max, LIMIT_LIST_BYTES) if bytes_max > 0 else LIMIT_LIST_BYTES
    limit = min(limit, LIMIT_LIST_ITEMS)
    skipped = 0
    due = False
    for key, record in listed:
        if record is None or record.expired(now_ms):
            due = due or record is not None
            skipped += 1
            if skipped > _SKIP_PER_PAGE:
                return Page(entries, more=True, due=due, overrun=True)
            continue
        room -= key_bytes(key) + len(record.content_type) + _ENTRY_BYTES + len(record.value) * with_values
        if len(entries) >= limit or (room < 0 and entries):
            return Page(entries, more=True, due=due, overrun=False)
        value = record.value if with_values else b""
        entries.append(ListEntry(key, record.revision, remaining_ms(record, now_ms), record.content_type, value))
    return Page(entries, more=False, due=due, overrun=False)


def remaining_ms(record: Record, now_ms: int) -> int:
    """Time to live of a visible key, at least 1; NEVER when it does not expire."""
    return max(record.expires_ms - GRAIN_MS - now_ms, 1) if record.expires_ms else NEVER
