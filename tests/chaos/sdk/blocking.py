"""`Concord` behind the signatures of `AsyncConcord`, so that what clients do is written once.

Nothing in it ever waits for another coroutine: `driven` runs such a coroutine to its end in the thread that calls it.
"""

import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from concord import AsyncConcord, Concord, Consistency, Entry, Instance, Permit, Read, Txn, TxnResult, Written
from concord._coordination import Algorithm
from concord._flags import FlagCache
from concord._held import Limiter, Lock, Registration, Service
from concord._sessions import Sessions


class Blocking:
    """A client for a thread."""

    def __init__(self, client: Concord) -> None:
        self._client = client

    async def entry(self, key: str, *, consistency: Consistency | None = None) -> Entry[Any] | None:
        return self._client.entry(key, consistency=consistency)

    async def put(self, key: str, value: object, **options: Any) -> int:
        return self._client.put(key, value, **options)

    async def delete(self, key: str) -> bool:
        return self._client.delete(key)

    async def touch(self, key: str, ttl: int) -> int:
        return self._client.touch(key, ttl)

    async def increment(self, key: str, by: int) -> int:
        return self._client.increment(key, by)

    async def get_many(self, keys: Iterable[str]) -> Read[Any]:
        return self._client.get_many(keys)

    async def put_many(self, items: Mapping[str, object]) -> Written:
        return self._client.put_many(items)

    async def delete_many(self, keys: Iterable[str]) -> Written:
        return self._client.delete_many(keys)

    async def scan(self, prefix: str) -> AsyncIterator[Entry[Any]]:
        for entry in self._client.scan(prefix):
            yield entry

    async def commit(self, txn: Txn) -> TxnResult:
        return self._client.commit(txn)

    @asynccontextmanager
    async def lock(self, name: str, *, ttl: int, wait: float) -> AsyncIterator[Lock]:
        with self._client.lock(name, ttl=ttl, wait=wait) as lock:
            yield lock

    @asynccontextmanager
    async def flags(self, prefix: str) -> AsyncIterator[FlagCache]:
        with self._client.flags(prefix) as flags:
            yield flags

    def sessions(self, *, ttl: int = 1800) -> "BlockingSessions":
        return BlockingSessions(self._client.sessions(ttl=ttl))

    def limiter(self, name: str, limit: int, window: int, *, algorithm: Algorithm) -> "BlockingLimiter":
        return BlockingLimiter(self._client.limiter(name, limit, window, algorithm=algorithm))

    def service(self, name: str) -> "BlockingService":
        return BlockingService(self._client.service(name))


class BlockingSessions:
    """Its sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.key = sessions.key

    async def create(self, data: object) -> str:
        return self._sessions.create(data)

    async def load(self, session: str) -> Any:
        return self._sessions.load(session)

    async def save(self, session: str, data: object) -> None:
        self._sessions.save(session, data)

    async def touch(self, session: str) -> bool:
        return self._sessions.touch(session)

    async def delete(self, session: str) -> None:
        self._sessions.delete(session)


class BlockingLimiter:
    """A limiter of its."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def acquire(self, cost: int) -> Permit:
        return self._limiter.acquire(cost)

    async def wait(self, cost: int, *, wait: float) -> Permit:
        return self._limiter.wait(cost, wait=wait)


class BlockingService:
    """A service of its."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @asynccontextmanager
    async def register(self, instance: str, address: str, port: int, **options: Any) -> AsyncIterator[Registration]:
        with self._service.register(instance, address, port, **options) as registration:
            yield registration

    async def instances(self) -> list[Instance]:
        return self._service.instances()


Client: TypeAlias = AsyncConcord | Blocking


async def pause(seconds: float) -> None:
    """Sleep, as a thread does."""
    time.sleep(seconds)  # noqa: ASYNC251 - see above: nothing else runs in its thread


def driven(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")
