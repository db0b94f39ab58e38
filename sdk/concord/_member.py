"""An application that is itself a node of a cluster: the client's methods, with the node in this process."""

import asyncio
import atexit
from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias

from concord._async_client import AsyncConcord
from concord._calls import Consistency
from concord._client import TIMEOUT_S_DEFAULT, Concord
from concord._errors import Unavailable
from concord._inprocess import URL, AsyncInProcessTransport, InProcessTransport, Node, start_node
from concord._retry import Retry

Durability: TypeAlias = Literal["fsync", "os", "memory"]

READY_S = 60.0


class Member(Concord):
    """A node of a cluster in this process, and its client. Threads may share it; after a fork, the child must not use it.

    All methods of `Concord`, with the same results and exceptions, and StoreFailed once the node has stopped: after `close`, or by
    itself, when its disk fails. Made by `open_member`.
    """

    def __init__(
        self,
        node: Node,
        *,
        timeout: float = TIMEOUT_S_DEFAULT,
        consistency: Consistency = "linearizable",
        retry: Retry | None = None,
    ) -> None:
        super().__init__(URL, timeout=timeout, consistency=consistency, retry=retry, transport=InProcessTransport(node))
        self._node = node
        atexit.register(node.close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.node_id} at {self.address}>"

    @property
    def node_id(self) -> str:
        """Name of this node."""
        return self._node.id

    @property
    def address(self) -> str:
        """`host:port` at which the other members reach this one."""
        return self._node.address

    def wait_ready(self, timeout: float = READY_S) -> None:
        """Wait until every group has a leader: at the first start, until all members are there.

        Args:
            timeout: in seconds.

        Raises:
            Unavailable: it took longer; says what is missing.
        """
        _check(self._node.missing(timeout), timeout)

    def serve_http(
        self, port: int = 0, *, host: str = "127.0.0.1", auth: bool | None = None, insecure: bool = False
    ) -> str:
        """Serve the HTTP API from this process, too, until `close`, and return its URL. Once for each address.

        Args:
            port: 0 lets the kernel choose.
            host: the address to listen on.
            auth: ask for tokens (docs/tokens.md); None is no, and good for loopback only.
            insecure: allow an address beyond loopback, although this side has no TLS.

        Raises:
            ValueError: something needs consent.
            OSError: the address cannot be bound.
        """
        return self._node.serve_http(host, port, auth=auth, insecure=insecure)

    def close(self) -> None:
        """Hand leadership over and stop; the other members go on."""
        atexit.unregister(self._node.close)
        super().close()


class AsyncMember(AsyncConcord):
    """The same for asyncio; see `Member`. The node has a thread and an event loop of its own. Made by `open_async_member`."""

    def __init__(
        self,
        node: Node,
        *,
        timeout: float = TIMEOUT_S_DEFAULT,
        consistency: Consistency = "linearizable",
        retry: Retry | None = None,
    ) -> None:
        super().__init__(
            URL, timeout=timeout, consistency=consistency, retry=retry, transport=AsyncInProcessTransport(node)
        )
        self._node = node
        atexit.register(node.close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.node_id} at {self.address}>"

    @property
    def node_id(self) -> str:
        """Name of this node."""
        return self._node.id

    @property
    def address(self) -> str:
        """`host:port` at which the other members reach this one."""
        return self._node.address

    async def wait_ready(self, timeout: float = READY_S) -> None:  # noqa: ASYNC109 - as Member's
        """See `Member.wait_ready`."""
        _check(await asyncio.to_thread(self._node.missing, timeout), timeout)

    async def serve_http(
        self, port: int = 0, *, host: str = "127.0.0.1", auth: bool | None = None, insecure: bool = False
    ) -> str:
        """See `Member.serve_http`."""
        return await asyncio.to_thread(self._node.serve_http, host, port, auth=auth, insecure=insecure)

    async def close(self) -> None:
        """See `Member.close`."""
        atexit.unregister(self._node.close)
        await super().close()


def open_member(
    path: str | PathLike[str],
    *,
    listen: str,
    join: Sequence[str] = (),
    node_id: str = "",
    advertise: str = "",
    zone: str = "default",
    cluster: str = "concord",
    durability: Durability = "fsync",
    groups: int = 8,
    tls_cert: str = "",
    tls_key: str = "",
    tls_ca: str = "",
    insecure: bool = False,
    timeout: float = TIMEOUT_S_DEFAULT,
    consistency: Consistency = "linearizable",
    retry: Retry | None = None,
) -> Member:
    """Make this application a node of a cluster. Does not wait for the others: see `Member.wait_ready`.

    The first start of all members together decides who they are: each names all others in `join`, and the same `groups`. From
    then on a majority is enough to go on, and each finds its data when it comes back.

    Args:
        path: the data directory, for this node alone; made if it is not there.
        listen: `host:port` for the other members.
        join: theirs, or `id=host:port` of those that have a `node_id`; this one may be among them. None: a cluster of one.
        node_id: name of this node, for good; made of its address when empty, which then may not change.
        advertise: `host:port` at which the others reach it, when that is not `listen`.
        zone: replicas of a group go to distinct ones where there are enough.
        cluster: its name, for all members alike.
        durability: what an answer to a write waits for: the disks of a majority, their operating systems, or nothing.
        groups: Raft groups, decided by the first start.
        tls_cert: PEM file with the certificate of this node (`concord certs`).
        tls_key: its private key.
        tls_ca: the authority of the cluster.
        insecure: allow addresses beyond loopback without TLS: who reaches them owns the data.
        timeout: see `Concord`.
        consistency: see `Concord`.
        retry: see `Concord`.

    Raises:
        ImportError: `concord[server]` is not installed.
        StoreFailed: the directory is held by another (STORE_LOCKED) or is not this node's (STORE_DAMAGED), or the disk or the
            address cannot be used (STORE_FAILED).
        ValueError: an argument is wrong, or needs consent.
    """
    node = start_node(
        _told(
            path,
            listen=listen,
            join=list(join),
            node_id=node_id,
            advertise=advertise,
            zone=zone,
            cluster=cluster,
            durability=durability,
            groups=groups,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_ca=tls_ca,
            insecure=insecure,
        )
    )
    return Member(node, timeout=timeout, consistency=consistency, retry=retry)


async def open_async_member(
    path: str | PathLike[str],
    *,
    listen: str,
    join: Sequence[str] = (),
    node_id: str = "",
    advertise: str = "",
    zone: str = "default",
    cluster: str = "concord",
    durability: Durability = "fsync",
    groups: int = 8,
    tls_cert: str = "",
    tls_key: str = "",
    tls_ca: str = "",
    insecure: bool = False,
    timeout: float = TIMEOUT_S_DEFAULT,  # noqa: ASYNC109 - as open_member's
    consistency: Consistency = "linearizable",
    retry: Retry | None = None,
) -> AsyncMember:
    """The same as `open_member`, for asyncio."""
    node = await asyncio.to_thread(
        start_node,
        _told(
            path,
            listen=listen,
            join=list(join),
            node_id=node_id,
            advertise=advertise,
            zone=zone,
            cluster=cluster,
            durability=durability,
            groups=groups,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_ca=tls_ca,
            insecure=insecure,
        ),
    )
    return AsyncMember(node, timeout=timeout, consistency=consistency, retry=retry)


def _told(path: str | PathLike[str], **told: Any) -> dict[str, Any]:
    return {"path": fspath(path), **told}


def _check(missing: str, timeout_s: float) -> None:
    if missing:
        raise Unavailable(
            f"not ready after {timeout_s:g} s: {missing}; at the first start all members have to be there, and each has to "
            "name all others"
        )
