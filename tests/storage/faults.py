"""What can happen to a file behind the node's back, at a place in it or as a whole."""

from collections.abc import Callable, Iterator
from random import Random

from tests.simulation.simdisk import SECTOR_BYTES, SimDisk
from tests.storage.directory import Built, files
from tests.storage.spots import Spot

Damage = Callable[[bytes, Spot, Random], bytes]


def _put(content: bytes, offset: int, data: bytes) -> bytes:
    return content[:offset] + data + content[offset + len(data) :]


def flipped(content: bytes, spot: Spot, rng: Random) -> bytes:
    """One bit."""
    at = spot.offset + rng.randrange(spot.size)
    return _put(content, at, bytes([content[at] ^ 1 << rng.randrange(8)]))


def zeroed(content: bytes, spot: Spot, _: Random) -> bytes:
    """The field is zero."""
    return _put(content, spot.offset, bytes(spot.size))


def filled(content: bytes, spot: Spot, _: Random) -> bytes:
    """All bits of the field are set."""
    return _put(content, spot.offset, b"\xff" * spot.size)


def garbled(content: bytes, spot: Spot, rng: Random) -> bytes:
    """The field has other bytes."""
    return _put(content, spot.offset, rng.randbytes(spot.size))


def sector_lost(content: bytes, spot: Spot, _: Random) -> bytes:
    """The sector with the field reads as zeros."""
    begin = spot.offset // SECTOR_BYTES * SECTOR_BYTES
    return _put(content, begin, bytes(min(SECTOR_BYTES, len(content) - begin)))


def torn(content: bytes, spot: Spot, _: Random) -> bytes:
    """From the field on, what was written at once did not reach the disk."""
    return _put(content, spot.offset, bytes(spot.ends - spot.offset))


def end_lost(content: bytes, spot: Spot, _: Random) -> bytes:
    """From the field on, the file reads as zeros."""
    return content[: spot.offset] + bytes(len(content) - spot.offset)


def truncated(content: bytes, spot: Spot, _: Random) -> bytes:
    """The file ends before the field."""
    return content[: spot.offset]


def shifted(content: bytes, spot: Spot, _: Random) -> bytes:
    """A byte too many before the field."""
    return content[: spot.offset] + b"\x01" + content[spot.offset :]


DAMAGES: tuple[Damage, ...] = (flipped, zeroed, filled, garbled, sector_lost, torn, end_lost, truncated, shifted)


def whole_files(built: Built, other: SimDisk, rng: Random) -> Iterator[tuple[str, str, SimDisk]]:
    """Faults of whole files: what, the file, and the disk with the fault."""
    for path in files(built.disk):
        content = built.disk.content(path)
        for what, changed in (
            ("empty", b""),
            ("zeros", bytes(len(content))),
            ("garbage", rng.randbytes(len(content))),
            ("longer", content + rng.randbytes(700)),
            ("doubled", content * 2),
        ):
            yield what, path, _with(built.disk, path, changed)
        missing = built.disk.copy()
        missing.remove(path)
        yield "missing", path, missing
        yield from _swapped(built, other, path)


def _swapped(built: Built, other: SimDisk, path: str) -> Iterator[tuple[str, str, SimDisk]]:
    folder, _, name = path.rpartition("/")
    for what, source in (("older", built.older), ("copy from before", built.before), ("another node's", other)):
        for found in files(source):
            if found == path or (found.rpartition("/")[0] == folder and what == "another node's"):
                yield f"{what} {found}", path, _with(built.disk, path, source.content(found))
    for found in files(built.disk):
        if found.partition("/")[0] == path.partition("/")[0] != name and found != path:
            yield f"content of {found}", path, _with(built.disk, path, built.disk.content(found))


def whole_directories(built: Built) -> Iterator[tuple[str, str, SimDisk]]:
    """Directories put back as they were before, and directories emptied."""
    for folder in ("wal", "snapshots"):
        for what, source in (("gone", None), ("older", built.older), ("from before", built.before)):
            disk = built.disk.copy()
            for path in files(built.disk):
                if path.startswith(folder):
                    disk.remove(path)
            for path in files(source) if source else []:
                if path.startswith(folder):
                    disk.replace(path, source.content(path) if source else b"")
            yield what, folder, disk


def _with(disk: SimDisk, path: str, content: bytes) -> SimDisk:
    changed = disk.copy()
    changed.replace(path, content)
    return changed


def damaged(disk: SimDisk, spot: Spot, damage: Damage, rng: Random) -> SimDisk | None:
    """The disk with damage at a spot, None when that changes nothing."""
    content = disk.content(spot.path)
    changed = damage(content, spot, rng)
    return None if changed == content else _with(disk, spot.path, changed)
