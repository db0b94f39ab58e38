"""The settings of a node process."""

import re
from typing import Annotated

import msgspec

from placement import Goals
from process.address import address_of, is_wildcard
from process.logs import LogFormat
from raft import Durability, RaftConfig
from shard.seams import GroupLimits
from wire import TlsConfig

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `concord node` is told."""

    id: Annotated[str, msgspec.Meta(description="name of this node, for good: it is written into its data directory")]
    data_dir: Annotated[str, msgspec.Meta(description="directory of this node alone, for log and snapshots")]
    placement: Annotated[
        list[str],
        msgspec.Meta(
            description="the nodes that host the placement group, as id=host:port; alike on all", min_length=1
        ),
    ]
    listen: Annotated[str, msgspec.Meta(description="address host:port of the RPC server")] = "127.0.0.1:4100"
    advertise: Annotated[str, msgspec.Meta(description="address that others reach it at; as bound when empty")] = ""
    cluster: Annotated[str, msgspec.Meta(description="name of the cluster", min_length=1)] = "concord"
    zone: Annotated[str, msgspec.Meta(description="failure domain; replicas of a group go to distinct ones")] = (
        "default"
    )
    host_label: Annotated[str, msgspec.Meta(description="machine it runs on; likewise; the id when empty")] = ""
    durability: Annotated[
        Durability, msgspec.Meta(description="what an acknowledged write survives: fsync a power cut, os a crash only")
    ] = Durability.FSYNC
    expect_nodes: Annotated[
        int, msgspec.Meta(description="nodes that must be there before groups are created", ge=1, le=1000)
    ] = 3
    groups: Annotated[int, msgspec.Meta(description="groups to create then", ge=1, le=16384)] = 8
    replicas: Annotated[int, msgspec.Meta(description="replicas of each group", ge=1, le=9)] = 3
    segment_bytes: Annotated[
        int, msgspec.Meta(description="size of a file of the write-ahead log", ge=64 << 10, le=1 << 30)
    ] = RaftConfig().segment_bytes
    log_bytes: Annotated[
        int, msgspec.Meta(description="size of the log past which groups must let go of its oldest files", ge=1 << 18)
    ] = RaftConfig().log_bytes
    snapshot_bytes: Annotated[
        int, msgspec.Meta(description="log of a group, in bytes, after which it takes a snapshot", ge=4 << 10)
    ] = RaftConfig().snapshot_bytes
    checksum_entries: Annotated[
        int,
        msgspec.Meta(description="compare the state of a group's replicas after so many entries; 0 is never", ge=0),
    ] = 20_000
    history_events: Annotated[
        int, msgspec.Meta(description="changes of a group that are kept in memory for watchers that come back", ge=1)
    ] = GroupLimits().history_events_max
    history_bytes: Annotated[int, msgspec.Meta(description="the same in bytes", ge=1)] = GroupLimits().history_bytes_max
    metrics_listen: Annotated[
        str, msgspec.Meta(description="address host:port for Prometheus (GET /metrics, /healthz); nothing when empty")
    ] = ""
    insecure_metrics: Annotated[
        bool, msgspec.Meta(description="let it be beyond loopback, where everybody can read the figures")
    ] = False
    otel: Annotated[
        bool, msgspec.Meta(description="record spans and send them as OTEL_* says; needs the extra concord[otel]")
    ] = False
    log_format: Annotated[LogFormat, msgspec.Meta(description="of the lines on stderr")] = "text"
    tls_cert: Annotated[str, msgspec.Meta(description="certificate (PEM) of this node")] = ""
    tls_key: Annotated[str, msgspec.Meta(description="its private key (PEM)")] = ""
    tls_ca: Annotated[str, msgspec.Meta(description="certificate authority (PEM) of the cluster")] = ""
    insecure: Annotated[
        bool, msgspec.Meta(description="listen beyond loopback without TLS: anyone who reaches it owns the data")
    ] = False

    def __post_init__(self) -> None:
        """Check what one field's type cannot.

        Raises:
            ValueError: with the setting's name.
        """
        if not _NAME.fullmatch(self.id):
            raise ValueError(f"id: {self.id!r} is not 1 to 64 of A-Z a-z 0-9 . _ -")
        address_of("listen", self.listen)
        if self.metrics_listen:
            address_of("metrics_listen", self.metrics_listen)
        host, port = address_of("advertise" if self.advertise else "listen", self.advertise or self.listen)
        if is_wildcard(host):
            raise ValueError(f"advertise: others cannot reach {host}: say where they do")
        if self.advertise and not port:
            raise ValueError(f"advertise: others cannot reach port 0 of {host}")
        if self.replicas > self.expect_nodes:
            raise ValueError(
                f"replicas: {self.replicas} replicas need as many nodes, but expect-nodes is {self.expect_nodes}"
            )
        if self.log_bytes < 2 * self.segment_bytes:
            raise ValueError(f"log_bytes: {self.log_bytes} is less than two segments of {self.segment_bytes}")
        tls = (self.tls_cert, self.tls_key, self.tls_ca)
        if any(tls) and not all(tls):
            raise ValueError("tls_cert, tls_key and tls_ca belong together")
        self.placement_addresses  # noqa: B018 - raises when an item has not its form

    @property
    def placement_addresses(self) -> dict[str, str]:
        """Node id → address of those that host placement.

        Raises:
            ValueError: an item has not the form id=host:port.
        """
        addresses: dict[str, str] = {}
        for item in self.placement:
            node, _, address = item.partition("=")
            if not _NAME.fullmatch(node) or not address:
                raise ValueError(f"placement: {item!r} is not of the form id=host:port")
            host, _ = address_of("placement", address)
            if is_wildcard(host):
                raise ValueError(f"placement: others cannot reach {address}")
            if node in addresses or address in addresses.values():
                raise ValueError(f"placement: {item!r} names a node or an address twice")
            addresses[node] = address
        return addresses

    @property
    def tls(self) -> TlsConfig | None:
        """The files of this node's certificate, None without TLS."""
        return TlsConfig(self.tls_cert, self.tls_key, self.tls_ca) if self.tls_cert else None

    @property
    def raft(self) -> RaftConfig:
        """The figures of raft/ that can be set."""
        return RaftConfig(
            segment_bytes=self.segment_bytes, log_bytes=self.log_bytes, snapshot_bytes=self.snapshot_bytes
        )

    @property
    def group_limits(self) -> GroupLimits:
        """The limits of a hosted group, with those that can be set."""
        return GroupLimits(history_events_max=self.history_events, history_bytes_max=self.history_bytes)

    @property
    def goals(self) -> Goals:
        """What placement is to bring about."""
        return Goals(expected_nodes=self.expect_nodes, groups=self.groups, replicas=self.replicas)
