"""One bulk request as one operation per group, and the results back in the order of the request. Pure."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from wire.errors import Failure
from wire.messages import Delete, Increment, ItemResult, Operation, Put, Touch

Outcome: TypeAlias = ItemResult | Failure
GroupOf: TypeAlias = Callable[[str], int]


class Part(msgspec.Struct, frozen=True):
    """What one group gets of a request: the positions of its items, in the order of the request."""

    group: int
    positions: list[int]


def select(operation: Operation, positions: Sequence[int]) -> Operation:
    """The same operation on some of its items only; one that concerns a slot as a whole stays as it is."""
    if isinstance(operation, Put):
        return Put([operation.items[position] for position in positions])
    if isinstance(operation, Touch):
        return Touch([operation.items[position] for position in positions])
    if isinstance(operation, Increment):
        return Increment([operation.items[position] for position in positions])
    if isinstance(operation, Delete):
        conditions = [operation.conditions[position] for position in positions] if operation.conditions else []
        return Delete([operation.keys[position] for position in positions], conditions)
    return operation


def split(keys: Sequence[str], positions: Sequence[int], group_of: GroupOf) -> list[Part]:
    """The given positions by group; within a group the order is kept, so that the later of two equal keys wins."""
    if len(positions) == 1:
        return [Part(group_of(keys[positions[0]]), [positions[0]])]
    found: dict[int, list[int]] = {}
    for position in positions:
        found.setdefault(group_of(keys[position]), []).append(position)
    return [Part(group, members) for group, members in found.items()]


def place(outcomes: list[Outcome], positions: Sequence[int], results: Sequence[Outcome]) -> None:
    """Write a group's results to where its items stood in the request."""
    for position, result in zip(positions, results, strict=True):
        outcomes[position] = result
