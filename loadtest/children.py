"""Child processes and waiting for them, everything with a bound. A child is ended by its pid, never by a name."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from loadtest.errors import LoadtestError

T = TypeVar("T")

HOST = "127.0.0.1"
POLL_S = 0.02
# Below the range from which the kernel takes ports for outgoing connections (ip_local_port_range: from 32768 on).
PORTS = range(12_000, 31_000, 250)
FOREIGN_SETTINGS = ("CONCORD_", "ETCD_")


class Child:
    """A program that runs in a session of its own (a Ctrl-C does not reach it) and writes to a log."""

    def __init__(self, arguments: Sequence[str], log: Path, environ: Mapping[str, str]) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                arguments,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise LoadtestError if it has ended."""
        if self._process.poll() is not None:
            raise LoadtestError(f"{self._process.args!r} ended with {self._process.returncode}: {last_line(self.log)}")

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; its exit code. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def stop(self, grace_s: float) -> bool:
        """Ask it to end, and kill it when it has not after `grace_s`; whether it ended by itself."""
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True


def last_line(log: Path) -> str:
    """The last line of a log, for an error message."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it wrote nothing"


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> float:
    """Wait for a condition; returns the seconds it took.

    Raises:
        LoadtestError: it did not come true in time.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            raise LoadtestError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(POLL_S)
    return time.monotonic() - began


def wait_until_settled(look: Callable[[], T | None], what: str, hold_s: float, timeout_s: float) -> T:
    """Wait until what one sees has been the same, and not None, for `hold_s`; returns it.

    Raises:
        LoadtestError: it did not settle in time.
    """
    seen, since = look(), time.monotonic()
    began = since
    while seen is None or time.monotonic() - since < hold_s:
        if time.monotonic() - began > timeout_s:
            raise LoadtestError(f"not settled within {timeout_s:.0f} s: {what}")
        time.sleep(5 * POLL_S)
        now = look()
        if now != seen:
            seen, since = now, time.monotonic()
    return seen


def free_ports(count: int) -> list[int]:
    """Neighbouring ports of the loopback interface that nobody uses."""
    for first in random.SystemRandom().sample(PORTS, len(PORTS)):
        ports = list(range(first, first + count))
        if _are_free(ports):
            return ports
    raise LoadtestError(f"there are no {count} free ports")


def _are_free(ports: Iterable[int]) -> bool:
    with ExitStack() as probes:
        for port in ports:
            probe = probes.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True


def clean_environ(**extra: str) -> dict[str, str]:
    """The environment without settings of the systems that are measured: both run as they do by default."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    return {**kept, **extra}


@contextmanager
def paused(pids: Iterable[int]) -> Iterator[None]:
    """Stop processes with SIGSTOP, and let them go on afterwards whatever happens."""
    stopped = list(pids)
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the program like Ctrl-C does, so that what it started is ended too."""

    def unwind(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
