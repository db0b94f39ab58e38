"""All replicas of a node on one event loop, over one write-ahead log and one connection to each other node.

A *turn* ticks the replicas that something happened to, then sends one packet to each node, then starts one sync for all that
they wrote. Messages that promise something are held back until the sync that covers it is done; a leader's
entries leave at once, so that its own sync and those of its followers overlap. A replica to which nothing happens is
not looked at before its timers may have run out, and heartbeats of idle groups share messages: that makes an idle group cheap.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol

from . import beats
from .beats import Beats
from .config import RaftConfig
from .disk import Disk, Fatal
from .figures import HostFigures
from .interface import StateMachine
from .journal import Journal
from .messages import Addressed, AppendEntries, Beat, BeatReply, InstallSnapshot, Message, Packet
from .offload import Offload
from .peers import Peers
from .replica import SafeReplica
from .snapshots import SnapshotStore
from .snapshotting import SnapshotShelf
from .storage_errors import StorageError, describe_storage_error
from .wal import Durability, Wal
from .wal_space import Limits

logger = logging.getLogger(__name__)

_PASSES_PER_TURN = 8  # a commit may let the next command in: such chains go on in the same turn, up to this length
_HELD_MESSAGES = 100_000  # Raft tolerates loss: past this the oldest promises are forgotten
_PACKET_BYTES = 4 << 20  # far below the frame limit, also with a batch on top


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Do not call it any more."""


class Loop(Protocol):
    """What the host needs of an event loop; asyncio's has it, and the simulator's."""

    def call_soon(self, callback: Callable[[], None], /) -> object:
        """Call on the next turn."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Call after `delay` seconds."""


class Network(Protocol):
    """Sends packets to other nodes; may lose them."""

    def send(self, to: str, packet: Packet) -> bool:
        """Send, or drop and return False."""

    def connected(self, to: str) -> bool:
        """Whether a packet has a chance; False also asks for a connection to be made."""


class RaftHost:
    """The replicas of one node. Everything happens on the thread of `loop`."""

    def __init__(
        self,
        *,
        node_id: str,
        cluster: str,
        incarnation: str,
        disk: Disk,
        log_offload: Offload,
        snapshot_offload: Offload,
        network: Network,
        loop: Loop,
        clock: Callable[[], float],
        rng: random.Random,
        fatal: Fatal,
        config: RaftConfig | None = None,
        durability: Durability = Durability.FSYNC,
    ) -> None:
        self.node_id = node_id
        self.config = config or RaftConfig()
        self.replicas: dict[int, SafeReplica] = {}
        self.figures = HostFigures()
        self.now = clock
        self._cluster = cluster
        self._incarnation = incarnation
        self._network = network
        self._loop = loop
        self._rng = rng
        self._fatal = fatal
        self._awake: dict[SafeReplica, None] = {}  # an ordered set
        self._unsynced: dict[SafeReplica, None] = {}  # those with entries on their way to disk, and perhaps others
        self._beats = Beats(self.config)
        self._touched = self._beats.touched
        self._turn_scheduled = False
        self._held: deque[tuple[int, str, Addressed]] = deque()
        self._outgoing: dict[str, list[Addressed]] = {}
        self._connected: dict[str, bool] = {}
        self._closed = False
        self._failed = False
        self._durable_seen = 0  # lsn at the last scan
        self._waiting_since: float | None = None  # since when records wait and none became durable
        self._taking_packet = EndingOnError(self, "taking a packet")
        self._in_turn = EndingOnError(self, "a turn of the groups")
        self._after_sync = EndingOnError(self, "a sync of the log")
        self._at_snapshot = EndingOnError(self, "working on a snapshot")
        self._at_timers = EndingOnError(self, "looking at timers")
        self.wal = Wal.open(
            disk,
            log_offload,
            identity=f"{cluster}/{incarnation}".encode(),
            durability=durability,
            limits=Limits(segment_bytes=self.config.segment_bytes, max_bytes=self.config.log_bytes),
            fatal=self.fatal,
            on_durable=self._on_durable,
            on_pinned=self._on_pinned,
        )
        self._recovered = self.wal.recovered()
        self._peers = Peers(disk, incarnation)
        self._store = SnapshotStore(disk, snapshot_offload, cluster=cluster.encode(), fatal=self.fatal)

    # --- hosting ---------------------------------------------------------------------------------------------------

    @property
    def failed(self) -> bool:
        """Whether an error has ended it: memory and log may differ, and nothing of either may get out."""
        return self._failed

    @property
    def peers(self) -> int:
        """How many other nodes have a replica of a group that is hosted here."""
        return len(self._connected)

    @property
    def peers_connected(self) -> int:
        """How many of them can be reached, as of the last look at timers."""
        return sum(self._connected.values())

    def create(self, group: int, replicas: Sequence[str], machine: StateMachine) -> SafeReplica:
        """Host a replica of `group`, from what is on disk or empty; raises ValueError when it is there already."""
        if group in self.replicas:
            raise ValueError(f"group {group} is hosted already")
        journal = Journal(self.wal, group, self._recovered.pop(group, None))
        shelf = SnapshotShelf(group, self._store, self)
        replica = SafeReplica(group, replicas, machine, journal=journal, shelf=shelf, surroundings=self)
        self.replicas[group] = replica
        self._touched[replica] = None
        for peer in replicas:
            if peer != self.node_id and self._connected.setdefault(peer, False):
                replica.peer_connected(peer)
        return replica

    def start(self) -> None:
        """Begin to look at timers."""
        self._scan()

    def close(self) -> None:
        """Answer everyone who waits and close the log; the host is of no use afterwards."""
        self._closed = True
        for replica in self.replicas.values():
            replica.close()
        self.wal.close()

    def receive(self, packet: Packet) -> None:
        """Take what another node sent; the caller has checked who it is."""
        with self._taking_packet:
            if packet.cluster != self._cluster or self._closed or packet.sender not in self._connected:
                return  # only fellow members are remembered: what others say must not grow the file of peers
            if not self._peers.accept(packet.sender, packet.incarnation):
                return
            self.figures.packets_received += 1
            self.figures.messages_received += len(packet.messages)
            for addressed in packet.messages:
                replica = self.replicas.get(addressed.group)
                if replica is not None:
                    replica.receive(packet.sender, addressed.message)
                    self._note(replica)
            if packet.beat is not None:
                self._take_beat(packet.sender, packet.beat)
            if self._outgoing or self.wal.waiting_bytes:
                self._schedule_turn()

    def _take_beat(self, sender: str, beat: Beat | BeatReply) -> None:
        self.figures.messages_received += 1
        if isinstance(beat, BeatReply):
            beats.count(sender, beat, self.replicas, self.now())
            return
        reply, others = beats.hear(sender, beat, self.replicas, self.now(), self.wal.durable)
        for replica in others:
            self._note(replica)
        if reply.groups:
            self._send_beat(sender, reply)

    # --- what replicas need (replica.Surroundings, snapshotting.Turns) ---------------------------------------------

    def random(self) -> float:
        return self._rng.random()

    def schedule(self, work: Callable[[], None], delay_s: float = 0.0) -> None:
        def guarded() -> None:
            with self._at_snapshot:
                work()

        self._loop.call_later(delay_s, guarded)

    def fatal(self, reason: str) -> None:
        self._closed = self._failed = True  # where the process lives on, nothing is taken or sent from here on
        self._fatal(reason)

    @property
    def log_backlogged(self) -> bool:
        return self.wal.waiting_bytes > self.config.backlog_bytes

    @property
    def log_stalled(self) -> bool:
        since = self._waiting_since
        return since is not None and self.now() - since > self.config.leader_timeout_s

    def wake(self, replica: SafeReplica) -> None:
        self._awake[replica] = None
        self._schedule_turn()

    def send(self, to: str, group: int, message: Message, barrier: int) -> None:
        addressed = Addressed(group, message)
        if barrier <= self.wal.durable:
            self._outgoing.setdefault(to, []).append(addressed)
            return
        self._held.append((barrier, to, addressed))
        if len(self._held) > _HELD_MESSAGES:
            self._held.popleft()

    # --- turns -----------------------------------------------------------------------------------------------------

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled and not self._closed:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_scheduled = False
        if self._closed:
            return
        with self._in_turn:
            for _ in range(_PASSES_PER_TURN):
                awake, self._awake = self._awake, {}
                for replica in awake:
                    replica.tick()
                    self._note(replica)
                if not self._awake:
                    break
            self._send_packets()  # before the sync, which may be done on this loop: the others sync meanwhile
            self.wal.flush()

    def _note(self, replica: SafeReplica) -> None:
        """Something happened to a replica: its timers may be earlier than they were, and it may have written."""
        self._touched[replica] = None
        if replica.journal.unsynced:
            self._unsynced[replica] = None

    def _scan(self) -> None:
        if self._closed:
            return
        now = self.now()
        with self._at_timers:
            self._look_at_log(now)
            self._look_at_connections()
            self._look_at_timers(now)
        self._loop.call_later(self.config.scan_s, self._scan)

    def _look_at_timers(self, now: float) -> None:
        look = self._beats.look(now, may_lead=not self.log_stalled)
        for replica in look.awake:
            self.wake(replica)
        for to, groups in look.together.items():
            for beat in beats.cut(now, groups, self.config.beat_groups):
                self._send_beat(to, beat)

    def _look_at_log(self, now: float) -> None:
        """Notice a disk that hangs: it raises no error, and heartbeats do not need it."""
        wal = self.wal
        if wal.durable == wal.written:
            self._waiting_since = None
        elif self._waiting_since is None or wal.durable != self._durable_seen:
            self._waiting_since = now
        self._durable_seen = wal.durable

    def _look_at_connections(self) -> None:
        for peer, was in self._connected.items():
            is_now = self._network.connected(peer)
            if is_now != was:
                self._connected[peer] = is_now
                for replica in self.replicas.values():
                    self._touched[replica] = None
                    if peer in replica.replicas:
                        (replica.peer_connected if is_now else replica.peer_disconnected)(peer)

    def _on_durable(self, lsn: int) -> None:
        with self._after_sync:
            while self._held and self._held[0][0] <= lsn:
                _barrier, to, addressed = self._held.popleft()
                self._outgoing.setdefault(to, []).append(addressed)
            unsynced, self._unsynced = self._unsynced, {}
            for replica in unsynced:
                replica.synced(lsn)
                self._note(replica)
            if not self._turn_scheduled:
                self._send_packets()

    def _on_pinned(self, group: int) -> None:
        replica = self.replicas.get(group)
        if replica is not None:
            replica.release_old_log()

    def _send_packets(self) -> None:
        outgoing, self._outgoing = self._outgoing, {}
        if self._failed:
            return
        for to, messages in outgoing.items():
            size = sum(_payload_bytes(addressed.message) for addressed in messages)
            for part, part_size in ((messages, size),) if size <= _PACKET_BYTES else _parts(messages):
                sent = self._network.send(to, Packet(self._cluster, self.node_id, self._incarnation, part))
                self._count_packet(len(part), part_size, sent=sent)

    def _send_beat(self, to: str, beat: Beat | BeatReply) -> None:
        """Send heartbeats or answers at once: there is nothing in them that is not durable."""
        if not self._failed:
            sent = self._network.send(to, Packet(self._cluster, self.node_id, self._incarnation, [], beat))
            self._count_packet(1, _payload_bytes(beat), sent=sent)

    def _count_packet(self, messages: int, size: int, *, sent: bool) -> None:
        figures = self.figures
        if sent:
            figures.packets_sent += 1
            figures.messages_sent += messages
            figures.payload_bytes_sent += size
        else:
            figures.packets_dropped += 1


class EndingOnError:
    """A context in which an error ends the node: in the middle of a change memory and log may differ, so there is no going on.

    It is entered again and again, which is why it is no generator.
    """

    __slots__ = ("_doing", "_host")

    def __init__(self, host: RaftHost, doing: str) -> None:
        self._host = host
        self._doing = doing

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        doing = self._doing
        logger.error("%s failed", doing, exc_info=error)
        known = isinstance(error, StorageError | OSError)
        said = describe_storage_error(doing, error) if known else f"{doing} failed: {type(error).__name__}: {error}"
        self._host.fatal(said)
        return True


def _parts(messages: list[Addressed]) -> Iterator[tuple[list[Addressed], int]]:
    """Cut a long list into packets of a bounded size; with the bytes of each."""
    part: list[Addressed] = []
    size = 0
    for addressed in messages:
        more = _payload_bytes(addressed.message)
        if size + more > _PACKET_BYTES and part:
            yield part, size
            part, size = [], 0
        part.append(addressed)
        size += more
    yield part, size


def _payload_bytes(message: Message | Beat | BeatReply) -> int:
    if isinstance(message, AppendEntries):
        return 64 + sum(len(entry.command) for entry in message.entries)
    return 64 + len(message.data) if isinstance(message, InstallSnapshot) else 64
