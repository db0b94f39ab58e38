"""What to do after a failed RPC. Pure.

The rule that keeps a write from being applied twice: once an attempt may have reached the log, only the same
operation id in the same group may be tried again, whatever later attempts say; and if none of them gets an answer the
outcome is unknown.
"""

import enum

from wire.errors import Applied, Code, Failure


class Step(enum.Enum):
    """What comes after a failed attempt."""

    FOLLOW = enum.auto()  # ask the leader that was named
    ROTATE = enum.auto()  # ask another replica
    STAY = enum.auto()  # ask the same node again, later
    REROUTE = enum.auto()  # the key belongs to another group
    GIVE_UP = enum.auto()


def step_after(failure: Failure, *, ambiguous: bool) -> Step:
    """The step after a failure.

    Args:
        failure: what the attempt said.
        ambiguous: an attempt of this write, this one included, may have been applied.
    """
    match failure.code:
        case Code.NOT_LEADER:
            return Step.FOLLOW if failure.leader else Step.ROTATE
        case Code.WRONG_GROUP:
            return Step.ROTATE if ambiguous else Step.REROUTE
        case Code.OVERLOADED:
            return Step.STAY if ambiguous else Step.GIVE_UP
        case Code.INTERNAL:
            return Step.ROTATE if ambiguous else Step.GIVE_UP
        case Code.INVALID | Code.TOO_LARGE:
            return Step.GIVE_UP
        case Code.UNAVAILABLE | Code.UNKNOWN | Code.TIMEOUT:
            return Step.ROTATE


def conclude(last: Failure | None, *, ambiguous: bool, timed_out: bool) -> Failure:
    """The failure of a whole call, all attempts taken together.

    Args:
        last: what the last attempt said; None when there was no time for one.
        ambiguous: an attempt may have been applied.
        timed_out: no time is left (else the last attempt was final).
    """
    if ambiguous:
        return Failure(Code.UNKNOWN, "an attempt was not answered", Applied.UNKNOWN)
    if last is None or (timed_out and last.code in (Code.TIMEOUT, Code.UNKNOWN)):
        return Failure(Code.TIMEOUT, "no answer within the deadline", Applied.NO)
    if timed_out:
        return Failure(Code.UNAVAILABLE, last.message, Applied.NO, retry_after_ms=last.retry_after_ms)
    return Failure(last.code, last.message, Applied.NO, epoch=last.epoch, retry_after_ms=last.retry_after_ms)
