"""A cluster under attack, and how one sees that the attack did nothing: memory, descriptors, terms, a writer, a newcomer."""

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec

from concord.cli.authority import read
from placement import Goals
from raft import RaftConfig
from tests.attack.canary import canary
from tests.certificates import Authority
from tests.e2e.cluster import wait_until
from tests.e2e.nodes import Nodes
from tests.e2e.writers import Writers
from wire import RpcClient, RpcError, TlsConfig
from wire.limits import DEFAULT_LIMITS
from wire.messages import NodeStatus, StatusRequest
from wire.methods import STATUS

CLUSTER = "local"  # what `concord.cli.layout` calls a cluster on one machine
FILES = 1024  # that a node may have open, as a shell gives by default
LIMIT_GROWTH_BYTES = 32 << 20
ANSWER_S = 5.0
SETTLED_S = 60.0
WRITES = 20
OWN_CONNECTIONS = 4
STEADY_S = Goals(expected_nodes=3, groups=1, replicas=3).settle_ms / 1000 + 1.0
STOOD_STILL_S = RaftConfig().election_timeout_s_min - 2 * RaftConfig().heartbeat_s
"""A node that could not run for so long may have lost its leadership to the machine."""


Terms: TypeAlias = Mapping[str, Mapping[int, int]]
"""Node → group → term."""


class Vitals(msgspec.Struct, frozen=True):
    """Of one node: descriptors it has open, memory it has in use."""

    descriptors: int
    resident_bytes: int


class Victims:
    """Three nodes and a gateway; with TLS also their authority, which signs whatever an attack needs."""

    def __init__(self, nodes: Nodes, certificates: Path | None) -> None:
        self.nodes = nodes
        self.steady: Terms = {}  # as they were after the last attack
        self.authority: Authority | None = None
        if certificates is not None:
            signer = read((certificates / "ca.crt").read_bytes(), (certificates / "ca.key").read_bytes())
            self.authority = Authority(certificates / "attack", "authority", signer)

    @property
    def port(self) -> int:
        """The gateway's."""
        return self.nodes.port

    @property
    def peers(self) -> int:
        """Connections of one attacker: as many as a certificate gets, or as it likes on loopback."""
        return DEFAULT_LIMITS.peer_connections_max if self.authority else 60

    @property
    def target(self) -> tuple[str, int]:
        """Host and port of the node that is attacked."""
        return "127.0.0.1", self.nodes.places["n1"].port

    def certificate(self, role: str, name: str, cluster: str = CLUSTER) -> TlsConfig | None:
        """One that the authority signed; None without TLS."""
        return self.authority.issue(f"concord://{cluster}/{role}/{name}") if self.authority else None

    def context(self, role: str, name: str) -> ssl.SSLContext | None:
        """For a client that shows such a certificate; None without TLS."""
        tls = self.certificate(role, name)
        return client_context(tls) if tls else None

    def statuses(self) -> dict[str, NodeStatus]:
        """What every node says of itself to a newcomer: connections of its own, so that being let in is a part of it."""
        return asyncio.run(self._ask())

    def terms(self) -> Terms:
        """Of all groups, as every node sees them."""
        return {name: {group.id: group.term for group in each.groups} for name, each in self.statuses().items()}

    async def _ask(self) -> dict[str, NodeStatus]:
        tls = self.certificate("admin", "watch")
        answers = {}
        for name, place in self.nodes.places.items():
            client = RpcClient(place.address, tls=tls, expect_node=name)
            try:
                answers[name] = await client.call(STATUS, StatusRequest(), ANSWER_S)
            finally:
                await client.close()
        return answers

    def vitals(self) -> dict[str, Vitals]:
        """Of every node now."""
        return {name: _vitals(self.nodes.pid(name)) for name in self.nodes.places}

    def peaks(self) -> dict[str, int]:
        """The most memory that every node has used since `forget_peaks`."""
        return {name: _memory(self.nodes.pid(name), "VmHWM") for name in self.nodes.places}

    def forget_peaks(self) -> None:
        """Let the kernel count the most memory from now on (proc(5), clear_refs)."""
        for name in self.nodes.places:
            Path(f"/proc/{self.nodes.pid(name)}/clear_refs").write_text("5")


@contextmanager
def unharmed(victims: Victims) -> Iterator[Writers]:
    """What happens within harms nobody.

    A writer goes on all the time and nothing it was told is lost, a newcomer is answered by every node, no group changes
    its term (unless the machine itself stood still for long enough), no node grows by 32 MiB at any time, and afterwards none has more descriptors open than before, but for
    the few connections that the cluster itself makes when it first needs them.
    """
    terms = _settled_terms(victims)
    with canary() as machine, Writers(victims, "a") as writers:
        writers.wait_for(WRITES)
        before = victims.vitals()
        victims.forget_peaks()
        yield writers
        writers.wait_for(WRITES)
        after = victims.terms()
    print(f"the machine stood still for {machine.longest_wait_s:.3f} s")  # noqa: T201 - for the failure
    assert after == terms or machine.longest_wait_s > STOOD_STILL_S
    writers.check()
    growth = {name: peak - before[name].resident_bytes for name, peak in victims.peaks().items()}
    print({name: f"{grown / (1 << 20):.1f} MiB" for name, grown in growth.items()})  # noqa: T201 - for the failure
    assert max(growth.values()) < LIMIT_GROWTH_BYTES

    def descriptors_are_back() -> bool:
        after = victims.vitals()
        return all(after[name].descriptors <= each.descriptors + OWN_CONNECTIONS for name, each in before.items())

    wait_until(descriptors_are_back, "descriptors are back")


def client_context(tls: TlsConfig) -> ssl.SSLContext:
    """For a client that is not ours: it shows a certificate and checks none, so that the server has to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(tls.cert, tls.key)
    return context


def _settled_terms(victims: Victims) -> Terms:
    """The terms once placement has spread the leaders.

    It looks at what came of a transfer a moment later, and may ask for another: so they count when they have been the same
    for longer than it waits. Those that the last attack has left behind have been.
    """
    steady, since = victims.steady, time.monotonic() - STEADY_S

    def settled() -> bool:
        nonlocal steady, since
        try:
            terms, statuses = victims.terms(), victims.statuses()
        except RpcError:  # a node that was started a moment ago
            since = time.monotonic()
            return False
        alike = all(each == terms["n1"] for each in terms.values())
        if terms != steady or not alike or not _leaders_are_spread(statuses):
            steady, since = terms, time.monotonic()
        return time.monotonic() - since >= STEADY_S

    wait_until(settled, "leaders are spread and terms are the same everywhere", SETTLED_S)
    victims.steady = steady
    return steady


def _leaders_are_spread(statuses: Mapping[str, NodeStatus]) -> bool:
    led = [sum(group.id != 0 and group.role == "leader" for group in each.groups) for each in statuses.values()]
    return sum(led) == len(next(iter(statuses.values())).groups) - 1 and max(led) - min(led) <= 1


def _vitals(pid: int) -> Vitals:
    return Vitals(len(list(Path(f"/proc/{pid}/fd").iterdir())), _memory(pid, "VmRSS"))


def _memory(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)
