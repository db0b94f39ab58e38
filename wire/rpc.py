"""What a call is made of: its description, its two ends, and the answer it is owed.

Handlers are plain functions. One that can answer at once does; one that must wait keeps the `Call` and answers later.
There is no task for each request, and none is cancelled: a call has a deadline, and an answer after it is dropped.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from wire.errors import Applied, Code, Failure
from wire.tracing import CallSpan

Req = TypeVar("Req")
Rep = TypeVar("Rep")
Rep_co = TypeVar("Rep_co", covariant=True)  # a method that gives a reply gives what the reply is, too
M = TypeVar("M")

encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
decode_failure: Callable[[memoryview], Failure] = msgspec.msgpack.Decoder(Failure).decode

UNDECODABLE = (ValueError, RecursionError)
"""What msgspec raises for bytes that are not the message they should be (malformed, mistyped, not UTF-8, too deep)."""

_NUMBER_MAX = (1 << 16) - 1


def _check_number(number: int) -> None:
    if not 0 < number <= _NUMBER_MAX:
        raise ValueError(f"a number on the wire is in 1..{_NUMBER_MAX}, not {number}")


@dataclass(frozen=True, eq=False)
class Method(Generic[Req, Rep_co]):
    """A request and its reply under one number, with their codecs made once."""

    number: int
    name: str
    request: type[Req]
    reply: type[Rep_co]
    decode_request: Callable[[memoryview], Req] = field(init=False, repr=False)
    decode_reply: Callable[[memoryview], Rep_co] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the decoders."""
        _check_number(self.number)
        object.__setattr__(self, "decode_request", msgspec.msgpack.Decoder(self.request).decode)
        object.__setattr__(self, "decode_reply", msgspec.msgpack.Decoder(self.reply).decode)


@dataclass(frozen=True, eq=False)
class Notification(Generic[M]):
    """A one-way message under its number. It may be lost without a word."""

    number: int
    name: str
    message: type[M]
    decode: Callable[[memoryview], M] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the decoder."""
        _check_number(self.number)
        object.__setattr__(self, "decode", msgspec.msgpack.Decoder(self.message).decode)


class Channel(Protocol):
    """The calling half of `RpcClient`, which is all that a caller needs to see of it."""

    def call(self, method: Method[Req, Rep], request: Req, timeout_s: float) -> asyncio.Future[Rep]:
        """Send a request; the future raises RpcError."""


Connect: TypeAlias = Callable[[str], Channel]
"""Gives the process's shared channel to an address `host:port`; whoever made it closes it."""


class Peer(msgspec.Struct, frozen=True):
    """Who is on the other end. Everything but the address comes from its certificate and is "" without TLS.

    Attributes:
        node: the id in the certificate; what it names depends on the role.
        cluster: the cluster that the certificate was made for, always the same as one's own.
        role: `node`, `gateway` or `admin`.
        address: `host:port` at the other end of the connection, for logs.
    """

    node: str = ""
    cluster: str = ""
    role: str = ""
    address: str = ""


class Desk(Protocol):
    """Where the answer to a call is handed in."""

    def answer(self, call: "Call[Any, Any]", value: object) -> None:
        """Send the reply."""

    def refuse(self, call: "Call[Any, Any]", failure: Failure) -> None:
        """Send the failure."""


class MethodFigures(msgspec.Struct, eq=False):
    """What became of the calls of one method. A call whose connection was lost first is in neither count.

    Attributes:
        replies: how many got one.
        failures: how many got none, by the code of their failure.
    """

    replies: int = 0
    failures: dict[str, int] = msgspec.field(default_factory=dict)

    def failed(self, code: Code) -> None:
        """Count one."""
        self.failures[code.value] = self.failures.get(code.value, 0) + 1


class Call(msgspec.Struct, Generic[Req, Rep], eq=False):
    """A request that waits for its answer. The first of `reply` and `fail` counts, what follows is ignored.

    Attributes:
        request: the message.
        peer: who asks.
        deadline: `loop.time()` at which the caller gives up; later answers are dropped.
        correlation: the request's number on its connection.
        size: bytes that the request took on the wire.
        desk: where its answer goes; None once it has one.
        figures: where its outcome is counted.
        span: what is recorded of it; None, as a rule.
    """

    request: Req
    peer: Peer
    deadline: float
    correlation: int
    size: int
    desk: Desk | None
    figures: "MethodFigures | None" = None
    span: CallSpan | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody still waits for the answer."""
        return self.desk is not None

    def reply(self, value: Rep) -> None:
        """Answer the caller. Does nothing when the call is answered, expired, or its connection is gone."""
        desk = self.desk
        if desk is not None:
            self.desk = None
            desk.answer(self, value)

    def fail(self, failure: Failure) -> None:
        """Tell the caller that there will be no reply, and why."""
        desk = self.desk
        if desk is not None:
            self.desk = None
            desk.refuse(self, failure)


def not_applied(code: Code, message: str, retry_after_ms: int = 0) -> Failure:
    """A definite failure: nothing happened."""
    return Failure(code, message, Applied.NO, retry_after_ms=retry_after_ms)


def maybe_applied(code: Code, message: str) -> Failure:
    """A failure that leaves open whether something happened."""
    return Failure(code, message, Applied.UNKNOWN)
