"""The failures that a group answers with, each in one place."""

from raft.interface import Refused, Unknown
from wire.errors import Applied, Code, Failure
from wire.messages import ItemResult, Status


def not_leader(leader: str, retry_after_ms: int) -> Failure:
    """Nothing was applied; ask `leader`, or another replica after a while when it is ""."""
    message = "this replica does not lead the group"
    return Failure(Code.NOT_LEADER, message, leader=leader, retry_after_ms=0 if leader else retry_after_ms)


def overloaded(retry_after_ms: int) -> Failure:
    """Nothing was applied; a queue is full."""
    return Failure(Code.OVERLOADED, "the group has too much to do", retry_after_ms=retry_after_ms)


def refused(outcome: Refused, retry_after_ms: int) -> Failure:
    """Nothing was applied, for the replica's reason."""
    return overloaded(retry_after_ms) if outcome.overloaded else not_leader(outcome.leader, retry_after_ms)


def unknown(outcome: Unknown) -> Failure:
    """The entry may be applied yet."""
    message = "leadership was lost while the entry was on its way"
    return Failure(Code.UNKNOWN, message, Applied.UNKNOWN, leader=outcome.leader)


def all_elsewhere(results: list[ItemResult]) -> bool:
    """Whether there are items and none of them belongs to this group."""
    for item in results:
        if item.status is not Status.WRONG_GROUP:
            return False
    return bool(results)


def wrong_group(epoch: int) -> Failure:
    """Nothing was applied; none of the keys belongs to the group."""
    return Failure(Code.WRONG_GROUP, "the group does not own the slot of any of the keys", epoch=epoch)


def timed_out(applied: Applied) -> Failure:
    """The caller's deadline passed."""
    return Failure(Code.TIMEOUT, "the deadline passed", applied)


def unavailable(message: str, retry_after_ms: int = 0) -> Failure:
    """Nothing was applied, and nothing will be here for now."""
    return Failure(Code.UNAVAILABLE, message, retry_after_ms=retry_after_ms)


def invalid(message: str) -> Failure:
    """Nothing was applied; the request breaks a limit."""
    return Failure(Code.INVALID, message)


MISMATCH = Failure(Code.INTERNAL, "the machine did not answer each operation of the entry", Applied.UNKNOWN)
CLOSING_WRITE = Failure(Code.UNKNOWN, "the group is closing while the entry is on its way", Applied.UNKNOWN)
CLOSING = unavailable("the group is closing")
NOT_HOSTED = unavailable("this node does not host the group")
FENCED = unavailable("the state of this replica was found wrong: it serves nothing")
