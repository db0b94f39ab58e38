"""A real node with damaged files, and on a disk that is really full."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import wait_until
from tests.storage.lone_node import LoneNode, lone_node

WRITES_MAX = 2000
FULL_BYTES = 640 << 10
REBUILD = "Move the data directory away and leave this node down"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneNode]:
    with lone_node(tmp_path_factory.mktemp("node") / "data", {}) as node:
        node.start()
        wait_until(lambda: node.write() and bool([*node.data_dir.glob("snapshots/1/*.snap")]), "there is a snapshot")
        node.stop()
        yield node


@contextmanager
def damaged(path: Path, offset: int) -> Iterator[None]:
    """One bit of a file is flipped while this lasts."""
    content = path.read_bytes()
    path.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
    try:
        yield
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("pattern", "offset"),
    [
        ("identity.json", 20),
        ("peers.json", 12),
        ("watermark", 9),
        ("wal/*.wal", 600),
        ("snapshots/1/*.snap", 20),
        ("snapshots/1/*.snap", 60),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(node: LoneNode, pattern: str, offset: int) -> None:
    path = max(node.data_dir.glob(pattern)) if pattern.startswith("snapshots") else min(node.data_dir.glob(pattern))
    with damaged(path, offset):
        if pattern == "watermark":  # either of its marks would do
            with damaged(path, 4096 + offset):
                node.launch()
                code = node.wait()
        else:
            node.launch()
            code = node.wait()
    assert code != 0
    last = node.errors.strip().splitlines()[-1]
    assert last.startswith(("concord: fatal: ", "concord node: ")), node.errors
    assert str(path.relative_to(node.data_dir)) in last
    assert REBUILD in last
    assert "Traceback" not in node.errors


def test_a_snapshot_found_damaged_when_the_map_comes_ends_the_node(node: LoneNode) -> None:
    path = max(node.data_dir.glob("snapshots/1/*.snap"))  # an older one that was not deleted yet counts for nothing
    (node.data_dir / "map.msgpack").unlink()
    with damaged(path, 60):
        node.launch()
        assert node.wait() != 0
    last = node.errors.strip().splitlines()[-1]
    assert f"{path.relative_to(node.data_dir)}" in last
    assert REBUILD in last


@pytest.mark.parametrize("offset", [0, 5, 30, -3])
def test_a_damaged_map_is_asked_for_again(node: LoneNode, offset: int) -> None:
    node.start()
    node.stop()
    path = node.data_dir / "map.msgpack"
    with damaged(path, offset % path.stat().st_size):
        node.start()
        assert "the saved cluster map is damaged and is ignored" in node.errors
        assert node.lost() == []
        node.stop()


def test_with_its_files_whole_again_it_has_everything(node: LoneNode) -> None:
    node.start()
    assert node.lost() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that is full after `FULL_BYTES`."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={FULL_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_node_and_with_more_room_everything_is_there(small_disk: Path) -> None:
    with lone_node(small_disk / "data", {}) as node:
        node.start()
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:
            while node.running:
                assert node._written < WRITES_MAX, "the disk was never full"
                try:
                    file.write(bytes(16 << 10))
                    file.flush()
                except OSError:
                    pass  # it is full: the node's turn
                node.write()
        assert node.wait() != 0
        last = node.errors.strip().splitlines()[-1]
        assert "ENOSPC (No space left on device)" in last
        assert "make room, then start the node again; nothing acknowledged is lost" in last
        ballast.unlink()
        node.start()
        assert node.lost() == []
        node.stop()
