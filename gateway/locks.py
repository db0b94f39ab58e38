"""Locks with fencing tokens: `/locks/{name}/acquire`, `renew`, `release`.

The queue is in the group of the name. A gateway only waits beside it, by one call that the leader answers when the lock is
handed on, and steps out of the queue when its client has waited long enough or is gone, or the gateway stops. The deadline of the request
is for what the cluster has to answer, and does not shorten the wait: a client that wants an answer sooner asks for a shorter one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec

from gateway import answers
from gateway.answers import Answer
from gateway.bodies import decode, milliseconds
from gateway.cluster import Cluster
from gateway.errors import ApiCode, ApiError, from_failure
from gateway.requests import ClientGoneError, Request
from gateway.results import granted, result_of
from gateway.whole import Natural, Positive, decoder
from wire.errors import RpcError
from wire.messages import (
    LIMIT_LOCK_MS,
    LIMIT_WAIT_MS,
    AcquireLock,
    ItemResult,
    LeaveQueue,
    LockInfo,
    LockOperation,
    ReleaseLock,
    RenewLock,
    Status,
)

LIMIT_LOCK_S = LIMIT_LOCK_MS // 1000
WAIT_MS = 700  # of one call to a leader: well under the time that an attempt may take
_PAUSE_S = 0.005  # between two such calls, should a leader answer at once
_ASIDE_S = 5.0  # for stepping out of the queue behind a client's back, or when the gateway stops

_SENT_AWAY = "the gateway stops; the owner has left the lock's queue: ask another gateway"
_STILL_QUEUED = (
    "the wait is over, but whether the owner has left the lock's queue is not known: it may get the lock yet"
)

T = TypeVar("T")

Owner = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class _Ttl(Positive):
    high = LIMIT_LOCK_S


class _Wait(Natural):
    high = LIMIT_WAIT_MS


class AcquireBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants the lock, for how many seconds, and how long it would wait for it."""

    owner: Owner
    ttl: _Ttl
    wait_ms: _Wait = _Wait(0)


class RenewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who holds the lock, under which fence, and for how many seconds from now."""

    owner: Owner
    fence: Natural
    ttl: _Ttl


class ReleaseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who holds the lock, and under which fence."""

    owner: Owner
    fence: Natural


_acquire = decoder(AcquireBody)
_renew = decoder(RenewBody)
_release = decoder(ReleaseBody)
_info = msgspec.msgpack.Decoder(LockInfo)


class Locks:
    """The routes under `/api/v1/locks`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._aside: set[asyncio.Task[None]] = set()
        self._draining = asyncio.Event()

    async def acquire(self, request: Request) -> Answer:
        """`POST /locks/{name}/acquire`: 409 with the holder when another has it, at once or after `wait_ms`."""
        request.query()
        body = await request.body()
        asked = decode(_acquire, body)
        deadline, wait_until = request.deadline(), request.started_at + asked.wait_ms / 1000
        ttl_ms = milliseconds(asked.ttl, "ttl", request.limits)
        operation = AcquireLock(
            request.key, asked.owner, ttl_ms, int(asked.wait_ms), request=self._cluster.name_request()
        )
        outcomes = await self._cluster.write(
            operation, deadline
        )  # its owner makes a retry harmless, and has the truth of now
        result = result_of(outcomes[0])
        if result.status is Status.QUEUED:
            result = await self._wait(request, operation, wait_until, deadline + asked.wait_ms / 1000)
        return self._held(result)

    async def renew(self, request: Request) -> Answer:
        """`POST /locks/{name}/renew`."""
        request.query()
        body = await request.body()
        asked = decode(_renew, body)
        ttl_ms = milliseconds(asked.ttl, "ttl", request.limits)
        operation = RenewLock(request.key, asked.owner, int(asked.fence), ttl_ms)
        return self._held(await self._write(operation, request.deadline()))

    async def release(self, request: Request) -> Answer:
        """`POST /locks/{name}/release`."""
        request.query()
        body = await request.body()
        asked = decode(_release, body)
        fence = int(asked.fence)
        granted(await self._write(ReleaseLock(request.key, asked.owner, fence), request.deadline()))
        return Answer(answers.OK, revision=fence)

    def drain(self) -> None:
        """Let nobody wait any more: who does leaves the queue and is told to ask another gateway."""
        self._draining.set()

    async def close(self) -> None:
        """Wait for what is done behind clients' backs."""
        for task in list(self._aside):
            await task

    async def _wait(self, request: Request, asked: AcquireLock, until: float, deadline: float) -> ItemResult:
        """Wait in the queue; how it ended. Who leaves it for whatever reason must not be handed the lock later."""
        waiting = asyncio.ensure_future(self._await_turn(asked, until, request.access.renew))
        try:
            result = await _unless_over(waiting, request, self._draining)
        except BaseException:
            self._do_aside(self._give_up(asked))
            raise
        if result is not None and result.status is Status.OK:
            return result
        return await self._leave(asked, until, deadline)

    async def _leave(self, asked: AcquireLock, until: float, deadline: float) -> ItemResult:
        """Leave the queue; who was handed the lock meanwhile has it.

        Raises:
            ApiError: CLUSTER_UNAVAILABLE when it was left before `until` because the gateway stops; TIMEOUT when nobody knows
                whether it was left.
        """
        now = asyncio.get_running_loop().time()
        is_sent_away = self._draining.is_set() and now < until
        due = min(deadline, now + _ASIDE_S) if is_sent_away else deadline
        try:
            result = await self._write(LeaveQueue(asked.name, asked.owner, asked.request), due)
        except ApiError:
            raise ApiError(ApiCode.TIMEOUT, _STILL_QUEUED, unknown=True) from None
        if is_sent_away and result.status is not Status.OK:
            raise ApiError(ApiCode.CLUSTER_UNAVAILABLE, _SENT_AWAY)
        return result

    async def _await_turn(self, asked: AcquireLock, until: float, renew: Callable[[], object]) -> ItemResult | None:
        """The result once there is one, None when the time is up; `renew` is asked in between and may refuse."""
        clock = asyncio.get_running_loop().time
        while (left_ms := int((until - clock()) * 1000)) > 0:
            try:
                result = await self._cluster.await_lock(asked, min(left_ms, WAIT_MS), until)
            except RpcError:
                renew()
                await asyncio.sleep(min(0.05, left_ms / 1000))  # no leader at present: the place in the queue is kept
                continue
            renew()
            if result.status is not Status.QUEUED:
                return result
            await asyncio.sleep(_PAUSE_S)
        return None

    async def _give_up(self, asked: AcquireLock) -> None:
        """The client is gone: leave the queue, and give back what was handed over meanwhile.

        Not what a later request of the owner has: the client that hung up may have asked again.
        """
        deadline = asyncio.get_running_loop().time() + _ASIDE_S
        left = LeaveQueue(asked.name, asked.owner, asked.request, gives_back=True)
        with contextlib.suppress(ApiError):  # else the place in the queue, or the lock, expires by itself
            await self._write(left, deadline)

    def _do_aside(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _write(self, operation: LockOperation, deadline: float) -> ItemResult:
        try:
            outcomes = await self._cluster.write(operation, deadline)
        except RpcError as error:
            raise from_failure(error.failure) from None
        return result_of(outcomes[0])

    def _held(self, result: ItemResult) -> Answer:
        info = _info.decode(result.value) if result.value else LockInfo()
        if result.status is Status.LOCKED:
            holder = {"owner": info.owner, "fence": info.fence, "ttl": -(-info.ttl_ms // 1000)}
            raise ApiError(ApiCode.CONFLICT, "another holds the lock", details={"holder": holder})
        granted(result)
        shown = {"fence": info.fence, "ttl": -(-info.ttl_ms // 1000)}
        return Answer(answers.data(msgspec.json.encode(shown)), revision=info.fence)


async def _unless_over(work: "asyncio.Future[T]", request: Request, over: asyncio.Event) -> T | None:
    """The result of `work`, which is cancelled when the client goes first, or it is over: then there is none.

    Raises:
        ClientGoneError: it went.
    """
    gone, ended = asyncio.ensure_future(request.gone()), asyncio.ensure_future(over.wait())
    any_of: list[asyncio.Future[Any]] = [work, gone, ended]
    try:
        await asyncio.wait(any_of, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        if gone.done():
            raise ClientGoneError
        return None
    finally:
        for one in any_of:
            one.cancel()
