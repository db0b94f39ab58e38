"""The first and the last words of a connection.

Each side begins with a HELLO frame: the client at once, the server only after it has heard a fitting one, so that a
stranger learns nothing. The frame's correlation is `MAGIC`, its payload a `Hello`. Both go on with the highest version
that both speak. Either side may end with a GOODBYE frame that says why.

The names in a hello are claims: they keep honest processes from talking to the wrong one, and prove nothing. With TLS
they are left out, and the certificates are compared instead.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from wire.frame import HELLO, Frame
from wire.rpc import UNDECODABLE

MAGIC: Final = int.from_bytes(b"concord\n")
VERSION_MIN: Final = 1
VERSION_MAX: Final = 2
VERSION_TRACED: Final = 2  # the first whose servers take TRACED_REQUEST frames


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """Who speaks, and in which versions of the protocol. An empty name is not compared."""

    version_min: int = VERSION_MIN
    version_max: int = VERSION_MAX
    cluster: str = ""
    node: str = ""


class Goodbye(msgspec.Struct, frozen=True, array_like=True):
    """Why a connection ends, for the other side's log."""

    reason: str = ""


class RefusedError(Exception):
    """The peer is not one to talk to. The text is for both sides' logs."""


_decode_hello: Callable[[memoryview], Hello] = msgspec.msgpack.Decoder(Hello).decode
_decode_goodbye: Callable[[memoryview], Goodbye] = msgspec.msgpack.Decoder(Goodbye).decode


def read_hello(frame: Frame, own: Hello) -> Hello:
    """Check the first frame of a peer and return what it says.

    Raises:
        RefusedError: it does not speak this protocol, no common version of it, or belongs to another cluster.
    """
    if frame.kind != HELLO or frame.correlation != MAGIC:
        raise RefusedError("it does not speak Concord's protocol")
    try:
        hello = _decode_hello(frame.payload)
    except UNDECODABLE as error:
        raise RefusedError("its hello cannot be read") from error
    if hello.version_min > own.version_max or hello.version_max < own.version_min:
        raise RefusedError(
            f"it speaks versions {hello.version_min}..{hello.version_max} of the protocol, "
            f"this process {own.version_min}..{own.version_max}"
        )
    if hello.cluster and own.cluster and hello.cluster != own.cluster:
        raise RefusedError(f"it belongs to cluster {hello.cluster!r}, this process to {own.cluster!r}")
    return hello


def read_goodbye(frame: Frame) -> str:
    """The reason in a GOODBYE frame, "" when it cannot be read: the connection ends anyway."""
    try:
        return _decode_goodbye(frame.payload).reason
    except UNDECODABLE:
        return ""
