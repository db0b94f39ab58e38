"""What a check says about a history."""

import msgspec

from tests.linearizability.operation import Operation


class Violation(msgspec.Struct, frozen=True):
    """A key whose operations have no order that explains them.

    Attributes:
        key: the key.
        reason: what is wrong, in a sentence.
        operations: a failing history, cut down as far as it would go, in the order of the calls.
        stuck: the operation at which no order works.
        of: how many operations the key's whole history has.
    """

    key: str
    reason: str
    operations: list[Operation]
    stuck: Operation
    of: int


class Verdict(msgspec.Struct, frozen=True):
    """The outcome of a check.

    Attributes:
        operations: how many were looked at.
        keys: how many keys they were on.
        steps: how many were tried in all orders together.
        violations: what was found.
        undecided: keys for which the budget ran out.
    """

    operations: int
    keys: int
    steps: int
    violations: list[Violation]
    undecided: list[str]

    @property
    def ok(self) -> bool:
        """Whether every key's history is explained by an order; a key that is undecided is not."""
        return not self.violations and not self.undecided
