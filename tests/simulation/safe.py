"""Concord's `raft/` in the simulated world: real hosts, real write-ahead log and snapshots, simulated disk and network."""

import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import msgspec

from raft.config import RaftConfig
from raft.host import RaftHost
from raft.interface import Committed, Outcome, ReadGranted, ReadOutcome, Refused, Restorer
from raft.journal import Journal
from raft.messages import Beat, Packet
from raft.replica import SafeReplica
from tests.simulation.history import GroupHistory, History, Violation
from tests.simulation.simdisk import SimDisk
from tests.simulation.world import Life, Network, World

T = TypeVar("T")

CONFIG = RaftConfig(
    snapshot_entries=12,
    snapshot_bytes=4096,
    trailing_entries=4,
    snapshot_chunk_bytes=700,
    batch_entries=16,
    rewrite_bytes=600,
    segment_bytes=8192,
    log_bytes=40_000,
    scan_s=0.05,
)


CHUNK_COMMANDS = 10


class RegisterMachine:
    """Remembers every command in order, and reports each apply to the history."""

    def __init__(self, node: str, history: GroupHistory) -> None:
        self._node = node
        self._history = history
        self.commands: list[bytes] = []
        self.index = 0
        self.state = 0
        self._encoded: list[bytes] = []  # the chunks of a snapshot that no later command changes

    def apply(self, index: int, term: int, command: bytes) -> object:
        if index <= self.index:
            raise Violation(f"{self._node} applied {index} after {self.index}")
        self.commands.append(command)
        self.index = index
        digest = hashlib.blake2b(command, key=self.state.to_bytes(8, "big"), digest_size=8).digest()
        self.state = int.from_bytes(digest, "big")
        self._history.on_applied(self._node, index, term, command, self.state)
        return len(self.commands)

    def snapshot(self) -> Iterator[bytes]:
        commands, encoded = self.commands, self._encoded
        full, more = divmod(len(commands), CHUNK_COMMANDS)
        for number in range(len(encoded), full):
            encoded.append(msgspec.msgpack.encode(commands[number * CHUNK_COMMANDS : (number + 1) * CHUNK_COMMANDS]))
        rest = [msgspec.msgpack.encode(commands[-more:])] if more else []
        return iter([msgspec.msgpack.encode((self.index, self.state)), *encoded, *rest])

    def restore(self) -> Restorer:
        return _Restoring(self)


class _Restoring:
    def __init__(self, machine: RegisterMachine) -> None:
        self._machine = machine
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def finish(self) -> None:
        machine = self._machine
        machine.index, machine.state = msgspec.msgpack.decode(self._chunks[0], type=tuple[int, int])
        lists = (msgspec.msgpack.decode(chunk, type=list[bytes]) for chunk in self._chunks[1:])
        machine.commands, machine._encoded = [command for part in lists for command in part], []


class SimOffload:
    """Runs work some time later, one at a time, in order; work of a dead process is never done."""

    def __init__(self, life: Life, rng: random.Random) -> None:
        self._life = life
        self._rng = rng
        self._queue: deque[Callable[[], None]] = deque()
        self._busy = False
        self.slow_until = 0.0

    def __call__(
        self,
        work: Callable[[], T],
        done: Callable[[T | BaseException], None],
        *,
        brief: bool = False,  # noqa: ARG002 - all of it takes time
    ) -> None:
        self._queue.append(partial(self._perform, work, done))
        if not self._busy:
            self._next()

    def close(self) -> None:
        self._queue.clear()

    def _next(self) -> None:
        self._busy = bool(self._queue)
        if self._busy:
            slow = self._life.clock() < self.slow_until
            delay = self._rng.uniform(0.05, 0.4) if slow else self._rng.uniform(0.0001, 0.003)
            self._life.call_later(delay, self._queue.popleft())

    def _perform(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        outcome: T | BaseException
        try:
            outcome = work()
        except OSError as error:
            outcome = error

        self._life.call_later(self._rng.uniform(0.0001, 0.001), partial(self._finish, done, outcome))

    def _finish(self, done: Callable[[T | BaseException], None], outcome: T | BaseException) -> None:
        done(outcome)
        self._next()


class SimNode:
    """One node: a disk that outlives its processes."""

    def __init__(self, cluster: "SafeCluster", name: str) -> None:
        self._cluster = cluster
        self.name = name
        self.disk = SimDisk()
        self.life: Life | None = None

    def start(self) -> None:
        cluster = self._cluster
        self.life = Life(cluster.world, cluster.world.rng.uniform(0.98, 1.02))
        self._offloads = [SimOffload(self.life, cluster.world.rng) for _ in range(2)]
        self.machines: dict[int, RegisterMachine] = {}
        self.host = RaftHost(
            node_id=self.name,
            cluster="sim",
            incarnation=self.name,
            disk=self.disk,
            log_offload=self._offloads[0],
            snapshot_offload=self._offloads[1],
            network=_Sender(cluster.network, self.name),
            loop=self.life,
            clock=self.life.clock,
            rng=cluster.world.rng,
            fatal=self._fatal,
            config=CONFIG,
        )
        for group in cluster.groups:
            self._host_group(group)
        self.host.start()

    def _host_group(self, group: int) -> None:
        cluster = self._cluster
        self.machines[group] = RegisterMachine(self.name, cluster.history.groups[group])
        replica = self.host.create(group, cluster.names, self.machines[group])
        replica.on_leadership(lambda leads: self._on_leadership(replica, leads=leads))

    def slow_disk(self, seconds: float) -> bool:
        if self.life is None:
            return False
        for offload in self._offloads:
            offload.slow_until = self.life.clock() + seconds
        return True

    def _on_leadership(self, replica: SafeReplica, *, leads: bool) -> None:
        if leads:
            self._cluster.on_leader(self, replica)

    def _fatal(self, reason: str) -> None:
        raise Violation(f"{self.name}: fatal: {reason}")


class _Sender:
    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name

    def send(self, to: str, packet: Packet) -> bool:
        self._network.send(self._name, to, packet)
        return True

    def connected(self, to: str) -> bool:
        return self._network.connected(self._name, to)


class SafeCluster:
    """Nodes, clients and the promises that are checked."""

    def __init__(self, world: World, replicas: int, history: History) -> None:
        self.world, self.history = world, history
        self.names = [f"n{number}" for number in range(1, replicas + 1)]
        self.groups = range(1, world.rng.choice([2, 2, 4]))
        self.network = Network(world, self.names, self._deliver)
        self.nodes = {name: self._make_node(name) for name in self.names}
        self._calls = 0
        self._waiting: dict[int, Life] = {}
        for node in self.nodes.values():
            node.start()

    def _make_node(self, name: str) -> SimNode:
        return SimNode(self, name)

    # --- what the adversary does -----------------------------------------------------------------------------------

    def is_up(self, name: str) -> bool:
        return self.nodes[name].life is not None

    def crash(self, name: str) -> None:
        self._die(name)
        self.nodes[name].disk.crash()

    def power_cut(self, name: str) -> None:
        self._die(name)
        self.nodes[name].disk.power_cut(self.world.rng)

    def restart(self, name: str) -> None:
        self.nodes[name].start()

    def stop(self, name: str, seconds: float) -> bool:
        life = self.nodes[name].life
        if life is not None:
            life.stopped_until = self.world.now + seconds
        return life is not None

    def slow_disk(self, name: str, seconds: float) -> bool:
        return self.nodes[name].slow_disk(seconds)

    def transfer_leadership(self) -> bool:
        group, to = self.world.rng.choice(list(self.groups)), self.world.rng.choice(self.names)
        asked = False
        for node in self._up():
            assert node.life is not None
            replica = node.host.replicas[group]
            if replica.is_leader and to != node.name:
                node.life.run(lambda replica=replica: replica.transfer_leadership(to))  # type: ignore[misc]
                asked = True
        return asked

    def _die(self, name: str) -> None:
        node = self.nodes[name]
        assert node.life is not None
        self.count_snapshots([node])
        node.life.alive = False
        self._waiting = {call: life for call, life in self._waiting.items() if life is not node.life}
        node.life = None

    # --- clients ---------------------------------------------------------------------------------------------------

    def write(self) -> None:
        group, node = self._pick()
        if node is None or node.life is None:
            return
        self._calls += 1
        call, history = self._calls, self.history.groups[group]
        command = b"%d:%d" % (group, call) + b"." * self.world.rng.choice([0, 0, 0, 50, 400])
        self._waiting[call] = node.life

        def done(outcome: Outcome) -> None:
            self._answered(call, history, outcome)
            if isinstance(outcome, Committed):
                history.on_acknowledged(command, outcome.index, outcome.term)
                self._check_durable(group, outcome)
            if isinstance(outcome, Refused):
                history.refused.add(command)

        node.life.run(lambda: node.host.replicas[group].propose(command, done))

    def read(self) -> None:
        group, node = self._pick()
        if node is None or node.life is None:
            return
        self._calls += 1
        call, history = self._calls, self.history.groups[group]
        needed = history.highest_acknowledged
        self._waiting[call] = node.life

        def done(outcome: ReadOutcome) -> None:
            self._answered(call, history, outcome)
            if isinstance(outcome, ReadGranted):
                self.history.outcomes["read by lease" if outcome.by_lease else "read by round"] += 1
                history.on_read(node.name, node.machines[group].index, needed)

        node.life.run(lambda: node.host.replicas[group].read(done))

    def _answered(self, call: int, history: GroupHistory, outcome: object) -> None:
        history.on_outcome(call)
        self.history.outcomes[type(outcome).__name__] += 1
        self._waiting.pop(call, None)

    def _pick(self) -> tuple[int, SimNode | None]:
        group = self.world.rng.choice(list(self.groups))
        return group, self._pick_in(group)

    def _pick_in(self, group: int) -> SimNode | None:
        """A node that is up, mostly one that leads the group."""
        up = self._up()
        leaders = [node for node in up if node.host.replicas[group].is_leader]
        candidates = leaders if leaders and self.world.rng.random() < 0.9 else up
        return self.world.rng.choice(candidates) if candidates else None

    def _up(self) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.life is not None]

    # --- checks ----------------------------------------------------------------------------------------------------

    def on_leader(self, node: SimNode, replica: SafeReplica) -> None:
        history = self.history.groups[replica.group]
        history.on_leader(node.name, replica.term)
        for other in self._up():
            rival = other.host.replicas[replica.group]
            if other is not node and rival.holds_lease and (rival.term < replica.term or replica.holds_lease):
                raise Violation(f"group {replica.group}: {node.name} was elected while {other.name} holds a lease")
        needed = history.acknowledged_before(replica.term)
        if replica.applied_index < needed:
            raise Violation(
                f"group {replica.group}: {node.name} leads term {replica.term} at {replica.applied_index} "
                f"without the acknowledged {needed}"
            )

    def _check_durable(self, group: int, outcome: Committed) -> None:
        """What was acknowledged is on the disks of a majority, those included that are down now."""
        holders = [
            node.name
            for node in self.nodes.values()
            if _has_durably(node.host.replicas[group].journal, outcome.index, outcome.term)
        ]
        if 2 * len(holders) <= len(self.nodes):
            raise Violation(f"group {group}: {outcome.index} was acknowledged but is durable only at {holders}")

    def check_final(self) -> None:
        """After the network healed and everyone had time to catch up."""
        if self._waiting:
            raise Violation(f"calls without an outcome: {sorted(self._waiting)[:5]}")
        for node in self.nodes.values():
            for group, machine in node.machines.items():
                self.history.groups[group].check_final(node.name, machine.index, machine.commands)
        self.count_snapshots(self.nodes.values())

    def count_snapshots(self, nodes: Iterable[SimNode]) -> None:
        """Book what the present incarnations took and installed; called as each of them ends."""
        for replica in (replica for node in nodes for replica in node.host.replicas.values()):
            self.history.outcomes["snapshots taken"] += replica.snapshots_taken
            self.history.outcomes["snapshots installed"] += replica.snapshots_installed

    def _deliver(self, sender: str, to: str, message: object) -> None:
        node = self.nodes[to]
        if node.life is not None and isinstance(message, Packet):
            if message.beat is not None:
                kind = "heartbeats sent together" if isinstance(message.beat, Beat) else "answered together"
                self.history.outcomes[kind] += len(message.beat.groups)
            node.life.run(partial(node.host.receive, message))
        _ = sender


def _has_durably(journal: Journal, index: int, term: int) -> bool:
    if index <= journal.base_index:
        return True
    return index <= journal.durable_index and journal.term_at(index) == term
