"""A data directory belongs to one node and one process."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from raft.datadir import BEGUN_FILES, DataDirectory, Identity, claim_identity, record_log_begun
from raft.disk import Disk, OsDisk
from raft.peers import Peers
from raft.sealed import seal
from raft.storage_errors import DataDirectoryError, ForeignDataError, FormatError
from tests.raft.storage import Log
from tests.simulation.simdisk import DeadProcessError, SimDisk


def claim(disk: Disk, cluster: str = "c", node: str = "n1", incarnation: str = "i1") -> Identity:
    return claim_identity(disk, cluster=cluster, node=node, incarnation=incarnation)


def test_the_identity_is_made_once_and_survives_a_power_cut() -> None:
    disk = SimDisk()
    first = claim(disk)
    disk.power_cut(Random(1))
    assert claim(disk, incarnation="i2") == first == Identity("c", "n1", "i1", 1)


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "sync_dir"])
def test_a_power_cut_while_it_is_made_leaves_none_or_all_of_it(operation: str) -> None:
    for seed in range(20):
        disk = SimDisk()
        disk.die(operation, 1)
        with pytest.raises(DeadProcessError):
            claim(disk)
        disk.power_cut(Random(seed))
        assert claim(disk, incarnation="i2").incarnation in {"i1", "i2"}


@pytest.mark.parametrize(("cluster", "node"), [("other", "n1"), ("c", "n2")])
def test_another_nodes_directory_is_refused(cluster: str, node: str) -> None:
    disk = SimDisk()
    claim(disk)
    with pytest.raises(ForeignDataError, match="belongs to node 'n1' of cluster 'c'"):
        claim(disk, cluster, node)


def test_a_newer_format_is_refused_as_such() -> None:
    disk = SimDisk()
    disk.replace("identity.json", seal(b'{"format":2,"everything":"else"}'))
    with pytest.raises(FormatError, match="format version 2"):
        claim(disk)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format":1}', b'{"format":"1"}', b"\xff"])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_identity_is_refused(content: bytes, sealed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    disk = SimDisk()
    disk.replace("identity.json", seal(content) if sealed else content)
    with pytest.raises(DataDirectoryError, match="is damaged"):
        claim(disk)


@pytest.mark.parametrize("path", ["wal/0000000000000001.wal", "snapshots/1"])
def test_data_without_an_identity_is_refused(path: str) -> None:
    disk = SimDisk()
    disk.makedirs(path.partition("/")[0])
    disk.replace(path, b"")
    with pytest.raises(DataDirectoryError, match=r"identity.json is missing"):
        claim(disk)


def test_a_node_whose_log_is_gone_does_not_start_as_if_it_were_new() -> None:
    disk = SimDisk()
    identity = claim(disk)
    assert claim(disk) == identity  # ended before the log was begun
    Log(disk)
    Peers(disk, "i1")
    assert record_log_begun(disk, identity).log_begun
    assert claim(disk).log_begun
    disk.remove("wal/0000000000000001.wal")
    with pytest.raises(DataDirectoryError, match="write-ahead log in wal/ is missing"):
        claim(disk)


@pytest.mark.parametrize("path", ["peers.json", "watermark"])
def test_a_node_that_lost_another_of_its_files_does_not_start_as_if_it_were_new(path: str) -> None:
    disk = SimDisk()
    identity = claim(disk)
    Log(disk)
    Peers(disk, "i1")
    record_log_begun(disk, identity)
    disk.remove(path)
    with pytest.raises(DataDirectoryError, match=f"{path} is missing"):
        claim(disk)


def test_a_second_process_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from raft.datadir import DataDirectory\n"
        "DataDirectory.open(Path(sys.argv[1]), cluster='c', node='n1'); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "data")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(DataDirectoryError, match=f"held by process {holder.pid}"):
            DataDirectory.open(tmp_path / "data", cluster="c", node="n1")
        holder.kill()
        holder.wait()
        data = DataDirectory.open(tmp_path / "data", cluster="c", node="n1")
    assert data.identity.incarnation
    data.close()


def test_a_directory_is_opened_closed_and_opened_again(tmp_path: Path) -> None:
    first = DataDirectory.open(tmp_path, cluster="c", node="n1")
    with pytest.raises(DataDirectoryError, match="held by process"):
        DataDirectory.open(tmp_path, cluster="c", node="n1")
    first.record_log_begun()
    first.disk.makedirs("wal")
    first.disk.create("wal/x").close()
    for path in BEGUN_FILES:
        first.disk.create(path).close()
    first.close()
    first.close()
    second = DataDirectory.open(tmp_path, cluster="c", node="n1")
    assert second.identity == first.identity
    second.close()


def test_a_refused_directory_is_not_left_locked(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path, cluster="c", node="n1").close()
    with pytest.raises(ForeignDataError):
        DataDirectory.open(tmp_path, cluster="c", node="n2")
    DataDirectory.open(tmp_path, cluster="c", node="n1").close()


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_a_directory_whose_lock_could_not_be_signed_is_not_left_locked(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full_disk)
        with pytest.raises(OSError, match="No space left"):
            DataDirectory.open(tmp_path, cluster="c", node="n1")
    DataDirectory.open(tmp_path, cluster="c", node="n1").close()


def test_a_directory_whose_name_could_not_be_made_durable_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            OsDisk(tmp_path).makedirs("data")
        patch.setattr(os, "fsync", synced.append)
        OsDisk(tmp_path).makedirs("data")
    assert len(synced) == 1


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
