"""Hosts with addresses of their own on one machine: network namespaces on a switch, and packets that do not arrive.

The switch is a bridge in a namespace too, so nothing of this can be reached from outside and the machine itself has no
address in it. Which packets are dropped is said by name, in any number of layers; a host drops what it receives, so each
direction is a rule of its own. Needs root, iproute2 and nftables.
"""

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

FOLDER = Path("/run/netns")
SWITCH = "switch"
BRIDGE = "bridge"
CARD = "eth0"
ALL = 100  # percent
_CLONE_NEWNET = 0x40000000

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")


class Drop(msgspec.Struct, frozen=True):
    """Packets from one host do not reach another, or not all of them."""

    sender: str
    receiver: str
    percent: int = ALL


class Network:
    """Hosts by name on one switch. Rules may be changed from any thread.

    Args:
        prefix: begins the name of every namespace.
        hosts: their names; the n-th has the n-th address.
    """

    def __init__(self, prefix: str, hosts: Sequence[str]) -> None:
        self._prefix = prefix
        self.addresses = {host: f"10.77.0.{number}" for number, host in enumerate(hosts, start=1)}
        self._layers: dict[object, list[Drop]] = {}
        self._lock = threading.Lock()

    def create(self) -> None:
        """Make the namespaces and wire them up."""
        _run("ip", "netns", "add", self.name(SWITCH))
        self.configure(SWITCH, f"link add {BRIDGE} type bridge", f"link set dev {BRIDGE} up")
        for host, address in self.addresses.items():
            _run("ip", "netns", "add", self.name(host))
            self.link(host, CARD, SWITCH, host)
            self.configure(SWITCH, f"link set dev {host} master {BRIDGE}", f"link set dev {host} up")
            self.configure(host, "link set dev lo up", f"link set dev {CARD} up", f"addr add {address}/24 dev {CARD}")

    def close(self) -> None:
        """Remove all namespaces; whoever is in one should have ended."""
        for host in (*self.addresses, SWITCH):
            if (FOLDER / self.name(host)).exists():
                with suppress(OSError):
                    _run("ip", "netns", "del", self.name(host))

    def name(self, host: str) -> str:
        """The name of a host's namespace."""
        return f"{self._prefix}-{host}"

    def inside(self, host: str) -> list[str]:
        """Words to put before a command so that it runs on a host; it keeps its pid and sees the machine's mounts."""
        return ["nsenter", f"--net={FOLDER / self.name(host)}"]

    def link(self, host: str, card: str, other: str, port: str) -> None:
        """A cable between two namespaces."""
        ends = ["name", card, "netns", self.name(host), "type", "veth"]
        _run("ip", "link", "add", *ends, "peer", "name", port, "netns", self.name(other))

    def configure(self, host: str, *commands: str) -> None:
        """Run commands of `ip` in a namespace."""
        _run("ip", "-n", self.name(host), "-batch", "-", text="\n".join(commands))

    def drop(self, layer: object, drops: Iterable[Drop]) -> None:
        """Add a layer of rules."""
        with self._lock:
            self._layers[layer] = list(drops)
            self._apply({drop.receiver for drop in self._layers[layer]})

    def restore(self, layer: object) -> None:
        """Take a layer away."""
        with self._lock:
            drops = self._layers.pop(layer, [])
            self._apply({drop.receiver for drop in drops})

    def _apply(self, receivers: Iterable[str]) -> None:
        for receiver in sorted(receivers):
            drops = [drop for layer in self._layers.values() for drop in layer if drop.receiver == receiver]
            _run(*self.inside(receiver), "nft", "-f", "-", text=ruleset(drops, self.addresses))


def ruleset(drops: Iterable[Drop], addresses: dict[str, str]) -> str:
    """What `nft` is to read on the receiving host; replaces what it was told before, at once."""
    rules = [
        f"ip saddr {addresses[drop.sender]} "
        + ("drop" if drop.percent >= ALL else f"numgen random mod {ALL} < {drop.percent} drop")
        for drop in drops
    ]
    chain = "\n".join(["type filter hook input priority 0; policy accept;", *rules])
    return f"add table inet chaos\ndelete table inet chaos\ntable inet chaos {{\nchain input {{\n{chain}\n}}\n}}\n"


class Inside:
    """Threads that live on a host: what runs in them opens its sockets there."""

    def __init__(self, network: Network, host: str, threads: int) -> None:
        path = FOLDER / network.name(host)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=host, initializer=enter, initargs=(path,))

    def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something there and wait for it."""
        return self._pool.submit(work, *args, **kwargs).result()

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Begin something there."""
        return self._pool.submit(work, *args, **kwargs)

    def map(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        """Do something there for each, all at the same time."""
        return list(self._pool.map(work, items))

    def close(self) -> None:
        """Wait for the threads to end."""
        self._pool.shutdown(cancel_futures=True)


def enter(namespace: Path) -> None:
    """Move the present thread, and nothing else, into a network namespace, for good (os.setns is new in Python 3.12)."""
    file = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(file, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")
    finally:
        os.close(file)


def remove_leftovers(prefix: str) -> None:
    """Remove namespaces of processes that were killed before they could: their names are `prefix`, a pid and more."""
    for path in FOLDER.glob(f"{prefix}*") if FOLDER.exists() else ():
        pid = path.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                _run("ip", "netns", "del", path.name)


def why_not() -> str:
    """Why there can be no namespaces here, "" when there can."""
    missing = [name for name in ("ip", "nft", "nsenter") if shutil.which(name) is None]
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    return f"{', '.join(missing)} not found (Debian: iproute2, nftables, util-linux)" if missing else ""


def _run(*words: str, text: str = "") -> None:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(words)}: {done.stderr.strip()}"
        raise OSError(message)
