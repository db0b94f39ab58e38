"""NATS JetStream KV as a further mark: three servers, three replicas, asked by `nats-py`.

From 2.10 on a server may be told to sync each write (`sync_interval: always`). Before, it cannot: what is acknowledged is in the memory
of machines and is synced every two minutes. The report says which of both ran.
"""

import asyncio
import importlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.children import HOST, Child, clean_environ, free_ports, wait_until
from loadtest.client import HttpClient
from loadtest.dialects import Item, Operation, Request
from loadtest.errors import LoadtestError
from loadtest.marks import Ask
from loadtest.workloads import BULK_ITEMS, in_batches

PROGRAM = "nats-server"
SERVERS = 3
START_TIMEOUT_S = 60.0
STOP_GRACE_S = 10.0
REQUEST_TIMEOUT_S = 10.0
BUCKET = "bench"
SYNC_ALWAYS_SINCE = (2, 10)
HEALTH = Request("GET", "/healthz")


def check() -> None:
    """Complain about what is missing.

    Raises:
        LoadtestError: the server or the client is not installed.
    """
    if shutil.which(PROGRAM) is None:
        raise LoadtestError(f"{PROGRAM} not found: apt-get install {PROGRAM}")
    if importlib.util.find_spec("nats") is None:
        raise LoadtestError(
            "nats-py is not installed: make bench installs it, or pip install -r requirements-bench.lock"
        )


def version_of(said: str) -> str:
    """The number in `nats-server: v2.9.10`."""
    return said.strip().rpartition("v")[2]


def can_sync_always(version: str) -> bool:
    """Whether a server of this version may be told to sync each write."""
    return tuple(int(part) for part in version.split(".")[:2]) >= SYNC_ALWAYS_SINCE


def configuration(directory: Path, ports: Sequence[int], number: int, *, is_synced: bool) -> str:
    """The file of one server; `ports` are those for clients, then for routes, then for health, of all servers."""
    clients, routes, health = (ports[at : at + SERVERS] for at in range(0, 3 * SERVERS, SERVERS))
    store = [f'store_dir: "{directory}"', *["sync_interval: always"] * is_synced]
    urls = ", ".join(f'"nats://{HOST}:{port}"' for port in routes)
    return "\n".join(
        [
            f"server_name: n{number}",
            f'listen: "{HOST}:{clients[number]}"',
            f'http: "{HOST}:{health[number]}"',
            f"jetstream {{ {', '.join(store)} }}",
            f'cluster {{ name: bench, listen: "{HOST}:{routes[number]}", routes: [{urls}] }}',
            "",
        ]
    )


class NatsCluster:
    """Three servers; all connections are those of the bucket's leader, which spares a hop."""

    name = "NATS KV"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ports = free_ports(3 * SERVERS)
        self._children: list[Child] = []
        self._version = version_of(
            subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
        )
        self._leader = 0

    @property
    def setup(self) -> str:
        """What runs, for the report."""
        means = "every write to a file is synced (`sync_interval: always`) and a majority has it"
        if not can_sync_always(self._version):
            means = (
                "a majority has it, **not synced**: this version knows no `sync_interval: always` and syncs every two minutes, so this is to be "
                "compared with no synced write"
            )
        return (
            f"NATS JetStream KV {self._version}, {SERVERS} servers, {SERVERS} replicas in files: a write is answered when {means}; without "
            f"authentication; asked at the leader by `nats-py` {importlib.metadata.version('nats-py')} in NATS' own protocol; a get is "
            "what the leader has, which asks no quorum; there is no bulk"
        )

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the client raises."""
        return (importlib.import_module("nats.errors").Error,)

    def start(self) -> None:
        """Start the servers and wait until each is well."""
        for number in range(SERVERS):
            data = self._directory / str(number)
            data.mkdir(parents=True)
            file = self._directory / f"{number}.conf"
            file.write_text(configuration(data, self._ports, number, is_synced=can_sync_always(self._version)))
            log = self._directory / f"{number}.log"
            self._children.append(Child([PROGRAM, "--config", str(file)], log, clean_environ()))
        wait_until(self._is_up, "NATS is well", START_TIMEOUT_S)

    def _is_up(self) -> bool:
        for child in self._children:
            child.check()
        return all(map(_is_well, self._ports[2 * SERVERS :]))

    def server_pids(self) -> list[int]:
        """The servers."""
        return [child.pid for child in self._children]

    async def load(self, of: Sequence[Item]) -> None:
        """Make the bucket, find its leader, and put all keys."""
        client, stream = await self._client(), importlib.import_module("nats.js.api").StorageType.FILE
        streams = client.jetstream(timeout=REQUEST_TIMEOUT_S)
        bucket = await streams.create_key_value(bucket=BUCKET, replicas=SERVERS, storage=stream)
        for part in in_batches(of, BULK_ITEMS):
            await asyncio.gather(*(bucket.put(key, value.encode()) for key, value in part))
        information = await streams.stream_info(f"KV_{BUCKET}")
        self._leader = int(information.cluster.leader.removeprefix("n"))
        await client.close()

    async def connect(self) -> "NatsConnection":
        """Open a connection."""
        client = await self._client()
        return NatsConnection(client, await client.jetstream(timeout=REQUEST_TIMEOUT_S).key_value(BUCKET))

    async def _client(self) -> Any:  # noqa: ANN401 - loaded on demand
        nats = importlib.import_module("nats")
        return await nats.connect(f"nats://{HOST}:{self._ports[self._leader]}", allow_reconnect=False)

    def close(self) -> None:
        """End the servers."""
        for child in self._children:
            child.stop(STOP_GRACE_S)
        self._children.clear()


class NatsConnection:
    """A connection and the bucket seen through it."""

    def __init__(self, client: Any, bucket: Any) -> None:  # noqa: ANN401 - loaded on demand
        self._client = client
        self._bucket = bucket
        self.asks: Mapping[Operation, Mapping[str, Ask]] = {
            Operation.PUT: {"": self._put},
            Operation.GET: {"": self._get},
        }

    async def _put(self, part: Sequence[Item]) -> None:
        [(key, value)] = part
        await self._bucket.put(key, value.encode())

    async def _get(self, part: Sequence[Item]) -> None:
        [(key, value)] = part
        if (await self._bucket.get(key)).value.decode() != value:
            raise LoadtestError(f"NATS has not what was put: {key}")

    async def close(self) -> None:
        """Close it."""
        await self._client.close()


def _is_well(port: int) -> bool:
    client = HttpClient(f"{HOST}:{port}", timeout_s=1.0)
    try:
        return client.send(HEALTH).status == 200
    except OSError:
        return False
    finally:
        client.close()
