"""The cluster that is struck: nodes and gateways as real processes, each on a host with its own address, disk and clocks.

A node's data directory is on a file system in an image, which can lose power, fill up, fail and be slow. Programs that
end are started again, as a supervisor of services does. Everything is made in one folder and under one prefix, and
`close` takes all of it away, whatever happened before.
"""

import errno
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from loadtest.node_status import ask
from tests.chaos import wallclock
from tests.chaos.cuts import CLIENTS
from tests.chaos.delay import SlowCable
from tests.chaos.image import Image
from tests.chaos.namespaces import Inside, Network, remove_leftovers
from tests.chaos.programs import Keeper, Program
from tests.chaos.wallclock import WallClock
from tests.faultdisk.control import FaultDisk, Rule
from wire.messages import NodeStatus

PREFIX = "concord-chaos-"
NODE_PORT, GATEWAY_PORT = 4100, 4000
GATEWAYS = 2
IMAGE_BYTES = 192 << 20
BALLAST = "ballast"
THREADS = 96
ASK_TIMEOUT_S = 1.0
SMALL = {  # much happens in the log and in snapshots
    "CONCORD_SEGMENT_BYTES": str(128 << 10),
    "CONCORD_LOG_BYTES": str(2 << 20),
    "CONCORD_SNAPSHOT_BYTES": str(512 << 10),
}


class Size(msgspec.Struct, frozen=True):
    """Of a cluster."""

    nodes: int
    groups: int
    replicas: int = 3
    placement: int = 3  # nodes that host it
    durability: str = "fsync"


class Node:
    """A node and what it stands on."""

    def __init__(self, name: str, folder: Path, network: Network, library: Path) -> None:
        self.name = name
        self.image = Image(folder, IMAGE_BYTES)
        self.cable = SlowCable(network, name)
        self.clock = WallClock(library, folder / "wallclock")
        self.faults = FaultDisk(folder)
        self.disk = threading.RLock()  # who has it decides what is mounted
        self.program: Program

    def fill_disk(self) -> None:
        """Leave no room on its disk."""
        with self.disk, (self.image.mountpoint / BALLAST).open("ab") as file:
            assert self.image.mountpoint.is_mount(), "this would fill another disk"
            for size in (1 << 20, 64 << 10, 4 << 10):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)

    def empty_disk(self) -> None:
        """Make room again."""
        with self.disk:
            (self.image.mountpoint / BALLAST).unlink(missing_ok=True)

    def slow_down(self, delay_s: float) -> None:
        """Let each sync take so much longer."""
        self.faults.set(Rule("sync", f"{self.image.mountpoint}/*", delay_ms=int(delay_s * 1000)))

    def fail_syncs(self) -> None:
        """Let each sync fail."""
        self.faults.set(Rule("sync", f"{self.image.mountpoint}/*", error=errno.EIO))


class Fleet:
    """All of it. Use it as a context manager."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.size = size
        self.folder = folder
        self.node_names = [f"n{number}" for number in range(1, size.nodes + 1)]
        self.gateway_names = [f"g{number}" for number in range(1, GATEWAYS + 1)]
        self.network = Network(f"{PREFIX}{os.getpid()}", [*self.node_names, *self.gateway_names, CLIENTS])
        self.nodes: dict[str, Node] = {}
        self.gateways: dict[str, Program] = {}
        self.inside: Inside
        self._keeper = Keeper([])
        self._undo = ExitStack()
        self._power = threading.Lock()

    def __enter__(self) -> Self:
        """Make and start everything."""
        try:
            self._create()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Take everything away."""
        self.close()

    @property
    def programs(self) -> list[Program]:
        """All of them, nodes first."""
        return [*(node.program for node in self.nodes.values()), *self.gateways.values()]

    @property
    def doors(self) -> list[str]:
        """Hosts of the gateways."""
        return [self.network.addresses[name] for name in self.gateway_names]

    def node_address(self, name: str) -> str:
        """Of a node's RPC server."""
        return f"{self.network.addresses[name]}:{NODE_PORT}"

    def close(self) -> None:
        """End the programs and remove what was made. Interrupting it once does not stop it."""
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._undo.close()
        finally:
            signal.signal(signal.SIGINT, previous)

    # --- what it is made of ----------------------------------------------------------------------------------------

    def _create(self) -> None:
        remove_leftovers(PREFIX)
        self._undo.callback(self.network.close)
        self.network.create()
        self.inside = Inside(self.network, CLIENTS, THREADS)
        self._undo.callback(self.inside.close)
        library = wallclock.build(self.folder)
        for name in self.node_names:
            self._create_node(name, library)
        for name in self.gateway_names:
            self._create_gateway(name)
        self._undo.callback(self._end)
        for program in self.programs:
            program.start()
        self._keeper = Keeper(self.programs)
        self._keeper.start()

    def _create_node(self, name: str, library: Path) -> None:
        folder = self.folder / name
        folder.mkdir()
        node = self.nodes[name] = Node(name, folder, self.network, library)
        self._undo.callback(node.faults.close)
        self._undo.callback(node.image.close)
        node.image.create()
        node.cable.create()
        node.program = Program(name, self.network.inside(name), self._node_words(node), self.folder / f"{name}.log")
        preloaded = ":".join([node.clock.environ["LD_PRELOAD"], node.faults.environ["LD_PRELOAD"]])
        node.program.set_environ({**SMALL, **node.clock.environ, **node.faults.environ, "LD_PRELOAD": preloaded})

    def _create_gateway(self, name: str) -> None:
        listen = f"{self.network.addresses[name]}:{GATEWAY_PORT}"
        nodes = ",".join(map(self.node_address, self.node_names))
        words = ["gateway", "--nodes", nodes, "--listen", listen, "--insecure", "--insecure-http", "--auth", "off"]
        program = Program(name, self.network.inside(name), words, self.folder / f"{name}.log")
        program.set_environ({})
        self.gateways[name] = program

    def _node_words(self, node: Node) -> list[str]:
        hosts = self.node_names[: self.size.placement]
        values = {
            "id": node.name,
            "data-dir": str(node.image.mountpoint / "data"),
            "listen": self.node_address(node.name),
            "placement": ",".join(f"{host}={self.node_address(host)}" for host in hosts),
            "expect-nodes": str(self.size.nodes),
            "groups": str(self.size.groups),
            "replicas": str(self.size.replicas),
            "durability": self.size.durability,
        }
        return ["node", "--insecure", *(word for name, value in values.items() for word in (f"--{name}", value))]

    def _end(self) -> None:
        self._keeper.stop()
        for program in self.programs:
            program.kill()

    # --- what it says ----------------------------------------------------------------------------------------------

    def statuses(self, timeout_s: float = ASK_TIMEOUT_S) -> dict[str, NodeStatus]:
        """What the nodes that answer say."""
        addresses = [self.node_address(name) for name in self.node_names]
        answers = self.inside.map(partial(ask, timeout_s=timeout_s), addresses)
        return {name: answer for name, answer in zip(self.node_names, answers, strict=True) if answer is not None}

    def leaders(self) -> dict[int, str]:
        """Group → the node that leads it in its highest term; groups without one are missing."""
        claims = [
            (group.id, group.term, name)
            for name, status in self.statuses().items()
            for group in status.groups
            if group.role == "leader"
        ]
        return {group: name for group, _, name in sorted(claims)}

    # --- what is done to disks -------------------------------------------------------------------------------------

    def cut_power(self, names: Sequence[str]) -> None:
        """The machines of these nodes lose their power at the same instant; they start again with what was on their disks."""
        with self._power, ExitStack() as held:
            programs = [self.nodes[name].program for name in names]
            for name in names:
                held.enter_context(self.nodes[name].program.held)
                held.enter_context(self.nodes[name].disk)
            for program in programs:
                program.send(signal.SIGSTOP)
            for name in names:
                self.nodes[name].image.copy()
            for program in programs:
                program.kill()
            for name in names:
                self.nodes[name].image.lose_power()
