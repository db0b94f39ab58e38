"""Nodes and a gateway as processes of their own, started without a supervisor, with or without TLS."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from concord.cli.layout import Layout, NodePlace, Wanted, decide, gateway_arguments, node_arguments
from tests.e2e.cluster import ROOT, Client, free_port, wait_until

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class Nodes:
    """Three nodes and a gateway.

    Args:
        directory: for their data and logs; made here.
        certificates: a directory that `concord certs init` made, None for no TLS.
        durability: of the nodes.
        files: descriptors that a process may have open, 0 for as many as this one.
    """

    def __init__(
        self, directory: Path, certificates: Path | None = None, durability: str = "fsync", files: int = 0
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.layout: Layout = decide(Wanted(groups=4), self.port + 1, lambda _port: True)
        self._certificates = certificates
        self._durability = durability
        self._prefix = ["sh", "-c", f'ulimit -n {files} && exec "$@"', "sh"] if files else []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        directory.mkdir()

    @property
    def places(self) -> dict[str, NodePlace]:
        """The nodes by id."""
        return {node.id: node for node in self.layout.nodes}

    def pid(self, name: str) -> int:
        """Pid of a process that runs."""
        process = self._processes[name]
        assert process.poll() is None, self.log(name)
        return process.pid

    def log(self, name: str) -> str:
        """What a process has written."""
        return (self.directory / f"{name}.log").read_text()

    def start(self) -> None:
        """Start everything and wait until the gateway is ready."""
        for name in self.places:
            self.start_node(name)
        self._start("gateway1", gateway_arguments(self.layout, self.port), "gateway-gateway1")
        wait_until(self._is_ready, "the gateway is ready", READY_TIMEOUT_S)

    def start_node(self, name: str) -> None:
        """Start one node."""
        arguments = node_arguments(self.layout, self.places[name], self.directory, self._durability)
        self._start(name, arguments, f"node-{name}")

    def stop(self, name: str) -> None:
        """Stop one process in order."""
        process = self._processes.pop(name)
        process.terminate()
        assert process.wait(STOP_TIMEOUT_S) == 0, self.log(name)

    def close(self) -> None:
        """End everything, whatever happened."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _start(self, name: str, arguments: Sequence[str], stem: str) -> None:
        tls = []
        if self._certificates is not None:
            files = {"cert": f"{stem}.crt", "key": f"{stem}.key", "ca": "ca.crt"}
            tls = [(f"--tls-{flag}", str(self._certificates / file)) for flag, file in files.items()]
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [
                    *self._prefix,
                    sys.executable,
                    "-P",
                    "-m",
                    "concord.cli",
                    *arguments,
                    *itertools.chain.from_iterable(tls),
                ],
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _is_ready(self) -> bool:
        for name in self._processes:
            self.pid(name)
        asking = Client(self.port)
        try:
            return asking.send("GET", "/status").status == 200 and asking.put("ready", 1).status == 200
        except ConnectionError:
            return False
        finally:
            asking.close()


@contextmanager
def running(
    directory: Path, certificates: Path | None = None, durability: str = "fsync", files: int = 0
) -> Iterator[Nodes]:
    """A cluster that is ready; nothing of it is left afterwards."""
    nodes = Nodes(directory, certificates, durability, files)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.close()
