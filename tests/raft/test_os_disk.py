"""The log on a real disk, with a real thread and a real loop."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raft.disk import OsDisk
from raft.offload import ThreadOffload
from raft.storage_errors import CorruptLogError, describe_io_error
from raft.wal import Durability, Wal
from raft.wal_space import Limits
from tests.raft.storage import command


def open_wal(root: Path, offload: ThreadOffload, on_durable: Callable[[int], None]) -> Wal:
    def fatal(message: str) -> None:
        raise AssertionError(message)

    return Wal.open(
        OsDisk(root),
        offload,
        identity=b"c/n",
        durability=Durability.FSYNC,
        fatal=fatal,
        on_durable=on_durable,
        on_pinned=print,
        limits=Limits(segment_bytes=64 << 10),
    )


async def write_entries(root: Path, first: int, last: int) -> int:
    """Append in bursts, as a node does, and wait for all. Returns how many syncs it took."""
    loop = asyncio.get_running_loop()
    offload = ThreadOffload(loop, "test-log")
    all_durable = asyncio.Event()
    wal = open_wal(root, offload, lambda _: all_durable.set() if wal.durable == wal.written else None)
    for index in range(first, last + 1):
        wal.append(1, index, 1, command(1, index, size=200))
        wal.flush()
        if index % 50 == 0:
            await asyncio.sleep(0)
    await all_durable.wait()
    wal.compact(1, last - 10, 1)
    all_durable.clear()
    wal.flush()
    await all_durable.wait()
    wal.close()
    offload.close()
    return wal.syncs


def test_a_log_on_a_real_disk_gives_back_what_was_durable(tmp_path: Path) -> None:
    assert asyncio.run(write_entries(tmp_path, 1, 1000)) < 1000
    assert asyncio.run(write_entries(tmp_path, 1001, 2000)) < 1000

    async def reopen() -> None:
        offload = ThreadOffload(asyncio.get_running_loop(), "test-log")
        found = open_wal(tmp_path, offload, print).recovered()[1]
        assert (found.base_index, found.last_index) == (1990, 2000)
        assert found.entries[0] == (command(1, 1991, size=200), 1991, 1)
        offload.close()

    asyncio.run(reopen())


def test_damage_on_a_real_disk_is_refused(tmp_path: Path) -> None:
    asyncio.run(write_entries(tmp_path, 1, 20))
    (segment,) = (tmp_path / "wal").iterdir()
    content = bytearray(segment.read_bytes())
    content[700] ^= 1
    segment.write_bytes(content)
    with pytest.raises(CorruptLogError, match="batch at offset 512"):
        asyncio.run(write_entries(tmp_path, 21, 22))


def test_work_runs_in_order_off_the_loop_and_errors_come_back() -> None:
    async def run() -> None:
        offload = ThreadOffload(asyncio.get_running_loop(), "test")
        results: list[object] = []
        finished = asyncio.Event()
        for number in range(100):
            offload(lambda number=number: number, results.append)  # type: ignore[misc]
        offload(lambda: 1 // 0, results.append)
        offload(lambda: None, lambda _: finished.set())
        assert results == []
        await finished.wait()
        assert results[:-1] == list(range(100))
        assert isinstance(results[-1], ZeroDivisionError)
        offload.close()

    asyncio.run(run())


def test_work_that_ends_after_its_loop_is_let_go() -> None:
    loop = asyncio.new_event_loop()
    offload = ThreadOffload(loop, "test")
    loop.close()
    done: list[object] = []
    offload(lambda: 1, done.append)
    offload.close()
    assert done == []


def test_a_file_is_written_and_read_where_asked(tmp_path: Path) -> None:
    disk = OsDisk(tmp_path)
    disk.makedirs("a/b")
    disk.makedirs("a/b")
    with disk.create("a/b/file", 4096) as file:
        assert file.size() == 4096
        file.pwrite(10, [b"one", b"", b"two"])
        file.sync()
        assert file.read(8, 10) == b"\0\0onetwo\0\0"
        assert file.read(4090, 100) == bytes(6)
        file.truncate(12)
        assert file.read(0, 100) == bytes(10) + b"on"
    file.close()
    disk.rename("a/b/file", "a/b/other")
    disk.sync_dir("a/b")
    assert disk.listdir("a/b") == ["other"]
    with disk.open("a/b/other") as other:
        disk.unlink("a/b/other")
        assert other.read(10, 2) == b"on"
    assert not disk.exists("a/b/other")


def test_what_exists_is_not_created_again(tmp_path: Path) -> None:
    disk = OsDisk(tmp_path)
    disk.create("file").close()
    with pytest.raises(FileExistsError):
        disk.create("file")


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, buffers, offset: whole(fd, [b"".join(buffers)[:5]], offset))
    with OsDisk(tmp_path).create("file") as file:
        file.pwrite(3, [b"abc", b"defghi"])
        assert file.read(0, 20) == b"\0\0\0abcdefghi"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left"), "ENOSPC (No space left). The disk or its quota is full"),
        (OSError(errno.EIO, "I/O error"), "check it"),
        (PermissionError(errno.EACCES, "Permission denied"), "EACCES"),
        (ValueError("x"), "a defect"),
    ],
)
def test_an_error_of_the_disk_is_told_with_its_name_and_what_to_do(error: BaseException, says: str) -> None:
    assert says in describe_io_error("writing", error)
