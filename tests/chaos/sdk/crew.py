"""Processes of clients: started, told when to begin, and asked for their reports."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import msgspec

from tests.chaos.scene import Scene
from tests.chaos.sdk.notes import Report
from tests.chaos.sdk.worker import WATCH_TIMEOUT_S, Orders
from tests.e2e.cluster import ROOT

LAST_CALL_S = 60.0  # for clients to end
KINDS: tuple[Literal["threads", "asyncio"], ...] = ("threads", "asyncio")


class Workers:
    """The processes of clients."""

    def __init__(self, orders: Iterable[Orders]) -> None:
        self._orders = list(orders)
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.sdk.worker"],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": f"{ROOT / 'sdk'}{os.pathsep}{ROOT}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in self._orders
        ]
        for process, one in zip(self._processes, self._orders, strict=True):
            self._tell(process, msgspec.json.encode(one) + b"\n")

    def begin(self, seconds: float) -> int:
        """Let all clients live for so long once all watches have begun; the end, on the monotonic clock."""
        self._wait_for(b"ready\n")
        until_ns = time.monotonic_ns() + int(seconds * 1e9)
        for process in self._processes:
            self._tell(process, b"%d\n" % until_ns)
        return until_ns

    def wait_for_clients(self) -> None:
        """Wait until all clients have ended; the watches go on."""
        self._wait_for(b"done\n")

    def _wait_for(self, word: bytes) -> None:
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == word, "a process of clients has ended early"

    @staticmethod
    def _tell(process: subprocess.Popen[bytes], line: bytes) -> None:
        assert process.stdin is not None
        process.stdin.write(line)
        process.stdin.flush()

    def reports(self) -> list[Report]:
        """What they have to tell, once they have ended."""
        for process in self._processes:
            code = process.wait(WATCH_TIMEOUT_S + LAST_CALL_S)
            assert code == 0, f"a process of clients ended with {code}"
        return [msgspec.msgpack.decode(Path(one.report).read_bytes(), type=Report) for one in self._orders]

    def close(self) -> None:
        """Leave none behind."""
        for process in self._processes:
            process.kill()
            process.communicate()


@contextmanager
def at_work(scene: Scene, processes: int, clients: int, ends: list[str]) -> Iterator[Workers]:
    """Processes of clients."""
    urls = [f"http://127.0.0.1:{one.ports[0]}" for one in scene.cluster.processes() if one.role == "gateway"]
    with TemporaryDirectory(prefix="concord-chaos-sdk-") as folder:
        workers = Workers(
            Orders(
                KINDS[number % len(KINDS)],
                number * clients,
                clients,
                urls,
                f"{scene.seed}/{number}",
                time.monotonic_ns(),
                ends,
                f"{folder}/{number}",
            )
            for number in range(processes)
        )
        try:
            yield workers
        finally:
            workers.close()
