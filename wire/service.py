"""What all connections of one server share."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from wire.hello import Hello
from wire.holdings import Holdings
from wire.limits import Limits
from wire.rpc import Call, Method, Notification, Peer
from wire.tls import CredentialSource, Identity

CallHandler = Callable[[Call[Any, Any]], None]
NotificationHandler = Callable[[Peer, Any], None]


class Served(Protocol):
    """A connection, as the server sees it."""

    def drain(self) -> None:
        """End it as soon as its last call is answered."""

    def end(self, reason: str, *, planned: bool = False) -> None:
        """End it now."""

    def abort(self) -> None:
        """Cut the peer off."""


class Service(msgspec.Struct, eq=False):
    """Handlers, limits and the open connections.

    Attributes:
        limits: see Limits.
        hello: what the server says of itself.
        credentials: None without TLS.
        holdings: what slow peers make this server keep in memory.
        methods: what to call for a request, by the method's number.
        notifications: the same for notifications, with the role that a sender must have, "" for any.
        connections: all that are open, unfinished handshakes included.
        by_identity: how many of them have shown which certificate.
        newcomers: those of them whose peer has not greeted yet, the oldest first.
        empty: set while there are none.
        draining: no new calls are taken.
    """

    limits: Limits
    hello: Hello
    credentials: CredentialSource | None
    holdings: Holdings
    methods: dict[int, tuple[Method[Any, Any], CallHandler]] = msgspec.field(default_factory=dict)
    notifications: dict[int, tuple[Notification[Any], NotificationHandler, str]] = msgspec.field(default_factory=dict)
    connections: set[Served] = msgspec.field(default_factory=set)
    newcomers: dict[Served, None] = msgspec.field(default_factory=dict)
    by_identity: Counter[Identity] = msgspec.field(default_factory=Counter)
    empty: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    draining: bool = False

    def __post_init__(self) -> None:
        """Begin without connections."""
        self.empty.set()

    def add(self, connection: Served) -> None:
        """Count a connection."""
        self.connections.add(connection)
        self.newcomers[connection] = None
        self.empty.clear()

    def remove(self, connection: Served) -> None:
        """Count it no longer."""
        self.connections.discard(connection)
        self.newcomers.pop(connection, None)
        if not self.connections:
            self.empty.set()
