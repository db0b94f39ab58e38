"""Whatever happens to the files of a stopped node, it starts with all that it promised or refuses and says what to do.

`STORAGE_SEEDS=20` tries as many seeds: other bits, other bytes, other places.
"""

import os
from collections.abc import Callable
from random import Random

import pytest

from raft.watermark import WATERMARK_FILE
from tests.simulation.simdisk import SimDisk
from tests.storage.directory import Built, build, files
from tests.storage.faults import DAMAGES, Damage, damaged, torn, whole_directories, whole_files
from tests.storage.spots import Spot, batches, spots
from tests.storage.verdict import judge, start

SEEDS = range(1, int(os.environ.get("STORAGE_SEEDS", "1")) + 1)
RANDOM_SPOTS = 150


@pytest.fixture(scope="module")
def built() -> Built:
    return build()


def test_the_directory_under_test_has_everything(built: Built) -> None:
    assert start(built.disk.copy()) == built.state
    names = {spot.name for spot in spots(built.disk)}
    assert {"segment owner", "batch length", "record payload", "batch padding", "batch trailer", "free space"} <= names
    assert {"snapshot term", "chunk length", "chunk", "total length", "hash", "mark", "byte"} <= names
    assert len([path for path in files(built.disk) if path.startswith("wal/")]) > 3
    assert len([path for path in files(built.disk) if path.startswith("snapshots/")]) == 3
    assert {"identity.json", "peers.json", "watermark"} <= set(files(built.disk))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_at_every_field_is_refused_or_harmless(built: Built, damage: Damage, seed: int) -> None:
    rng = Random(f"{seed} {damage.__name__}")
    wrong = []
    tried = 0
    for spot in (*spots(built.disk), *anywhere(built.disk, rng)):
        disk = damaged(built.disk, spot, damage, rng)
        if disk is not None:
            tried += 1
            if complaint := judge(disk, [built.state]):
                wrong.append(f"{spot}: {complaint}")
    assert tried > 800
    assert not wrong, f"seed {seed}, {len(wrong)} of {tried}:\n" + "\n".join(wrong)


def anywhere(disk: SimDisk, rng: Random) -> list[Spot]:
    """Bytes that no parser chose."""
    paths = files(disk)
    found = []
    for _ in range(RANDOM_SPOTS):
        path = rng.choice(paths)
        size = len(disk.content(path))
        found.append(Spot(path, "any byte", rng.randrange(size), 1, size))
    return found


def test_whole_files_lost_emptied_or_swapped_are_refused_or_harmless(built: Built) -> None:
    other = build("n2").disk
    wrong = []
    tried = 0
    for what, path, disk in (*whole_files(built, other, Random(SEEDS[0])), *whole_directories(built)):
        if (what, path) == ("older peers.json", "peers.json"):  # see EXCEPTIONS
            continue
        tried += 1
        if complaint := judge(disk, [built.state]):
            wrong.append(f"{path}: {what}: {complaint}")
    assert tried > 150
    assert not wrong, f"{len(wrong)} of {tried}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_write_that_was_not_acknowledged_may_be_there_or_not_but_takes_nothing_with_it(
    built: Built, damage: Damage
) -> None:
    rng = Random(f"{SEEDS[0]} {damage.__name__}")
    durable = {(path, at) for path in segments(built.disk) for at, _ in batches(built.disk.content(path))}
    in_flight = [
        (path, at, header.size)
        for path in segments(built.midway)
        for at, header in batches(built.midway.content(path))
        if (path, at) not in durable
    ]
    ((path, begin, size),) = in_flight
    wrong = []
    for spot in spots(built.midway):
        if spot.path == path and begin <= spot.offset < begin + size:
            disk = damaged(built.midway, spot, damage, rng)
            tearing = damage is torn
            complaint = disk and judge(disk, [built.state, built.midway_state], may_refuse=not tearing)
            if complaint:
                wrong.append(f"{spot}: {complaint}")
    assert not wrong, "\n".join(wrong)


def segments(disk: SimDisk) -> list[str]:
    return [path for path in files(disk) if path.startswith("wal/")]


# --- what a node cannot notice: each loses something, or it would not be here -----------------------------------------


def older_peers(built: Built) -> SimDisk:
    """`peers.json` as it was before a node was first heard: that one may come back once under another incarnation."""
    disk = built.disk.copy()
    disk.replace("peers.json", built.older.content("peers.json"))
    return disk


def everything_older(built: Built) -> SimDisk:
    """The whole data directory as it was: a restored backup, a machine's snapshot."""
    return built.before.copy()


def end_lost_after_a_power_cut(built: Built) -> SimDisk:
    """Durable batches of the newest segment read as zeros, and the power cut took the newest watermark too."""
    disk = built.cut.copy()
    path, offset, size = last_batch(disk)
    disk.replace(path, disk.content(path)[:offset] + bytes(size) + disk.content(path)[offset + size :])
    return disk


EXCEPTIONS: tuple[Callable[[Built], SimDisk], ...] = (older_peers, everything_older, end_lost_after_a_power_cut)


@pytest.mark.parametrize("exception", EXCEPTIONS)
def test_what_cannot_be_noticed_is_as_little_as_the_list_of_exceptions_says(
    built: Built, exception: Callable[[Built], SimDisk]
) -> None:
    found = start(exception(built))
    assert not isinstance(found, str), (
        f"this is noticed now: take it off the list, and off docs/storage-faults.md: {found}"
    )
    assert found != built.state


def test_a_newest_segment_that_is_gone_is_noticed_even_after_a_power_cut(built: Built) -> None:
    assert judge(built.cut.copy(), [built.state], may_refuse=False) == ""
    assert built.cut.content(WATERMARK_FILE) != built.disk.content(WATERMARK_FILE)
    disk = built.cut.copy()
    newest = last_batch(disk)[0]
    for path in segments(disk):
        if path >= newest:  # and the spare one after it
            disk.remove(path)
    found = start(disk)
    assert isinstance(found, str)
    assert "was durable" in found


def last_batch(disk: SimDisk) -> tuple[str, int, int]:
    """Segment, offset and size."""
    return [(path, at, header.size) for path in segments(disk) for at, header in batches(disk.content(path))][-1]
