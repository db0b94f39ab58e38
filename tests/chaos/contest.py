"""A contest: one cluster with three gateways, clients that want something of it, and strikes at the leader meanwhile."""

import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos.scene import Scene
from tests.e2e.cluster import Client, Reply

GATEWAYS = 3
STRIKE_EVERY_S = 6.0
STOPPED_S = 2.0
TIMEOUT_S = 40.0
GUARDED = "/kv/{c}guarded"  # its group's leader is struck; everything that is wanted has the same tag


class Contest:
    """One cluster, and threads that want something of it until the time is up."""

    def __init__(self, scene: Scene, seconds: float) -> None:
        self.scene = scene
        self.until = time.monotonic() + seconds
        self.struck: list[float] = []
        gateways = [process for process in scene.cluster.processes() if process.role == "gateway"]
        self.ports: Sequence[int] = [gateway.ports[0] for gateway in gateways]
        self.lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        """Whether the time is not up."""
        return time.monotonic() < self.until

    def run(self, clients: int, client: Callable[[int, "Door"], None], *, through: Sequence[int] | None = None) -> None:
        """Let clients do their work while leaders are struck; what they raise is a violation.

        Args:
            clients: how many.
            client: what each does, given its number.
            through: ports that stand before the gateways; None for the gateways' own.
        """
        ports = through or self.ports

        def guarded(number: int) -> None:
            door = Door(ports, self.scene.chance("client", number))
            try:
                client(number, door)
            except Exception as error:  # noqa: BLE001 - in a thread: it must be told
                self.scene.violate(f"client {number}: {type(error).__name__}: {error}")
            finally:
                door.close()

        threads = [threading.Thread(target=guarded, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        while self.is_on:
            time.sleep(min(STRIKE_EVERY_S, max(0.0, self.until - time.monotonic())))
            if self.is_on:
                self._strike()
        for thread in threads:
            thread.join(TIMEOUT_S)
            if thread.is_alive():
                self.scene.violate("a client did not come to its end")

    def _strike(self) -> None:
        door = Door(self.ports, self.scene.rng)
        reply = door.send("GET", GUARDED)
        group = int(reply.headers["x-concord-group"]) if reply is not None and reply.status == 200 else 0
        status = door.send("GET", "/status")
        door.close()
        rows = status.data["groups"] if status is not None and status.status == 200 else []
        leader = next((row["leader"] for row in rows if row["id"] == group), None)
        if leader is None:
            return
        self.struck.append(time.monotonic())
        if self.scene.rng.random() < 0.5:
            self.scene.cluster.kill(leader)
        else:
            self.scene.cluster.kill(leader, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            self.scene.cluster.kill(leader, signal.SIGCONT)
        self.struck.append(time.monotonic())


class Door:
    """One client's connections, one to each gateway."""

    def __init__(self, ports: Sequence[int], rng: random.Random) -> None:
        self.rng = rng
        self._clients = [Client(port, TIMEOUT_S) for port in ports]

    def send(self, method: str, path: str, body: Any = None, once: str = "") -> Reply | None:
        """One request through one of the gateways; None when there was no answer."""
        try:
            headers = {"Idempotency-Key": once} if once else None
            return self.rng.choice(self._clients).send(method, path, body, headers)
        except ConnectionError:
            return None

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()
