"""A cluster of one real node and one gateway, for faults of the node's disk: nothing starts it again but the test."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.cluster import ROOT, Client, free_port, wait_until

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 60.0
SEGMENT_BYTES = 64 << 10
SNAPSHOT_BYTES = 96 << 10
VALUE = "v" * 9000
KEYS = 7


class LoneNode:
    """The processes, and what was acknowledged.

    Attributes:
        acknowledged: key → the last value that was.
        acknowledged_s: when the last one was, on the clock of `time.monotonic`.
        ended_s: when the node ended, likewise.
    """

    def __init__(self, data_dir: Path, environ: Mapping[str, str]) -> None:
        """`environ` is added to the node's environment, not to the gateway's."""
        self.data_dir = data_dir
        self.acknowledged: dict[str, str] = {}
        self.acknowledged_s = 0.0
        self.ended_s = 0.0
        self._environ = environ
        self._gateway_port = free_port()  # held all the time, so that nobody takes the node's while that is down
        self._port = self._gateway_port + 1
        self._errors = data_dir.with_name(data_dir.name + ".stderr")
        self._gateway_errors = data_dir.with_name(data_dir.name + ".gateway.stderr")
        self._node: subprocess.Popen[bytes] | None = None
        self._watch: threading.Thread | None = None
        self._written = 0
        self._answer = "none"
        address = f"127.0.0.1:{self._port}"
        self._gateway = self._run(["gateway", "--listen", f"127.0.0.1:{self._gateway_port}", "--nodes", address], {})
        self.client = Client(self._gateway_port)

    def launch(self) -> None:
        """Start the node and do not wait; one that a failed test left running is ended. What it says is kept from here on."""
        self._kill_node()
        self._errors.write_bytes(b"")
        address = f"127.0.0.1:{self._port}"
        flags = {
            "id": "n1",
            "data-dir": str(self.data_dir),
            "listen": address,
            "placement": f"n1={address}",
            "expect-nodes": "1",
            "groups": "1",
            "replicas": "1",
            "segment-bytes": str(SEGMENT_BYTES),
            "log-bytes": str(1 << 20),
            "snapshot-bytes": str(SNAPSHOT_BYTES),
        }
        words = [word for name, value in flags.items() for word in (f"--{name}", value)]
        self._node = self._run(["node", *words], self._environ)
        self._watch = threading.Thread(target=self._note_end, args=(self._node,))
        self._watch.start()

    def start(self) -> None:
        """Start the node and wait until writes are answered."""
        self.launch()
        try:
            wait_until(lambda: self.write() or not self.running, "a write is answered", START_TIMEOUT_S)
        except AssertionError as error:
            gateway = self._gateway_errors.read_text()[-1000:]
            message = f"last answer: {self._answer}\nnode: {self.errors[-1000:]}\ngateway: {gateway}"
            raise AssertionError(message) from error
        assert self.running, self.errors

    def stop(self) -> None:
        """End the node as an operator would."""
        if self._node is not None:
            self._node.terminate()
            self.wait()

    def wait(self) -> int:
        """Wait for the node to end, and return its exit code."""
        assert self._node is not None
        assert self._watch is not None
        code = self._node.wait(END_TIMEOUT_S)
        self._watch.join()
        self._node = None
        return code

    @property
    def running(self) -> bool:
        """Whether the node runs."""
        return self._node is not None and self._node.poll() is None

    @property
    def errors(self) -> str:
        """What the node wrote to stderr since it was started."""
        return self._errors.read_text()

    def write(self) -> bool:
        """Write the next value, and say whether it was acknowledged."""
        self._written += 1
        key, value = f"k{self._written % KEYS}", f"{self._written} {VALUE}"
        try:
            reply = self.client.send("PUT", f"/kv/{key}", {"value": value}, {"X-Concord-Timeout-Ms": "300"})
        except ConnectionError as error:
            self._answer = str(error)
            return False
        self._answer = f"{reply.status} {reply.body[:300]!r}"
        if reply.status != 200:
            return False
        self.acknowledged[key], self.acknowledged_s = value, time.monotonic()
        return True

    def lost(self) -> list[str]:
        """Keys whose value is older than the one that was acknowledged."""
        found = {key: self.client.get(key) for key in self.acknowledged}
        return [
            f"{key}: {found[key].status} {found[key].body[:60]!r} after {value[:9]}"
            for key, value in self.acknowledged.items()
            if found[key].status != 200 or _number(found[key].data["value"]) < _number(value)
        ]

    def close(self) -> None:
        """Leave nothing behind."""
        self.client.close()
        self._kill_node()
        self._gateway.kill()
        self._gateway.wait()

    def _kill_node(self) -> None:
        if self._node is not None:
            self._node.kill()
            self.wait()

    def _run(self, words: list[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])
        supervised = {"PYTHONPATH": paths, "CONCORD_SUPERVISOR_PID": str(os.getpid())}
        with (self._errors if words[0] == "node" else self._gateway_errors).open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "concord.cli", *words],
                env={**os.environ, **supervised, **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def _note_end(self, node: subprocess.Popen[bytes]) -> None:
        node.wait()
        self.ended_s = time.monotonic()


def _number(value: str) -> int:
    return int(value.partition(" ")[0])


@contextmanager
def lone_node(data_dir: Path, environ: Mapping[str, str]) -> Iterator[LoneNode]:
    """A node that was not started; what it started is gone afterwards."""
    node = LoneNode(data_dir, environ)
    try:
        yield node
    finally:
        node.close()
