"""Which keys an operation is about. Pure."""

from collections.abc import Iterator
from itertools import islice

from wire.messages import Delete, Fetch, Increment, Operation, Put, Step, Touch, Transaction

_STEPS = (Put, Delete, Touch, Increment)  # a union would be built anew at each isinstance
_KEYS_ONLY = (Delete, Fetch)


def keys_of(operation: Operation) -> list[str]:
    """The key of each item, in order. What concerns one slot as a whole has one: a key, or the name of a lock or limit."""
    if isinstance(operation, _STEPS):
        return keys_of_step(operation)
    if isinstance(operation, Transaction):
        return list(islice(keys_of_transaction(operation), 1))
    return [operation.name]


def keys_of_step(step: Step) -> list[str]:
    """The key of each item, in order."""
    return step.keys if isinstance(step, _KEYS_ONLY) else [item.key for item in step.items]


def keys_of_transaction(transaction: Transaction) -> Iterator[str]:
    """All keys that it may look at or change, some perhaps more than once."""
    for comparison in transaction.compare:
        yield comparison.key
    for step in (*transaction.success, *transaction.failure):
        yield from keys_of_step(step)
