"""The settings of a gateway process."""

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from gateway.limits import HttpLimits
from gateway.watch import WatchLimits
from wire.address import parse_address
from wire.logs import LogFormat


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
        int, msgspec.Meta(description="requests under way at once; one more is answered 429", ge=1, le=1 << 16)
    ] = HttpLimits().requests_in_flight
    connections: Annotated[
        int, msgspec.Meta(description="HTTP connections at once; further ones wait to be accepted", ge=1, le=1 << 16)
    ] = 8192
    watchers: Annotated[
        int, msgspec.Meta(description="watch streams at once; one more is answered 429", ge=1, le=1 << 16)
    ] = WatchLimits().watchers
    watch_buffer_bytes: Annotated[
        int,
        msgspec.Meta(description="what may wait for one watcher before it is sent away as too slow", ge=1, le=1 << 30),
    ] = WatchLimits().buffer_bytes
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
        host, _ = parse_address(self.listen)
        if not is_loopback(host) and not self.insecure_http:
            raise ValueError(
                f"listen: {host} is not loopback and HTTP is not protected; say --insecure-http to allow it"
            )
        if not is_loopback(host) and self.auth == "auto":
            raise ValueError(
                f"listen: {host} is not loopback and everybody there could do everything; "
                "say --auth on to ask for tokens, or --auth off to allow it"
            )
        check_nodes(self.nodes, (self.tls_cert, self.tls_key, self.tls_ca), insecure=self.insecure)

    @property
    def http_limits(self) -> HttpLimits:
        """The limits of the HTTP side."""
        return HttpLimits(timeout_ms_default=self.timeout_ms, requests_in_flight=self.requests_in_flight)

    @property
    def watch_limits(self) -> WatchLimits:
        """The limits of watching."""
        return WatchLimits(watchers=self.watchers, buffer_bytes=self.watch_buffer_bytes)


def check_nodes(nodes: Sequence[str], tls: tuple[str, str, str], *, insecure: bool) -> None:
    """Check how a client of the nodes is to reach them; `tls` is certificate, key and authority.

    Raises:
        ValueError: with the setting's name.
    """
    if any(tls) and not all(tls):
        raise ValueError("tls_cert, tls_key and tls_ca belong together")
    far = [node for node in nodes if not is_loopback(parse_address(node)[0])]
    if far and not all(tls) and not insecure:
        raise ValueError(f"nodes: {far[0]} is not loopback; give --tls-cert, --tls-key and --tls-ca or say --insecure")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine only; a name other than localhost is not taken for it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
