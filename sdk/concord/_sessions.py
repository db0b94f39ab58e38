"""Sessions: data under a secret id that is gone when it was not touched for a while."""

import secrets
from typing import TYPE_CHECKING, Any

from concord import _calls
from concord._driver import Driver
from concord._errors import NotFound
from concord._responses import Entry

if TYPE_CHECKING:
    from concord._async_driver import AsyncDriver  # asyncio is for those who use it

ID_BYTES = 32


def new_id() -> str:
    """An id that nobody guesses: 256 bits."""
    return secrets.token_urlsafe(ID_BYTES)


class Sessions:
    """A store of sessions.

    Args:
        driver: does the calls.
        prefix: of the keys.
        ttl: seconds that a session lives after it was last saved or touched.
    """

    def __init__(self, driver: Driver, prefix: str, ttl: int) -> None:
        self._driver = driver
        self._prefix = prefix
        self._ttl = ttl

    def create(self, data: object) -> str:
        """A new session; its id is a secret of its user."""
        session = new_id()
        self.save(session, data)
        return session

    def load(self, session: str) -> Any:
        """The data of a session; None when it is over."""
        entry: Entry[Any] | None = self._driver.run(_calls.get(self._prefix + session, Any, "linearizable", None))
        return None if entry is None else entry.value

    def save(self, session: str, data: object) -> None:
        """Set the data of a session; its time begins anew."""
        self._driver.run(_calls.put(self._prefix + session, data, self._ttl, _calls.NO_CONDITION, None))

    def touch(self, session: str) -> bool:
        """Begin its time anew; False when it is over."""
        try:
            self._driver.run(_calls.touch(self._prefix + session, self._ttl, _calls.NO_CONDITION))
        except NotFound:
            return False
        return True

    def delete(self, session: str) -> None:
        """End a session."""
        self._driver.run(_calls.delete(self._prefix + session, _calls.NO_CONDITION))


class AsyncSessions:
    """The same for asyncio; see `Sessions`."""

    def __init__(self, driver: "AsyncDriver", prefix: str, ttl: int) -> None:
        self._driver = driver
        self._prefix = prefix
        self._ttl = ttl

    async def create(self, data: object) -> str:
        """A new session; its id is a secret of its user."""
        session = new_id()
        await self.save(session, data)
        return session

    async def load(self, session: str) -> Any:
        """The data of a session; None when it is over."""
        call = _calls.get(self._prefix + session, Any, "linearizable", None)
        entry: Entry[Any] | None = await self._driver.run(call)
        return None if entry is None else entry.value

    async def save(self, session: str, data: object) -> None:
        """Set the data of a session; its time begins anew."""
        await self._driver.run(_calls.put(self._prefix + session, data, self._ttl, _calls.NO_CONDITION, None))

    async def touch(self, session: str) -> bool:
        """Begin its time anew; False when it is over."""
        try:
            await self._driver.run(_calls.touch(self._prefix + session, self._ttl, _calls.NO_CONDITION))
        except NotFound:
            return False
        return True

    async def delete(self, session: str) -> None:
        """End a session."""
        await self._driver.run(_calls.delete(self._prefix + session, _calls.NO_CONDITION))
