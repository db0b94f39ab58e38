"""TLS 1.3 in which both sides show a certificate, and what a certificate says about its owner.

The names in a certificate are not host names, since a node keeps its identity when it moves. They are one URI among the
subject's alternative names:

    concord://<cluster>/<role>/<id>        role: node, gateway or admin

Trust is: signed by the cluster's authority, made for the same cluster, and, seen from a client, a node (the expected
one, if it expects one). A certificate is used in both directions, so its extended key usage must allow server and
client authentication, or be absent.
"""

import contextlib
import enum
import logging
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from wire.hello import RefusedError

log = logging.getLogger(__name__)

_URI: Final = re.compile(r"concord://([^/]+)/([^/]+)/([^/]+)")


class TlsConfig(msgspec.Struct, frozen=True):
    """Paths of PEM files: one's certificate with its chain, its private key, and the authorities one trusts."""

    cert: str
    key: str
    ca: str


class TlsConfigError(Exception):
    """The files of a TlsConfig cannot serve. Says which and why."""


class Role(enum.StrEnum):
    """What the owner of a certificate is."""

    NODE = "node"
    GATEWAY = "gateway"
    ADMIN = "admin"


class Identity(msgspec.Struct, frozen=True):
    """What a certificate says about its owner."""

    cluster: str
    role: Role
    id: str


class Credentials(msgspec.Struct, frozen=True):
    """Loaded files: the contexts for either side of a connection, and who one is oneself."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    identity: Identity


def read_identity(certificate: Mapping[str, object] | None) -> Identity:
    """The identity in a verified certificate, given in the form of `ssl.SSLObject.getpeercert`.

    Raises:
        RefusedError: it does not hold exactly one, or the role is unknown.
    """
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"] if isinstance(names, tuple) else []
    matches = [match for uri in uris if (match := _URI.fullmatch(uri))]
    if len(matches) != 1:
        raise RefusedError(f"its certificate has {len(matches)} names of the form concord://cluster/role/id, not one")
    cluster, role, name = matches[0].groups()
    if role not in frozenset(Role):
        raise RefusedError(f"its certificate names the unknown role {role!r}")
    return Identity(cluster, Role(role), name)


def check_cluster(own: Identity, peer: Identity) -> None:
    """Refuse a peer of another cluster.

    Raises:
        RefusedError: the certificate was made for another cluster.
    """
    if peer.cluster != own.cluster:
        raise RefusedError(f"its certificate is for cluster {peer.cluster!r}, not {own.cluster!r}")


def check_server(own: Identity, server: Identity, expect_node: str) -> None:
    """Refuse a server that is not a node of one's own cluster, or not the node one meant.

    Raises:
        RefusedError: as said.
    """
    check_cluster(own, server)
    if server.role is not Role.NODE:
        raise RefusedError(f"its certificate is for a {server.role}, not for a node")
    if expect_node and server.id != expect_node:
        raise RefusedError(f"its certificate is for node {server.id!r}, not {expect_node!r}")


def check_own(own: Identity, cluster: str, node: str) -> None:
    """Refuse to be somebody else than one's own certificate says; a name that is "" is not compared.

    Raises:
        RefusedError: it is for another cluster, or one is a node and it is not for this one.
    """
    if cluster and own.cluster != cluster:
        mismatch = f"cluster {cluster!r}"
    elif node and (own.role, own.id) != (Role.NODE, node):
        mismatch = f"node {node!r}"
    else:
        return
    raise RefusedError(
        f"the certificate is for {own.role} {own.id!r} of cluster {own.cluster!r}, the settings are for {mismatch}"
    )


def load_credentials(config: TlsConfig, *, cluster: str = "", node: str = "") -> Credentials:
    """Load the files and try them out in a handshake with oneself, which finds every misfit before a peer does.

    Args:
        config: the files.
        cluster: the one that the certificate must be for, "" for any.
        node: the node that it must be for, "" for any owner.

    Raises:
        TlsConfigError: a file is missing or malformed, the key belongs to another certificate, the certificate is not
            signed by the authority, expired, not usable on both sides, names no identity, or is somebody else's.
    """
    try:
        server = _context(ssl.PROTOCOL_TLS_SERVER, config)
        client = _context(ssl.PROTOCOL_TLS_CLIENT, config)
        identity = read_identity(_certificate_seen_by_oneself(server, client))
        check_own(identity, cluster, node)
    except (OSError, RefusedError) as error:
        where = f"certificate {config.cert}, key {config.key}, authority {config.ca}"
        raise TlsConfigError(f"TLS cannot be used with {where}: {error}") from error
    return Credentials(server, client, identity)


def _context(protocol: int, config: TlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the identity is checked instead
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(config.ca)
    context.load_cert_chain(config.cert, config.key)
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # a resumed session would outlive a change of the authority
    return context


def _certificate_seen_by_oneself(server: ssl.SSLContext, client: ssl.SSLContext) -> Mapping[str, object] | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server)
    for side in (client_side, server_side, client_side, server_side):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return server_side.getpeercert()


class CredentialSource:
    """The credentials of a TlsConfig, read again when a file has changed, so that certificates rotate without a restart.

    Args:
        config: the files.
        cluster: see `load_credentials`.
        node: see `load_credentials`.

    Raises:
        TlsConfigError: from the constructor only; later, unfit files are logged and the last good ones are used.
    """

    def __init__(self, config: TlsConfig, *, cluster: str = "", node: str = "") -> None:
        self._config = config
        self._cluster, self._node = cluster, node
        self._files = self._stamp()
        self._credentials = self._load()

    @property
    def identity(self) -> Identity:
        """Who one is."""
        return self._credentials.identity

    def current(self) -> Credentials:
        """What to use for the next connection."""
        files = self._stamp()
        if files != self._files:
            self._files = files
            try:
                self._credentials = self._load()
            except TlsConfigError:
                log.exception("keeping the TLS files that were loaded before")
        return self._credentials

    def _load(self) -> Credentials:
        return load_credentials(self._config, cluster=self._cluster, node=self._node)

    def _stamp(self) -> list[tuple[int, int, int]]:
        stamps = []
        for path in (self._config.cert, self._config.key, self._config.ca):
            with contextlib.suppress(OSError):
                stat = Path(path).stat()
                stamps.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return stamps
