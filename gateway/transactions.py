"""Several keys at once, all or nothing: atomic bulk requests and transactions."""

from collections.abc import Iterable, Sequence

from gateway import answers
from gateway.answers import Answer
from gateway.cluster import Cluster
from gateway.errors import ApiCode, ApiError, from_failure
from gateway.idempotency import Once, once_of
from gateway.requests import Request
from gateway.results import code_of, granted
from gateway.txn_bodies import DeleteStep, GetStep, IncrementStep, StepBody, parse_txn
from placement.tokens import TokenVerb
from wire.errors import RpcError
from wire.messages import Delete, ItemResult, Put, Status, Touch, Transaction, WriteReply
from wire.operations import keys_of
from wire.slots import slot_of


class Transactions:
    """The route `POST /api/v1/txn`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def txn(self, request: Request) -> Answer:
        """`POST /txn`."""
        request.query()
        body = await request.body()
        parsed = parse_txn(body, request.limits)
        request.access.check(parsed.keys_read, TokenVerb.READ)
        request.access.check(parsed.keys_written)
        check_slots(parsed.keys)
        once = once_of(request, body)
        if not parsed.keys_written:
            once = None  # there is nothing to do twice, and what was read would be kept for a retry
        reply = await _transact(self._cluster, parsed.transaction, request.deadline(), once)
        refuse_if_aborted(reply.results)
        chosen, *results = reply.results
        succeeded = chosen.status is Status.OK
        steps = parsed.success if succeeded else parsed.failure
        shown = answers.array([_shown(step, result) for step, result in zip(steps, results, strict=True)])
        truth = b"true" if succeeded else b"false"
        data = b'{"succeeded":%b,"results":%b,"revision":%d}' % (truth, shown, reply.revision)
        return Answer(answers.data(data), revision=reply.revision if _has_changed(steps, results) else 0)


def _has_changed(steps: Iterable[StepBody], results: Iterable[ItemResult]) -> bool:
    """Whether a step that was taken changed anything."""
    taken = zip(steps, results, strict=True)
    return any(result.status is Status.OK and not isinstance(step, GetStep) for step, result in taken)


def _shown(step: StepBody, result: ItemResult) -> bytes:
    """What a step did: as the items of bulk requests, with the value of a get or an increment."""
    if isinstance(step, DeleteStep):
        deleted = b"true" if result.status is Status.OK else b"false"
        return b'{"key":%b,"status":"ok","deleted":%b}' % (answers.text(step.key), deleted)
    if result.status is Status.NOT_FOUND:
        return answers.item_failed(step.key, code_of(result))
    if isinstance(step, GetStep | IncrementStep):
        return b'{"key":%b,"status":"ok",%b' % (
            answers.text(step.key),
            answers.value(result, with_ttl=False, meta=True)[1:],
        )
    return answers.item_done(step.key)


async def write_atomically(
    cluster: Cluster, operation: Put | Delete | Touch, deadline: float, once: Once | None
) -> Sequence[ItemResult]:
    """Apply all items of a bulk write or none.

    Raises:
        ApiError: CROSS_GROUP; what is wrong with the first item that was refused; the cluster could not do it.
    """
    check_slots(keys_of(operation))
    reply = await _transact(cluster, Transaction([], [operation]), deadline, once)
    refuse_if_aborted(reply.results)
    return reply.results[1:]


def check_slots(keys: Iterable[str]) -> None:
    """Refuse keys of several slots.

    Raises:
        ApiError: CROSS_GROUP.
    """
    if len({slot_of(key) for key in keys}) > 1:
        raise ApiError(ApiCode.CROSS_GROUP, "the keys are not in one slot: give them a common {tag}")


def refuse_if_aborted(results: Sequence[ItemResult]) -> None:
    """Say why a transaction was undone, by its first item that was refused; the first result is that of the comparisons.

    Raises:
        ApiError: it was.
    """
    if results[0].status is not Status.ABORTED:
        return
    for position, result in enumerate(results[1:]):
        if result.status is not Status.ABORTED:
            granted(result, f"item {position}: ")


async def _transact(cluster: Cluster, transaction: Transaction, deadline: float, once: Once | None) -> WriteReply:
    try:
        reply = await cluster.write_whole(transaction, deadline, once)
    except RpcError as error:
        raise from_failure(error.failure) from None
    if reply.results[0].status is Status.REUSED_KEY:
        granted(reply.results[0])
    return reply
