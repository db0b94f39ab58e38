"""Whether one key's operations have an order."""

from collections.abc import Iterable

import msgspec

from tests.linearizability.operation import Operation
from tests.linearizability.prepare import ContradictionError, prepare
from tests.linearizability.search import Search


class Decision(msgspec.Struct, frozen=True):
    """Whether there is an order.

    Attributes:
        found: None when the budget ran out.
        steps: how many were tried.
        stuck: without an order, the operation at which none works.
        reason: and why, as a sentence about that operation.
    """

    found: bool | None
    steps: int
    stuck: Operation | None = None
    reason: str = ""


def decide(operations: Iterable[Operation], steps_max: int) -> Decision:
    """Look for an order, no longer than a budget lasts."""
    try:
        search = Search(prepare(operations), steps_max)
    except ContradictionError as wrong:
        return Decision(found=False, steps=0, stuck=wrong.stuck, reason=wrong.reason)
    found = search.run()
    reason = "" if search.stuck is None else "no order of what was called before it returned explains its answer"
    return Decision(found=found, steps=search.steps, stuck=search.stuck, reason=reason)
