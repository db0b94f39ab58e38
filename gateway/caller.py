"""One request to one group, tried until it has an answer or no time is left.

The caller knows nothing of keys. It guesses the leader, follows hints, turns to other replicas when a node is away,
and repeats exactly the same message, so that a write keeps its operation id through all attempts (see retries.py). An
attempt has a time limit of its own, well under a client's deadline, because a node that is paused keeps its
connection and says nothing.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar

import msgspec

from gateway.retries import Step, conclude, step_after
from gateway.router import Router
from process.backoff import Backoff
from process.clock import Clock, Sleep, loop_time
from wire.errors import Applied, Code, Failure, RpcError
from wire.rpc import Channel, Connect, Method

Req = TypeVar("Req", bound=msgspec.Struct)
Rep = TypeVar("Rep", bound=msgspec.Struct)

FOLLOWS_MAX = 3  # hints in a row that are followed at once: more means that replicas disagree, so wait a little


_NOWHERE = Failure(Code.UNAVAILABLE, "the map names no node for the group")


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long attempts last and how far apart they are, in seconds."""

    attempt_s: float = 1.0
    pause_first_s: float = 0.01
    pause_max_s: float = 0.25


class GroupCaller:
    """Calls groups by number.

    Args:
        router: the map and the guesses.
        connect: gives the shared channel to an address.
        rng: source of the jitter.
        seek: told the epoch of a newer map that a node spoke of, and the node's address.
        on_attempt: told the method of every attempt and what came of it, "OK" or a code.
        pace: the pace of attempts.
        clock: the event loop's clock, in seconds.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        router: Router,
        connect: Connect,
        rng: random.Random,
        *,
        seek: Callable[[int, str], object],
        on_attempt: Callable[[str, str], object],
        pace: Pace = Pace(),  # noqa: B008 - frozen
        clock: Clock = loop_time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._router = router
        self._connect = connect
        self._rng = rng
        self._seek = seek
        self._on_attempt = on_attempt
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self.answered_at: dict[int, float] = {}  # when a leader last answered for a group, on `clock`

    async def to_leader(
        self, group: int, method: Method[Req, Rep], request: Req, deadline: float, *, write: bool
    ) -> Rep:
        """Ask the leader of a group.

        Args:
            group: its number.
            method: which method.
            request: the message, the same for every attempt.
            deadline: on the clock, in seconds.
            write: an attempt that was not answered may have been applied.

        Raises:
            RpcError: WRONG_GROUP, OVERLOADED, INVALID, UNAVAILABLE, TIMEOUT, TOO_LARGE of a read (none applied), or UNKNOWN.
        """
        course: _Course | None = None
        backoff: Backoff | None = None
        while (remaining := deadline - self._clock()) > 0:
            node = self._router.leader(group)
            try:
                reply = await self._attempt(node, method, request, min(remaining, self._pace.attempt_s))
            except RpcError as error:
                self._on_attempt(method.name, error.failure.code.value)
                course = course or _Course(self._router, group, write=write)
                step = course.failed(node, error.failure)
                if step is Step.FOLLOW:
                    continue
                if step in (Step.REROUTE, Step.GIVE_UP):
                    self._notice(node, error.failure)
                    raise RpcError(conclude(error.failure, ambiguous=course.ambiguous, timed_out=False)) from None
                backoff = backoff or self._new_backoff()
                pause_s = max(backoff.next_s(), error.failure.retry_after_ms / 1000)
                await self._sleep(max(0.0, min(pause_s, deadline - self._clock())))
            else:
                self._on_attempt(method.name, "OK")
                self._router.learn(group, node)
                self.answered_at[group] = self._clock()
                return reply
        if course is None:
            raise RpcError(conclude(None, ambiguous=False, timed_out=True))
        raise RpcError(conclude(course.last, ambiguous=course.ambiguous, timed_out=True))

    async def to_any(self, group: int, method: Method[Req, Rep], request: Req, deadline: float) -> Rep:
        """Ask any replica of a group, each in turn, beginning at a random one: for reads that may be stale.

        Raises:
            RpcError: WRONG_GROUP, UNAVAILABLE, TIMEOUT or TOO_LARGE.
        """
        replicas = list(self._router.replicas(group))
        self._rng.shuffle(replicas)
        last: Failure | None = None
        for node in replicas:
            remaining = deadline - self._clock()
            if remaining <= 0:
                break
            try:
                reply = await self._attempt(node, method, request, min(remaining, self._pace.attempt_s))
            except RpcError as error:
                last = error.failure
                self._on_attempt(method.name, last.code.value)
                if step_after(last, ambiguous=False) is Step.REROUTE:
                    self._notice(node, last)
                    raise
                if last.code is Code.TOO_LARGE:  # so it is at the others
                    raise RpcError(conclude(last, ambiguous=False, timed_out=False)) from None
            else:
                self._on_attempt(method.name, "OK")
                return reply
        raise RpcError(conclude(last, ambiguous=False, timed_out=True))

    def _attempt(self, node: str, method: Method[Req, Rep], request: Req, timeout_s: float) -> "asyncio.Future[Rep]":
        return self._channel(node).call(method, request, timeout_s)

    def _channel(self, node: str) -> Channel:
        info = self._router.node(node)
        if info is None:
            raise RpcError(_NOWHERE)
        return self._connect(info.address)

    def _notice(self, node: str, failure: Failure) -> None:
        info = self._router.node(node)
        if failure.epoch > self._router.epoch:
            self._seek(failure.epoch, info.address if info is not None else "")

    def _new_backoff(self) -> Backoff:
        return Backoff(self._pace.pause_first_s, self._pace.pause_max_s, self._rng)


class _Course:
    """What one call has been through."""

    def __init__(self, router: Router, group: int, *, write: bool) -> None:
        self.last: Failure | None = None
        self.ambiguous = False
        self._router = router
        self._group = group
        self._write = write
        self._away: set[str] = set()
        self._follows = 0

    def failed(self, node: str, failure: Failure) -> Step:
        """Take note of a failed attempt, correct the guess, and say what comes next."""
        self.last = failure
        self.ambiguous |= self._write and failure.applied is Applied.UNKNOWN
        step = step_after(failure, ambiguous=self.ambiguous)
        if step is Step.FOLLOW:
            if self._may_follow(node, failure.leader):
                self._follows += 1
                self._router.learn(self._group, failure.leader)
                return Step.FOLLOW
            step = Step.ROTATE
        elif step is Step.ROTATE:
            self._away.add(node)
        if step is Step.ROTATE:
            self._router.avoid(self._group, node, self._away)
            self._away.discard(failure.leader)  # it was passed over once; if it is named again it has come back
        self._follows = 0
        return step

    def _may_follow(self, node: str, named: str) -> bool:
        return named != node and named not in self._away and self._follows < FOLLOWS_MAX
