"""The opaque `id` of an event: the position in every group, in a few bytes for each. Pure.

A cursor names the cluster and the layout that it belongs to. With a cursor of another cluster there is nothing to go on
from; with one of an older layout, in which keys lived in other groups, the state has to be read anew.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from wire.messages import LIMIT_GROUPS, ClusterMap
from wire.positions import Position

LIMIT_CURSOR_CHARS = 64 * 1024
_VERSION = b"\x01"
_MARK_BYTES = 4
_CLUSTER = slice(1, 1 + _MARK_BYTES)
_SLOTS = slice(_CLUSTER.stop, _CLUSTER.stop + _MARK_BYTES)
_NUMBER_MAX = (1 << 63) - 1


class CursorError(ValueError):
    """The text is not a cursor of this cluster."""


class Layout(msgspec.Struct, frozen=True):
    """What cursors of a map have in common.

    Attributes:
        cluster: four bytes that another cluster hardly has.
        slots: four bytes that change when keys come to live in other groups.
        groups: those that own slots, sorted.
    """

    cluster: bytes
    slots: bytes
    groups: tuple[int, ...]


def layout_of(cluster_map: ClusterMap) -> Layout:
    """The layout of a map. A cluster is known by its name and the data directories of its first group, which stay."""
    incarnations = {node.id: node.incarnation for node in cluster_map.nodes}
    first = min(cluster_map.groups, key=lambda group: group.id, default=None)
    identity = [cluster_map.cluster, *(incarnations.get(node, "") for node in (first.replicas if first else ()))]
    ranges = [(slots.first, slots.last, slots.group) for slots in cluster_map.slots]
    return Layout(_mark(identity), _mark(ranges), tuple(sorted({slots.group for slots in cluster_map.slots})))


def encode(layout: Layout, positions: Mapping[int, Position]) -> bytes:
    """A cursor of the positions in all groups of the layout."""
    parts = [part_of(positions[group]) for group in layout.groups]
    return join(layout, parts)


def part_of(position: Position) -> bytes:
    """What one group adds to a cursor."""
    return _number(position.through) + _number(position.taken)


def join(layout: Layout, parts: Iterable[bytes]) -> bytes:
    """A cursor of the parts of all groups of the layout, in their order."""
    raw = _VERSION + layout.cluster + layout.slots + b"".join(parts)
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def decode(layout: Layout, cursor: str) -> dict[int, Position] | None:
    """The positions in a cursor; None when it belongs to an older layout of this cluster.

    Raises:
        CursorError: it is no cursor, or one of another cluster.
    """
    raw = _bytes_of(cursor)
    if not raw.startswith(_VERSION) or raw[_CLUSTER] != layout.cluster:
        raise CursorError
    numbers = _numbers(raw[_SLOTS.stop :])
    if len(numbers) % 2:
        raise CursorError
    if raw[_SLOTS] != layout.slots:
        return None
    if len(numbers) != 2 * len(layout.groups):
        raise CursorError
    found = map(Position, numbers[::2], numbers[1::2])
    positions = dict(zip(layout.groups, found, strict=True))
    if encode(layout, positions).decode() != cursor:
        raise CursorError
    return positions


def _bytes_of(cursor: str) -> bytes:
    if len(cursor) > LIMIT_CURSOR_CHARS:
        raise CursorError
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise CursorError from None
    if len(raw) < _SLOTS.stop:
        raise CursorError
    return raw


def _mark(what: object) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(what), digest_size=_MARK_BYTES).digest()


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that there are more."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _numbers(raw: bytes) -> list[int]:
    found: list[int] = []
    value = shift = 0
    for byte in raw:
        value |= (byte & 0x7F) << shift
        shift += 7
        if value > _NUMBER_MAX or len(found) >= 2 * LIMIT_GROUPS:
            raise CursorError
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    if shift:
        raise CursorError
    return found
