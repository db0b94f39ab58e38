"""Errors that cross the wire: a closed list of codes, and for each failure whether anything was applied.

Three outcomes exist for a write: success, a definite failure (`applied=Applied.NO`: nothing happened, retrying is safe)
and an unknown one (`applied=Applied.UNKNOWN`: it may have been applied or may yet be; only a retry with the same
operation id is safe).
"""

import enum

import msgspec


class Code(enum.StrEnum):
    """What went wrong, as seen by the caller of an RPC."""

    NOT_LEADER = "NOT_LEADER"  # definite; `leader` may name who is
    WRONG_GROUP = "WRONG_GROUP"  # definite; the slot is not this group's (any more): refresh the map to `epoch`
    UNAVAILABLE = (
        "UNAVAILABLE"  # definite; no leader, no quorum for reads, group or method not hosted here, shutting down
    )
    OVERLOADED = "OVERLOADED"  # definite; a bounded queue is full: come back after `retry_after_ms`
    UNKNOWN = "UNKNOWN"  # leadership or connection was lost after the entry left
    TIMEOUT = "TIMEOUT"  # the caller's deadline passed
    INVALID = "INVALID"  # definite; the request breaks the protocol or a limit
    TOO_LARGE = "TOO_LARGE"  # the reply is longer than a frame, and would be again: ask for less; the outcome of a write is unknown
    INTERNAL = "INTERNAL"  # a defect; the outcome is unknown


class Applied(enum.StrEnum):
    """Whether a failed request changed anything."""

    NO = "no"
    UNKNOWN = "unknown"


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """The body of an error answer on the wire.

    Attributes:
        code: what went wrong.
        message: one sentence for a person; never a path, an address or a stack trace.
        applied: whether anything was changed.
        leader: node id of the group's leader, when known (NOT_LEADER).
        epoch: the answering node's map epoch (WRONG_GROUP).
        retry_after_ms: how long to wait before a retry makes sense; 0 means at once.
    """

    code: Code
    message: str
    applied: Applied = Applied.NO
    leader: str = ""
    epoch: int = 0
    retry_after_ms: int = 0


class RpcError(Exception):
    """A failed RPC, whether the peer said so or the channel did."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code.value}: {failure.message}")
        self.failure = failure
