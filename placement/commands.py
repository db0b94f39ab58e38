"""What goes into the placement group's log, and what applying it answers.

A command is one format byte and a msgpack array. A format that is not known is answered, not raised: `apply` is total.
"""

import enum
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from wire.messages import GroupInfo, NodeInfo, SlotRange
from wire.rpc import UNDECODABLE
from wire.token_messages import Token

FORMAT = 1


class RegisterNode(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A node is part of the cluster, at these addresses."""

    node: NodeInfo


class Bootstrap(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The first groups and the owners of all slots."""

    groups: list[GroupInfo]
    slots: list[SlotRange]


class CreateToken(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A new token, with the times that the leader gave it."""

    token: Token


class BootstrapTokens(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The first token, and the key of all hashes."""

    key: bytes
    token: Token


class RevokeToken(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A token is worth nothing any more."""

    id: str


class RotateToken(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A token has another secret from `now_ms` on, the leader's time; the old one is good until `old_until_ms`."""

    id: str
    hash: bytes
    now_ms: int
    old_until_ms: int


TokenCommand: TypeAlias = CreateToken | BootstrapTokens | RevokeToken | RotateToken
Command: TypeAlias = RegisterNode | Bootstrap | TokenCommand


class Rejection(enum.IntEnum):
    """Why a command changed nothing; the numbers stay the same for ever."""

    MALFORMED = 1
    INVALID_NODE = 2
    OTHER_INCARNATION = 3
    TOO_MANY_NODES = 4
    INVALID_GROUPS = 5
    ALREADY_BOOTSTRAPPED = 6
    INVALID_TOKEN = 7
    NO_SUCH_TOKEN = 8
    OTHER_TOKEN = 9
    TOO_MANY_TOKENS = 10
    LAST_LASTING_ADMIN = 11
    TOKENS_EXIST = 12
    NO_TOKENS = 13


class Accepted(msgspec.Struct, frozen=True):
    """The command holds; `epoch` is the map's after it (unchanged when it held before)."""

    epoch: int


class Rejected(msgspec.Struct, frozen=True):
    """The command changed nothing; `message` is a sentence for a person."""

    rejection: Rejection
    message: str


class TokensChanged(msgspec.Struct, frozen=True):
    """The change of the tokens holds; `revision` is their table's after it, `token` the one that was meant."""

    revision: int
    token: Token


TokenResult: TypeAlias = TokensChanged | Rejected
Result: TypeAlias = Accepted | TokenResult

_encode: Callable[[Command], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[memoryview], Command] = msgspec.msgpack.Decoder(Command).decode


def encode_command(command: Command) -> bytes:
    """The command as it stands in the log."""
    return bytes((FORMAT,)) + _encode(command)


def decode_command(data: bytes) -> Command | None:
    """The inverse of `encode_command`; None for anything else."""
    if data[:1] != bytes((FORMAT,)):
        return None
    try:
        return _decode(memoryview(data)[1:])
    except UNDECODABLE:
        return None
