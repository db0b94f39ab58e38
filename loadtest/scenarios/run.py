"""One scenario after the other: a cluster, Locust with its workers, a verdict."""

import ipaddress
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from loadtest.children import HOST, Child, clean_environ, free_ports, last_line
from loadtest.concord_cluster import ROOT
from loadtest.errors import LoadtestError
from loadtest.scenarios.uses import Scenario
from loadtest.scenarios.verdict import Bounds, Entry, Verdict, judge

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
RAMP_S = 4.0
"""Users begin within so long, and Locust counts its own start to the time; what they would have asked in it is not missed."""
GRACE_S = 60.0
STOP_S = 1
LOCUST_ERRORS_SEEN = {0, 1}
"""How Locust ends when it ran: with 1 when there were errors, which the verdict tells better."""


class Load(msgspec.Struct, frozen=True):
    """How much of a scenario.

    Attributes:
        users: who ask, at most; each has a connection. There are not more than requests a second.
        per_s: requests a second of all of them together.
        seconds: how long.
        workers: processes that they are spread over; 0: one process, not distributed.
        watchers: who watch besides, in `watch`.
    """

    users: int
    per_s: float
    seconds: int
    workers: int
    watchers: int = 0


DEFAULTS: dict[Scenario, tuple[float, Bounds]] = {
    Scenario.SESSIONS: (200, Bounds(500)),
    Scenario.FLAGS: (400, Bounds(500)),
    Scenario.LIMITS: (200, Bounds(500)),
    Scenario.BULK: (4, Bounds(2_000)),
    Scenario.WATCH: (20, Bounds(1_000)),
}
"""Requests a second and what is to be kept, where nothing else is said."""

CLASSES: dict[Scenario, tuple[str, ...]] = {
    Scenario.SESSIONS: ("Sessions",),
    Scenario.FLAGS: ("Flags",),
    Scenario.LIMITS: ("Limits",),
    Scenario.BULK: ("Bulk",),
    Scenario.WATCH: ("Writes", "Watches"),
}


def check_loopback(url: str) -> str:
    """The URL, if it is this machine.

    Raises:
        LoadtestError: it is not, or is none.
    """
    host = urlsplit(url).hostname or ""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback or urlsplit(url).scheme != "http":
        raise LoadtestError(f"{url} is not on this machine: only http://127.0.0.1:… is loaded")
    return url


def command(scenario: Scenario, url: str, load: Load, files: Path) -> list[str]:
    """What runs Locust; `files` is the path of what it writes, without an ending."""
    words = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary", "--host", url]
    watchers = load.watchers if scenario is Scenario.WATCH else 0
    users = min(load.users, max(1, math.ceil(load.per_s))) + watchers  # a user asks at least about once a second
    words += ["-u", str(users), "-r", str(users), "-t", f"{load.seconds}s", "--stop-timeout", str(STOP_S)]
    words += ["--per-s", str(load.per_s), "--watchers", str(watchers)]
    words += ["--html", f"{files}.html", "--json-file", str(files)]
    if load.workers:
        port = str(free_ports(1)[0])
        words += ["--processes", str(load.workers), "--expect-workers-max-wait", "30"]
        words += ["--master-bind-host", HOST, "--master-bind-port", port, "--master-host", HOST, "--master-port", port]
    return [*words, *CLASSES[scenario]]


def run(scenario: Scenario, url: str, load: Load, bounds: Bounds, directory: Path) -> Verdict:
    """Let Locust load what answers at `url`; its report is in the directory afterwards.

    Raises:
        LoadtestError: it did not run, or not to its end.
    """
    files = directory / scenario.value
    counted = files.with_suffix(".json")
    counted.unlink(missing_ok=True)
    environ = clean_environ(PYTHONPATH=os.pathsep.join([str(ROOT / "sdk"), str(ROOT)]))
    child = Child(command(scenario, url, load, files), files.with_suffix(".log"), environ)
    try:
        code = child.wait(load.seconds + GRACE_S)
    except subprocess.TimeoutExpired as error:
        raise LoadtestError(f"Locust did not end within {load.seconds + GRACE_S:.0f} s, see {child.log}") from error
    finally:
        child.stop(GRACE_S)
    if code not in LOCUST_ERRORS_SEEN or not counted.exists():
        raise LoadtestError(f"Locust ended with {code}: {last_line(child.log)}")
    entries = msgspec.json.decode(counted.read_bytes(), type=list[Entry])
    due = load.per_s * max(0.0, load.seconds - RAMP_S)
    return judge(scenario.value, entries, bounds, due=due, seconds=load.seconds)


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether there is nothing to say against any of them."""
    return all(not verdict.faults for verdict in verdicts)
