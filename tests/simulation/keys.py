"""The state machine and group service of `shard/` in the simulated world: what a client of one key may rely on.

Every key has one client, which does one thing at a time and repeats a write, with the same operation id, until it is
acknowledged. So after each acknowledged write a linearizable read, wherever it is served, must give exactly that value:
a write that was lost, applied twice, overtaken by its own late repetition or read too early shows. Some keys live for
a time: they must not go early, and once seen gone they must not come back. Replicas compare their states all the time:
none may ever be found wrong, unless a test made it so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raft.host import RaftHost
from raft.replica import SafeReplica
from shard.checksums import Checksums
from shard.fence_mark import MarkFile
from shard.group import GroupService
from shard.machine import Machine, Verdict
from shard.machine.machine import Audience
from shard.seams import ChecksumPace
from tests.simulation.history import GroupHistory, History, Violation
from tests.simulation.safe import SafeCluster, SimNode
from tests.simulation.watchers import RecordingAudience, Told, Watcher
from tests.simulation.world import Life, World
from wire.errors import Failure
from wire.messages import (
    ChecksumReply,
    ChecksumRequest,
    Delete,
    Operation,
    OperationId,
    Put,
    PutItem,
    ReadReply,
    ReadRequest,
    Status,
    Touch,
    TouchItem,
    WatchReply,
    WatchRequest,
    WriteReply,
    WriteRequest,
)
from wire.rpc import Call, Desk, Peer

ATTEMPT_S = 1.0
LATE_REQUESTS = 0.03
CLIENTS = 6
PACE = ChecksumPace(entries=40, slice_s=0.0, pause_s=0.002, ask_interval_s=0.1, gather_s=3.0, retry_s=1.0)
CLOCK_ERROR = 0.06  # clocks tick up to 2 % faster or slower than true time, and a leader's time is handed on


class RecordingMachine(Machine):
    """The real machine; each apply is compared between replicas, and so is what it tells of its changes."""

    def __init__(self, node: str, history: GroupHistory, told: Told) -> None:
        super().__init__()
        self._node = node
        self._history = history
        self._told = told
        self._recording: RecordingAudience | None = None

    def tell(self, audience: Audience) -> None:
        self._recording = RecordingAudience(audience)
        super().tell(self._recording)

    def apply(self, index: int, term: int, command: bytes) -> list[WriteReply]:
        assert self._recording is not None
        self._recording.last = []
        replies = super().apply(index, term, command)
        self._history.on_applied(self._node, index, term, command, hash(repr(replies)))
        self._told.take(self._node, index, self._recording.last)
        return replies


class Question:
    """A node asks another for a hash, or is told it: what travels over the network beside packets."""

    def __init__(self, request: ChecksumRequest, take: Callable[[ChecksumReply], None]) -> None:
        self.request, self.take = request, take
        self.reply: ChecksumReply | None = None


class SimColleagues:
    """Asks over the simulated network, which may lose, delay or repeat questions and answers."""

    def __init__(self, cluster: "KeyCluster", node: str, life: Life) -> None:
        self._cluster = cluster
        self.node = node
        self._life = life

    def ask(self, node: str, request: ChecksumRequest, take: Callable[[ChecksumReply], None]) -> None:
        def take_if_alive(reply: ChecksumReply) -> None:
            self._life.run(lambda: take(reply))

        self._cluster.network.send(self.node, node, Question(request, take_if_alive))


class RecordingChecksums(Checksums):
    """The real checks; a difference is a broken promise, unless the test has made it."""

    def __init__(self, cluster: "KeyCluster", node: "KeyNode", replica: SafeReplica, machine: Machine) -> None:
        assert node.life is not None
        self._cluster = cluster
        super().__init__(
            replica,
            machine,
            node.life,
            colleagues=SimColleagues(cluster, node.name, node.life),
            marks=MarkFile(node.disk, replica.group, node.die_of),
            pace=PACE,
        )

    def verdict_reached(self, verdict: Verdict) -> None:
        super().verdict_reached(verdict)
        self._cluster.history.outcomes["verdicts on states"] += 1
        if (self.diverged or self.fence.is_up) and not self._cluster.is_corrupted:
            raise Violation(f"the states of replicas differ at {verdict.index}: {verdict.hashes}")


class KeyNode(SimNode):
    """Hosts the real group service."""

    host: RaftHost
    _cluster: "KeyCluster"

    def start(self) -> None:
        self.services: dict[int, GroupService] = {}
        self.key_machines: dict[int, RecordingMachine] = {}
        super().start()

    def _host_group(self, group: int) -> None:
        assert self.life is not None
        cluster = self._cluster
        machine = RecordingMachine(self.name, cluster.history.groups[group], cluster.told[group])
        self.key_machines[group] = machine
        replica = self.host.create(group, cluster.names, machine)
        replica.on_leadership(lambda leads: self._on_leadership(replica, leads=leads))
        checksums = RecordingChecksums(cluster, self, replica, machine)
        service = GroupService(replica, machine, self.life, checksums)
        service.assign([(0, 16383)], 1)
        self.services[group] = service

    def die_of(self, reason: str) -> None:
        self._fatal(reason)


class _Desk:
    """Gives an answer to the client, over a network that may lose it."""

    def __init__(self, cluster: "KeyCluster", take: Callable[[object], None]) -> None:
        self._cluster, self._take = cluster, take

    def answer(self, _call: object, value: object) -> None:
        self._deliver(value)

    def refuse(self, _call: object, failure: Failure) -> None:
        self._deliver(failure)

    def _deliver(self, value: object) -> None:
        rng = self._cluster.world.rng
        if rng.random() > self._cluster.lost_answers:
            self._cluster.world.after(rng.uniform(0.0005, 0.003), lambda: self._take(value))


@dataclass
class Client:
    """One key's only user."""

    cluster: "KeyCluster"
    group: int
    key: str
    session: int
    sequence: int = 0
    value: bytes | None = None  # as last acknowledged; None: not there
    not_gone_before_s: float = float("inf")
    seen_gone: bool = False
    acknowledged: int = 0
    reads: int = 0
    attempt: int = 0

    def think(self) -> None:
        """Choose what to do next."""
        self.cluster.world.after(self.cluster.world.rng.expovariate(1 / 0.03), self._act)

    def _act(self) -> None:
        if self.cluster.resting:
            return
        draw = self.cluster.world.rng.random()
        if draw < 0.45:
            self._read()
        else:
            self._write(draw)

    def _write(self, draw: float) -> None:
        self.sequence += 1
        value = f"{self.key}/{self.sequence}".encode()
        ttl_ms = 2000 if draw > 0.85 else 0
        operation: Operation = Put([PutItem(self.key, value, ttl_ms=ttl_ms)])
        if draw > 0.93:
            operation = Delete([self.key])
        elif draw > 0.9:
            operation = Touch([TouchItem(self.key, 2000)])
        identity = OperationId(self.session, self.sequence, self.sequence)
        self._try_write(WriteRequest(self.group, identity, operation), self.cluster.world.now)

    def _try_write(self, request: WriteRequest, began: float) -> None:
        def take(answer: object) -> None:
            if isinstance(answer, WriteReply):
                self._written(request, answer, began)
            else:
                assert isinstance(answer, Failure)
                self._try_again(lambda: self._try_write(request, began))

        self._send(lambda service, call: service.write(call), request, take, lambda: self._try_write(request, began))

    def _written(self, request: WriteRequest, reply: WriteReply, began: float) -> None:
        operation = request.operation
        status = reply.results[0].status
        self.acknowledged += 1
        if isinstance(operation, Put):
            if status != Status.OK:
                raise Violation(f"{self.key}: a put answered {status.name}")
            item = operation.items[0]
            self._now_is(item.value, began, item.ttl_ms)
        elif isinstance(operation, Delete):
            self._check_presence(status, began)
            self._now_is(None, began, 0)
        else:
            self._check_presence(status, began)
            if status == Status.OK:
                self._now_is(self.value, began, 2000)
        self.think()

    def _now_is(self, value: bytes | None, began: float, ttl_ms: int) -> None:
        self.value, self.seen_gone = value, False
        self.not_gone_before_s = began + ttl_ms / 1000 * (1 - CLOCK_ERROR) if ttl_ms else float("inf")

    def _check_presence(self, status: Status, began: float) -> None:
        if status == Status.OK and (self.value is None or self.seen_gone):
            raise Violation(f"{self.key}: came back after it was gone")
        if status == Status.NOT_FOUND and self.value is not None and self.cluster.world.now < self.not_gone_before_s:
            raise Violation(
                f"{self.key}: not found since {began:.3f}, but it may not go before {self.not_gone_before_s:.3f}"
            )
        if status == Status.NOT_FOUND:
            self.seen_gone = True

    def _read(self) -> None:
        began = self.cluster.world.now

        def take(answer: object) -> None:
            if isinstance(answer, ReadReply):
                self.reads += 1
                result = answer.results[0]
                self._check_presence(result.status, began)
                if result.status == Status.OK and result.value != self.value:
                    raise Violation(f"{self.key}: read {result.value!r}, but {self.value!r} was acknowledged")
                self.think()
            else:
                self._try_again(self._read)

        self._send(lambda service, call: service.read(call), ReadRequest(self.group, [self.key]), take, self._read)

    def _send(
        self,
        give: Callable[[GroupService, Call[Any, Any]], None],
        request: WriteRequest | ReadRequest,
        take: Callable[[object], None],
        again: Callable[[], None],
    ) -> None:
        """One attempt at some node; it counts as lost after a while."""
        self.attempt += 1
        attempt, cluster = self.attempt, self.cluster

        def take_if_current(answer: object) -> None:
            if attempt == self.attempt:
                self.attempt += 1
                take(answer)

        def give_up() -> None:
            if attempt == self.attempt and not cluster.resting:
                again()

        cluster.world.after(ATTEMPT_S, give_up)
        node = cluster.some_node(self.group)
        if node is None or node.life is None or cluster.world.rng.random() < cluster.lost_answers:
            return
        life, service = node.life, node.services[self.group]
        desk = _Desk(cluster, take_if_current)
        call: Call[Any, Any] = Call(request, Peer(), life.time() + ATTEMPT_S, 0, 100, desk)
        # A request may also arrive late, after its client has given up and repeated it.
        delay = 1.5 if cluster.world.rng.random() < LATE_REQUESTS else 0.001
        cluster.world.after(delay, lambda: life.run(lambda: give(service, call)))

    def _try_again(self, again: Callable[[], None]) -> None:
        if not self.cluster.resting:
            self.cluster.world.after(self.cluster.world.rng.uniform(0.01, 0.1), again)


class _ToldByGroup(dict[int, Told]):
    def __missing__(self, group: int) -> Told:
        self[group] = Told(group)
        return self[group]


class KeyCluster(SafeCluster):
    """Clients of keys in place of the commands of the register."""

    lost_answers = 0.03

    def __init__(self, world: World, replicas: int, history: History) -> None:
        self.told = _ToldByGroup()
        super().__init__(world, replicas, history)
        self.resting = False
        self.is_corrupted = False  # a test has made replicas differ
        self.clients = [
            Client(self, group, f"key-{group}-{number}", session=1000 * group + number)
            for group in self.groups
            for number in range(CLIENTS)
        ]
        for client in self.clients:
            client.think()
        self.watchers = [Watcher(world, self.told[group], history, self.names, self._watch) for group in self.groups]
        for watcher in self.watchers:
            watcher.ask()

    def _watch(self, name: str, request: WatchRequest, desk: Desk) -> None:
        """A watcher asks a node, if it is up."""
        node = self.nodes[name]
        if isinstance(node, KeyNode) and node.life is not None:
            life, service = node.life, node.services[request.group]
            call: Call[WatchRequest, WatchReply] = Call(request, Peer(), life.time() + ATTEMPT_S, 0, 100, desk)
            life.run(lambda: service.watch(call))

    def _make_node(self, name: str) -> KeyNode:
        return KeyNode(self, name)

    def _deliver(self, sender: str, to: str, message: object) -> None:
        node = self.nodes[to]
        if not isinstance(message, Question):
            super()._deliver(sender, to, message)
        elif node.life is not None and isinstance(node, KeyNode):
            node.life.run(lambda: self._answer(node, sender, message))

    def _answer(self, node: KeyNode, sender: str, question: Question) -> None:
        if question.reply is not None:
            question.take(question.reply)
            return
        answer = Question(question.request, question.take)
        answer.reply = node.services[question.request.group].checksums.answer(question.request)
        self.network.send(node.name, sender, answer)

    def some_node(self, group: int) -> KeyNode | None:
        """A node to ask: mostly one that leads."""
        node = self._pick_in(group)
        return node if isinstance(node, KeyNode) else None

    def write(self) -> None:
        """The clients act by themselves."""

    read = write

    def check_final(self) -> None:
        """Replicas agree, everyone has caught up, and the clients got somewhere."""
        checksums: dict[int, set[tuple[int, int]]] = {}
        for node in self.nodes.values():
            assert isinstance(node, KeyNode)
            for group, machine in node.key_machines.items():
                applied = node.host.replicas[group].applied_index
                checksums.setdefault(group, set()).add((applied, machine.checksum()))
        for group, found in checksums.items():
            if len(found) > 1:
                raise Violation(f"group {group}: replicas differ or are stuck: {sorted(found)}")
        self.count_snapshots(self.nodes.values())
        outcomes = self.history.outcomes
        outcomes["writes"] = sum(client.acknowledged for client in self.clients)
        outcomes["reads"] = sum(client.reads for client in self.clients)
        outcomes["keys seen gone"] = sum(client.seen_gone for client in self.clients)
        for watcher in self.watchers:
            watcher.check_final()
        if not outcomes["writes"]:
            raise Violation("nothing was ever acknowledged")
        if len(self.names) > 1 and not outcomes["verdicts on states"]:
            raise Violation("states were never compared")
