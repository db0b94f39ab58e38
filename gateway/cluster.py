"""The cluster as the HTTP handlers see it: operations on keys, whichever groups they live in.

A request is split by group, each group gets one RPC, and the outcomes come back in the order of the request; each is a
result or a failure of its own. When a node says that a key is not (or no longer) its group's, the newer map is waited
for and only those items are sent again, under a new operation id: nothing of them was applied.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from gateway.caller import GroupCaller
from gateway.data_limits import LIMIT_READ_BYTES
from gateway.errors import ApiCode, ApiError, OwnFailure
from gateway.fanout import Outcome, Part, place, select, split
from gateway.idempotency import Once
from gateway.operation_ids import OperationIds
from gateway.router import NO_GROUP, Router
from process.backoff import Backoff
from process.clock import Clock, Sleep, loop_time
from wire.errors import Applied, Code, Failure, RpcError
from wire.messages import (
    AcquireLock,
    AwaitLockRequest,
    Consistency,
    ItemResult,
    ListReply,
    ListRequest,
    Operation,
    ReadReply,
    ReadRequest,
    Status,
    WriteReply,
    WriteRequest,
)
from wire.methods import AWAIT_LOCK, LIST, READ, WRITE
from wire.operations import keys_of

REROUTE_FIRST_S = 0.01
REROUTE_MAX_S = 0.25

NO_MAP = OwnFailure(Code.UNAVAILABLE, "no cluster map yet, or a slot without a group")
_MOVING = OwnFailure(Code.UNAVAILABLE, "the key is on its way to another group")
_FORGOTTEN = Failure(Code.UNKNOWN, "the operation id was already given up", Applied.UNKNOWN)


class Observed(msgspec.Struct, frozen=True, gc=False):
    """Where a read was served: the group, its last applied index then, and how old the data may be.

    Of a read of several groups the group and index are those of one of them, and the age is the greatest.
    """

    group: int
    revision: int
    age_ms: int


Reads: TypeAlias = tuple[list[Outcome], Observed]
_Send: TypeAlias = Callable[[Part], Awaitable[Sequence[Outcome]]]


class Cluster:
    """Reads and writes keys.

    Args:
        router: the map.
        caller: calls groups.
        ids: the operation ids of this process.
        rng: source of the jitter.
        clock: the event loop's clock, in seconds.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        router: Router,
        caller: GroupCaller,
        ids: OperationIds,
        rng: random.Random,
        *,
        clock: Clock = loop_time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._router = router
        self._caller = caller
        self._ids = ids
        self._rng = rng
        self._clock = clock
        self._sleep = sleep

    async def write(self, operation: Operation, deadline: float, once: Once | None = None) -> list[Outcome]:
        """Apply an operation; the outcome of each item in its order. Items of one group share their fate.

        With `once` the answer of an earlier write with the same idempotency key is given again.
        """
        keys = keys_of(operation)

        async def send(part: Part) -> Sequence[Outcome]:
            whole = len(part.positions) == len(keys)
            chosen = operation if whole else select(operation, part.positions)
            reply = await self._write_part(part.group, chosen, deadline, once)
            return [_FORGOTTEN if result.status is Status.STALE_OPERATION else result for result in reply.results]

        return await self._route(keys, send, deadline)

    async def write_whole(self, operation: Operation, deadline: float, once: Once | None = None) -> WriteReply:
        """Apply an operation on keys of one slot, whose results are not one for each key.

        Raises:
            RpcError: it was not applied, or nobody knows.
        """
        reply: WriteReply | None = None

        async def send(part: Part) -> Sequence[Outcome]:
            nonlocal reply
            reply = await self._write_part(part.group, operation, deadline, once)
            return reply.results[:1]

        [outcome] = await self._route(keys_of(operation)[:1], send, deadline)
        if isinstance(outcome, Failure):
            raise RpcError(outcome)
        if outcome.status is Status.STALE_OPERATION or reply is None:
            raise RpcError(_FORGOTTEN)
        return reply

    def name_request(self) -> str:
        """See `OperationIds.name_request`."""
        return self._ids.name_request()

    async def await_lock(self, asked: AcquireLock, wait_ms: int, deadline: float) -> ItemResult:
        """Wait until a lock is handed to the request that queued for it, at most `wait_ms`: OK, QUEUED or LOCKED, with a LockInfo.

        Raises:
            RpcError: the group could not say.
        """

        async def send(part: Part) -> Sequence[Outcome]:
            request = AwaitLockRequest(part.group, asked.name, asked.owner, wait_ms, asked.request)
            return (await self._caller.to_leader(part.group, AWAIT_LOCK, request, deadline, write=False)).results

        [outcome] = await self._route([asked.name], send, deadline)
        if isinstance(outcome, Failure):
            raise RpcError(outcome)
        return outcome

    async def read(
        self, keys: Sequence[str], consistency: Consistency, deadline: float, bytes_max: int = LIMIT_READ_BYTES
    ) -> Reads:
        """Read keys; the outcome of each in its order, and where they were served.

        Raises:
            ApiError: BATCH_TOO_LARGE: the values of one group amount to more than `bytes_max`.
        """
        observed = Observed(NO_GROUP, 0, 0)

        async def send(part: Part) -> Sequence[Outcome]:
            nonlocal observed
            request = ReadRequest(part.group, [keys[position] for position in part.positions], consistency)
            reply = await (
                self._read_part(request, deadline, bytes_max) if len(keys) > 1 else self._read_once(request, deadline)
            )
            observed = Observed(part.group, reply.revision, max(observed.age_ms, reply.age_ms))
            return reply.results

        return await self._route(keys, send, deadline), observed

    async def list_group(self, request: ListRequest, deadline: float) -> ListReply:
        """One page of one group.

        Raises:
            RpcError: the group could not answer in time.
        """
        if request.consistency is Consistency.STALE:
            return await self._caller.to_any(request.group, LIST, request, deadline)
        return await self._caller.to_leader(request.group, LIST, request, deadline, write=False)

    async def _route(self, keys: Sequence[str], send: _Send, deadline: float) -> list[Outcome]:
        """Send each part to its group, and again to another where a map was out of date, until every item has an outcome."""
        outcomes: list[Outcome] = [_MOVING] * len(keys)
        left: Sequence[int] = range(len(keys))
        backoff: Backoff | None = None
        while True:
            parts = split(keys, left, self._router.group_of)
            if len(parts) == 1:
                await self._settle(parts[0], send, outcomes)
            else:
                await asyncio.gather(*(self._settle(part, send, outcomes) for part in parts))
            left = [position for position in left if _is_misrouted(outcomes[position])]
            if not left:
                return outcomes
            remaining = deadline - self._clock()
            if remaining <= 0:
                break
            backoff = backoff or Backoff(REROUTE_FIRST_S, REROUTE_MAX_S, self._rng)
            await self._sleep(min(backoff.next_s(), remaining))
        place(outcomes, left, [_MOVING] * len(left))
        return outcomes

    async def _settle(self, part: Part, send: _Send, outcomes: list[Outcome]) -> None:
        results: Sequence[Outcome]
        if part.group == NO_GROUP:
            results = [NO_MAP] * len(part.positions)
        else:
            try:
                results = await send(part)
            except RpcError as error:
                results = [error.failure] * len(part.positions)
        place(outcomes, part.positions, results)

    async def _write_part(self, group: int, operation: Operation, deadline: float, once: Once | None) -> WriteReply:
        begun = self._ids.begin(group)
        identity = begun if once is None else msgspec.structs.replace(begun, key=once.key, digest=once.digest)
        try:
            request = WriteRequest(group, identity, operation)
            return await self._caller.to_leader(group, WRITE, request, deadline, write=True)
        finally:
            self._ids.end(group, begun)

    def _read_once(self, request: ReadRequest, deadline: float) -> Awaitable[ReadReply]:
        """Read one group's keys, all of whose values have to fit into one answer."""
        if request.consistency is Consistency.STALE:
            return self._caller.to_any(request.group, READ, request, deadline)
        return self._caller.to_leader(request.group, READ, request, deadline, write=False)

    async def _read_part(self, request: ReadRequest, deadline: float, bytes_max: int) -> ReadReply:
        """Read one group's keys; in halves when all of their values do not fit into one answer."""
        try:
            return await self._read_once(request, deadline)
        except RpcError as error:
            if error.failure.code is not Code.TOO_LARGE or len(request.keys) == 1:
                raise
        middle = len(request.keys) // 2
        first = await self._read_part(msgspec.structs.replace(request, keys=request.keys[:middle]), deadline, bytes_max)
        check_size(first.results, bytes_max)
        second = await self._read_part(
            msgspec.structs.replace(request, keys=request.keys[middle:]), deadline, bytes_max
        )
        return ReadReply(
            [*first.results, *second.results], min(first.revision, second.revision), max(first.age_ms, second.age_ms)
        )


def check_size(outcomes: Iterable[Outcome], bytes_max: int) -> None:
    """Refuse to hold more values than one answer should carry.

    Raises:
        ApiError: BATCH_TOO_LARGE.
    """
    if sum(len(outcome.value) for outcome in outcomes if isinstance(outcome, ItemResult)) > bytes_max:
        raise ApiError(ApiCode.BATCH_TOO_LARGE, f"keys: their values together are over {bytes_max} bytes")


def _is_misrouted(outcome: Outcome) -> bool:
    if isinstance(outcome, ItemResult):
        return outcome.status is Status.WRONG_GROUP
    return outcome.code is Code.WRONG_GROUP
