"""Snapshots: complete, checked and durable, or not there at all."""

import errno
from collections.abc import Iterator
from pathlib import Path
from random import Random
from unittest import mock

import pytest

from raft.disk import Disk, OsDisk
from raft.snapshot_files import SYNC_EVERY_BYTES
from raft.snapshot_format import HEADER_BYTES, MAX_CHUNK_BYTES, READ_BYTES, SnapshotMeta
from raft.snapshot_transfer import MAX_OUTSTANDING_WRITES, SnapshotReceiver
from raft.snapshots import SnapshotStore
from raft.storage_errors import CorruptSnapshotError, ForeignDataError, FormatError, StorageError
from tests.raft.storage import Steps
from tests.simulation.simdisk import DeadProcessError, SimDisk, SimFile

OPERATIONS = ["create", "write", "sync", "read", "rename", "sync_dir"]


class Node:
    """A store, its steps, its clock and what it reported."""

    def __init__(self, disk: Disk, cluster: bytes = b"cluster") -> None:
        self.steps = Steps()
        self.fatal: list[str] = []
        self.done: list[SnapshotMeta] = []
        self.refused: list[StorageError] = []
        self.acknowledged = 0
        self.now = 0.0
        self.store = SnapshotStore(disk, self.steps, cluster=cluster, fatal=self.fatal.append)

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def begin(self, index: int, chunks: Iterator[bytes], group: int = 1, rest: float = 0.0) -> None:
        self.writer = self.store.write(
            group,
            index,
            index // 10,
            chunks,
            schedule=self.steps.schedule,
            budget_s=0.0025,
            rest=rest,
            clock=self.clock,
            done=self.done.append,
        )

    def write(self, index: int, chunks: list[bytes], group: int = 1) -> SnapshotMeta:
        self.begin(index, iter(chunks), group)
        self.steps.settle()
        return self.done[-1]

    def receive(self, meta: SnapshotMeta, content: bytes, piece: int = 1000) -> SnapshotReceiver:
        receiver = self.store.receiver(meta.group, meta.index, meta.term, len(content))
        for offset in range(0, len(content), piece):
            receiver.write(offset, content[offset : offset + piece], self.acknowledge)
            self.steps.settle()
        receiver.finish(meta.sha256, self.finished)
        self.steps.settle()
        return receiver

    def acknowledge(self) -> None:
        self.acknowledged += 1

    def finished(self, outcome: SnapshotMeta | StorageError) -> None:
        if isinstance(outcome, SnapshotMeta):
            self.done.append(outcome)
        else:
            self.refused.append(outcome)


def state(index: int) -> list[bytes]:
    return [f"{index}:{number}".encode() * 50 for number in range(20)]


def path_of(meta: SnapshotMeta) -> str:
    return f"snapshots/{meta.group}/{meta.index:016x}-{meta.term:016x}.snap"


def test_a_snapshot_is_read_back_as_it_was_written_also_after_a_power_cut() -> None:
    disk = SimDisk()
    meta = Node(disk).write(100, state(100))
    disk.power_cut(Random(1))
    node = Node(disk)
    assert node.store.latest(1) == meta
    assert (meta.group, meta.index, meta.term) == (1, 100, 10)
    assert list(node.store.read(meta)) == state(100)
    assert node.store.latest(2) is None
    assert node.store.groups() == [1]


def test_chunks_are_read_back_whole_wherever_the_pieces_that_are_read_end() -> None:
    node = Node(SimDisk())
    for index, sizes in enumerate(
        ([READ_BYTES], [READ_BYTES - 60, 1, 2 * READ_BYTES + 3, 7], [READ_BYTES // 3] * 10), 1
    ):
        chunks = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
        assert list(node.store.read(node.write(index, chunks))) == chunks


def test_an_empty_state_has_a_snapshot_too() -> None:
    node = Node(SimDisk())
    assert list(node.store.read(node.write(5, []))) == []


def test_chunks_are_drawn_in_slices_of_the_budget() -> None:
    node = Node(SimDisk())
    drawn: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(9):
            drawn.append(number)
            yield b"x"

    node.begin(1, chunks())
    counts = [len(drawn)]
    while node.steps.turn():
        counts.append(len(drawn))
    assert counts == [0, 3, 6, 9, 9]


def test_nothing_is_drawn_for_some_times_as_long_as_a_slice_took() -> None:
    node = Node(SimDisk())
    node.begin(1, iter([b"x"] * 9), rest=3.0)
    while node.steps.turn():
        pass
    assert node.steps.delays_s == [0.0, *[pytest.approx(3.0 * 0.004)] * 3], (
        "the clock is looked at four times in a slice"
    )


def test_it_is_known_whether_a_snapshot_is_being_taken() -> None:
    node = Node(SimDisk())
    assert not node.store.is_writing
    node.begin(1, iter(state(1)))
    assert node.store.is_writing
    node.steps.settle()
    assert not node.store.is_writing
    node.begin(2, iter(state(2)))
    node.writer.cancel()
    assert not node.store.is_writing
    node.begin(3, iter(state(3)), group=2)
    assert node.store.is_writing


def test_a_large_snapshot_is_synced_as_it_grows() -> None:
    node = Node(SimDisk())
    with mock.patch.object(SimFile, "sync", autospec=True, side_effect=SimFile.sync) as synced:
        node.write(1, [bytes(SYNC_EVERY_BYTES)] * 3)
    assert synced.call_count == 3 + 1


def test_drawing_waits_for_the_disk() -> None:
    node = Node(SimDisk())
    drawn: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            drawn.append(number)
            yield bytes(256 << 10)

    node.begin(1, chunks())
    while node.steps.turn():
        pass
    assert len(drawn) == MAX_OUTSTANDING_WRITES
    node.steps.settle()
    assert len(drawn) == 100
    assert node.done


def test_a_cancelled_snapshot_leaves_nothing() -> None:
    disk = SimDisk()
    node = Node(disk)
    closed: list[bool] = []

    def chunks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            closed.append(True)

    node.begin(1, chunks())
    for _ in range(5):
        node.steps.turn()
        node.steps.work()
    node.writer.cancel()
    node.writer.cancel()
    node.steps.settle()
    assert closed == [True]
    assert node.done == []
    assert disk.listdir("snapshots/1") == []
    node.write(1, state(1))
    node.writer.cancel()
    assert node.store.latest(1) is not None


def test_a_snapshot_cancelled_while_it_is_checked_is_not_announced() -> None:
    node = Node(SimDisk())
    node.begin(1, iter([b"x"]))
    while node.steps.turn():
        pass
    node.writer.cancel()
    node.steps.settle()
    assert node.done == []
    assert node.store.latest(1) is None
    node.write(2, state(2))
    assert node.store.latest(1) == node.done[0]


@pytest.mark.parametrize("chunk", [b"", bytes(MAX_CHUNK_BYTES + 1)])
def test_a_chunk_of_an_impossible_size_is_refused_and_nothing_is_left(chunk: bytes) -> None:
    disk = SimDisk()
    node = Node(disk)
    node.begin(1, iter([b"x", chunk]))
    with pytest.raises(ValueError, match="chunk must have"):
        node.steps.settle()
    node.steps.settle()
    assert disk.listdir("snapshots/1") == []


def test_only_a_newer_snapshot_is_taken_and_only_once_at_a_time() -> None:
    node = Node(SimDisk())
    node.write(10, state(10))
    for index in (9, 10):
        with pytest.raises(ValueError, match="not newer"):
            node.begin(index, iter([]))
        with pytest.raises(ValueError, match="not newer"):
            node.store.receiver(1, index, 1, 100)
    node.begin(11, iter([]))
    with pytest.raises(ValueError, match="under way"):
        node.store.receiver(1, 11, 1, 100)


def test_pruning_keeps_the_newest_of_the_group() -> None:
    disk = SimDisk()
    node = Node(disk)
    for index in (10, 20, 30):
        node.write(index, state(index))
    node.write(10, state(10), group=2)
    assert len(disk.listdir("snapshots/1")) == 3
    node.store.prune(1)
    node.store.prune(3)
    node.steps.settle()
    assert disk.listdir("snapshots/1") == [path_of(node.done[2])[12:]]
    assert len(disk.listdir("snapshots/2")) == 1
    assert list(Node(disk).store.read(node.done[2])) == state(30)


def test_a_dropped_group_has_no_snapshot_and_none_under_way() -> None:
    disk = SimDisk()
    node = Node(disk)
    node.write(10, state(10))
    node.begin(20, iter(state(20)))
    receiver = node.store.receiver(1, 30, 3, 1000)
    receiver.write(0, b"x", node.acknowledge)
    node.store.drop(1)
    node.steps.settle()
    assert node.store.latest(1) is None
    assert disk.listdir("snapshots/1") == []
    assert len(node.done) == 1
    assert node.acknowledged == 0


def test_shipped_bytes_install_on_another_node() -> None:
    source, target_disk = Node(SimDisk()), SimDisk()
    meta = source.write(100, state(100))
    reader = source.store.reader(meta)
    source.store.drop(1)
    source.steps.settle()
    content = b"".join(reader.read(offset, 700) for offset in range(0, meta.size, 700))
    reader.close()
    target = Node(target_disk)
    target.write(50, state(50))
    receiver = target.receive(meta, content)
    assert receiver.offset == meta.size
    assert target.acknowledged == -(-meta.size // 1000)
    assert target.store.latest(1) == meta == target.done[-1]
    target_disk.power_cut(Random(1))
    assert list(Node(target_disk).store.read(meta)) == state(100)


def shipped() -> tuple[SnapshotMeta, bytes]:
    disk = SimDisk()
    meta = Node(disk).write(100, state(100)[:3])
    return meta, disk.content(path_of(meta))


def test_a_damaged_transfer_is_refused_and_the_old_snapshot_stays() -> None:
    meta, content = shipped()
    for offset in range(0, len(content), 7):
        disk = SimDisk()
        target = Node(disk)
        old = target.write(50, state(50))
        damaged = bytearray(content)
        damaged[offset] ^= 0x20
        target.receive(meta, bytes(damaged))
        assert len(target.refused) == 1
        assert target.fatal == []
        assert target.store.latest(1) == old
        assert disk.listdir("snapshots/1") == [path_of(old)[12:]]
        target.receive(meta, content)
        assert target.store.latest(1) == meta


@pytest.mark.parametrize("keep", [0, 10, HEADER_BYTES, 200, -33, -1])
def test_a_transfer_that_ends_early_is_refused(keep: int) -> None:
    meta, content = shipped()
    target = Node(SimDisk())
    target.receive(meta, content[:keep])
    assert len(target.refused) == 1


def test_a_transfer_with_more_behind_its_end_is_refused() -> None:
    meta, content = shipped()
    target = Node(SimDisk())
    target.receive(meta, content + b"x")
    assert len(target.refused) == 1


def test_a_snapshot_of_another_cluster_group_or_index_is_refused() -> None:
    meta, content = shipped()
    other = Node(SimDisk(), cluster=b"other")
    other.receive(meta, content)
    assert isinstance(other.refused[0], ForeignDataError)
    node = Node(SimDisk())
    for claim in ({"group": 2}, {"index": 101}, {"term": 11}):
        fields = {"group": meta.group, "index": meta.index, "term": meta.term} | claim
        node.receive(SnapshotMeta(**fields, size=meta.size, sha256=meta.sha256), content)
    assert len(node.refused) == 3


def test_pieces_are_taken_in_order_and_within_bounds_only() -> None:
    node = Node(SimDisk())
    receiver = node.store.receiver(1, 5, 1, 100)
    for offset, data in ((1, b"x"), (0, bytes(101))):
        with pytest.raises(ValueError, match="do not fit"):
            receiver.write(offset, data, node.acknowledge)
    for number in range(MAX_OUTSTANDING_WRITES):
        assert not receiver.busy
        receiver.write(number, b"x", node.acknowledge)
    assert receiver.busy
    with pytest.raises(ValueError, match="do not fit"):
        receiver.write(receiver.offset, b"x", node.acknowledge)
    node.steps.settle()
    assert not receiver.busy
    receiver.cancel()
    receiver.cancel()
    with pytest.raises(ValueError, match="has ended"):
        receiver.finish(b"", node.finished)
    node.steps.settle()
    assert node.refused == []


def test_an_aborted_transfer_may_begin_again() -> None:
    meta, content = shipped()
    node = Node(SimDisk())
    first = node.store.receiver(1, meta.index, meta.term, meta.size)
    first.write(0, content[:100], node.acknowledge)
    first.cancel()
    node.receive(meta, content)
    assert node.store.latest(1) == meta


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_power_cut_at_any_step_of_writing_leaves_the_old_or_the_new(operation: str, nth: int) -> None:
    for seed in range(10):
        disk = SimDisk()
        node = Node(disk)
        old = node.write(50, state(50))
        disk.die(operation, nth)
        node.begin(100, iter([*state(100), bytes(600_000)]))
        node.steps.settle()
        finished = len(node.done) == 2
        disk.power_cut(Random(seed))
        after = Node(disk)
        latest = after.store.latest(1)
        assert latest is not None
        assert latest == old or list(after.store.read(latest)) == [*state(100), bytes(600_000)]
        assert not finished or latest.index == 100
        assert not [name for name in disk.listdir("snapshots/1") if name.endswith(".tmp")]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_power_cut_at_any_step_of_installing_leaves_the_old_or_the_new(operation: str, nth: int) -> None:
    meta, content = shipped()
    for seed in range(10):
        disk = SimDisk()
        node = Node(disk)
        old = node.write(50, state(50))
        disk.die(operation, nth)
        try:
            node.receive(meta, content)
        except ValueError:  # it ended in the midst of the transfer
            assert node.fatal
        finished = len(node.done) == 2
        disk.power_cut(Random(seed))
        latest = Node(disk).store.latest(1)
        assert latest in ((meta,) if finished else (meta, old))


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "sync_dir"])
def test_an_error_of_the_disk_is_fatal(operation: str) -> None:
    disk = SimDisk()
    node = Node(disk)
    disk.fail(operation, 1, errno.ENOSPC)
    node.begin(1, iter(state(1)))
    node.steps.settle()
    assert "writing snapshots/1/" in node.fatal[0]
    assert "ENOSPC" in node.fatal[0]
    assert node.store.latest(1) is None


def test_a_failed_deletion_is_fatal() -> None:
    disk = SimDisk()
    node = Node(disk)
    node.write(1, state(1))
    node.write(2, state(2))
    disk.fail("unlink", 1, errno.EIO)
    node.store.prune(1)
    node.steps.settle()
    assert "deleting from snapshots" in node.fatal[0]


def read_newest(disk: Disk) -> list[bytes]:
    store = Node(disk).store
    latest = store.latest(1)
    assert latest is not None
    return list(store.read(latest))


def test_a_flipped_bit_anywhere_is_found_before_the_state_is_used() -> None:
    meta, content = shipped()
    for offset in range(len(content)):
        disk = SimDisk()
        disk.makedirs("snapshots/1")
        damaged = bytearray(content)
        damaged[offset] ^= 0x04
        disk.replace(path_of(meta), bytes(damaged))
        with pytest.raises(StorageError):
            read_newest(disk)


@pytest.mark.parametrize("keep", [0, 20, HEADER_BYTES, 300, -1])
def test_a_snapshot_without_its_end_is_refused_and_no_older_one_is_used(keep: int) -> None:
    disk = SimDisk()
    node = Node(disk)
    node.write(50, state(50))
    path = path_of(node.write(100, state(100)))
    disk.replace(path, disk.content(path)[:keep])
    with pytest.raises(CorruptSnapshotError, match="Move the data directory away"):
        Node(disk)


def test_a_snapshot_of_another_format_is_refused_as_such() -> None:
    disk = SimDisk()
    path = path_of(Node(disk).write(50, state(50)))
    disk.corrupt(path, 8, 0x02)
    with pytest.raises(FormatError, match="format version 3"):
        Node(disk)


@pytest.mark.parametrize("path", ["snapshots/notes.txt", "snapshots/1/notes.txt"])
def test_a_stranger_is_refused(path: str) -> None:
    disk = SimDisk()
    disk.makedirs("snapshots/1")
    disk.replace(path, b"")
    with pytest.raises(CorruptSnapshotError, match="belong here"):
        Node(disk)


def test_what_was_being_written_is_removed_at_start() -> None:
    disk = SimDisk()
    meta = Node(disk).write(50, state(50))
    disk.replace("snapshots/1/whatever.snap.tmp", b"half")
    assert Node(disk).store.latest(1) == meta
    assert disk.listdir("snapshots/1") == [path_of(meta)[12:]]


def test_snapshots_work_on_a_real_disk(tmp_path: Path) -> None:
    node = Node(OsDisk(tmp_path))
    meta = node.write(100, state(100))
    content = (tmp_path / path_of(meta)).read_bytes()
    assert len(content) == meta.size
    reader = node.store.reader(meta)
    node.write(200, state(200))
    node.store.prune(1)
    node.steps.settle()
    assert reader.read(0, meta.size) == content
    reader.close()
    again = Node(OsDisk(tmp_path))
    latest = again.store.latest(1)
    assert latest is not None
    assert list(again.store.read(latest)) == state(200)


def test_a_dead_process_writes_no_more() -> None:
    disk = SimDisk()
    file = disk.create("x")
    disk.crash()
    with pytest.raises(DeadProcessError):
        file.pwrite(0, [b"x"])
