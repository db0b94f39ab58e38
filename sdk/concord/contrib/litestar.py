"""A store for Litestar: sessions, cached answers, rate limits, whatever else an application keeps in `app.stores`.

Keys of the namespace `a` are `a:key`, its child `b` is the namespace `a/b`, so no key of one is a key of another.
"""

import math
from collections.abc import AsyncIterator
from datetime import timedelta

from litestar.stores.base import NamespacedStore

from concord import AsyncConcord, NotFound, Txn

BATCH_KEYS = 10_000


class ConcordStore(NamespacedStore):
    """A `litestar.stores.base.NamespacedStore`. Close the client when the application ends.

    Args:
        client: of the event loop that the application runs in.
        namespace: at the beginning of all keys; without ":".
    """

    __slots__ = ("_client", "namespace")

    def __init__(self, client: AsyncConcord, namespace: str = "litestar") -> None:
        if not namespace or ":" in namespace:
            raise ValueError(f"namespace: {namespace!r} is empty or has a colon in it")
        self._client = client
        self.namespace = namespace

    def with_namespace(self, namespace: str) -> "ConcordStore":
        """The namespace below this one; `delete_all` of this one clears it, too."""
        return ConcordStore(self._client, f"{self.namespace}/{namespace}")

    async def set(self, key: str, value: str | bytes, expires_in: int | timedelta | None = None) -> None:
        """Set a value; what expires in no time is not there afterwards."""
        ttl = None if expires_in is None else _seconds(expires_in)
        if ttl is not None and ttl <= 0:
            await self.delete(key)
        else:
            await self._client.put(self._key(key), value.encode() if isinstance(value, str) else value, ttl=ttl)

    async def get(self, key: str, renew_for: int | timedelta | None = None) -> bytes | None:
        """A value; one that expires begins anew with `renew_for`. One that was changed or deleted meanwhile is left alone."""
        entry = await self._client.entry(self._key(key), type=bytes)
        if entry is None:
            return None
        if renew_for is not None and entry.ttl is not None and (ttl := _seconds(renew_for)) > 0:
            renewal = Txn().if_revision(entry.key, entry.revision)
            renewal.then.touch(entry.key, ttl)
            await self._client.commit(renewal)
        return entry.value

    async def delete(self, key: str) -> None:
        """Delete a value, which need not be there."""
        await self._client.delete(self._key(key))

    async def delete_all(self) -> None:
        """Delete everything in this namespace and in those below it. What is set meanwhile may stay."""
        for prefix in (f"{self.namespace}:", f"{self.namespace}/"):
            async for keys in self._batches(prefix):
                (await self._client.delete_many(keys)).check()

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        try:
            await self._client.ttl(self._key(key))
        except NotFound:
            return False
        return True

    async def expires_in(self, key: str) -> int | None:
        """The seconds that a key has left, rounded up; None for one that does not expire, or is not there."""
        try:
            return await self._client.ttl(self._key(key))
        except NotFound:
            return None

    def _key(self, key: str) -> str:
        return f"{self.namespace}:{key}"

    async def _batches(self, prefix: str) -> AsyncIterator[list[str]]:
        batch: list[str] = []
        async for key in self._client.keys(prefix):
            batch.append(key)
            if len(batch) == BATCH_KEYS:
                yield batch
                batch = []
        if batch:
            yield batch


def _seconds(time: int | timedelta) -> int:
    return math.ceil(time.total_seconds()) if isinstance(time, timedelta) else time
