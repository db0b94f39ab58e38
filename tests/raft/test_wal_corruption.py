"""Damage to the write-ahead log: a torn end is cut, everything else is refused with a message that says what to do."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.disk import Disk
from raft.offload import Offload
from raft.storage_errors import CorruptLogError, ForeignDataError, FormatError, StorageError
from raft.wal import Durability, Wal
from raft.wal_format import (
    RECORD,
    SECTOR_BYTES,
    TRAILER,
    Kind,
    decode_header,
    encode_batch,
    encode_segment_header,
    fingerprint,
    looks_torn,
)
from raft.wal_replay import Recovered
from raft.watermark import WATERMARK_FILE
from tests.raft.storage import Log, command
from tests.simulation.simdisk import SimDisk

OWNER = fingerprint(b"cluster/node-1")
FIRST = "wal/0000000000000001.wal"


def batches(content: bytes) -> list[tuple[int, int]]:
    """(offset, size) of each batch of a segment."""
    found, position = [], SECTOR_BYTES
    while (header := decode_header(content, position, OWNER)) is not None:
        found.append((position, header.size))
        position += header.size
    return found


def last_index(disk: Disk) -> int:
    found = Log(disk).wal.recovered()
    return found[1].last_index if found else 0


def three_batches(last: bytes = b"") -> SimDisk:
    """Entries 1, 2 and 3; the third with a body of several sectors. The watermark does not know that it is durable."""
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 2)
    mark = disk.content(WATERMARK_FILE)
    log.wal.append(1, 3, 1, last or command(1, 3, size=1500))
    log.sync()
    disk.replace(WATERMARK_FILE, mark)
    return disk


@pytest.mark.parametrize("last", [command(1, 3, size=1500), bytes(2000), b"x" * 700 + bytes(1300)])
def test_a_write_cut_short_at_any_byte_is_cut_off(last: bytes) -> None:
    disk = three_batches(last)
    content = disk.content(FIRST)
    offset, size = batches(content)[2]
    for kept in range(size):
        torn = disk.copy()
        torn.replace(FIRST, content[: offset + kept] + bytes(len(content) - offset - kept))
        if content[: offset + kept] == content[: offset + size].rstrip(b"\0"):
            continue
        assert last_index(torn) == 2
        assert len(torn.content(FIRST)) in {offset, len(content)}


@pytest.mark.parametrize("last", [command(1, 3, size=2500), bytes(2500)])
def test_a_write_of_which_any_sectors_are_missing_is_cut_off(last: bytes) -> None:
    disk = three_batches(last)
    content = disk.content(FIRST)
    offset, size = batches(content)[2]
    count = size // SECTOR_BYTES
    for missing in range(1, 2**count):
        torn = bytearray(content)
        for number in range(count):
            if missing >> number & 1:
                torn[offset + number * SECTOR_BYTES : offset + (number + 1) * SECTOR_BYTES] = bytes(SECTOR_BYTES)
        image = disk.copy()
        image.replace(FIRST, bytes(torn))
        expected = 3 if bytes(torn) == content else 2
        assert last_index(image) == expected


def test_a_torn_look_of_a_batch_that_was_durable_is_refused() -> None:
    disk = three_batches()
    assert last_index(disk) == 3  # the start wrote the watermark anew
    content = disk.content(FIRST)
    offset, size = batches(content)[2]
    for kept in (0, 100, size - 9):
        disk.replace(FIRST, content[: offset + kept] + bytes(len(content) - offset - kept))
        with pytest.raises(CorruptLogError, match="batch 3 was durable"):
            Log(disk)


def test_after_a_cut_the_log_goes_on() -> None:
    disk = three_batches()
    content = disk.content(FIRST)
    offset, size = batches(content)[2]
    disk.replace(FIRST, content[: offset + size - 9] + bytes(len(content) - offset - size + 9))
    log = Log(disk)
    log.append(1, 3, 9, term=2)
    disk.power_cut(Random(1))
    assert [entry[2] for entry in Log(disk).wal.recovered()[1].entries] == [1, 1, 2, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_a_flipped_bit_in_any_synced_byte_is_refused(mask: int) -> None:
    disk = three_batches()
    content = disk.content(FIRST)
    end = sum(batches(content)[-1])
    for offset in range(end):
        if content[offset] == mask == 0xFF:
            continue  # would make it zero, as an interrupted write may
        damaged = disk.copy()
        damaged.corrupt(FIRST, offset, mask)
        with pytest.raises(StorageError):
            Log(damaged)


def test_stray_bytes_after_the_end_are_cut_or_refused_but_never_read() -> None:
    disk = three_batches()
    content = disk.content(FIRST)
    for offset in range(sum(batches(content)[-1]), len(content), 97):
        damaged = disk.copy()
        damaged.corrupt(FIRST, offset, 0x10)
        try:
            assert last_index(damaged) == 3
        except CorruptLogError as error:
            assert "batch at offset" in str(error)  # noqa: PT017 - both outcomes are right


def test_a_batch_zeroed_or_removed_before_good_ones_is_refused() -> None:
    disk = three_batches()
    content = disk.content(FIRST)
    offset, size = batches(content)[1]
    for damage in (
        content[:offset] + bytes(size) + content[offset + size :],
        content[:offset] + content[offset + size :] + bytes(size),
    ):
        damaged = disk.copy()
        damaged.replace(FIRST, damage)
        with pytest.raises(CorruptLogError, match=r"but a later one|expected 2"):
            Log(damaged)


def many_segments() -> SimDisk:
    disk = SimDisk()
    log = Log(disk)
    log.append(2, 1, 1)
    log.append(1, 1, 60)
    return disk


def test_a_torn_look_in_an_older_segment_is_refused() -> None:
    disk = many_segments()
    content = disk.content(FIRST)
    offset, size = batches(content)[-1]
    disk.replace(FIRST, content[:offset] + bytes(size) + content[offset + size :])
    with pytest.raises(CorruptLogError, match=r"expected \d+"):
        Log(disk)
    disk.replace(FIRST, content[: offset + size - 4] + bytes(len(content) - offset - size + 4))
    with pytest.raises(CorruptLogError, match="goes on after it"):
        Log(disk)


def test_any_missing_segment_that_held_something_is_refused() -> None:
    disk = many_segments()
    names = disk.listdir("wal")
    assert len(names) > 4
    for name in names[:-2]:  # the last may be a spare, the one before is told apart below
        damaged = disk.copy()
        damaged.remove(f"wal/{name}")
        with pytest.raises(CorruptLogError, match="is missing"):
            Log(damaged)


def test_missing_old_segments_are_refused_also_when_what_is_left_looks_like_a_log() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.wal.hard_state(3, 7, "node-2")
    log.append(1, 1, 40)
    log.wal.compact(1, 40, 1)
    log.sync()
    disk.remove(FIRST)
    with pytest.raises(CorruptLogError, match="is missing"):
        Log(disk)


def test_segments_that_were_to_be_deleted_are_deleted_at_the_next_start() -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 60)
    before = disk.copy()
    log.wal.compact(1, 60, 1)
    log.sync()
    left = disk.listdir("wal")
    for name in before.listdir("wal"):
        if name not in left and name[15] != "2":  # their deletion was lost, but not that of the second
            disk.replace(f"wal/{name}", before.content(f"wal/{name}"))
    assert Log(disk).wal.recovered()[1] == Recovered(60, 1)
    assert disk.listdir("wal") == left


@pytest.mark.parametrize("deleted", [0, 1, 2])
def test_a_deletion_that_is_interrupted_goes_on_at_the_next_start(deleted: int) -> None:
    disk = SimDisk()
    log = Log(disk)
    log.append(1, 1, 60)
    segments = len(disk.listdir("wal"))
    log.wal.compact(1, 60, 1)
    disk.die("unlink", deleted + 1)
    log.sync()
    disk.crash()
    disk.clear_faults()
    assert len(disk.listdir("wal")) >= segments - deleted
    assert Log(disk).wal.recovered()[1] == Recovered(60, 1)
    assert len(disk.listdir("wal")) <= 2


def test_a_segment_that_was_being_created_is_removed() -> None:
    disk = three_batches()
    disk.replace("wal/0000000000000002.tmp", bytes(100))
    assert last_index(disk) == 3
    assert disk.listdir("wal") == ["0000000000000001.wal"]


@pytest.mark.parametrize("name", ["notes.txt", "1.wal", "0000000000000001.wal.bak"])
def test_a_stranger_in_the_directory_is_refused(name: str) -> None:
    disk = three_batches()
    disk.replace(f"wal/{name}", b"")
    with pytest.raises(CorruptLogError, match="does not belong here"):
        Log(disk)


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(8192), b"\xff" * 8192, encode_segment_header(9, OWNER)])
def test_a_file_that_is_not_this_segment_is_refused(content: bytes) -> None:
    disk = three_batches()
    disk.replace(FIRST, content)
    with pytest.raises(CorruptLogError, match="Do not delete or edit"):
        Log(disk)


def test_another_nodes_log_is_refused() -> None:
    disk = three_batches()
    sector = encode_segment_header(1, fingerprint(b"cluster/node-2"))
    disk.replace(FIRST, sector + disk.content(FIRST)[SECTOR_BYTES:])
    with pytest.raises(ForeignDataError, match="own data directory"):
        Log(disk)


def test_a_log_of_another_format_is_refused_as_such() -> None:
    disk = three_batches()
    disk.corrupt(FIRST, 8, 0x02)
    with pytest.raises(FormatError, match="format version 3"):
        Log(disk)


def test_another_nodes_batch_in_a_value_is_not_mistaken_for_ones_own() -> None:
    foreign, _ = encode_batch([b"x"], number=99, oldest=1, previous=0, owner=fingerprint(b"else"))
    disk = three_batches(bytes(450) + foreign * 4)
    content = disk.content(FIRST)
    offset, size = batches(content)[2]
    disk.replace(FIRST, content[: offset + size - len(TRAILER)] + bytes(len(content) - offset - size + len(TRAILER)))
    assert last_index(disk) == 2


@pytest.mark.parametrize(
    "records",
    [
        [(Kind.APPEND, 1, 4), (Kind.APPEND, 1, 6)],
        [(Kind.RESET, 1, 10), (Kind.APPEND, 1, 12)],
        [(Kind.APPEND, 1, 5)],
        [(99, 1, 1)],
    ],
)
def test_checksummed_nonsense_is_refused(records: list[tuple[int, int, int]]) -> None:
    encoded = [RECORD.pack(kind, group, index, 1, 0) for kind, group, index in records]
    batch, _ = encode_batch(encoded, number=1, oldest=1, previous=0, owner=OWNER)
    disk = SimDisk()
    disk.makedirs("wal")
    disk.replace(FIRST, encode_segment_header(1, OWNER) + batch)
    with pytest.raises(CorruptLogError):
        Log(disk)


def test_a_term_that_goes_back_is_refused() -> None:
    encoded = [RECORD.pack(Kind.HARD_STATE, 1, 0, term, 0) for term in (5, 4)]
    batch, _ = encode_batch(encoded, number=1, oldest=1, previous=0, owner=OWNER)
    disk = SimDisk()
    disk.makedirs("wal")
    disk.replace(FIRST, encode_segment_header(1, OWNER) + batch)
    with pytest.raises(CorruptLogError, match="term 4 after 5"):
        Log(disk)


def test_an_unreadable_log_is_fatal_not_empty() -> None:
    disk = three_batches()
    disk.fail("read", 1, 5)
    fatal: list[str] = []
    steps: Offload = Log(SimDisk()).steps
    with pytest.raises(OSError, match="error"):
        Wal.open(
            disk,
            steps,
            identity=b"cluster/node-1",
            durability=Durability.FSYNC,
            fatal=fatal.append,
            on_durable=print,
            on_pinned=print,
        )
    assert "EIO" in fatal[0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=4096))
def test_any_bytes_can_be_looked_at(data: bytes) -> None:
    header = decode_header(data, 0, OWNER)
    assert header is None
    looks_torn(data, 0, header)
    disk = SimDisk()
    disk.makedirs("wal")
    disk.replace(FIRST, encode_segment_header(1, OWNER) + data)
    if data.strip(b"\0"):
        try:
            assert last_index(disk) == 0
        except CorruptLogError:
            return
