"""What processes ask of the kernel, as strace sees it: which bytes, on which descriptor, from when to when.

Times are the tracer's, in seconds of the wall clock. It takes the time of a call's end before it lets the thread go on,
and that of its beginning before it lets the kernel act. So what happens because a call returned begins later than that
call's end, whichever process does it and whoever traces it.
"""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.e2e.cluster import wait_until

CALLS = "?pwrite64,?pwritev,?pwritev2,?fdatasync,?fsync,?write,?writev,?sendto,?sendmsg"
ATTACH_TIMEOUT_S = 20.0
LIMIT_BYTES = 1 << 20  # of one call; longer ones would be cut short
LINE = re.compile(r"^(?P<thread>\d+) +(?P<time>\d+\.\d+) (?P<rest>.*)$")
BEGUN = re.compile(r"^(?P<name>\w+)\((?P<descriptor>\d+)(?P<rest>.*)$")
RESUMED = re.compile(r"^<\.\.\. \w+ resumed>")
LASTED = re.compile(r"<(?P<seconds>\d+\.\d+)>$")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class SystemCall(msgspec.Struct):
    """One call of a thread; `data` is all bytes that it was given, `ended_s` infinite when its end was not seen."""

    thread: int
    name: str
    descriptor: int
    data: bytes
    began_s: float
    ended_s: float = float("inf")


class Trace:
    """Traces some processes to a file.

    `sync_delay_s` makes each of their `fdatasync` begin so much later: what does not wait for one is then far ahead of it.
    """

    def __init__(self, pids: Sequence[int], output: Path, *, sync_delay_s: float = 0.0) -> None:
        self._pids = pids
        self._output = output
        self._errors = output.with_suffix(".errors")
        delay = f"inject=fdatasync:delay_enter={round(sync_delay_s * 1e6)}"
        words = ["strace", "-f", "-ttt", "-T", "-xx", "-s", str(LIMIT_BYTES), "-o", str(output), "-e", f"trace={CALLS}"]
        words += ["-e", delay] if sync_delay_s else []
        words += [word for pid in pids for word in ("-p", str(pid))]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)

    def wait_until_attached(self) -> None:
        """Wait until every thread is traced; skips the test where that is not allowed."""

        def attached() -> bool:
            said = self._errors.read_text()
            if "Operation not permitted" in said:
                pytest.skip(f"this system lets nobody trace other processes: {said.splitlines()[0]}")
            assert self._process.poll() is None, said
            return all(re.search(rf"Process {pid} attached", said) for pid in self._pids)

        wait_until(attached, "strace is attached", ATTACH_TIMEOUT_S)

    def stop(self) -> None:
        """Let the processes go."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(ATTACH_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def calls(self) -> list[SystemCall]:
        """All calls seen, by their beginning."""
        calls: list[SystemCall] = []
        open_calls: dict[int, SystemCall] = {}
        for line in self._output.read_text().splitlines():
            if match := LINE.match(line):
                _take(int(match["thread"]), float(match["time"]), match["rest"], calls, open_calls)
        return calls


def _take(thread: int, time_s: float, rest: str, calls: list[SystemCall], open_calls: dict[int, SystemCall]) -> None:
    """Read one line: a whole call, the first part of one, or the second."""
    if RESUMED.match(rest):
        if thread in open_calls:
            open_calls.pop(thread).ended_s = time_s
        return
    begun = BEGUN.match(rest)
    if begun is None:
        return  # a signal, or the end of a thread
    assert '"...' not in rest, "a call was cut short"
    data = b"".join(bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(begun["rest"]))
    call = SystemCall(thread, begun["name"], int(begun["descriptor"]), data, time_s)
    calls.append(call)
    if rest.endswith("<unfinished ...>"):
        open_calls[thread] = call
    elif lasted := LASTED.search(rest):
        call.ended_s = time_s + float(lasted["seconds"])


@contextmanager
def traced(traces: Sequence[Trace]) -> Iterator[None]:
    """Trace while the context lasts."""
    try:
        for trace in traces:
            trace.wait_until_attached()
        yield
    finally:
        for trace in traces:
            trace.stop()


def require_strace() -> None:
    """Skip a test where there is no strace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")


def process_of(thread: int) -> int:
    """Pid of the process that a living thread belongs to, 0 when it is gone."""
    try:
        status = Path(f"/proc/{thread}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("\nTgid:")[2].split()[0])
