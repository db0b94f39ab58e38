"""Child processes that are kept running: started, started again when they die, stopped within a bound.

`<data-dir>/processes.json` says at any time what runs: it is replaced whenever a process starts or ends. A child writes
its output to `<data-dir>/logs/<name>.log`. It is in a session of its own, so that a Ctrl-C reaches the supervisor only,
which then stops the children in order.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from concord.cli.console import CliError
from concord.cli.files import write_atomically
from concord.cli.server import SUPERVISOR_VARIABLE

PROCESSES_FILE = "processes.json"
LIMIT_LOG_BYTES = 8 << 20  # a longer log is set aside (one older is kept) when its process starts
RESTART_DELAY_S_MIN = 0.1
RESTART_DELAY_S_MAX = 5.0
HEALTHY_AFTER_S = 3.0
STOP_GRACE_S = 15.0  # over the time that a gateway gives to requests under way


class Program(msgspec.Struct, frozen=True):
    """A process to keep running; `arguments` are those of `concord`."""

    name: str
    role: str
    arguments: list[str]
    address: str
    ports: list[int]
    zone: str = ""


class Process(msgspec.Struct, frozen=True):
    """What processes.json says about one process; `pid` is None while it is down."""

    name: str
    role: str
    pid: int | None
    address: str
    ports: list[int]
    zone: str
    log: str
    restarts: int


class ProcessList(msgspec.Struct, frozen=True):
    """The content of processes.json; after a clean stop there is no supervisor and the list is empty."""

    url: str
    supervisor_pid: int | None
    processes: list[Process]


class Death(msgspec.Struct, frozen=True):
    """A child ended by itself and will be started again after `delay_s`; `count` is since it last was well."""

    name: str
    reason: str
    delay_s: float
    count: int
    log: Path


def restart_delay_s(lived_s: float, previous_s: float) -> float:
    """How long to wait before a dead process is started again: at once after a healthy life, else ever longer."""
    if lived_s >= HEALTHY_AFTER_S or not previous_s:
        return RESTART_DELAY_S_MIN
    return min(RESTART_DELAY_S_MAX, 2 * previous_s)


def read_process_list(data_dir: Path) -> ProcessList | None:
    """What processes.json says, None when nothing runs there."""
    try:
        listed = msgspec.json.decode((data_dir / PROCESSES_FILE).read_bytes(), type=ProcessList)
    except (OSError, msgspec.DecodeError):
        return None
    return listed if listed.supervisor_pid is not None else None


class _Child:
    """One program and its present process."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.restart_at = 0.0
        self.delay_s = 0.0
        self.deaths = 0
        self.restarts = -1  # the first start is none

    def start(self, environ: Mapping[str, str]) -> None:
        if self.log.exists() and self.log.stat().st_size > LIMIT_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [sys.executable, "-P", "-m", "concord.cli", *self.program.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environ),
                start_new_session=True,
            )
        self.started_at = time.monotonic()
        self.restarts += 1

    def reap(self) -> Death | None:
        """Notice that the process has ended, once, and plan its restart."""
        code = self.process.poll() if self.process else None
        if self.process is None or code is None:
            return None
        self.process = None
        now = time.monotonic()
        lived_s = now - self.started_at
        self.deaths = 1 if lived_s >= HEALTHY_AFTER_S else self.deaths + 1
        self.delay_s = restart_delay_s(lived_s, self.delay_s)
        self.restart_at = now + self.delay_s
        return Death(self.program.name, _reason(code), self.delay_s, self.deaths, self.log)

    def describe(self) -> Process:
        program = self.program
        pid = self.process.pid if self.process else None
        return Process(
            program.name, program.role, pid, program.address, program.ports, program.zone, str(self.log), self.restarts
        )


class Supervisor:
    """Keeps programs running. Not thread-safe: one loop calls `poll` whenever a child may have ended."""

    def __init__(self, programs: Sequence[Program], data_dir: Path, url: str) -> None:
        self._data_dir = data_dir
        self._url = url
        logs = data_dir / "logs"
        logs.mkdir(exist_ok=True)
        self._children = [_Child(program, logs / f"{program.name}.log") for program in programs]
        self._environ = {**os.environ, SUPERVISOR_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}

    @property
    def processes(self) -> list[Process]:
        """What runs now."""
        return [child.describe() for child in self._children]

    def start(self) -> None:
        """Start every program."""
        for child in self._children:
            child.start(self._environ)
        self._publish()

    def poll(self) -> list[Death]:
        """Reap what ended since the last call and start what is due."""
        deaths = [death for child in self._children if (death := child.reap())]
        now = time.monotonic()
        due = [child for child in self._children if child.process is None and child.restart_at <= now]
        for child in due:
            child.start(self._environ)
        if deaths or due:
            self._publish()
        return deaths

    def next_restart_s(self, at_most: float) -> float:
        """Seconds until a restart is due, between 0 and `at_most`."""
        now = time.monotonic()
        waits = [child.restart_at - now for child in self._children if child.process is None]
        return max(0.0, min([at_most, *waits]))

    def stop(self, grace_s: float = STOP_GRACE_S) -> list[str]:
        """Stop role by role, the last listed first; names of those that had to be killed after `grace_s` a role."""
        killed: list[str] = []
        for role in dict.fromkeys(child.program.role for child in reversed(self._children)):
            killed += self._stop_role(role, grace_s)
        self._write(ProcessList(self._url, None, []))
        return killed

    def kill(self) -> None:
        """End every process at once."""
        for child in self._children:
            if child.process:
                child.process.kill()
                child.process.wait()
        self._write(ProcessList(self._url, None, []))

    def _stop_role(self, role: str, grace_s: float) -> list[str]:
        running = [(c.program.name, c.process) for c in self._children if c.program.role == role and c.process]
        for _, process in running:
            process.terminate()
        deadline = time.monotonic() + grace_s
        killed = []
        for name, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed.append(name)
        return killed

    def _publish(self) -> None:
        self._write(ProcessList(self._url, os.getpid(), self.processes))

    def _write(self, listed: ProcessList) -> None:
        try:
            write_atomically(self._data_dir / PROCESSES_FILE, msgspec.json.format(msgspec.json.encode(listed)) + b"\n")
        except OSError as error:
            raise CliError(f"{self._data_dir / PROCESSES_FILE}: {error.strerror}") from error


def _reason(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def last_line(log: Path) -> str:
    """The last line that a process wrote, for an error message."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it wrote nothing"
