"""A node's data directory with everything in it, and what a node makes of it when it starts.

Built by the real classes on a simulated disk: several groups, segments, snapshots, a vote, a truncation. Group 1 and 2
have one replica, so what is proposed is acknowledged here; group 3 follows.
"""

import errno
import random
from typing import TypeAlias

import msgspec

from raft.config import RaftConfig
from raft.datadir import claim_identity, record_log_begun
from raft.host import RaftHost
from raft.interface import Committed, Outcome
from raft.messages import Addressed, AppendEntries, LogEntry, Message, Packet, RequestVote
from tests.raft.members import FatalError, HandLoop, ListMachine
from tests.raft.storage import Steps
from tests.simulation.simdisk import SimDisk

CLUSTER = "c1"
NODE = "n1"
MEMBERS = {1: ("n1",), 2: ("n1",), 3: ("n1", "n2", "n3")}
CONFIG = RaftConfig(
    snapshot_entries=10, trailing_entries=2, snapshot_chunk_bytes=64, segment_bytes=4096, rewrite_bytes=256
)

GroupState: TypeAlias = tuple[int, str, list[bytes], list[tuple[bytes, int, int]]]
"""Term, vote, the commands in the snapshot, the entries (command, index, term) after it."""


class State(msgspec.Struct, frozen=True):
    """What a node would promise, vote and serve from, and which incarnations it has heard."""

    groups: dict[int, GroupState]
    peers: dict[str, str]


class _Least(random.Random):
    """Lets as little as possible survive a power cut."""

    def randint(self, a: int, b: int) -> int:
        return min(a, b)

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return 0 if stop is None else min(start, stop, step)


class _Nobody:
    """A network on which nobody answers."""

    def send(self, to: str, packet: Packet) -> bool:
        return bool(to and packet)

    def connected(self, to: str) -> bool:
        return bool(to)


class Node:
    """A node that starts as `shard.node` starts it, with its work done only when told to."""

    def __init__(self, disk: SimDisk, name: str = NODE, incarnation: str = "") -> None:
        """Start.

        Raises:
            StorageError, OSError, FatalError: it refuses, or the disk fails.
        """
        self.now = 1000.0
        self.loop, self.log, self.shots = HandLoop(), Steps(), Steps()
        identity = claim_identity(disk, cluster=CLUSTER, node=name, incarnation=incarnation or f"{name}-first")
        self.host = RaftHost(
            node_id=name,
            cluster=CLUSTER,
            incarnation=identity.incarnation,
            disk=disk,
            log_offload=self.log,
            snapshot_offload=self.shots,
            network=_Nobody(),
            loop=self.loop,
            clock=lambda: self.now,
            rng=random.Random(0),
            fatal=_die,
            config=CONFIG,
        )
        record_log_begun(disk, identity)
        self.machines = {group: ListMachine() for group in MEMBERS}
        for group, members in MEMBERS.items():
            self.host.create(group, tuple(member.replace("n1", name) for member in members), self.machines[group])
        self.settle()

    def settle(self) -> None:
        """Let everything reach the disk."""
        while self.log.work() or self.log.turn() or self.shots.work() or self.shots.turn() or self.loop.run():
            pass

    def lead(self, group: int) -> None:
        """Elect the only replica of a group."""
        self.now += CONFIG.election_timeout_s_max
        for number, replica in self.host.replicas.items():
            replica.election_deadline = self.now + (-1 if number == group else 1000)
        self.host.wake(self.host.replicas[group])
        self.settle()
        assert self.host.replicas[group].is_leader

    def write(self, group: int, *commands: bytes) -> None:
        """Propose commands one after another, each acknowledged before the next."""
        for command in commands:
            outcomes: list[Outcome] = []
            self.host.replicas[group].propose(command, outcomes.append)
            self.settle()
            assert isinstance(outcomes[0], Committed)

    def receive(self, sender: str, message: Message) -> None:
        """Take a message for group 3."""
        self.host.receive(Packet(CLUSTER, sender, f"{sender}-first", [Addressed(3, message)]))
        self.settle()

    def follow(self, leader: str, term: int, prev: tuple[int, int], commands: list[bytes], commit: int) -> None:
        """Take entries for group 3 from a leader."""
        entries = [LogEntry(term, b"\0" + command) for command in commands]
        self.receive(leader, AppendEntries(term, *prev, commit, 0.0, 0, entries))

    def state(self) -> State:
        """What the node has now."""
        return State({group: self._group_state(group) for group in MEMBERS}, dict(self.host._peers.known))

    def _group_state(self, group: int) -> GroupState:
        replica, journal = self.host.replicas[group], self.host.replicas[group].journal
        after = max(replica.snapshot_index, journal.base_index)
        entries = journal.between(after + 1, journal.last_index + 1)
        vote = journal.getVotedForNodeId() or ""
        return journal.getCurrentTerm(), vote, list(self.machines[group].commands), entries


def _die(reason: str) -> None:
    raise FatalError(reason)


class Built(msgspec.Struct, frozen=True):
    """A data directory over time.

    Attributes:
        disk: everything in it is durable and was acknowledged.
        state: what it holds.
        before: how it was a few writes before; the newest segment is the same one.
        older: how it was long before that.
        midway: `disk`, and one more write that was not synced yet.
        midway_state: what that holds if the write is whole.
        cut: `disk` after a power cut that took everything that was not synced: the watermark is behind.
    """

    disk: SimDisk
    state: State
    before: SimDisk
    older: SimDisk
    midway: SimDisk
    midway_state: State
    cut: SimDisk


def build(name: str = NODE) -> Built:
    """Let a node live for a while."""
    disk = SimDisk()
    node = Node(disk, name)
    for group in (1, 2):
        node.lead(group)
    node.write(1, *(b"first-%d" % number for number in range(13)))
    node.follow("n2", 2, (1, 0), [b"a", b"b", b"c", b"d"], commit=3)
    node.write(2, b"x" * 700 + bytes(900), b"y" * 90)
    older = disk.copy()
    node.write(1, *(b"second-%d" % number for number in range(14)))
    node.follow("n3", 3, (4, 2), [b"C", b"D", b"E"], commit=5)
    node.follow("n3", 3, (7, 3), [b"F%d" % number for number in range(9)], commit=14)
    node.write(2, *(b"z%d" % number + b"." * 100 for number in range(12)))
    node.write(1, *(b"third-%d" % number for number in range(14)))
    node.follow("n3", 4, (15, 3), [b"G"], commit=14)
    before = disk.copy()
    node.now += 1000
    node.receive("n2", RequestVote(9, 100, 8, transfer=False))
    node.write(1, b"last", b"l" * 600)
    durable = disk.copy()
    node.host.replicas[1].propose(b"unsynced" + bytes(1100), lambda _: None)
    disk.fail("sync", 1, errno.EIO)
    node.loop.run()
    node.log.work()
    midway = disk.copy()
    disk.power_cut(_Least())
    state, midway_state = (Node(copy.copy(), name).state() for copy in (durable, midway))
    return Built(durable, state, before, older, midway, midway_state, disk)


def files(disk: SimDisk) -> list[str]:
    """Every file, with its path."""
    return [*_below(disk, "")]


def _below(disk: SimDisk, directory: str) -> list[str]:
    found = []
    for name in disk.listdir(directory):
        path = f"{directory}/{name}" if directory else name
        try:
            disk.content(path)
        except FileNotFoundError:
            found += _below(disk, path)
        else:
            found.append(path)
    return found
