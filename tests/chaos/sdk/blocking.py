"""`Concord` behind the signatures of `AsyncConcord`, so that what clients do is written once.

Nothing in it ever waits for another coroutine: `driven` runs such a coroutine to its end in the thread that calls it.
"""

import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from concord import AsyncConcord, Concord, Consistency, Entry, Read, Txn, TxnResult, Written
from concord._held import Lock


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
