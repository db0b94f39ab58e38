"""A program that is kept running on a host of its own: started again when it ends, whatever ended it, unless it is held."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from tests.e2e.cluster import ROOT

RESTART_DELAY_S = 0.2
RESTART_DELAY_S_MAX = 2.0
SHORT_LIFE_S = 3.0
POLL_S = 0.03
STOP_TIMEOUT_S = 30.0


class Death(msgspec.Struct, frozen=True):
    """A program ended by itself, although nobody sent it a signal, or not well, although it was asked to."""

    name: str
    code: int
    excused: bool  # its disk was made to fail
    why: str


class Program:
    """One program. Every method may be called from any thread.

    Attributes:
        name: of it and of its host.
        excused: while this is true it may end by itself.
        deaths: how it did.
    """

    def __init__(self, name: str, before: Sequence[str], words: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.excused = False
        self.deaths: list[Death] = []
        self.held = threading.RLock()  # who has it decides whether the program runs
        self._words = [*before, sys.executable, "-P", "-m", "concord.cli", *words]
        self._environ: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at = 0.0
        self._delay_s = RESTART_DELAY_S
        self._sent: signal.Signals | None = None
        self._was_paused = False

    @property
    def is_running(self) -> bool:
        """Whether there is a process; it may be stopped."""
        process = self._process
        return process is not None and process.poll() is None

    def set_environ(self, environ: Mapping[str, str]) -> None:
        """What it finds in its environment from the next start on."""
        self._environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)]), **environ}

    def start(self) -> None:
        """Start it."""
        with self.held, self.log.open("ab") as log:
            self._sent, self._was_paused = None, False
            self._started_at = time.monotonic()
            self._process = subprocess.Popen(
                self._words,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if there is somebody to get it."""
        with self.held:
            if self._process is not None and self._process.poll() is None:
                self._was_paused |= number is signal.SIGSTOP
                if number in (signal.SIGKILL, signal.SIGTERM):
                    self._sent = number
                self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL it and wait until it is gone."""
        with self.held:
            self.send(signal.SIGKILL)
            if self._process is not None:
                self._process.wait()

    def stop(self) -> None:
        """Ask it to end; one that is not held up and does not is killed, and that it did not is kept in `deaths`."""
        with self.held:
            self.send(signal.SIGTERM)
            process = self._process
        if process is None:
            return
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            if not self._was_paused:
                self._die(0, f"did not end within {STOP_TIMEOUT_S:.0f} s after SIGTERM")
            self.kill()

    def look_after(self) -> None:
        """Start it again if it has ended and the time for that has come; never waits for who holds it."""
        if not self.held.acquire(blocking=False):
            return
        try:
            if self._process is not None and (code := self._process.poll()) is not None:
                self._process = None
                self._take_note(code)
            if self._process is None and time.monotonic() >= self._restart_at:
                self.start()
        finally:
            self.held.release()

    def hurry(self) -> None:
        """Whatever made it end is over: the next start need not wait."""
        self._delay_s, self._restart_at = RESTART_DELAY_S, 0.0

    def _take_note(self, code: int) -> None:
        now = time.monotonic()
        if self._sent is None or (self._sent is signal.SIGTERM and code not in (0, -signal.SIGTERM)):
            self._die(code, last_line(self.log))
        is_short = now - self._started_at < SHORT_LIFE_S
        self._delay_s = min(RESTART_DELAY_S_MAX, 2 * self._delay_s) if is_short else RESTART_DELAY_S
        self._restart_at = now + self._delay_s

    def _die(self, code: int, why: str) -> None:
        self.deaths.append(Death(self.name, code, self.excused, why))


class Keeper(threading.Thread):
    """Looks after programs until it is told to stop."""

    def __init__(self, programs: Sequence[Program]) -> None:
        super().__init__(name="keeper", daemon=True)
        self._programs = programs
        self._stopping = threading.Event()

    def run(self) -> None:
        """Go round."""
        while not self._stopping.wait(POLL_S):
            for program in self._programs:
                program.look_after()

    def stop(self) -> None:
        """Start nothing any more."""
        self._stopping.set()
        if self.is_alive():
            self.join()


def last_line(log: Path) -> str:
    """The last line that a program wrote."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it wrote nothing"
    return "it has no log"
