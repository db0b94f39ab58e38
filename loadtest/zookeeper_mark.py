"""ZooKeeper as a further mark: three servers with default settings, which sync every write, asked by `kazoo`."""

import asyncio
import importlib
import importlib.metadata
import importlib.util
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.children import HOST, Child, clean_environ, free_ports, wait_until
from loadtest.dialects import Item, Operation
from loadtest.errors import LoadtestError
from loadtest.marks import Ask
from loadtest.workloads import BULK_ITEMS, in_batches

SERVERS = 3
LIBRARY = Path("/usr/share/java/zookeeper.jar")
START_TIMEOUT_S = 60.0
STOP_GRACE_S = 10.0
ASK_TIMEOUT_S = 2.0
ROOT = "/bench"


def check() -> None:
    """Complain about what is missing.

    Raises:
        LoadtestError: Java, the servers' library or the client is not installed.
    """
    if shutil.which("java") is None or not LIBRARY.exists():
        raise LoadtestError(f"java or {LIBRARY} not found: apt-get install --no-install-recommends zookeeper")
    if importlib.util.find_spec("kazoo") is None:
        raise LoadtestError("kazoo is not installed: make bench installs it, or pip install -r requirements-bench.lock")


def configuration(directory: Path, ports: Sequence[int], number: int) -> str:
    """The zoo.cfg of one server; `ports` are those for clients, then for peers, then for elections, of all servers."""
    clients, peers, elections = (ports[at : at + SERVERS] for at in range(0, 3 * SERVERS, SERVERS))
    members = [f"server.{each + 1}={HOST}:{peers[each]}:{elections[each]}" for each in range(SERVERS)]
    settings = [
        "tickTime=2000",
        "initLimit=10",
        "syncLimit=5",
        f"dataDir={directory}",
        f"clientPort={clients[number]}",
        f"clientPortAddress={HOST}",
        "maxClientCnxns=0",  # 60 from one address by default, less than ask at once
        "admin.enableServer=false",  # it would take a port of its own
    ]
    return "\n".join([*settings, *members, ""])


def stated(answer: str) -> dict[str, str]:
    """What a server says of itself when asked `srvr`: `Mode: leader`, `Zookeeper version: 3.8.0--1, built on …` and so on."""
    return {name: text for name, _, text in (line.partition(": ") for line in answer.splitlines())}


class ZooKeeperCluster:
    """Three servers; all connections are the leader's, which spares a hop."""

    name = "ZooKeeper"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = free_ports(3 * SERVERS)
        self._children: list[Child] = []
        self._leader, self._version = "", ""

    @property
    def setup(self) -> str:
        """What runs, for the report."""
        return (
            f"ZooKeeper {self._version}, {SERVERS} servers with default settings but for maxClientCnxns: a write is answered when the logs of a "
            "majority are synced; without authentication; asked at the leader by `kazoo` "
            f"{importlib.metadata.version('kazoo')} in ZooKeeper's own protocol, a session for each connection; a bulk is a transaction; a get "
            "is what the asked server has, which may be stale, and `sync` before it makes that server catch up with the leader"
        )

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the client raises."""
        return (importlib.import_module("kazoo.exceptions").KazooException, ConnectionError)

    def start(self) -> None:
        """Start the servers and wait for a leader and its followers."""
        for number in range(SERVERS):
            data = self._directory / str(number)
            data.mkdir(parents=True)
            (data / "myid").write_text(f"{number + 1}\n")
            file = self._directory / f"{number}.cfg"
            file.write_text(configuration(data, self._ports, number))
            words = ["java", "-cp", str(LIBRARY), "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(file)]
            self._children.append(Child(words, self._directory / f"{number}.log", clean_environ()))
        wait_until(self._is_up, "ZooKeeper has a leader", START_TIMEOUT_S)

    def _is_up(self) -> bool:
        for child in self._children:
            child.check()
        answers = {port: stated(_srvr(port)) for port in self._ports[:SERVERS]}
        modes = {port: answer.get("Mode", "") for port, answer in answers.items()}
        if sorted(modes.values()) != ["follower", "follower", "leader"]:
            return False
        leader = next(port for port, mode in modes.items() if mode == "leader")
        self._leader = f"{HOST}:{leader}"
        self._version = answers[leader]["Zookeeper version"].partition("-")[0]
        return True

    def server_pids(self) -> list[int]:
        """The servers."""
        return [child.pid for child in self._children]

    async def load(self, of: Sequence[Item]) -> None:
        """Create all keys, many with a transaction."""
        connection = await self.connect()
        await connection.create(of)
        await connection.close()

    async def connect(self) -> "ZooKeeperConnection":
        """Open a session."""
        return ZooKeeperConnection(self._leader)

    def close(self) -> None:
        """End the servers."""
        for child in self._children:
            child.stop(STOP_GRACE_S)
        self._children.clear()


class ZooKeeperConnection:
    """A session; what `kazoo` hears in threads of its own is handed to the event loop."""

    def __init__(self, address: str) -> None:
        self._client: Any = importlib.import_module("kazoo.client").KazooClient(hosts=address)
        self._client.start(timeout=START_TIMEOUT_S)
        self.asks: Mapping[Operation, Mapping[str, Ask]] = {
            Operation.PUT: {"": self._put},
            Operation.GET: {" after sync": self._synced_get, ", may be stale": self._get},
            Operation.BULK: {"": self._bulk},
        }

    async def create(self, of: Sequence[Item]) -> None:
        """Create keys, which only then can be put."""
        self._client.ensure_path(f"{ROOT}/{of[0][0].rpartition('/')[0]}")
        for part in in_batches(of, BULK_ITEMS):
            await self._commit("create", part)

    async def _put(self, part: Sequence[Item]) -> None:
        [(key, value)] = part
        await _answer(self._client.set_async(f"{ROOT}/{key}", value.encode()))

    async def _get(self, part: Sequence[Item]) -> None:
        [(key, value)] = part
        found, _ = await _answer(self._client.get_async(f"{ROOT}/{key}"))
        if found.decode() != value:
            raise LoadtestError(f"ZooKeeper has not what was put: {key}")

    async def _synced_get(self, part: Sequence[Item]) -> None:
        """Both at once: a session's requests are done in their order."""
        synced = self._client.sync_async(f"{ROOT}/{part[0][0]}")
        await self._get(part)
        synced.get(block=False)  # was answered before; raises what it failed with

    async def _bulk(self, part: Sequence[Item]) -> None:
        await self._commit("set_data", part)

    async def _commit(self, operation: str, part: Sequence[Item]) -> None:
        transaction = self._client.transaction()
        for key, value in part:
            getattr(transaction, operation)(f"{ROOT}/{key}", value.encode())
        for result in await _answer(transaction.commit_async()):
            if isinstance(result, Exception):
                raise result

    async def close(self) -> None:
        """End the session."""
        self._client.stop()
        self._client.close()


async def _answer(result: Any) -> Any:  # noqa: ANN401 - kazoo has no types
    """Wait for what kazoo calls an asynchronous result."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not answered.done():
            answered.set_result(None)

    result.rawlink(lambda _: loop.call_soon_threadsafe(settle))
    await answered
    return result.get(block=False)


def _srvr(port: int) -> str:
    """What a server says of itself, "" when it does not answer."""
    try:
        with socket.create_connection((HOST, port), ASK_TIMEOUT_S) as connection:
            connection.settimeout(ASK_TIMEOUT_S)
            connection.sendall(b"srvr")
            with connection.makefile("rb") as said:
                return said.read().decode()
    except OSError:
        return ""
