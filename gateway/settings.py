"""The settings of a gateway process."""

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from gateway.addresses import Network, parse_networks
from gateway.data_limits import DataLimits
from gateway.limits import HttpLimits
from gateway.watch import WatchLimits
from process.address import address_of
from process.logs import LogFormat


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `concord gateway` is told; times and sizes carry their unit in the name."""

    nodes: Annotated[
        list[str],
        msgspec.Meta(description="RPC addresses host:port of nodes to learn the cluster map from", min_length=1),
    ]
    listen: Annotated[str, msgspec.Meta(description="address host:port of the HTTP server")] = "127.0.0.1:4000"
    cluster: Annotated[
        str, msgspec.Meta(description="name of the cluster; maps of another are refused", min_length=1)
    ] = "concord"
    tls_cert: Annotated[str, msgspec.Meta(description="certificate (PEM) of this gateway towards the nodes")] = ""
    tls_key: Annotated[str, msgspec.Meta(description="its private key (PEM)")] = ""
    tls_ca: Annotated[str, msgspec.Meta(description="certificate authority (PEM) of the cluster")] = ""
    insecure: Annotated[
        bool,
        msgspec.Meta(description="speak to nodes on other machines without TLS: anyone between can read and write"),
    ] = False
    insecure_http: Annotated[
        bool, msgspec.Meta(description="listen beyond loopback although HTTP has no TLS here: tokens can be overheard")
    ] = False
    auth: Annotated[
        Literal["auto", "on", "off"],
        msgspec.Meta(description="ask for tokens; auto is off, and good for loopback only"),
    ] = "auto"
    tokens_age_s_max: Annotated[
        float,
        msgspec.Meta(
            description="seconds without a word of placement about tokens after which all are refused", ge=1, le=3600
        ),
    ] = 10.0
    timeout_ms: Annotated[
        int, msgspec.Meta(description="deadline of a request that names none", ge=1, le=HttpLimits().timeout_ms_max)
    ] = HttpLimits().timeout_ms_default
    requests_in_flight: Annotated[
        int, msgspec.Meta(description="requests under way at once; one more is answered 503", ge=1, le=1 << 16)
    ] = HttpLimits().requests_in_flight
    requests_per_token: Annotated[
        int, msgspec.Meta(description="those of one token; one more is answered 429", ge=1, le=1 << 16)
    ] = HttpLimits().requests_per_token
    requests_per_address: Annotated[
        int, msgspec.Meta(description="those of one client address; one more is answered 429", ge=1, le=1 << 16)
    ] = HttpLimits().requests_per_address
    bytes_in_flight: Annotated[
        int,
        msgspec.Meta(
            description="bytes of bodies and large answers under way at once; beyond it the answer is 503",
            ge=HttpLimits().body_bytes,
            le=1 << 34,
        ),
    ] = HttpLimits().bytes_in_flight
    bytes_per_token: Annotated[
        int, msgspec.Meta(description="those of one token; beyond it the answer is 429", ge=1 << 16, le=1 << 34)
    ] = HttpLimits().bytes_per_token
    bytes_per_address: Annotated[
        int,
        msgspec.Meta(description="those of one client address; beyond it the answer is 429", ge=1 << 16, le=1 << 34),
    ] = HttpLimits().bytes_per_address
    trusted_proxies: Annotated[
        list[str],
        msgspec.Meta(
            description="addresses or networks of load balancers whose X-Forwarded-For says who the client is"
        ),
    ] = msgspec.field(default_factory=list)
    failed_logins: Annotated[
        int,
        msgspec.Meta(
            description="wrong tokens that one client address may send at once, and one a second after that; "
            "further ones are answered 429",
            ge=1,
            le=1 << 16,
        ),
    ] = HttpLimits().failed_logins
    body_bytes: Annotated[
        int, msgspec.Meta(description="largest request body", ge=1024, le=HttpLimits().body_bytes)
    ] = HttpLimits().body_bytes
    body_s_max: Annotated[
        float, msgspec.Meta(description="seconds in which a body must have come; then 408", ge=0.1, le=300)
    ] = HttpLimits().body_s_max
    timeout_ms_max: Annotated[
        int,
        msgspec.Meta(description="longest deadline that a request may name", ge=1, le=HttpLimits().timeout_ms_max),
    ] = HttpLimits().timeout_ms_max
    key_bytes: Annotated[
        int, msgspec.Meta(description="longest key, in bytes of UTF-8", ge=1, le=DataLimits().key_bytes)
    ] = DataLimits().key_bytes
    value_bytes: Annotated[
        int, msgspec.Meta(description="largest value, in bytes", ge=1, le=DataLimits().value_bytes)
    ] = DataLimits().value_bytes
    bulk_items: Annotated[
        int,
        msgspec.Meta(description="most items of a bulk request or transaction", ge=1, le=DataLimits().bulk_items),
    ] = DataLimits().bulk_items
    json_depth: Annotated[
        int, msgspec.Meta(description="how deep a value in JSON may nest", ge=0, le=DataLimits().json_depth)
    ] = DataLimits().json_depth
    list_items: Annotated[
        int, msgspec.Meta(description="most items of a page of a listing", ge=1, le=DataLimits().list_items)
    ] = DataLimits().list_items
    list_bytes: Annotated[
        int, msgspec.Meta(description="size at which such a page ends early", ge=1, le=DataLimits().list_bytes)
    ] = DataLimits().list_bytes
    ttl_s_max: Annotated[
        int,
        msgspec.Meta(description="longest time to live of keys and locks, in seconds", ge=1, le=DataLimits().ttl_s_max),
    ] = DataLimits().ttl_s_max
    bulk_get_bytes: Annotated[
        int,
        msgspec.Meta(description="values in the answer to one bulk get", ge=1, le=DataLimits().bulk_get_bytes),
    ] = DataLimits().bulk_get_bytes
    connections: Annotated[
        int, msgspec.Meta(description="HTTP connections at once; further ones wait to be accepted", ge=1, le=1 << 16)
    ] = 8192
    watchers: Annotated[
        int, msgspec.Meta(description="watch streams at once; one more is answered 503", ge=1, le=1 << 16)
    ] = WatchLimits().watchers
    watchers_per_token: Annotated[
        int, msgspec.Meta(description="those of one token; one more is answered 429", ge=1, le=1 << 16)
    ] = WatchLimits().watchers_per_token
    watchers_per_address: Annotated[
        int, msgspec.Meta(description="those of one client address; one more is answered 429", ge=1, le=1 << 16)
    ] = WatchLimits().watchers_per_address
    watch_buffer_bytes: Annotated[
        int,
        msgspec.Meta(description="what may wait for one watcher before it is sent away as too slow", ge=1, le=1 << 30),
    ] = WatchLimits().buffer_bytes
    audit_log: Annotated[
        str, msgspec.Meta(description="file that every change is written down in, as JSON lines; none when empty")
    ] = ""
    audit_keys: Annotated[
        Literal["plain", "hash", "none"], msgspec.Meta(description="how the audit log shows keys")
    ] = "plain"
    audit_hash_key: Annotated[
        str,
        msgspec.Meta(
            description="file with 16 to 64 secret bytes for audit_keys hash, the same at every gateway; "
            "without it each start has a key of its own"
        ),
    ] = ""
    audit_reads: Annotated[bool, msgspec.Meta(description="write reads and watches down, too")] = False
    audit_full: Annotated[
        Literal["drop", "refuse"],
        msgspec.Meta(description="while the audit log cannot be written: drop its lines, or refuse requests with 503"),
    ] = "drop"
    otel: Annotated[
        bool, msgspec.Meta(description="record spans and send them as OTEL_* says; needs the extra concord[otel]")
    ] = False
    log_format: Annotated[LogFormat, msgspec.Meta(description="of the lines on stderr")] = "text"
    shutdown_grace_s: Annotated[
        float, msgspec.Meta(description="seconds for requests under way to finish after SIGTERM", ge=0, le=300)
    ] = 10.0

    def __post_init__(self) -> None:
        """Check what concerns several settings.

        Raises:
            ValueError: with the setting's name.
        """
        host, _ = address_of("listen", self.listen)
        if not is_loopback(host) and not self.insecure_http:
            raise ValueError(
                f"listen: {host} is not loopback and HTTP is not protected; say --insecure-http to allow it"
            )
        if not is_loopback(host) and self.auth == "auto":
            raise ValueError(
                f"listen: {host} is not loopback and everybody there could do everything; "
                "say --auth on to ask for tokens, or --auth off to allow it"
            )
        try:
            parse_networks(self.trusted_proxies)
        except ValueError as error:
            raise ValueError(f"trusted_proxies: {error}") from None
        check_nodes(self.nodes, (self.tls_cert, self.tls_key, self.tls_ca), insecure=self.insecure)

    @property
    def http_limits(self) -> HttpLimits:
        """The limits of the HTTP side."""
        return HttpLimits(
            body_bytes=self.body_bytes,
            requests_in_flight=self.requests_in_flight,
            requests_per_token=self.requests_per_token,
            requests_per_address=self.requests_per_address,
            bytes_in_flight=self.bytes_in_flight,
            bytes_per_token=self.bytes_per_token,
            bytes_per_address=self.bytes_per_address,
            body_s_max=self.body_s_max,
            failed_logins=self.failed_logins,
            timeout_ms_default=min(self.timeout_ms, self.timeout_ms_max),
            timeout_ms_max=self.timeout_ms_max,
            data=self.data_limits,
        )

    @property
    def data_limits(self) -> DataLimits:
        """How large keys, values and lists of them may be."""
        return DataLimits(**{name: getattr(self, name) for name in DataLimits.__struct_fields__})

    @property
    def watch_limits(self) -> WatchLimits:
        """The limits of watching."""
        return WatchLimits(
            watchers=self.watchers,
            watchers_per_token=self.watchers_per_token,
            watchers_per_address=self.watchers_per_address,
            buffer_bytes=self.watch_buffer_bytes,
        )

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """Whose X-Forwarded-For counts."""
        return parse_networks(self.trusted_proxies)


def check_nodes(nodes: Sequence[str], tls: tuple[str, str, str], *, insecure: bool) -> None:
    """Check how a client of the nodes is to reach them; `tls` is certificate, key and authority.

    Raises:
        ValueError: with the setting's name.
    """
    if any(tls) and not all(tls):
        raise ValueError("tls_cert, tls_key and tls_ca belong together")
    far = [node for node in nodes if not is_loopback(address_of("nodes", node)[0])]
    if far and not all(tls) and not insecure:
        raise ValueError(f"nodes: {far[0]} is not loopback; give --tls-cert, --tls-key and --tls-ca or say --insecure")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine only; a name other than localhost is not taken for it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
