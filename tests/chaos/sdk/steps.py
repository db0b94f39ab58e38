"""What clients do, one step at a time, and what each step says of the history: calls about one key.

Keys change every `PERIOD_S`, so that outcomes which stay unknown do not pile up on any of them.
"""

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from concord import ConcordError, Entry, NotFound, PreconditionFailed
from tests.chaos.sdk.blocking import Client
from tests.chaos.sdk.notes import Notes
from tests.linearizability import Kind
from tests.linearizability.watching import DELETE, PUT, Written

PERIOD_S = 20.0
PLAIN_KEYS, MORTAL_KEYS, COUNTERS, OWN_KEYS, FLAG_NAMES = 16, 6, 4, 4, 4
TTL_S_MAX = 4
BY_MAX = 9
OWN_MORTAL, OWN_DELETED = 0.1, 0.2  # shares of the writes to watched keys
WATCHED = "w/"


class Keys:
    """The names of a period, which is a function of the time.

    Args:
        began_ns: when the first began.
    """

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns

    @property
    def prefix(self) -> str:
        """That of all keys of the present period."""
        return f"p{self._period}"

    @property
    def _period(self) -> int:
        return int((time.monotonic_ns() - self._began_ns) / 1e9 / PERIOD_S)

    @property
    def plain(self) -> list[str]:
        """Keys that never expire."""
        prefix = self.prefix
        return [f"{prefix}/k{number}" for number in range(PLAIN_KEYS)]

    def mortal(self, rng: random.Random) -> str:
        """A key that may expire."""
        return f"{self.prefix}/t{rng.randrange(MORTAL_KEYS)}"

    def counter(self, rng: random.Random) -> str:
        """A number."""
        return f"{self.prefix}/c{rng.randrange(COUNTERS)}"

    def flag(self, rng: random.Random, *, back_max: int = 0) -> str:
        """The name of a flag of the present period, or of one at most so many before."""
        period = self._period
        return f"p{max(0, period - rng.randint(0, back_max))}/{rng.randrange(FLAG_NAMES)}"

    def all_flags(self) -> list[str]:
        """The names of all flags so far."""
        return [f"p{period}/{number}" for period in range(self._period + 1) for number in range(FLAG_NAMES)]


class Single:
    """Calls about one key.

    Args:
        client: what is tried.
        notes: of what it does.
        rng: decides.
        keys: of all clients.
    """

    def __init__(self, client: Client, notes: Notes, rng: random.Random, keys: Keys) -> None:
        self.client = client
        self.notes = notes
        self.rng = rng
        self.keys = keys
        self.numbers = 0
        self._floor: dict[str, int] = {}  # what a stale read of an own key must know at least

    def weighted(self) -> list[tuple[Callable[[], Awaitable[None]], int]]:
        """The steps, and how often each is wanted."""
        return [
            (self.put, 14),
            (self.read, 16),
            (self.delete, 3),
            (self.put_if_value, 4),
            (self.put_if_revision, 4),
            (self.put_if_absent, 3),
            (self.increment, 12),
            (self.put_mortal, 5),
            (self.read_mortal, 5),
            (self.touch, 3),
            (self.write_own, 12),
            (self.read_own_stale, 6),
        ]

    def value(self, key: str) -> str:
        """A new one, that nobody else writes."""
        self.numbers += 1
        return f"{key}={self.notes.client}.{self.numbers}"

    async def put(self) -> None:
        await self.write(self.rng.choice(self.keys.plain))

    async def put_mortal(self) -> None:
        ttl_s = self.rng.randint(1, TTL_S_MAX) if self.rng.random() < 0.8 else None
        await self.write(self.keys.mortal(self.rng), ttl_s)

    async def write(self, key: str, ttl_s: int | None = None) -> None:
        """Put a key to a new value."""
        value = self.value(key)
        opened = self.notes.opened(Kind.PUT, key, value, ttl_s)
        revision = await self.notes.ask("put", self.client.put(key, value, ttl=ttl_s), [opened])
        if isinstance(revision, int):
            self.notes.done(opened, revision=revision)

    async def read(self) -> None:
        await self.look(self.rng.choice(self.keys.plain))

    async def read_mortal(self) -> None:
        await self.look(self.keys.mortal(self.rng))

    async def look(self, key: str) -> Entry[Any] | ConcordError | None:
        """Read a key, and note it."""
        found = await self.notes.ask("get", self.client.entry(key))
        if isinstance(found, Entry):
            self.notes.read(key, found.value, found.revision)
        elif found is None:
            self.notes.read(key, None)
        return found

    async def delete(self) -> None:
        await self.remove(self.rng.choice(self.keys.plain))

    async def remove(self, key: str) -> None:
        """Delete a key."""
        opened = self.notes.opened(Kind.DELETE, key)
        was_there = await self.notes.ask("delete", self.client.delete(key), [opened])
        if isinstance(was_there, bool):
            self.notes.done(opened, was_there)

    async def put_if_value(self) -> None:
        found = await self.look(self.rng.choice(self.keys.plain))
        if isinstance(found, Entry):
            await self._put_if(found.key, found.value, if_value=found.value)

    async def put_if_revision(self) -> None:
        found = await self.look(key := self.rng.choice(self.keys.plain))
        if found is None:
            await self._put_if(key, None, if_revision=0)
        elif isinstance(found, Entry):
            await self._put_if(key, found.value, if_revision=found.revision)

    async def put_if_absent(self) -> None:
        await self._put_if(self.rng.choice(self.keys.plain), None, if_absent=True)

    async def _put_if(self, key: str, expected: str | None, **condition: Any) -> None:
        value = self.value(key)
        opened = self.notes.opened(Kind.CAS, key, (expected, value))
        call = self.client.put(key, value, **condition)
        told = await self.notes.ask("conditional put", call, [opened], [PreconditionFailed])
        if isinstance(told, int):
            self.notes.done(opened, result=True, revision=told)
        elif isinstance(told, PreconditionFailed):
            self.notes.done(opened, result=False)

    async def increment(self) -> None:
        key, by = self.keys.counter(self.rng), self.rng.randint(1, BY_MAX)
        opened = self.notes.opened(Kind.INCREMENT, key, by)
        number = await self.notes.ask("increment", self.client.increment(key, by), [opened])
        if isinstance(number, int):
            self.notes.done(opened, number)

    async def touch(self) -> None:
        key, ttl_s = self.keys.mortal(self.rng), self.rng.randint(1, TTL_S_MAX)
        opened = self.notes.opened(Kind.TOUCH, key, ttl_s=ttl_s)
        told = await self.notes.ask("touch", self.client.touch(key, ttl_s), [opened], [NotFound])
        if isinstance(told, int):
            self.notes.done(opened, result=True)
        elif isinstance(told, NotFound):
            self.notes.done(opened, result=False)

    async def write_own(self) -> None:
        """Write a key that only this client writes, and that is watched."""
        key, draw = f"{WATCHED}{self.notes.client}/{self.rng.randrange(OWN_KEYS)}", self.rng.random()
        is_mortal = draw < OWN_MORTAL
        floor = self._floor.pop(key, None)
        if not is_mortal and draw < OWN_MORTAL + OWN_DELETED:
            await self._delete_own(key)
            return
        value = self.value(key)
        opened = self.notes.opened(Kind.PUT, key, value, 1 if is_mortal else None)
        call = self.client.put(key, value, ttl=1 if is_mortal else None)
        told = await self.notes.ask("watched put", call, [opened])
        if isinstance(told, int):
            self.notes.done(opened, revision=told)
            self.notes.written.append(Written(key, PUT, value, told, is_mortal))
            floor = None if is_mortal else told
        elif told.applied == "unknown":
            self.notes.written.append(Written(key, PUT, value, None, is_mortal))
            floor = None
        if floor is not None:
            self._floor[key] = floor

    async def _delete_own(self, key: str) -> None:
        opened = self.notes.opened(Kind.DELETE, key)
        was_there = await self.notes.ask("watched delete", self.client.delete(key), [opened])
        if isinstance(was_there, bool):
            self.notes.done(opened, was_there)
        if was_there is True or (isinstance(was_there, ConcordError) and was_there.applied == "unknown"):
            self.notes.written.append(Written(key, DELETE))

    async def read_own_stale(self) -> None:
        """A stale read knows what this client wrote."""
        if not self._floor:
            return
        key = self.rng.choice(sorted(self._floor))
        found = await self.notes.ask("stale get", self.client.entry(key, consistency="stale"))
        if not isinstance(found, ConcordError) and (found is None or found.revision < self._floor[key]):
            self.notes.fault(f"a stale read of {key} is {found}, this client wrote revision {self._floor[key]}")
