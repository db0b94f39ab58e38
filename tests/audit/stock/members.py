"""A group of the library as shipped, driven by hand: nothing is delivered or timed unless a scenario says so.

The counterpart of `tests.raft.members`, with the library's own journal and dump files in a real folder. Time stands still
until `advance`, but for 10 µs at each look: the library leaves some of its loops only when time passes.
Must not be imported into a process that imports `raft`, which disarms the library.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import pysyncobj.pickle
import pysyncobj.syncobj
from pysyncobj import SyncObjConf, replicated
from pysyncobj.journal import ResizableFile
from pysyncobj.node import Node

from tests.simulation.stock import StockRegister, StockTransport

Result = dict[str, Any]
Outcomes = list[tuple[Any, int]]  # (result, FAIL_REASON)
LOOK_S = 1e-5
HEARTBEAT_S = 0.1
NEVER_S = 1e9


def dumps(message: object) -> bytes:
    """A message as the library puts it on the wire."""
    return bytes(pysyncobj.pickle.dumps(message))


def made(folder: Path) -> Path:
    """The folder, which is there now."""
    folder.mkdir(exist_ok=True, parents=True)
    return folder


class Register(StockRegister):
    """A list of commands, and commands that make trouble."""

    @replicated  # type: ignore[untyped-decorator] # the library is untyped
    def poison(self, command: bytes) -> NoReturn:
        self.commands.append(command)
        raise ValueError("asked to fail")


class Gate:
    """An attribute of the replicated object that is pickled only once a pipe says so: a snapshot that takes long."""

    def __init__(self, reader: int) -> None:
        self._reader = reader

    def __reduce__(self) -> tuple[type, tuple[()]]:
        os.read(self._reader, 1)
        return (int, ())


class Member:
    """One node; its files outlive its processes."""

    def __init__(self, group: "Group", name: str, peers: Iterable[str]) -> None:
        self._group = group
        self.name = name
        self.folder = group.folder / name
        self.start(peers)

    def start(self, peers: Iterable[str]) -> None:
        """Begin a process over whatever files there are."""
        group = self._group
        self.folder.mkdir(exist_ok=True)
        self.errors: list[str] = []
        self.nodes = {name: Node(name) for name in peers if name != self.name}
        self.transport = StockTransport(group, self.name)
        journal = {"journalFile": str(self.folder / "journal"), "fullDumpFile": str(self.folder / "dump")}
        settings = {"useFork": False, "logCompactionMinEntries": 1_000_000, "logCompactionMinTime": NEVER_S}
        conf = SyncObjConf(autoTick=False, pollerType="poll", **(settings | journal | group.settings))
        self.register = Register(self.name, list(self.nodes.values()), conf, self.transport)
        self["raftElectionDeadline"] = NEVER_S
        for node in self.nodes.values():
            self.transport.connectivity(node, connected=True)

    def __getitem__(self, private: str) -> Any:
        return getattr(self.register, f"_SyncObj__{private}")

    def __setitem__(self, private: str, value: object) -> None:
        setattr(self.register, f"_SyncObj__{private}", value)

    @property
    def leads(self) -> bool:
        return bool(self.register._isLeader())

    @property
    def commands(self) -> list[str]:
        return [command.decode() for command in self.register.commands]

    @property
    def last_index(self) -> int:
        return int(self["raftLog"][-1][1])

    @property
    def terms(self) -> list[int]:
        return [term for _command, _index, term in self["raftLog"][:]]

    def restart(self, peers: Iterable[str] = ()) -> None:
        """The process dies, the machine goes on: what was stored into memory maps is in the files."""
        self._group.forget(sender=self.name)
        self.start(peers or self._group.names)

    def power_cut(self) -> None:
        """The machine loses power: of what was never synced nothing needs to be there, and nothing was."""
        assert not self._group.syncs, "something was synced: what it covered would have to stay"
        shutil.rmtree(self.folder)
        self.restart()

    def tick(self) -> None:
        """One tick. As the library's own thread does, note an exception and go on."""
        self._guarded(lambda: self.register.doTick(0))

    def receive(self, sender: str, message: dict[str, Any]) -> None:
        """Take a message, unpickled as from the wire."""
        node = self.nodes.get(sender) or Node(sender)
        self._guarded(lambda: self.transport.arrive(node, dumps(message)))

    def write(self, *commands: bytes, method: str = "append") -> Outcomes:
        """Hand in commands; the list gets their outcomes."""
        outcomes: Outcomes = []
        for command in commands:
            getattr(self.register, method)(command, callback=lambda result, reason: outcomes.append((result, reason)))
        return outcomes

    def compact(self) -> None:
        """Write the dump in this tick; the next one shortens the journal."""
        self.register.forceLogCompaction()
        self.tick()

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - this is what the library does
            self.errors.append(f"{type(error).__name__}: {error}")


class Group:
    """Members and the mail between them: (sender, to, message), oldest first."""

    def __init__(self, folder: Path, size: int = 3, **settings: Any) -> None:
        self.now = 1000.0
        self.folder = folder
        self.settings = settings
        self.names = tuple("abcde"[:size])
        self.mail: list[tuple[str, str, dict[str, Any]]] = []
        self.look_s = LOOK_S
        self.syncs = 0
        random.seed(1)
        self._count_syncs()
        pysyncobj.syncobj.monotonicTime = self._clock
        self.members = {name: Member(self, name, self.names) for name in self.names}

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def _clock(self) -> float:
        self.now += self.look_s
        return self.now

    def _count_syncs(self) -> None:
        def counting(sync: Callable[..., None]) -> Callable[..., None]:
            def counted(*args: object) -> None:
                self.syncs += 1
                sync(*args)

            return counted

        os.fsync, os.fdatasync = counting(os.fsync), counting(os.fdatasync)
        ResizableFile.flush = counting(ResizableFile.flush)

    def send(self, sender: str, to: str, message: object) -> None:
        """What a transport sends; see tests.simulation.world.Network."""
        assert isinstance(message, bytes)
        self.mail.append((sender, to, pysyncobj.pickle.loads(message)))

    def connected(self, _sender: str, to: str) -> bool:
        """Whether the transport takes messages."""
        return to in self.members

    def letters(self, sender: str = "", to: str = "", kind: str = "") -> list[tuple[str, str, dict[str, Any]]]:
        """Mail that waits."""
        return [m for m in self.mail if sender in {"", m[0]} and to in {"", m[1]} and kind in {"", m[2]["type"]}]

    def forget(self, sender: str = "", to: str = "", kind: str = "") -> None:
        """Lose mail."""
        lost = self.letters(sender, to, kind)
        self.mail = [letter for letter in self.mail if all(letter is not gone for gone in lost)]

    def deliver(self, sender: str = "", to: str = "", kind: str = "") -> None:
        """Deliver what waits now; what that causes waits."""
        letters = self.letters(sender, to, kind)
        self.forget(sender, to, kind)
        for from_, to_, message in letters:
            self[to_].receive(from_, message)

    def beat(self, *among: str, times: int = 4) -> None:
        """Heartbeats and what they cause among these members (all by default); others' mail is lost."""
        names = among or self.names
        for _ in range(times):
            self.now += HEARTBEAT_S * 1.01
            for name in names:
                self[name].tick()
            mail, self.mail = self.mail, []
            for sender, to, message in mail:
                if sender in names and to in names:
                    self[to].receive(sender, message)
        for name in names:
            self[name].tick()

    def elect(self, name: str, *among: str) -> Member:
        """Let a member's election timeout run out and nobody else's."""
        for member in self.members.values():
            member["raftElectionDeadline"] = NEVER_S
        self[name]["raftElectionDeadline"] = 0.0
        self.beat(*among)
        assert self[name].leads, f"{name} was not elected: {[member.errors for member in self.members.values()]}"
        return self[name]
