"""What a program says of the node that it is to be, and what node and gateway are told from it. Pure.

All members of a cluster are known from the beginning, and each names the same ones; which of them host placement follows
from that set alone, so that they need not agree on more. A member that has no name of its own is called by its address.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from gateway.settings import GatewaySettings, is_loopback
from process.address import format_address, is_wildcard, parse_address
from shard.settings import NodeSettings
from wire.messages import Founding

T = TypeVar("T")

PLACEMENT_MEMBERS = 3
LIMIT_MEMBERS = 32
REPLICAS = 3
ALONE = "n1"
HTTP_GRACE_S = 2.0


class MemberSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Members are `host:port`, or `id=host:port` where they have names.

    Attributes:
        path: the data directory.
        listen: address of this node for the others; with port 0, for a cluster of one, the kernel chooses.
        join: the other members; this one may be among them.
        node_id: name of this node; made of its address when empty.
        advertise: where the others reach it, when that is not `listen`.
        zone: replicas of a group go to distinct ones where there are enough.
        cluster: its name.
        durability: fsync, os or memory.
        groups: Raft groups; decided by the first start.
        tls_cert: PEM file of a certificate of this node.
        tls_key: its private key.
        tls_ca: the cluster's authority.
        insecure: allow an address beyond loopback without TLS.
    """

    path: str
    listen: str = "127.0.0.1:0"
    join: Sequence[str] = ()
    node_id: str = ""
    advertise: str = ""
    zone: str = "default"
    cluster: str = "concord"
    durability: str = "fsync"
    groups: int = 8
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""
    insecure: bool = False

    @property
    def id(self) -> str:
        """Name of this node; one that is alone need not be found by its address."""
        return self.node_id or (name_of(self._reached_at) if self._others else ALONE)

    @property
    def members(self) -> dict[str, str]:
        """Address by id of all members, in the order of their ids.

        Raises:
            ValueError: they cannot be members of one cluster.
        """
        own, others = self._reached_at, self._others
        members = dict(others)
        if self.id in members:
            raise ValueError(f"join: {members[self.id]} has the name of this node, {self.id!r}")
        if len(members) != len(others) or len(set(members.values())) != len(others):
            raise ValueError("join: a name or an address is there twice")
        if members and not parse_address(own)[1]:
            raise ValueError(f"listen: the other members must know the port, and {own} leaves it to the kernel")
        if len(members) >= LIMIT_MEMBERS:
            raise ValueError(f"join: a cluster has at most {LIMIT_MEMBERS} members")
        return dict(sorted({**members, self.id: own}.items()))

    @property
    def founding(self) -> Founding:
        """What the cluster begins with, which is the same for all members.

        Raises:
            ValueError: see `members`.
        """
        members = self.members
        return Founding(members, self.groups, min(REPLICAS, len(members)))

    @property
    def _others(self) -> list[tuple[str, str]]:
        named = [_named(text) for text in self.join if text != self.listen]
        return [(name, address) for name, address in named if address != self._reached_at]

    @property
    def _reached_at(self) -> str:
        return self.advertise or self.listen


def name_of(address: str) -> str:
    """The name of a member that was given none.

    Raises:
        ValueError: it is no address that others can use.
    """
    host, port = parse_address(address)
    if is_wildcard(host):
        raise ValueError(f"listen: others cannot reach {host}: say with advertise= where they do")
    return f"{host.replace(':', '-')}-{port}".lstrip("-")


def node_settings(settings: MemberSettings) -> NodeSettings:
    """What the node is told.

    Raises:
        ValueError: with the name of what is wrong.
    """
    founding = settings.founding
    members = founding.members
    _check_exposure(settings, [settings.listen, *members.values()])
    hosts = list(members)[: PLACEMENT_MEMBERS if len(members) >= PLACEMENT_MEMBERS else 1]
    return _checked(
        NodeSettings,
        {
            "id": settings.id,
            "data_dir": settings.path,
            "placement": [f"{name}={members[name]}" for name in hosts],
            "listen": settings.listen,
            "advertise": settings.advertise,
            "cluster": settings.cluster,
            "zone": settings.zone,
            "durability": settings.durability,
            "expect_nodes": len(members),
            "groups": founding.groups,
            "replicas": founding.replicas,
            "tls_cert": settings.tls_cert,
            "tls_key": settings.tls_key,
            "tls_ca": settings.tls_ca,
            "insecure": settings.insecure,
        },
    )


def gateway_settings(settings: MemberSettings, own_address: str, **told: Any) -> GatewaySettings:  # noqa: ANN401 - see there
    """What a gateway in the same process is told; `told` are settings of its own.

    Raises:
        ValueError: with the name of what is wrong.
    """
    others = [address for name, address in settings.members.items() if name != settings.id]
    return _checked(
        GatewaySettings,
        {
            "nodes": [own_address, *others],
            "cluster": settings.cluster,
            "tls_cert": settings.tls_cert,
            "tls_key": settings.tls_key,
            "tls_ca": settings.tls_ca,
            "insecure": settings.insecure,
            **told,
        },
    )


def http_settings(host: str, port: int, *, auth: bool | None, insecure: bool) -> dict[str, Any]:
    """What a gateway is told of the HTTP that it serves.

    Raises:
        ValueError: other machines can reach the address, and nobody said that this is meant.
    """
    if not is_loopback(host):
        if not insecure:
            raise ValueError(
                f"host: {host} is not loopback and HTTP is not protected here; say insecure=True to allow it"
            )
        if auth is None:
            raise ValueError(
                f"host: {host} is not loopback and everybody there could do everything; "
                "say auth=True to ask for tokens, or auth=False to allow it"
            )
    return {
        "listen": format_address(host, port),
        "auth": "on" if auth else "off",
        "insecure_http": insecure,
        "shutdown_grace_s": HTTP_GRACE_S,
    }


def _check_exposure(settings: MemberSettings, addresses: Iterable[str]) -> None:
    far = [address for address in addresses if not is_loopback(parse_address(address)[0])]
    if far and not settings.tls_cert and not settings.insecure:
        raise ValueError(
            f"listen, join: {far[0]} is not loopback, and without TLS whoever reaches a node owns its data: "
            "give tls_cert=, tls_key= and tls_ca=, or say insecure=True"
        )


def _named(text: str) -> tuple[str, str]:
    name, equals, address = text.rpartition("=")
    if not equals:
        return name_of(text), text
    parse_address(address)
    return name, address


def _checked(kind: type[T], values: dict[str, Any]) -> T:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
