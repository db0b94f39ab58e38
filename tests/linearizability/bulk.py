"""Bulk requests: every item is an operation of its own, which may take effect at any time while the request is open."""

from collections.abc import Iterable, Iterator

import msgspec

from tests.linearizability.operation import Answer, Kind, Operation, Scalar


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item of a bulk request, and what was answered for it.

    Attributes:
        key: which key.
        argument: as in `Operation`.
        ttl_s: as in `Operation`.
        result: as in `Operation`.
        unknown: whether this item's outcome is.
    """

    key: str
    argument: Scalar | tuple[Scalar, Scalar] = None
    ttl_s: int | None = None
    result: Answer = None
    unknown: bool = False


def each_item(
    client: int, kind: Kind, items: Iterable[Item], called_ns: int, returned_ns: int | None
) -> Iterator[Operation]:
    """The operations that a bulk request stands for; items that were refused for certain are not among `items`."""
    for item in items:
        returned = None if item.unknown else returned_ns
        yield Operation(client, item.key, kind, called_ns, returned, item.argument, item.ttl_s, item.result)
