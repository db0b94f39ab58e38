"""Running `wrk`, an HTTP load generator with one thread and many connections, and reading what it says.

It is a closed loop: each connection sends its next request when the answer to the last has come. So a stall of the
server holds back the requests that would have waited in it, and p99 is kinder than what independent clients would see,
to all systems alike.
"""

import shutil
import subprocess
from pathlib import Path

import msgspec

from loadtest.dialects import Expectation
from loadtest.errors import LoadtestError

SCRIPT = Path(__file__).with_name("replay.lua")
MARK = "RESULT "
ANSWER_TIMEOUT_S = 10
GRACE_S = 30.0


class WrkResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one run of wrk counted; `bad` are checked answers that were not as expected, `example` the first of them."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    connection_errors: int
    timeouts: int
    refused: int
    checked: int
    bad: int
    example: str

    def fault(self) -> str:
        """What makes this run worthless, "" when nothing does."""
        counted = {
            "broken connections": self.connection_errors,
            "timeouts": self.timeouts,
            "answers with a status of 400 or more": self.refused,
            "answers that were not a success": self.bad,
        }
        faults = [f"{count} {what}" for what, count in counted.items() if count]
        if not self.requests:
            faults.append("no answers at all")
        return ", ".join(faults) + (f", the first: {self.example}" if self.example else "")


def parse_output(text: str) -> WrkResult:
    """Find the result in what wrk wrote.

    Raises:
        LoadtestError: there is none.
    """
    for line in text.splitlines():
        if line.startswith(MARK):
            return msgspec.json.decode(line.removeprefix(MARK), type=WrkResult)
    raise LoadtestError(f"wrk said nothing about its result: {text.strip()[-300:] or 'nothing at all'}")


def encode_requests(requests: list[bytes]) -> bytes:
    """The file that the script replays."""
    return b"".join(b"%d\n%b\n" % (len(request), request) for request in requests)


def program() -> str:
    """Where wrk is.

    Raises:
        LoadtestError: it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise LoadtestError("wrk is not installed: apt-get install wrk, or https://github.com/wg/wrk")
    return found


def run(
    address: str, requests: Path, *, connections: int, seconds: int, seed: int, expected: Expectation | None = None
) -> WrkResult:
    """Send requests from a file over so many connections, for whole seconds; look at every answer when told how.

    Raises:
        LoadtestError: wrk is missing or failed.
    """
    command = [program(), "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", f"{ANSWER_TIMEOUT_S}s"]
    command += ["-s", str(SCRIPT), f"http://{address}/", str(requests), str(seed)]
    if expected is not None:
        command += [expected.text, str(expected.count)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoadtestError(f"wrk did not end within {seconds + GRACE_S:.0f} s") from error
    if done.returncode:
        raise LoadtestError(f"wrk ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return parse_output(done.stdout)
