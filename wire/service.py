"""What all connections of one server share."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from wire.hello import Hello
from wire.holdings import Holdings
from wire.limits import Limits
from wire.rpc import Call, Method, MethodFigures, Notification, Peer
from wire.tls import CredentialSource, Identity
from wire.tracing import Tracer
from wire.turns import Turns

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


class Traffic(msgspec.Struct, eq=False):
    """What went through all connections of a server, in bytes of frames (TLS comes on top), and how many there were."""

    received_bytes: int = 0
    sent_bytes: int = 0
    accepted: int = 0
    refused: int = 0


class Service(msgspec.Struct, eq=False):
    """Handlers, limits and the open connections.

    Attributes:
        limits: see Limits.
        hello: what the server says of itself.
        credentials: None without TLS.
        holdings: what slow peers make this server keep in memory.
        turns: when which connection looks at its frames.
        methods: what to call for a request, by the method's number, and where its calls are counted.
        notifications: the same for notifications, with the role that a sender must have, "" for any.
        connections: all that are open, unfinished handshakes included.
        by_identity: how many of them have shown which certificate.
        newcomers: those of them whose peer has not greeted yet, the oldest first.
        empty: set while there are none.
        draining: no new calls are taken.
        tracer: None while nothing is traced.
        unknown: what became of calls with numbers that no method has.
        traffic: what went through.
    """

    limits: Limits
    hello: Hello
    credentials: CredentialSource | None
    holdings: Holdings
    turns: Turns
    methods: dict[int, tuple[Method[Any, Any], CallHandler, MethodFigures]] = msgspec.field(default_factory=dict)
    notifications: dict[int, tuple[Notification[Any], NotificationHandler, str]] = msgspec.field(default_factory=dict)
    connections: set[Served] = msgspec.field(default_factory=set)
    newcomers: dict[Served, None] = msgspec.field(default_factory=dict)
    by_identity: Counter[Identity] = msgspec.field(default_factory=Counter)
    empty: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    draining: bool = False
    tracer: Tracer | None = None
    unknown: MethodFigures = msgspec.field(default_factory=MethodFigures)
    traffic: Traffic = msgspec.field(default_factory=Traffic)

    def __post_init__(self) -> None:
        """Begin without connections."""
        self.empty.set()

    def figures_of(self, number: int) -> MethodFigures:
        """Where the calls of a method are counted."""
        route = self.methods.get(number)
        return self.unknown if route is None else route[2]

    def add(self, connection: Served) -> None:
        """Count a connection."""
        self.traffic.accepted += 1
        self.connections.add(connection)
        self.newcomers[connection] = None
        self.empty.clear()

    def remove(self, connection: Served) -> None:
        """Count it no longer."""
        self.connections.discard(connection)
        self.newcomers.pop(connection, None)
        if not self.connections:
            self.empty.set()
