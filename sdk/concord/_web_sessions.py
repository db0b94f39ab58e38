"""Sessions of web frameworks: an opaque id in a cookie, everything else in the cluster. The rules are plans, pure but for ids.

- An id that the store does not know is never taken over: a new session has a new id, so none can be planted beforehand.
- A session that ended meanwhile (somebody logged out in another tab) is not brought back by a request that ends later.
- What did not change is not written; an idle time that begins anew is, when a tenth of it is over.
- With `rotate`, for a login, the data goes on under a new id, and the old one is gone before the new one is known to anybody.
- Of two requests of one session at the same time that both change it, the data of the later one is kept.
"""

import enum
import math
import time
from typing import Any

import msgspec

from concord import _calls
from concord._core import Plan
from concord._errors import InvalidValue, NotFound, PreconditionFailed
from concord._responses import Entry
from concord._sessions import AsyncSessions, Sessions, is_id, key_of, new_id

RENEWED_AFTER = 0.1  # of the idle time


class Rules(msgspec.Struct, frozen=True):
    """Where sessions are, and when they end.

    Attributes:
        prefix: of the keys.
        ttl: seconds.
        rolling: whether they begin anew with each use, or count from when the session was made.
    """

    prefix: str
    ttl: int
    rolling: bool


class Opened(msgspec.Struct, frozen=True):
    """A session as it was at the beginning of a request.

    Attributes:
        id: the secret in the cookie.
        data: JSON.
        ttl: seconds that are left.
        until: when it ends in any case, in seconds since 1970; None when each use moves that.
    """

    id: str
    data: bytes
    ttl: int | None
    until: float | None


class Act(enum.Enum):
    """What becomes of the cookie."""

    KEEP = enum.auto()
    SET = enum.auto()
    CLEAR = enum.auto()


class Cookie(msgspec.Struct, frozen=True):
    """What becomes of the cookie, its value when it is set, and the seconds that it then lives."""

    act: Act
    id: str = ""
    ttl: int = 0


class _Record(msgspec.Struct, frozen=True):
    data: msgspec.Raw
    until: float | None = None


_KEEP, _CLEAR = Cookie(Act.KEEP), Cookie(Act.CLEAR)


def begin(rules: Rules, cookie: str | None, now: float) -> Plan[Opened | None]:
    """The session of a cookie; None when there is none, or not any more. `now` in seconds since 1970."""
    if cookie is None or not is_id(cookie):
        return None
    try:
        entry: Entry[_Record] | None = yield _calls.get(key_of(rules.prefix, cookie), _Record, _calls.LINEARIZABLE)
    except InvalidValue:
        return None
    if entry is None or (entry.value.until is not None and entry.value.until <= now):
        return None
    return Opened(cookie, bytes(entry.value.data), entry.ttl, entry.value.until)


def finish(rules: Rules, opened: Opened | None, data: bytes, *, rotate: bool, now: float) -> Plan[Cookie]:
    """Keep what a request made of its session: `data` is JSON, b"" when nothing is left of it."""
    if opened is not None and (not data or rotate):
        yield _calls.delete(key_of(rules.prefix, opened.id), _calls.NO_CONDITION)
    if not data:
        return _KEEP if opened is None else _CLEAR
    if opened is None or rotate:
        made = Opened(new_id(), data, rules.ttl, None if rules.rolling else now + rules.ttl)
        yield _write(rules, made, data, now, _calls.NO_CONDITION)
        return Cookie(Act.SET, made.id, rules.ttl)
    try:
        if data != opened.data:
            yield _write(rules, opened, data, now, _calls.Conditions(if_absent=False))
        elif rules.rolling and opened.ttl is not None and opened.ttl <= rules.ttl * (1 - RENEWED_AFTER):
            yield _calls.touch(key_of(rules.prefix, opened.id), rules.ttl, _calls.NO_CONDITION)
        else:
            return _KEEP
    except (PreconditionFailed, NotFound):
        return _CLEAR
    return Cookie(Act.SET, opened.id, rules.ttl) if rules.rolling else _KEEP


def _write(rules: Rules, session: Opened, data: bytes, now: float, condition: _calls.Conditions) -> _calls.Call[Any]:
    ttl = rules.ttl if session.until is None else min(rules.ttl, max(1, math.ceil(session.until - now)))
    record = _Record(msgspec.Raw(data), session.until)
    return _calls.put(key_of(rules.prefix, session.id), record, ttl, condition, None)


class WebSessions:
    """The sessions of an application with threads.

    Args:
        sessions: the store.
        rolling: see Rules.
    """

    def __init__(self, sessions: Sessions, *, rolling: bool) -> None:
        self.rules = Rules(sessions.prefix, sessions.ttl, rolling)
        self._driver = sessions.driver

    def begin(self, cookie: str | None) -> Opened | None:
        """See the function."""
        return self._driver.follow(begin(self.rules, cookie, time.time()))

    def finish(self, opened: Opened | None, data: bytes, *, rotate: bool) -> Cookie:
        """See the function."""
        return self._driver.follow(finish(self.rules, opened, data, rotate=rotate, now=time.time()))


class AsyncWebSessions:
    """The same for asyncio."""

    def __init__(self, sessions: AsyncSessions, *, rolling: bool) -> None:
        self.rules = Rules(sessions.prefix, sessions.ttl, rolling)
        self._driver = sessions.driver

    async def begin(self, cookie: str | None) -> Opened | None:
        """See the function."""
        return await self._driver.follow(begin(self.rules, cookie, time.time()))

    async def finish(self, opened: Opened | None, data: bytes, *, rotate: bool) -> Cookie:
        """See the function."""
        return await self._driver.follow(finish(self.rules, opened, data, rotate=rotate, now=time.time()))
