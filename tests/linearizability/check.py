"""The check of a whole history, key by key: a history is linearizable when each key's part of it is."""

from collections.abc import Iterable

from tests.linearizability.decide import decide
from tests.linearizability.operation import Operation
from tests.linearizability.shrink import shrink
from tests.linearizability.verdict import Verdict, Violation

STEPS_MAX = 1_000_000


def by_key(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """The operations of each key, in the order in which they came."""
    keys: dict[str, list[Operation]] = {}
    for one in operations:
        keys.setdefault(one.key, []).append(one)
    return keys


def check(operations: Iterable[Operation], *, steps_max: int = STEPS_MAX, minimal: bool = True) -> Verdict:
    """Look for an order of every key's operations that explains all that was answered.

    Args:
        operations: of any number of keys, in any order, on one clock.
        steps_max: places to look at for one key before it counts as undecided; a thousand take about 20 ms.
        minimal: cut down what fails; without, a violation has the key's whole history.
    """
    keys = by_key(operations)
    violations: list[Violation] = []
    undecided: list[str] = []
    steps = 0
    for key, history in keys.items():
        decision = decide(history, steps_max)
        steps += decision.steps
        if decision.found is None:
            undecided.append(key)
        elif decision.stuck is not None:
            violations.append(_violation(key, history, decision.stuck, decision.reason, minimal=minimal))
    return Verdict(sum(map(len, keys.values())), len(keys), steps, violations, undecided)


def _violation(key: str, history: list[Operation], stuck: Operation, reason: str, *, minimal: bool) -> Violation:
    if not minimal:
        return Violation(key, reason, sorted(history, key=lambda one: one.called_ns), stuck, len(history))
    quarrel = shrink(history, stuck, reason)
    return Violation(key, quarrel.reason, quarrel.operations, quarrel.stuck, len(history))
