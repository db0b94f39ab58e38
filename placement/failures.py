"""How placement's leader says to callers that something was not, or may not have been, done."""

from raft.interface import Refused, Unknown
from wire.errors import Applied, Code, Failure


def not_leader(leader: str) -> Failure:
    """Somebody else leads; "" when it is not known who."""
    return Failure(Code.NOT_LEADER, "This replica does not lead the placement group.", leader=leader)


def failure_of(outcome: Refused | Unknown, retry_after_ms: int) -> Failure:
    """The failure that an outcome of Raft is; `retry_after_ms` is what an overloaded leader asks of its callers."""
    if isinstance(outcome, Unknown):
        message = "Leadership was lost while the change was on its way."
        return Failure(Code.UNKNOWN, message, Applied.UNKNOWN, leader=outcome.leader)
    if outcome.overloaded:
        return Failure(Code.OVERLOADED, "Too many changes are under way.", retry_after_ms=retry_after_ms)
    if outcome.leader:
        return not_leader(outcome.leader)
    return Failure(Code.UNAVAILABLE, "The placement group has no leader at the moment.")
