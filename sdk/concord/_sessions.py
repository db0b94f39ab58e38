"""Sessions: data under a secret id that is gone when it was not touched for a while.

The key is made of a hash of the id, so that who reads keys (a listing, a log, a backup) cannot be anybody.
"""

import re
from typing import TYPE_CHECKING, Any

from concord import _calls
from concord._driver import Runner
from concord._errors import NotFound
from concord._responses import Entry

if TYPE_CHECKING:
    from concord._async_driver import AsyncRunner  # asyncio is for those who use it

ID_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{43}")


def new_id() -> str:
    """An id that nobody guesses: 256 bits."""
    import secrets  # noqa: PLC0415 - it and hashlib take a tenth of the time of `import concord`

    return secrets.token_urlsafe(ID_BYTES)


def is_id(text: str) -> bool:
    """Whether it looks like an id of `new_id`."""
    return _ID.fullmatch(text) is not None


def key_of(prefix: str, session: str) -> str:
    """The key of a session."""
    import hashlib  # noqa: PLC0415 - likewise

    return prefix + hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()


class Sessions:
    """A store of sessions.

    Args:
        driver: does the calls.
        prefix: of the keys.
        ttl: seconds that a session lives after it was last saved or touched.
    """

    def __init__(self, driver: Runner, prefix: str, ttl: int) -> None:
        self.driver = driver
        self.prefix = prefix
        self.ttl = ttl

    def key(self, session: str) -> str:
        """The key that a session is kept under: `prefix` and a hash of the `session`'s id."""
        return key_of(self.prefix, session)

    def create(self, data: object) -> str:
        """A new session with `data`; the result is its id, a secret of its user."""
        session = new_id()
        self.save(session, data)
        return session

    def load(self, session: str) -> Any:
        """The data of a session; None when it is over."""
        entry: Entry[Any] | None = self.driver.run(_calls.get(self.key(session), Any, _calls.LINEARIZABLE))
        return None if entry is None else entry.value

    def save(self, session: str, data: object) -> None:
        """Set the `data` of a session; its time begins anew. One that is over begins again."""
        self.driver.run(_calls.put(self.key(session), data, self.ttl, _calls.NO_CONDITION, None))

    def touch(self, session: str) -> bool:
        """Begin the time of a session anew; False when it is over."""
        try:
            self.driver.run(_calls.touch(self.key(session), self.ttl, _calls.NO_CONDITION))
        except NotFound:
            return False
        return True

    def delete(self, session: str) -> None:
        """End a session."""
        self.driver.run(_calls.delete(self.key(session), _calls.NO_CONDITION))


class AsyncSessions:
    """The same for asyncio; see `Sessions`."""

    def __init__(self, driver: "AsyncRunner", prefix: str, ttl: int) -> None:
        self.driver = driver
        self.prefix = prefix
        self.ttl = ttl

    def key(self, session: str) -> str:
        """See `Sessions.key`."""
        return key_of(self.prefix, session)

    async def create(self, data: object) -> str:
        """A new session with `data`; the result is its id, a secret of its user."""
        session = new_id()
        await self.save(session, data)
        return session

    async def load(self, session: str) -> Any:
        """The data of a session; None when it is over."""
        call = _calls.get(self.key(session), Any, _calls.LINEARIZABLE)
        entry: Entry[Any] | None = await self.driver.run(call)
        return None if entry is None else entry.value

    async def save(self, session: str, data: object) -> None:
        """Set the `data` of a session; its time begins anew. One that is over begins again."""
        await self.driver.run(_calls.put(self.key(session), data, self.ttl, _calls.NO_CONDITION, None))

    async def touch(self, session: str) -> bool:
        """Begin the time of a session anew; False when it is over."""
        try:
            await self.driver.run(_calls.touch(self.key(session), self.ttl, _calls.NO_CONDITION))
        except NotFound:
            return False
        return True

    async def delete(self, session: str) -> None:
        """End a session."""
        await self.driver.run(_calls.delete(self.key(session), _calls.NO_CONDITION))
