"""A group driven by hand: real hosts, logs and snapshots, but nothing is synced, delivered or timed unless a test says so.

Time stands still until `advance`. Members tick when something happens to them, as they do in a process; their timers are
looked at only by `look_at_timers`. Election timeouts are always the longest, so nobody campaigns by chance.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from raft.config import RaftConfig
from raft.host import RaftHost
from raft.interface import Outcome, ReadOutcome
from raft.messages import Addressed, AppendEntries, Beat, BeatReply, LogEntry, Message, Packet
from tests.raft.storage import Steps
from tests.simulation.simdisk import SimDisk

GROUP = 7
CONFIG = RaftConfig(snapshot_entries=1_000_000, segment_bytes=1 << 16)  # no snapshots
SNAPPY = RaftConfig(snapshot_entries=10, trailing_entries=2, snapshot_chunk_bytes=16, segment_bytes=1 << 16)
ONE_BY_ONE = RaftConfig(snapshot_entries=1_000_000, segment_bytes=1 << 16, apply_s=-1.0)  # applies one entry in a tick
LONGEST = 0.999_999  # of the random numbers below 1
Letter: TypeAlias = Message | Beat | BeatReply


class FatalError(Exception):
    """The process ended itself."""


class _Longest(random.Random):
    def random(self) -> float:
        return LONGEST


class _Timer:
    def cancel(self) -> None:
        """It rings at once or never."""


class HandLoop:
    """Calls wait until `run`."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()

    def call_soon(self, callback: Callable[[], None], /) -> None:
        self._calls.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None], /) -> _Timer:
        """Only calls without a delay come: what is due by time is looked at by hand."""
        if delay == 0:
            self._calls.append(callback)
        return _Timer()

    def turn(self) -> None:
        """Make the calls that wait now; what they cause waits for the next turn."""
        for _ in range(len(self._calls)):
            self._calls.popleft()()

    def run(self) -> bool:
        ran = bool(self._calls)
        while self._calls:
            self.turn()
        return ran


class ListMachine:
    """Remembers commands; `raise` raises. A snapshot's chunks hold ten commands each."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []

    def apply(self, index: int, term: int, command: bytes) -> object:
        if command == b"raise":
            raise ValueError(f"asked to fail at {index} in {term}")
        self.commands.append(command)
        return len(self.commands)

    def snapshot(self) -> Iterator[bytes]:
        commands = list(self.commands)
        return (msgspec.msgpack.encode(commands[at : at + 10]) for at in range(0, max(len(commands), 1), 10))

    def restore(self) -> "ListMachine":
        self._fed: list[bytes] = []
        return self

    def feed(self, chunk: bytes) -> None:
        self._fed += msgspec.msgpack.decode(chunk, type=list[bytes])

    def finish(self) -> None:
        self.commands = self._fed


class Member:
    """One node with one replica. What it sends lands in the group's mail, once its host lets it go."""

    def __init__(self, group: "Group", name: str) -> None:
        self._group = group
        self.name = name
        self.disk = SimDisk()
        self.start()

    def start(self) -> None:
        self.loop, self.log, self.shots = HandLoop(), Steps(), Steps()
        self.host = RaftHost(
            node_id=self.name,
            cluster="test",
            incarnation=self.name,
            disk=self.disk,
            log_offload=self.log,
            snapshot_offload=self.shots,
            network=self,
            loop=self.loop,
            clock=lambda: self._group.now,
            rng=_Longest(),
            fatal=self._die,
            config=self._group.config,
        )
        self.machine = ListMachine()
        self.replica = self.host.create(GROUP, self._group.names, self.machine)
        for peer in self._group.names:
            if peer != self.name:
                self.replica.peer_connected(peer)
        self.loop.run()

    def restart(self, *, power_cut: bool = True) -> None:
        """The machine loses power, or only the process dies; then it starts again."""
        self._group.forget(sender=self.name)
        if power_cut:
            self.disk.power_cut(random.Random(0))
        else:
            self.disk.crash()
        self.start()

    def send(self, to: str, packet: Packet) -> bool:
        """See raft.host.Network."""
        self._group.mail += [(self.name, to, addressed.message) for addressed in packet.messages]
        if packet.beat is not None:
            self._group.mail.append((self.name, to, packet.beat))
        return True

    def connected(self, to: str) -> bool:
        """See raft.host.Network."""
        return bool(to)

    def receive(self, sender: str, message: Letter) -> None:
        """Take a message and let the loop turn until nothing is left; nothing is synced."""
        self._take(sender, message)
        self.loop.run()

    def receive_in_one_turn(self, sender: str, message: Letter) -> None:
        """Take a message and let the loop turn once."""
        self._take(sender, message)
        self.loop.turn()

    def _take(self, sender: str, message: Letter) -> None:
        if isinstance(message, Beat | BeatReply):
            self.host.receive(Packet("test", sender, sender, [], message))
        else:
            self.host.receive(Packet("test", sender, sender, [Addressed(GROUP, message)]))

    def sync(self) -> bool:
        """Let everything reach the disk."""
        worked = False
        while self.log.work() or self.log.turn() or self.shots.work() or self.shots.turn() or self.loop.run():
            worked = True
        return worked

    def look_at_timers(self) -> None:
        if self.replica.due(self._group.now):
            self.host.wake(self.replica)
        self.loop.run()

    def scan(self) -> None:
        """Let the host look at timers, connections and the log, once."""
        self.host.start()
        self.loop.run()

    def propose(self, command: bytes) -> list[Outcome]:
        """Propose; the list gets the outcomes."""
        outcomes: list[Outcome] = []
        self.replica.propose(command, outcomes.append)
        self.loop.run()
        return outcomes

    def read(self) -> list[ReadOutcome]:
        """Ask for a read; the list gets the outcomes."""
        outcomes: list[ReadOutcome] = []
        self.replica.read(outcomes.append)
        self.loop.run()
        return outcomes

    def hand_over(self, to: str) -> bool:
        """As leader, begin to hand leadership over."""
        begun = self.replica.transfer_leadership(to)
        self.host.wake(self.replica)
        self.loop.run()
        return begun

    def heartbeat(self) -> None:
        """As leader, send a heartbeat now."""
        self.replica.heartbeat_due = 0.0
        self.look_at_timers()

    @property
    def terms(self) -> list[int]:
        """Terms of the entries after the base."""
        journal = self.replica.journal
        return [term for _command, _index, term in journal.between(journal.base_index + 1, journal.last_index + 1)]

    def _die(self, reason: str) -> None:
        raise FatalError(reason)


class Group:
    """Members named a, b, c …, and the mail between them: (sender, to, message), oldest first."""

    def __init__(self, size: int = 3, config: RaftConfig = CONFIG) -> None:
        self.now = 1000.0
        self.config = config
        self.names = tuple("abcde"[:size])
        self.mail: list[tuple[str, str, Letter]] = []
        self.members = {name: Member(self, name) for name in self.names}
        self.settle()

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def advance(self, seconds: float) -> None:
        """Let time pass; nobody looks at a timer."""
        self.now += seconds

    def forget(self, sender: str = "", to: str = "", kind: type = object) -> None:
        """Lose mail."""
        lost = self.letters(sender, to, kind)
        self.mail = [mail for mail in self.mail if mail not in lost]

    def letters(self, sender: str = "", to: str = "", kind: type = object) -> list[tuple[str, str, Letter]]:
        """Mail that waits, by sender, receiver and type."""
        return [
            mail for mail in self.mail if sender in {"", mail[0]} and to in {"", mail[1]} and isinstance(mail[2], kind)
        ]

    def deliver(self, sender: str = "", to: str = "", kind: type = object) -> None:
        """Deliver what waits now; what that causes waits."""
        letters = self.letters(sender, to, kind)
        self.forget(sender, to, kind)
        for from_, to_, message in letters:
            self[to_].receive(from_, message)

    def settle(self, *names: str) -> None:
        """Sync and deliver among these members (all by default) until nothing moves; others' mail is lost."""
        among = names or self.names
        for _ in range(10_000):
            moved = [self[name].sync() for name in among]
            if not self.mail and not any(moved):
                return
            mail, self.mail = self.mail, []
            for sender, to, message in mail:
                if sender in among and to in among:
                    self[to].receive(sender, message)
        raise AssertionError("never quiet")

    def campaign(self, name: str, *among: str) -> None:
        """Let a member's election timeout run out while nobody else's does, and settle among the given members."""
        self.advance(self.config.election_timeout_s_min)
        for member in self.members.values():
            member.replica.election_deadline = self.now + self.config.election_timeout_s_max
        self[name].replica.election_deadline = self.now
        self.advance(0.001)
        self[name].look_at_timers()
        self.settle(*among)

    def beat(self, name: str, *among: str, times: int = 3) -> None:
        """Let a leader send heartbeats, and settle after each."""
        for _ in range(times):
            self[name].heartbeat()
            self.settle(*among)

    def elect_unheard(self, name: str, *, synced: bool = True) -> Member:
        """Make a member leader whose first messages are lost: only questions about votes and their answers arrive.

        Unless `synced`, its first entry has not reached its disk.
        """
        self.advance(self.config.election_timeout_s_min)
        self[name].replica.election_deadline = self.now
        self.advance(0.001)
        self[name].look_at_timers()
        for _ in range(4):
            if self[name].replica.role == "leader":
                break
            for member in self.members.values():
                member.sync()
            self.forget(kind=AppendEntries)
            self.deliver()
        if synced:
            self[name].sync()
        self.mail.clear()
        assert self[name].replica.role == "leader"
        return self[name]

    def elect(self, name: str, *among: str) -> Member:
        """Make a member leader with the votes of the given members (all by default)."""
        self.campaign(name, *among)
        assert self[name].replica.is_leader, f"{name} was not elected"
        return self[name]


def append(member: Member, **changes: object) -> AppendEntries:
    """What a leader of the member's term sends when it believes that the logs are equal: a heartbeat; with changes."""
    replica = member.replica
    message = AppendEntries(
        term=replica.term,
        prev_index=replica.last_index,
        prev_term=replica.journal.last_term,
        commit_index=replica.commit_index,
        sent_s=0.0,
        round=0,
        entries=[],
    )
    return msgspec.structs.replace(message, **changes)


def entries(*terms: int) -> list[LogEntry]:
    """New entries of these terms."""
    return [LogEntry(term, b"\x00%d" % term) for term in terms]
