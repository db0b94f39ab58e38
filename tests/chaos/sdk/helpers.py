"""What clients do with the helpers of the SDK: sessions, limiters, services and flags."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Literal

import msgspec

from concord import ConcordError, Permit
from tests.chaos.sdk.evidence import Take
from tests.chaos.sdk.household import FLAGS, Household, Visit, list_instances
from tests.chaos.sdk.notes import Notes
from tests.chaos.sdk.steps import Single
from tests.linearizability import Kind, Operation

SESSIONS, SESSION_TTL_S_MAX, CREATED_MAX = 3, 4, 4
TTL_S_MAX = 3
STAYS_S = (0.0, 0.0, 0.2, 1.0, 4.0)
VISITS_MAX = 1_000_000
WAIT_S_MAX = 2.0
FLAGS_BACK_MAX = 3  # periods
Limit = tuple[str, Literal["fixed", "gcra"], int, int]
LIMITS: tuple[Limit, ...] = (("long", "fixed", 8, 3600), ("short", "fixed", 2, 2), ("steady", "gcra", 3, 3))
"""Name, algorithm, limit and window. In the long window everything is counted of a period; the others give again and again."""


class Helpers:
    """Calls of helpers.

    Args:
        single: the calls of the same client about one key.
        sleep: how it waits.
        household: of its process.
    """

    def __init__(self, single: Single, sleep: Callable[[float], Awaitable[None]], household: Household) -> None:
        self._single = single
        self._client = single.client
        self._notes: Notes = single.notes
        self._rng = single.rng
        self._keys = single.keys
        self._sleep = sleep
        self._household = household
        self._created: list[str] = []  # sessions that only this client knows
        self._visits = 0
        self._moved = 0  # how often it left an instance of which nobody knows whether it is gone

    def weighted(self) -> list[tuple[Callable[[], Awaitable[None]], int]]:
        """The steps, and how often each is wanted."""
        return [
            (self.create_session, 2),
            (self.save_session, 4),
            (self.load_session, 6),
            (self.touch_session, 3),
            (self.delete_session, 1),
            (self.take, 8),
            (self.wait_for_permit, 2),
            (self.serve, 2),
            (self.look_around, 5),
            (self.write_flag, 5),
            (self.delete_flag, 1),
            (self.read_flag, 10),
            (self.open_flags, 1),
        ]

    # --- sessions: the history says of the keys that they are under what was called for them

    def _session(self) -> str:
        if self._created and self._rng.random() < 0.3:
            return self._rng.choice(self._created)
        return f"{self._keys.prefix}.s{self._rng.randrange(SESSIONS)}"

    async def create_session(self) -> None:
        ttl_s = self._rng.randint(1, SESSION_TTL_S_MAX)
        sessions, value = self._client.sessions(ttl=ttl_s), self._single.value("session")
        session = await self._notes.ask("session.create", sessions.create(value), is_write=True)
        if isinstance(session, str):
            key = sessions.key(session)
            self._notes.done(Operation(self._notes.client, key, Kind.PUT, self._notes.called_ns, None, value, ttl_s))
            self._created = [*self._created[1 - CREATED_MAX :], session]

    async def save_session(self) -> None:
        ttl_s, session = self._rng.randint(1, SESSION_TTL_S_MAX), self._session()
        sessions, value = self._client.sessions(ttl=ttl_s), self._single.value("session")
        opened = self._notes.opened(Kind.PUT, sessions.key(session), value, ttl_s)
        if await self._notes.ask("session.save", sessions.save(session, value), [opened]) is None:
            self._notes.done(opened)

    async def load_session(self) -> None:
        sessions, session = self._client.sessions(), self._session()
        value = await self._notes.ask("session.load", sessions.load(session))
        if not isinstance(value, ConcordError):
            self._notes.read(sessions.key(session), value)

    async def touch_session(self) -> None:
        ttl_s, session = self._rng.randint(1, SESSION_TTL_S_MAX), self._session()
        sessions = self._client.sessions(ttl=ttl_s)
        opened = self._notes.opened(Kind.TOUCH, sessions.key(session), ttl_s=ttl_s)
        was_there = await self._notes.ask("session.touch", sessions.touch(session), [opened])
        if isinstance(was_there, bool):
            self._notes.done(opened, was_there)

    async def delete_session(self) -> None:
        sessions, session = self._client.sessions(), self._session()
        opened = self._notes.opened(Kind.DELETE, sessions.key(session))
        if await self._notes.ask("session.delete", sessions.delete(session), [opened]) is None:
            self._notes.done(opened)

    # --- limiters

    async def take(self) -> None:
        await self._take("limiter.acquire", wait_s=None)

    async def wait_for_permit(self) -> None:
        await self._take("limiter.wait", wait_s=self._rng.uniform(0.0, WAIT_S_MAX))

    async def _take(self, what: str, *, wait_s: float | None) -> None:
        name, algorithm, limit, window_s = self._rng.choice(LIMITS)
        name, cost = f"{self._keys.prefix}/{name}", self._rng.randint(1, 2)
        limiter = self._client.limiter(name, limit, window_s, algorithm=algorithm)
        call = limiter.acquire(cost) if wait_s is None else limiter.wait(cost, wait=wait_s)
        told = await self._notes.ask(what, call, is_write=True, more_s=wait_s or 0.0)
        take = Take(name, algorithm, limit, window_s, cost, self._notes.called_ns, self._notes.returned_ns)
        if isinstance(told, Permit):
            self._check(f"{what} of {cost} of {limit}", told, take, is_waiting=wait_s is not None)
            take = msgspec.structs.replace(take, is_allowed=told.allowed, reset_ms=told.reset_ms)
        elif told.applied is False:
            return
        self._notes.evidence.takes.append(take)

    def _check(self, what: str, told: Permit, take: Take, *, is_waiting: bool) -> None:
        """The numbers are possible ones."""
        is_possible = 0 <= told.remaining <= take.limit and 0 <= told.reset_ms <= take.window_s * 1000
        is_open = told.retry_after_ms == 0
        if not is_possible or told.allowed is not is_open or (is_waiting and not told.allowed):
            self._notes.fault(f"{what} tells {told}")

    # --- services

    async def look_around(self) -> None:
        await list_instances(self._client, self._notes)

    async def serve(self) -> None:
        """Register an instance, look at the service meanwhile and afterwards."""
        client = self._notes.client
        self._visits += 1
        instance = f"i{client}.{self._moved}"
        visit = Visit(self._client, self._notes, instance, client * VISITS_MAX + self._visits, 1 + client % TTL_S_MAX)
        error = await visit.enter()
        if error is None:
            await list_instances(self._client, self._notes)
            await self._sleep(self._rng.choice(STAYS_S))
            await list_instances(self._client, self._notes)
            error = await visit.leave()
            is_gone = error is None
        else:
            is_gone = error.applied is False
        self._moved += not is_gone
        await list_instances(self._client, self._notes)

    # --- flags

    async def write_flag(self) -> None:
        await self._single.write(f"{FLAGS}{self._keys.flag(self._rng)}")

    async def delete_flag(self) -> None:
        await self._single.remove(f"{FLAGS}{self._keys.flag(self._rng)}")

    async def read_flag(self) -> None:
        """Look at the process's copy."""
        name = self._keys.flag(self._rng, back_max=FLAGS_BACK_MAX)
        self._notes.evidence.glances.append(self._household.glance(name))

    async def open_flags(self) -> None:
        """Make a copy, and look at it: a read that began when the copy was asked for."""
        name = self._keys.flag(self._rng)
        async with AsyncExitStack() as stack:
            flags = await self._notes.ask("flags", stack.enter_async_context(self._client.flags(FLAGS)))
            called_ns = self._notes.called_ns
            if not isinstance(flags, ConcordError):
                value, now_ns = flags.get(name), time.monotonic_ns()
                read = Operation(self._notes.client, f"{FLAGS}{name}", Kind.GET, called_ns, now_ns, result=value)
                self._notes.operations.append(read)
