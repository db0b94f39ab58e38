"""The state of one key, and how it is kept.

Most records are a JSON value that never expires. They are kept as one bytes object, the value and behind it the revision in
`REVISION_BYTES`, because two objects more would take as much memory again as the value, for each of millions of keys. Every other
record is kept as a `Record`. Which of the two it is follows from the record alone, so that snapshots and hashes of the same state are
the same.
"""

import struct
from collections.abc import Collection
from typing import TypeAlias

import msgspec

from wire.messages import NEVER

_MARK = struct.Struct("<Q")
REVISION_BYTES = _MARK.size


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


Stored: TypeAlias = Record | bytes
"""A record as it is kept; a bytes object is one that `is_plain`, packed."""


def revision_mark(revision: int) -> bytes:
    """What is kept behind the value of a plain record; `revision` is one of raft's indexes, `0 <= revision < 2**64`."""
    return _MARK.pack(revision)


def is_plain(record: Record) -> bool:
    """Whether the value and the revision are all there is."""
    return not (record.expires_ms or record.fence or record.content_type)


def pack(record: Record) -> Stored:
    """The record as it is kept."""
    return record.value + _MARK.pack(record.revision) if is_plain(record) else record


def unpack(stored: Stored) -> Record:
    """The record that is kept so."""
    if isinstance(stored, Record):
        return stored
    return Record(stored[:-REVISION_BYTES], "", _MARK.unpack_from(stored, -REVISION_BYTES)[0], NEVER)


def weigh(stored: Stored) -> tuple[int, int]:
    """Bytes of the value, and when the key expires."""
    return (
        (len(stored.value), stored.expires_ms) if isinstance(stored, Record) else (len(stored) - REVISION_BYTES, NEVER)
    )


def all_packed(stored: Collection[Stored]) -> bool:
    """Whether each is a plain record."""
    return Record not in set(map(type, stored))


def value_bytes(stored: Collection[Stored]) -> int:
    """Bytes of all the values; fast when they are packed."""
    if all_packed(stored):
        return sum(map(len, stored)) - REVISION_BYTES * len(stored)  # type: ignore[arg-type] # none is a Record
    return sum([len(one.value) if isinstance(one, Record) else len(one) - REVISION_BYTES for one in stored])
