"""What the scenario programs share: a cluster of their own that is looked over at the end, and clients that judge answers.

A program calls `play`. Whatever goes wrong, a broken promise or a wait without end, is a violation; so are a traceback or
an error in a log, an HTTP answer that nobody asked for, and a process that is left over. With a violation the exit code
is 1 and the data and the logs stay.
"""

import argparse
import enum
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from tests.e2e.cluster import Client, LocalCluster, Reply, is_alive, wait_until

WHOLE_TIMEOUT_S = 60.0
JOIN_TIMEOUT_S = 60.0
CLIENT_TIMEOUT_S = 15.0  # over every deadline that is asked for: a gateway that is up answers before
VIOLATIONS_SHOWN = 20
SUSPICIOUS = re.compile(r"Traceback|concord: fatal|\b(?:ERROR|CRITICAL)\b|never retrieved|never awaited|panicked")
CONTEXT_LINES = 15
OUTPUT_SHOWN = 500  # characters


def say(text: str) -> None:
    """Print a line now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Outcome(enum.Enum):
    """What a client knows about a write."""

    DONE = enum.auto()
    NOT_DONE = enum.auto()  # a definite failure
    UNKNOWN = enum.auto()


def outcome_of(reply: Reply | None, *, refused: bool) -> Outcome:
    """What the answer to a write says; without one, whether the request was `refused` before it reached a server."""
    if reply is None:
        return Outcome.NOT_DONE if refused else Outcome.UNKNOWN
    if reply.status == 200:
        return Outcome.DONE
    return Outcome.NOT_DONE if reply.json()["error"]["applied"] is False else Outcome.UNKNOWN


def name_keys(items: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> bool:
    """Whether the items of a bulk answer are those of the keys that were sent, in their order."""
    return [item.get("key") for item in items] == list(keys)


class Scene:
    """A cluster under test, the chance of its seed, and what went wrong so far."""

    def __init__(self, cluster: LocalCluster, seed: int) -> None:
        self.cluster = cluster
        self.seed = seed
        self.rng = random.Random(seed)
        self.violations: list[str] = []
        self.figures: dict[str, float | str] = {}  # what the scenario measured, for --json

    def violate(self, text: str) -> None:
        """Take note of a broken promise."""
        self.violations.append(text)
        if len(self.violations) <= VIOLATIONS_SHOWN:
            say(f"VIOLATION: {text}")

    def chance(self, *names: object) -> random.Random:
        """Chance for one part of the scene that does not depend on how threads take turns."""
        return random.Random("/".join(map(str, (self.seed, *names))))

    def processes(self) -> dict[int, str]:
        """Pid and command line of everything that belongs to this cluster, listed in processes.json or not.

        The same port on the loopback of another network namespace is somebody else's.
        """
        marks = (str(self.cluster.data_dir), f"127.0.0.1:{self.cluster.port}")
        here = Path("/proc/self/ns/net").readlink()
        found: dict[int, str] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    is_here = (folder / "ns/net").readlink() == here
                    if is_here and any(mark in command for mark in marks) and is_alive(int(folder.name)):
                        found[int(folder.name)] = command
        return found

    def last_words(self) -> str:
        """Whether `concord up` runs, and what it said last."""
        process = self.cluster._process
        code = process.poll() if process else None
        state = "concord up is not started" if not process else f"exit code of concord up: {code} (None: it runs)"
        return f"{state}\n{self.cluster.output[-OUTPUT_SHOWN:]}"

    def look_at_logs(self) -> None:
        """Every traceback, error and last word in the logs is a violation."""
        for log in sorted((self.cluster.data_dir / "logs").glob("*.log*")):
            lines = log.read_text(errors="replace").splitlines()
            at = next((at for at, line in enumerate(lines) if SUSPICIOUS.search(line)), None)
            if at is not None:
                self.violate(f"{log.name}:{at + 1}:\n  " + "\n  ".join(lines[at : at + CONTEXT_LINES]))


class Caller:
    """One HTTP client. It never raises: no answer is None, and an answer that makes no sense is a violation."""

    def __init__(self, scene: Scene, timeout_ms: int | None = None) -> None:
        self._scene = scene
        self._client = Client(scene.cluster.port, CLIENT_TIMEOUT_S)
        self._headers = {"X-Concord-Timeout-Ms": str(timeout_ms)} if timeout_ms else {}
        self.refused = False  # the last request did not even reach a server

    def send(self, method: str, path: str, body: Any = None) -> Reply | None:
        """One request under /api/v1."""
        self.refused = False
        try:
            reply = self._client.send(method, path, body, self._headers)
        except ConnectionError as error:
            self.refused = isinstance(error.__cause__, ConnectionRefusedError)
            if isinstance(error.__cause__, TimeoutError):
                self._scene.violate(f"{method} {path}: no answer within {CLIENT_TIMEOUT_S} s")
            return None
        if reply.status not in {200, 404, 503, 504}:
            self._scene.violate(f"{method} {path}: {reply.status} {reply.body[:300]!r}")
        return reply

    def outcome(self, reply: Reply | None) -> Outcome:
        """What the answer to the last request, a write, says."""
        return outcome_of(reply, refused=self.refused)

    def put(self, key: str, value: Any) -> Outcome:
        """Set a key."""
        return self.outcome(self.send("PUT", f"/kv/{key}", {"value": value}))

    def status(self) -> Mapping[str, Any] | None:
        """`GET /status`, None when nobody can say."""
        reply = self.send("GET", "/status")
        return reply.data if reply is not None and reply.status == 200 else None

    def group(self, group: int) -> Mapping[str, Any]:
        """The row of a group in the status; without a `leader` when nobody can say."""
        status = self.status()
        rows = status["groups"] if status else []
        return next((row for row in rows if row["id"] == group), {"leader": None, "term": 0})

    def leader(self, group: int) -> str | None:
        """The node that leads a group now, as far as anybody knows."""
        found: str | None = self.group(group)["leader"]
        return found

    def is_whole(self) -> bool:
        """Every process is up, every node answers and every group is led and serves."""
        status = self.status()
        ready = self.send("GET", "/readyz")
        return (
            status is not None
            and ready is not None
            and ready.status == 200
            and all(process.pid for process in self._scene.cluster.processes())
            and all(node["reachable"] for node in status["cluster"]["nodes"])
            and all(group["leader"] for group in status["groups"])
        )

    def wait_until_whole(self) -> None:
        """Wait for the cluster to have got over whatever happened to it."""
        wait_until(self.is_whole, "the cluster is whole again", WHOLE_TIMEOUT_S)

    def keys_by_group(self, prefix: str, groups: int) -> dict[int, str]:
        """One key for each of the groups 1..`groups`, set to 0."""
        found: dict[int, str] = {}
        for number in range(100 * groups):
            key = f"{prefix}-{number}"
            if self.put(key, 0) is Outcome.DONE:
                reply = self.send("GET", f"/kv/{key}")
                if reply is not None and reply.status == 200:
                    found.setdefault(int(reply.headers["x-concord-group"]), key)
            if len(found) == groups:
                return found
        message = f"only groups {sorted(found)} took a key"
        raise AssertionError(message)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def parser(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The flags that every program has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--nodes", type=int, default=3)
    made.add_argument("--groups", type=int, default=8)
    made.add_argument(
        "--durability",
        choices=["fsync", "os", "memory"],
        default="fsync",
        help="of the cluster; memory must fail kill_all",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file")
    made.add_argument("--keep", action="store_true", help="keep data and logs even when all is well")
    return made


@contextmanager
def in_a_folder(folder: Path) -> Iterator[Path]:
    """The data directory of a scene that asks for nothing special."""
    yield folder / "data"


def play(
    arguments: argparse.Namespace,
    scenario: Callable[[Scene], None],
    *,
    ground: Callable[[Path], AbstractContextManager[Path]] = in_a_folder,
    environ: Mapping[str, str] | None = None,
    more_flags: Sequence[str] = (),
) -> int:
    """Run a scenario on a new cluster, look it over, and return the exit code.

    Args:
        arguments: of `parser`.
        scenario: starts the cluster and hurts it.
        ground: makes the data directory in the scene's folder, and clears it away.
        environ: more environment for the cluster.
        more_flags: of `concord up`.
    """
    folder = Path(tempfile.mkdtemp(prefix="concord-chaos-"))
    say(f"seed {arguments.seed}, {arguments.rounds} rounds, {arguments.nodes} nodes, {arguments.groups} groups")
    began = time.monotonic()
    size = ["--nodes", str(arguments.nodes), "--groups", str(arguments.groups)]
    flags = [*size, "--durability", arguments.durability, *more_flags]
    with ground(folder) as data_dir:
        scene = Scene(LocalCluster(data_dir, *flags, environ=environ), arguments.seed)
        _play(scene, scenario)
    seconds = time.monotonic() - began
    say(f"{len(scene.violations)} violations, {seconds:.0f} s")
    if arguments.json:
        written = {"rounds": arguments.rounds, **scene.figures, "violations": len(scene.violations), "seconds": seconds}
        arguments.json.write_bytes(msgspec.json.encode(written))
    if scene.violations or arguments.keep:
        say(f"data and logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if scene.violations else 0


def _play(scene: Scene, scenario: Callable[[Scene], None]) -> None:
    try:
        scenario(scene)
        code = scene.cluster.stop()
        if code:
            scene.violate(f"concord up ended with {code}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the logs say more than a traceback of ours
        scene.violate(f"{type(error).__name__}: {error}\n{scene.last_words()}")
    finally:
        scene.cluster.close()
    _look_over(scene)


def _look_over(scene: Scene) -> None:
    scene.look_at_logs()
    if "Traceback" in scene.cluster.output:
        scene.violate(f"concord up: {scene.cluster.output}")
    with suppress(AssertionError):
        wait_until(lambda: not scene.processes(), "every process is gone", 5.0)
    for pid, command in scene.processes().items():
        scene.violate(f"process {pid} is left over: {command}")
        with suppress(ProcessLookupError):
            os.kill(pid, 9)


def percentile(values: list[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
