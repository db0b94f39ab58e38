"""A real cluster of real processes for a test: `concord up` in a directory of its own, always cleaned up by pid."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from concord.cli.processes import Process, read_process_list

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 60.0
DAMAGED = b"Do not delete or edit files by hand"  # what a node says that refuses its data; it does so at every start
STOP_TIMEOUT_S = 60.0
POLL_S = 0.02


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Wait for a condition, with a bound; `what` says in the failure what did not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(POLL_S)


def free_port() -> int:
    """A port with free ones around it, below those that the kernel gives to outgoing connections.

    `TESTS_PORTS_FROM` keeps tests that run at the same time apart: each second block of 250 belongs to others.
    """
    blocks = range(int(os.environ.get("TESTS_PORTS_FROM", "12000")), 31000, 500)
    for port in random.SystemRandom().sample(blocks, 30):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    message = "no free port"
    raise AssertionError(message)


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in {"Z", "X"}
    return False


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer: status, headers in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def data(self) -> Any:
        """The `data` of a success."""
        assert self.status == 200, self.body
        return self.json()["data"]


class Client:
    """One keep-alive HTTP connection to a gateway; reconnects when the other side closed it."""

    def __init__(self, port: int, timeout_s: float = 10.0, host: str = "127.0.0.1") -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request under /api/v1 (`path` begins after it); any failure of the connection is an OSError."""
        content = None if body is None else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json", **(headers or {})} if content is not None else dict(headers or {})
        try:
            self._connection.request(method, f"/api/v1{path}", content, sent)
            response = self._connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ConnectionError(str(error)) from error

    def put(self, key: str, value: Any, ttl: int | None = None) -> Reply:
        """PUT /kv/{key}."""
        return self.send("PUT", f"/kv/{key}", {"value": value} if ttl is None else {"value": value, "ttl": ttl})

    def get(self, key: str, query: str = "") -> Reply:
        """GET /kv/{key}."""
        return self.send("GET", f"/kv/{key}{query}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class LocalCluster:
    """`concord up` and what it started. `start` and `stop` may follow one another on the same data."""

    def __init__(self, data_dir: Path, *flags: str, environ: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self._flags = flags
        self._environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)]),
            **(environ or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._pids: set[int] = set()
        self._output = data_dir.with_name(data_dir.name + ".out")

    @property
    def url(self) -> str:
        """Where the first gateway answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """Everything that `concord up` wrote, to stdout and stderr, since the first start."""
        return self._output.read_text() if self._output.exists() else ""

    @property
    def supervisor_pid(self) -> int:
        """Pid of `concord up`."""
        assert self._process is not None
        return self._process.pid

    def processes(self) -> list[Process]:
        """What processes.json lists now."""
        listed = read_process_list(self.data_dir)
        processes = listed.processes if listed else []
        self._pids |= {process.pid for process in processes if process.pid}
        return processes

    def pid(self, name: str) -> int:
        """Pid of a process that is up."""
        (pid,) = [process.pid for process in self.processes() if process.name == name]
        assert pid is not None, f"{name} is down"
        return pid

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another `concord` command to its end."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "concord.cli", *words],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=STOP_TIMEOUT_S,
            check=False,
        )

    def launch(self) -> None:
        """Start `concord up` and do not wait."""
        words = ["up", "--data-dir", str(self.data_dir), "--port", str(self.port), *self._flags]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "concord.cli", *words],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start `concord up` and wait until it says that the cluster is ready, or a node that its data are damaged."""
        before, said = self.output.count("Concord is ready"), {log: log.stat().st_size for log in self._node_logs()}
        self.launch()

        def ready() -> bool:
            assert self._process is not None
            for log in self._node_logs():
                assert DAMAGED not in (words := log.read_bytes()[said.get(log, 0) :]), words.decode(errors="replace")
            assert self._process.poll() is None, self.output
            return self.output.count("Concord is ready") > before

        wait_until(ready, "the cluster is ready", READY_TIMEOUT_S)
        self.processes()

    def _node_logs(self) -> list[Path]:
        return [*(self.data_dir / "logs").glob("n*.log")]

    def wait(self) -> int:
        """Wait for `concord up` to end and return its exit code."""
        assert self._process is not None
        code = self._process.wait(STOP_TIMEOUT_S)
        self._process = None
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End `concord up` as a person would, and return its exit code."""
        self.processes()
        os.kill(self.supervisor_pid, number)
        return self.wait()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one process and return its pid."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def kill_everything(self) -> None:
        """SIGKILL to every process at once, the supervisor included."""
        for pid in [self.supervisor_pid, *(p.pid for p in self.processes() if p.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()
        wait_until(lambda: not any(map(is_alive, self._pids)), "every process is gone")

    def close(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self._process is not None:
            self.kill_everything()
        for pid in filter(is_alive, self._pids):
            if f"{self.data_dir}" in Path(f"/proc/{pid}/cmdline").read_text():  # a pid may have been given anew
                os.kill(pid, signal.SIGKILL)


@contextmanager
def local_cluster(data_dir: Path, *flags: str, environ: Mapping[str, str] | None = None) -> Iterator[LocalCluster]:
    """A cluster that has not been started; everything it started is gone afterwards."""
    cluster = LocalCluster(data_dir, *flags, environ=environ)
    try:
        yield cluster
    finally:
        cluster.close()


@contextmanager
def client(cluster: LocalCluster, timeout_s: float = 10.0) -> Iterator[Client]:
    """A client of the first gateway."""
    connected = Client(cluster.port, timeout_s)
    try:
        yield connected
    finally:
        connected.close()
