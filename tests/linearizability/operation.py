"""What a client did and was told, and the file that keeps it."""

import enum
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

Scalar = str | int | None
Answer = bool | str | int | None


class Kind(enum.Enum):
    """What an operation does to its key."""

    PUT = "put"
    GET = "get"
    DELETE = "delete"
    TOUCH = "touch"
    CAS = "cas"
    INCREMENT = "increment"


class Operation(msgspec.Struct, frozen=True, gc=False):
    """One operation on one key, as its client saw it.

    Recorded are operations that took effect or may have: one that was refused for certain is left out, and what it would
    have written then counts as never written. A get without an answer says nothing and is passed over.

    Attributes:
        client: who called; only the drawing looks at it.
        key: what it was called for.
        kind: what was asked.
        argument: the value put, what to add for an increment, `(expected, new)` for a compare-and-set, where None stands for
            "absent"; else None.
        ttl_s: the time to live that was sent. A put or compare-and-set without one clears it, an increment with one
            sets it only when it creates the key.
        result: what was answered. get: the value, None when absent. delete, touch: whether the key was there. cas: whether
            it matched. increment: the new value. None, except for get: not told.
        called_ns: when the request was sent.
        returned_ns: when the answer was there, on the same clock; None: the outcome is unknown, and the operation may take
            effect at any time after the call, or never.
        revision: the one that the operation gave the key, or that a get found; None when not told.
    """

    client: int
    key: str
    kind: Kind
    called_ns: int
    returned_ns: int | None
    argument: Scalar | tuple[Scalar, Scalar] = None
    ttl_s: int | None = None
    result: Answer = None
    revision: int | None = None

    @property
    def own_revision(self) -> int:
        """The revision of what it surely wrote or found; 0 when there is none or none was told."""
        if self.returned_ns is None or self.revision is None:
            return 0
        if self.kind is Kind.PUT or self.kind is Kind.INCREMENT:
            return self.revision
        wrote_or_found = self.result is not None if self.kind is Kind.GET else self.result is True
        return self.revision if wrote_or_found else 0


def lifetime_ns(ttl_s: int) -> int:
    """How long a key with this time to live must be there, counted from the instant at which it was given."""
    return ttl_s * 1_000_000_000


def save(operations: Iterable[Operation], path: Path) -> None:
    """Write a history as JSON lines."""
    with path.open("wb") as file:
        for operation in operations:
            file.write(msgspec.json.encode(operation) + b"\n")


def load(path: Path) -> Iterator[Operation]:
    """Read a history that `save` wrote; `msgspec.ValidationError` when it is none."""
    decoder = msgspec.json.Decoder(Operation)
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield decoder.decode(line)
