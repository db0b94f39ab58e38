"""What one log entry of a data group holds, and how it is written.

An entry is one byte of format and a msgpack array. The byte lets a later release write entries in another shape
while an older one still runs: a replica that does not know the format, or finds the body malformed, changes nothing,
as does every other replica of its release. A leader therefore writes a new format only when all members know it.
"""

from typing import Annotated

import msgspec

from wire.messages import Operation, OperationId
from wire.slots import SLOT_COUNT

ENTRY_FORMAT = 2
_TIME_MS_MAX = 1 << 62

Slot = Annotated[int, msgspec.Meta(ge=0, lt=SLOT_COUNT)]
ClusterTime = Annotated[int, msgspec.Meta(ge=0, le=_TIME_MS_MAX)]
Epoch = Annotated[int, msgspec.Meta(ge=0, le=_TIME_MS_MAX)]


class Own(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The group owns exactly these slots from now on; without effect unless `epoch` is over the last one taken.

    Attributes:
        ranges: pairs of first and last slot, both included.
        epoch: of the cluster map that assigned them.
    """

    ranges: list[tuple[Slot, Slot]]
    epoch: Epoch


class Verdict(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What replicas found as the hash of their state at `index`, by node; those that could not tell are not in it.

    Part of an entry, so that all replicas judge by the same figures, also when they read the log again.
    """

    index: int
    hashes: list[tuple[str, int]]


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Operations that are applied together, in order, at one revision.

    The last two fields change nothing in the state. A release that does not know them ignores them, and an entry
    without them is whole, so they need no format of their own.

    Attributes:
        time_ms: cluster time as the leader stamped it.
        operations: each with the id that makes a retry of it harmless.
        own: a change of ownership, in force before the operations.
        checksum: the version of the hash that every replica shall take of its state after this entry; 0: none.
        verdict: what came of an earlier request.
    """

    time_ms: ClusterTime
    operations: list[tuple[OperationId, Operation]] = msgspec.field(default_factory=list)
    own: Own | None = None
    checksum: int = 0
    verdict: Verdict | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)
_PREFIX = bytes([ENTRY_FORMAT])


def encode(entry: Entry) -> bytes:
    """The entry as a command for the log."""
    return _PREFIX + _encoder.encode(entry)


def decode(command: bytes) -> Entry | None:
    """The entry of a command; None when its format is unknown or its body malformed.

    How deep unknown fields may nest is the interpreter's to say. That makes no two replicas differ, as a leader writes what it
    has decoded itself, without them.
    """
    if not command.startswith(_PREFIX):
        return None
    try:
        return _decoder.decode(memoryview(command)[1:])
    except (ValueError, RecursionError):  # msgspec's own errors, text that is not UTF-8, unknown fields nested too deep
        return None
