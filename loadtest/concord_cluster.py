"""Concord: `concord up` on this machine, in the durability that it has by default (fsync) unless told otherwise."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from concord.cli.console import CliError
from concord.cli.probe import get
from concord.cli.processes import Process, read_process_list
from concord.cli.status import fetch
from loadtest.children import HOST, Child, clean_environ, free_ports, wait_until, wait_until_settled
from loadtest.client import HttpClient
from loadtest.dialects import ConcordDialect
from loadtest.errors import LoadtestError
from loadtest.proc import descendants, is_alive

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 120.0
STOP_GRACE_S = 60.0
LEADERS_HOLD_S = 2.0
ASK_TIMEOUT_S = 2.0
NODE_PORT_OFFSET = 101  # where `concord up` looks for ports of nodes
DURABILITY = "fsync"
ANSWERED = {
    DURABILITY: "a write is answered when the logs of a majority of its group are synced (fdatasync)",
    "os": "a write is answered when a majority of its group have handed it to the operating system, and nothing is synced",
}


class ConcordCluster:
    """`concord up` and what it started; may be started again on the same data after `close` or `kill_everything`.

    With `auth` the gateway asks for tokens, and the dialect has one once the cluster is started.
    """

    def __init__(
        self, directory: Path, groups: int = 8, nodes: int = 3, *, durability: str = DURABILITY, auth: bool = False
    ) -> None:
        extras = [durability] * (durability != DURABILITY) + ["1 group"] * (groups == 1)
        self.name = ", ".join(["Concord", *extras])
        self.dialect = ConcordDialect()
        self._durability = durability
        self._auth = auth
        self._token = ""
        self._directory = directory
        self.groups = groups
        self._nodes = nodes
        self._port = free_ports(NODE_PORT_OFFSET + nodes)[0]
        self._supervisor: Child | None = None

    @property
    def setup(self) -> str:
        """What runs, for the report."""
        groups = f"{self.groups} group{'s' * (self.groups > 1)} of 3 replicas"
        return (
            f"Concord, {self._nodes} nodes and 1 gateway, {groups}, durability "
            f"{self._durability}: {ANSWERED[self._durability]}; {'with' if self._auth else 'without'} tokens"
        )

    @property
    def url(self) -> str:
        """The gateway's."""
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        """The gateway's."""
        return f"{HOST}:{self._port}"

    @property
    def other_address(self) -> str:
        """The same: one gateway, which asks the leaders."""
        return self.address

    @property
    def logs(self) -> Mapping[str, Path]:
        """Node → what it writes."""
        return {name: self._directory / "logs" / f"{name}.log" for name in self.data_directories}

    @property
    def data_directories(self) -> Mapping[str, Path]:
        """Node → where its data is."""
        return {process.name: self._directory / process.name for process in self.processes() if process.role == "node"}

    def start(self) -> None:
        """Start it and wait until it is ready and nobody takes leaderships over any more."""
        self.launch()
        self.wait_until_ready()
        if self._auth and not self._token:
            self._token = self._bootstrap()
            self.dialect = ConcordDialect(self._token)
        self.settle()

    def settle(self) -> None:
        """Wait until nobody takes leaderships over any more."""
        wait_until_settled(self._even_leaders, "leaders are spread evenly", LEADERS_HOLD_S, START_TIMEOUT_S)

    def launch(self) -> None:
        """Start it and do not wait."""
        self._directory.mkdir(parents=True, exist_ok=True)
        values = {
            "data-dir": str(self._directory),
            "port": str(self._port),
            "nodes": str(self._nodes),
            "groups": str(self.groups),
            "durability": self._durability,
        }
        flags = [word for name, given in values.items() for word in (f"--{name}", given)]
        flags += ["--auth"] * self._auth
        environ = _environ()
        log = self._directory.with_name(f"{self._directory.name}.log")
        self._supervisor = Child([sys.executable, "-P", "-m", "concord.cli", "up", *flags], log, environ)

    def _bootstrap(self) -> str:
        """The cluster's first token."""
        nodes = ",".join(self.node_addresses().values())
        words = [
            sys.executable,
            "-P",
            "-m",
            "concord.cli",
            "token",
            "bootstrap",
            "--cluster",
            "local",
            "--nodes",
            nodes,
        ]
        done = subprocess.run(
            words, env=_environ(), capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False
        )
        if done.returncode:
            raise LoadtestError(f"there is no first token: {done.stderr.strip()}")
        return done.stdout.strip()

    def wait_until_ready(self) -> float:
        """Wait for the gateway's readiness; returns the seconds it took."""
        return wait_until(self._is_ready, "the gateway is ready", START_TIMEOUT_S)

    def _is_ready(self) -> bool:
        self._running().check()
        with suppress(CliError):
            return get(self.url, "/readyz", ASK_TIMEOUT_S).status == 200
        return False

    def _running(self) -> Child:
        if self._supervisor is None:
            raise LoadtestError("the cluster was not started")
        return self._supervisor

    def processes(self) -> list[Process]:
        """What processes.json lists now."""
        listed = read_process_list(self._directory)
        return listed.processes if listed else []

    def server_pids(self) -> list[int]:
        """Nodes, gateway, and whatever they started."""
        roots = [process.pid for process in self.processes() if process.pid]
        return sorted({pid for root in roots for pid in (root, *descendants(root))})

    def node_pids(self) -> Mapping[str, int]:
        """The nodes that are up."""
        return {process.name: process.pid for process in self.processes() if process.role == "node" and process.pid}

    def node_addresses(self) -> Mapping[str, str]:
        """Node → address of its RPC server."""
        return {process.name: process.address for process in self.processes() if process.role == "node"}

    def leaders(self) -> Mapping[str, str] | None:
        """Who leads which group, once every group has a leader."""
        with suppress(CliError):
            groups = fetch(self.url, ASK_TIMEOUT_S, self._token).groups
            if len(groups) == self.groups and all(group.leader for group in groups):
                return {str(group.id): str(group.leader) for group in groups}
        return None

    def _even_leaders(self) -> Mapping[str, str] | None:
        """The leaders once placement, which hands some over a few seconds after the start, has no reason to any more."""
        leaders = self.leaders() or {}
        led = [list(leaders.values()).count(node) for node in self.node_pids()]
        return leaders if leaders and max(led) - min(led) <= 1 else None

    def leader_of(self, key: str) -> str:
        """Who leads the group that an answer about the key names."""
        client = HttpClient(self.address)
        group = client.send(self.dialect.get(key)).headers.get("x-concord-group", "")
        client.close()
        leader = (self.leaders() or {}).get(group)
        if leader is None:
            raise LoadtestError(f"nobody leads group {group!r}")
        return leader

    def kill_everything(self) -> None:
        """SIGKILL to the supervisor and every process at once."""
        supervisor, self._supervisor = self._running(), None
        pids = descendants(supervisor.pid)
        supervisor.kill()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pids)), "every process is gone", STOP_GRACE_S)

    def close(self) -> None:
        """Stop it in order, and whatever is left by force."""
        if self._supervisor is None:
            return
        supervisor, self._supervisor = self._supervisor, None
        pids = {*descendants(supervisor.pid), *self.server_pids()}
        supervisor.stop(STOP_GRACE_S)
        for pid in filter(is_alive, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _environ() -> dict[str, str]:
    return clean_environ(PYTHONPATH=os.pathsep.join([str(ROOT / "sdk"), str(ROOT)]))
