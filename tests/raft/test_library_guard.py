"""PySyncObj is the audited release, and its pickles are out of reach."""

import ast
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pysyncobj.journal
import pysyncobj.pickle
import pysyncobj.serializer
import pysyncobj.syncobj
import pysyncobj.tcp_connection
import pytest
from pysyncobj import SyncObj

from raft import library
from raft.library import Library, UnauditedLibraryError
from tests.raft.members import SNAPPY, Group

ROOT = Path(__file__).parents[2]
PICKLE = b"\x80\x04K\x01."  # 1


def test_another_release_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in library._AUDITED:
        with monkeypatch.context() as patch:
            patch.setitem(library._AUDITED, name, "0" * 64)
            with pytest.raises(UnauditedLibraryError, match=name):
                library._check_release()


def test_every_file_of_the_library_that_is_used_was_audited() -> None:
    used = {
        Path(str(module.__file__)).name
        for module in (pysyncobj.journal, pysyncobj.serializer, pysyncobj.syncobj, sys.modules["pysyncobj.transport"])
    }
    assert used == set(library._AUDITED)


@pytest.mark.parametrize(
    "loads",
    [
        pysyncobj.syncobj.pickle.loads,
        pysyncobj.syncobj.pickle.load,
        pysyncobj.serializer.pickle.loads,
        pysyncobj.serializer.pickle.load,
        pysyncobj.tcp_connection.pickle.loads,
        pysyncobj.journal.loads,
        pysyncobj.pickle.loads,
        pysyncobj.pickle.load,
    ],
)
def test_nothing_in_the_library_unpickles(loads: Callable[[bytes], object]) -> None:
    with pytest.raises(RuntimeError, match="pickle is disabled"):
        loads(PICKLE)


@pytest.mark.parametrize(
    "dumps",
    [
        pysyncobj.syncobj.pickle.dumps,
        pysyncobj.serializer.pickle.dump,
        pysyncobj.tcp_connection.pickle.dumps,
        pysyncobj.journal.dumps,
    ],
)
def test_nothing_in_the_library_pickles(dumps: Callable[[object], bytes]) -> None:
    with pytest.raises(RuntimeError, match="pickle is disabled"):
        dumps(1)


def test_the_library_gets_at_pickle_in_no_other_way() -> None:
    """Modules of the library that name pickle are those whose names were replaced, and the wrapper itself."""
    package = Path(str(pysyncobj.syncobj.__file__)).parent
    found = {
        path.name
        for path in package.glob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ImportFrom | ast.Import) and "pickle" in ast.dump(node).lower()
    }
    loaded = {name for name in found if f"pysyncobj.{name[:-3]}" in sys.modules}
    assert loaded == {"journal.py", "pickle.py", "serializer.py", "syncobj.py", "tcp_connection.py"}


def test_a_group_elects_writes_ships_a_snapshot_and_restarts_without_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "dump", "dumps", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    group = Group(3, config=SNAPPY)
    leader = group.elect("a", "a", "b")
    for number in range(30):
        leader.propose(b"%d" % number)
        group.settle("a", "b")
    group.beat("a")
    assert group["c"].replica.snapshots_installed == 1
    group["c"].restart()
    assert group["c"].machine.commands == leader.machine.commands[: len(group["c"].machine.commands)] != []


def test_a_message_can_only_reach_a_replica_typed() -> None:
    replica = Group(1)["a"].replica
    with pytest.raises(RuntimeError, match=r"Replica\.receive"):
        replica._SyncObj__onMessageReceived(None, {"type": "append_entries"})


def test_every_hook_overrides_something_that_the_library_has() -> None:
    """A misspelt private name would override nothing, and the library's own rule would be in force."""
    shipped = set(vars(SyncObj)) | set(vars(pysyncobj.syncobj.SyncObj)["__init__"].__code__.co_names)
    hooks = {name for name in vars(Library) if name.startswith("_SyncObj__")}
    assert hooks <= shipped
    assert {
        "_SyncObj__raftCommitIndex",
        "_SyncObj__connectedToAnyone",
        "_SyncObj__applyLogEntries",
        "_SyncObj__sendAppendEntries",
        "_SyncObj__tryLogCompaction",
        "_SyncObj__onMessageReceived",
    } <= hooks


def test_the_library_writes_no_attribute_of_the_replica_twice_named() -> None:
    """The commit index is a property: the library must not have put an instance attribute beside it."""
    replica = Group(1)["a"].replica
    assert "_SyncObj__raftCommitIndex" not in vars(replica)


def test_each_replica_runs_on_its_hosts_clock() -> None:
    """The library's clock is one global: after another host's replica has run, ours must still see its own time."""
    early, late = Group(1), Group(1)
    late.advance(1e6)
    late["a"].replica.tick()
    deadline = early["a"].replica.election_deadline
    early["a"].replica.tick()
    assert early["a"].replica.election_deadline == deadline
    assert early["a"].replica.role == "follower"
