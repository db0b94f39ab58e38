"""Transactions on the keys of one slot: compare, then change all or nothing. Pure."""

from shard.machine.changes import take_step
from shard.machine.conditions import compares
from shard.machine.store import Draft, View
from wire.messages import LIMIT_LIST_BYTES, ItemResult, Status, Step, Touch, Transaction
from wire.operations import keys_of_transaction

_WRONG_GROUP = ItemResult(Status.WRONG_GROUP)
_ABORTED = ItemResult(Status.ABORTED)
_TOO_LARGE = ItemResult(Status.TOO_LARGE)


def transact(view: View, transaction: Transaction) -> list[ItemResult]:
    """The results as `wire.messages.Transaction` describes them; a single WRONG_GROUP when a key is not owned."""
    if not all(view.owns(key) for key in keys_of_transaction(transaction)):
        return [_WRONG_GROUP]
    succeeded = all(compares(comparison, view.get(comparison.key)) for comparison in transaction.compare)
    chosen = ItemResult(Status.OK if succeeded else Status.PRECONDITION_FAILED, view.index)
    draft = Draft(view)
    room = LIMIT_LIST_BYTES
    results: list[ItemResult] = []
    refused: set[int] = set()
    for step in transaction.success if succeeded else transaction.failure:
        for result in take_step(draft, step):
            room -= len(result.value)
            found = _TOO_LARGE if room < 0 and result.value else result
            if not _is_fine(step, found):
                refused.add(len(results))
            results.append(found)
    if refused:
        return [_ABORTED, *(result if at in refused else _ABORTED for at, result in enumerate(results))]
    draft.commit()
    return [chosen, *results]


def _is_fine(step: Step, result: ItemResult) -> bool:
    """Whether an item lets its transaction go on: deleting or reading what is not there does, touching it does not."""
    return result.status is Status.OK or (result.status is Status.NOT_FOUND and not isinstance(step, Touch))
