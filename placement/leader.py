"""Calls to placement's leader from outside: a guess at who it is, corrected by what failed calls say."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from process.backoff import Backoff
from process.clock import Clock, Sleep, loop_time
from wire.errors import Applied, Code, Failure, RpcError
from wire.rpc import Connect, Method

Req = TypeVar("Req")
Rep = TypeVar("Rep")


class LeaderPace(msgspec.Struct, frozen=True, kw_only=True):
    """How long attempts last and how far apart they are, in seconds. An attempt is short, because a paused node says nothing."""

    attempt_s: float = 1.0
    pause_first_s: float = 0.01
    pause_max_s: float = 0.25


class LeaderGuess:
    """Who leads placement, as far as is known.

    Args:
        seeds: addresses `host:port` of nodes, at least one.
        nodes: node id → address of those that may lead it, as known now.
        rng: chooses whom to ask first.
    """

    def __init__(self, seeds: Sequence[str], nodes: Callable[[], Mapping[str, str]], rng: random.Random) -> None:
        self._seeds = tuple(seeds)
        self._nodes = nodes
        self.address = rng.choice(self._seeds)

    def correct(self, failure: Failure) -> None:
        """An attempt at the present address failed: take whom it names, else the next node in turn."""
        nodes = self._nodes()
        named = nodes.get(failure.leader, "")
        if named and named != self.address:
            self.address = named
        elif failure.code is not Code.OVERLOADED:
            addresses = list(dict.fromkeys((*self._seeds, *nodes.values())))
            place = addresses.index(self.address) + 1 if self.address in addresses else 0
            self.address = addresses[place % len(addresses)]


class LeaderCaller:
    """Calls the leader until it answers. Only for requests that may be repeated: one without an answer is sent again.

    Args:
        guess: who leads.
        connect: gives the shared channel to an address.
        rng: source of the jitter.
        pace: the pace of attempts.
        clock: the event loop's clock, in seconds.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        guess: LeaderGuess,
        connect: Connect,
        rng: random.Random,
        *,
        pace: LeaderPace = LeaderPace(),  # noqa: B008 - frozen
        clock: Clock = loop_time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._guess = guess
        self._connect = connect
        self._rng = rng
        self._pace = pace
        self._clock = clock
        self._sleep = sleep

    async def call(self, method: Method[Req, Rep], request: Req, deadline: float) -> tuple[Rep, bool]:
        """Ask the leader.

        Returns:
            Its answer, and whether an attempt before it may have been carried out, too.

        Raises:
            RpcError: INVALID; UNAVAILABLE when no attempt can have been carried out until the deadline; else UNKNOWN.
        """
        backoff = Backoff(self._pace.pause_first_s, self._pace.pause_max_s, self._rng)
        ambiguous = False
        while (remaining := deadline - self._clock()) > 0:
            channel = self._connect(self._guess.address)
            try:
                return await channel.call(method, request, min(remaining, self._pace.attempt_s)), ambiguous
            except RpcError as error:
                failure = error.failure
                if failure.code is Code.INVALID and not ambiguous:
                    raise
                ambiguous |= failure.applied is not Applied.NO
                self._guess.correct(failure)
                pause_s = max(backoff.next_s(), failure.retry_after_ms / 1000)
                await self._sleep(max(0.0, min(pause_s, deadline - self._clock())))
        if ambiguous:
            raise RpcError(Failure(Code.UNKNOWN, "Placement's leader did not answer in time.", Applied.UNKNOWN))
        raise RpcError(Failure(Code.UNAVAILABLE, "Placement's leader could not be reached."))
