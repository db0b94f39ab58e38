"""PySyncObj 0.3.17 as shipped in the simulated world: the negative control.

Its own journal and dump files are on a real (temporary) directory, a power cut is played as a mere crash (its journal is
never synced: a real one would leave nothing), its transport is the simulated network, its timers the simulated clock.
Must not be imported into a process that imports `raft`, which disarms the library.
"""

import itertools
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pysyncobj.pickle
import pysyncobj.syncobj
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.config import FAIL_REASON
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from tests.simulation.history import GroupHistory, History, Violation
from tests.simulation.world import Life, Network, World

TICK_S = 0.05


class Carrier(Protocol):
    """Takes messages to other members, or does not."""

    def connected(self, sender: str, to: str, /) -> bool: ...
    def send(self, sender: str, to: str, message: object, /) -> None: ...


class StockTransport(Transport):  # type: ignore[misc] # the library is untyped
    """Sends the library's messages, pickled as it does, over a simulated network."""

    ready = True

    def __init__(self, network: Carrier, name: str) -> None:
        super().__init__(None, None, [])
        self._network = network
        self._name = name

    def send(self, node: Node, message: object) -> bool:
        if not self._network.connected(self._name, node.id):
            return False
        self._network.send(self._name, node.id, pysyncobj.pickle.dumps(message))
        return True

    def arrive(self, node: Node, message: bytes) -> None:
        self._onMessageReceived(node, pysyncobj.pickle.loads(message))

    def connectivity(self, node: Node, *, connected: bool) -> None:
        (self._onNodeConnected if connected else self._onNodeDisconnected)(node)

    def destroy(self) -> None:
        pass


class StockRegister(SyncObj):  # type: ignore[misc] # the library is untyped
    """The replicated object: a list of commands, as an application of the library would write it."""

    def __init__(self, name: str, peers: list[Node], conf: SyncObjConf, transport: StockTransport) -> None:
        super().__init__(Node(name), peers, conf=conf, transport=transport)
        self.commands: list[bytes] = []

    @replicated  # type: ignore[untyped-decorator] # the library is untyped
    def append(self, command: bytes) -> int:
        self.commands.append(command)
        return len(self.commands)


class StockNode:
    """One node and its files."""

    def __init__(self, cluster: "StockCluster", name: str, folder: Path) -> None:
        self._cluster = cluster
        self.name = name
        self._folder = folder
        folder.mkdir()
        self.life: Life | None = None

    def start(self) -> None:
        cluster = self._cluster
        self.life = Life(cluster.world, cluster.world.rng.uniform(0.98, 1.02))
        pysyncobj.syncobj.monotonicTime = self.life.clock
        self.transport = StockTransport(cluster.network, self.name)
        self.peers = {name: Node(name) for name in cluster.names if name != self.name}
        self._connected = dict.fromkeys(self.peers, False)
        conf = SyncObjConf(
            autoTick=False,
            useFork=False,
            journalFile=str(self._folder / "journal"),
            fullDumpFile=str(self._folder / "dump"),
            logCompactionMinEntries=25,
            pollerType="poll",
        )
        self.register = StockRegister(self.name, list(self.peers.values()), conf, self.transport)
        self._tick()

    def enter(self, work: Callable[[], None]) -> None:
        """Run as this process: its clock is the library's."""
        if self.life is not None:
            life = self.life
            life.run(lambda: self._as_process(life, work))

    def _as_process(self, life: Life, work: Callable[[], None]) -> None:
        pysyncobj.syncobj.monotonicTime = self._running_clock(life)
        try:
            work()
        except Violation:
            raise
        except Exception:  # noqa: BLE001, S110 - the library's own tick thread logs and goes on, too
            pass

    @staticmethod
    def _running_clock(life: Life) -> Callable[[], float]:
        """The library leaves some of its loops only when time passes: let each look at the clock take 10 µs."""
        looks = itertools.count()
        return lambda: life.clock() + next(looks) * 1e-5

    def _tick(self) -> None:
        assert self.life is not None
        for name, node in self.peers.items():
            connected = self._cluster.network.connected(self.name, name)
            if connected != self._connected[name]:
                self._connected[name] = connected
                self.transport.connectivity(node, connected=connected)
        life = self.life
        self._as_process(life, lambda: self.register.doTick(0))
        life.call_later(TICK_S, self._tick)

    def leads(self) -> bool:
        return bool(self.register._isLeader())


class StockCluster:
    """Nodes, clients, and the promises that are checked: acknowledged writes stay, replicas agree, nobody is stuck."""

    def __init__(self, world: World, replicas: int, history: History) -> None:
        self.world, self.history = world, history
        random.seed(world.rng.random())  # the library draws election timeouts from the global generator
        self.names = [f"n{number}" for number in range(1, replicas + 1)]
        self.network = Network(world, self.names, self._deliver)
        self._folder = Path(tempfile.mkdtemp(prefix="concord-sim-control-"))
        self.nodes = {name: StockNode(self, name, self._folder / name) for name in self.names}
        self._calls = 0
        for node in self.nodes.values():
            node.start()

    def close(self) -> None:
        shutil.rmtree(self._folder)

    @property
    def _history(self) -> GroupHistory:
        return self.history.groups[1]

    def is_up(self, name: str) -> bool:
        return self.nodes[name].life is not None

    def crash(self, name: str) -> None:
        node = self.nodes[name]
        assert node.life is not None
        node.life.alive = False
        node.life = None

    power_cut = crash

    def restart(self, name: str) -> None:
        self.nodes[name].start()

    def stop(self, name: str, seconds: float) -> bool:
        life = self.nodes[name].life
        if life is not None:
            life.stopped_until = self.world.now + seconds
        return life is not None

    def slow_disk(self, name: str, seconds: float) -> bool:  # noqa: ARG002 - the adversary's protocol
        """It never waits for its disk."""
        return False

    def transfer_leadership(self) -> bool:
        leaders = [node for node in self._up() if node.leads()]
        if leaders:
            leader = self.world.rng.choice(leaders)
            leader.enter(leader.register.transferLeadership)
        return bool(leaders)

    def write(self) -> None:
        up = self._up()
        leaders = [node for node in up if node.leads()]
        candidates = leaders if leaders and self.world.rng.random() < 0.9 else up
        if not candidates:
            return
        node = self.world.rng.choice(candidates)
        self._calls += 1
        command = b"%d" % self._calls

        def done(_result: Any, reason: int) -> None:
            if reason == FAIL_REASON.SUCCESS:
                self._history.on_acknowledged(command, 0, 0)

        node.enter(lambda: node.register.append(command, callback=done))

    def read(self) -> None:
        """The library offers no linearizable read: nothing to check."""

    def check_final(self) -> None:
        logs = {name: node.register.commands for name, node in self.nodes.items()}
        for name, commands in logs.items():
            self._history.check_final(name, 0, commands)
        longest = max(logs.values(), key=len)
        for name, commands in logs.items():
            if commands != longest:
                raise Violation(f"{name} is stuck or differs: {len(commands)} of {len(longest)} commands")

    def _up(self) -> list[StockNode]:
        return [node for node in self.nodes.values() if node.life is not None]

    def _deliver(self, sender: str, to: str, message: object) -> None:
        node = self.nodes[to]
        if node.life is not None and isinstance(message, bytes):
            peer = node.peers[sender]
            transport = node.transport
            node.enter(lambda: transport.arrive(peer, message))
