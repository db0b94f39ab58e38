"""What clients do with several keys at once: bulk calls, listings, transactions, and sections under a lock."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from concord import ConcordError, Conflict, Entry, LockLost, PreconditionFailed, Read, Txn, TxnResult, UnknownOutcome
from concord import Written as WrittenMany
from concord._held import Lock
from tests.chaos.sdk.notes import Guarded, Held, Notes
from tests.chaos.sdk.steps import BY_MAX, Single
from tests.linearizability import Kind, Operation

PAIRS, SWAPS, LOCKS = 3, 3, 3
MANY_MAX = 10
LOCK_TTL_S = 2
LOCK_WAIT_S = 3.0
HOLDS_S = (0.0, 0.0, 0.1, 0.5, 3.0)


class Together:
    """Calls about several keys.

    Args:
        single: the calls of the same client about one key.
        sleep: how it waits.
    """

    def __init__(self, single: Single, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._single = single
        self._client = single.client
        self._notes: Notes = single.notes
        self._rng = single.rng
        self._keys = single.keys
        self._sleep = sleep

    def weighted(self) -> list[tuple[Callable[[], Awaitable[None]], int]]:
        """The steps, and how often each is wanted."""
        return [
            (self.put_many, 4),
            (self.get_many, 4),
            (self.delete_many, 1),
            (self.scan, 4),
            (self.move, 5),
            (self.audit, 5),
            (self.swap, 5),
            (self.section, 4),
        ]

    def _some(self) -> list[str]:
        return self._rng.sample(self._keys.plain, self._rng.randint(2, MANY_MAX))

    # --- bulk

    async def put_many(self) -> None:
        values = {key: self._single.value(key) for key in self._some()}
        opened = {key: self._notes.opened(Kind.PUT, key, value) for key, value in values.items()}
        told = await self._notes.ask("put_many", self._client.put_many(values), list(opened.values()))
        self._written("put_many", told, opened)

    async def delete_many(self) -> None:
        opened = {key: self._notes.opened(Kind.DELETE, key) for key in self._some()}
        told = await self._notes.ask("delete_many", self._client.delete_many(opened), list(opened.values()))
        self._written("delete_many", told, opened)

    def _written(self, what: str, told: WrittenMany | ConcordError, opened: Mapping[str, Operation]) -> None:
        if isinstance(told, ConcordError):
            return
        if sorted([*told.done, *told.errors]) != sorted(opened):
            self._notes.fault(f"{what} of {sorted(opened)} tells of {told}")
        for key in told.done:
            self._notes.done(opened[key])
        for key, error in told.errors.items():
            self._notes.failed(f"{what}, item", error, (), is_write=True)
            if error.applied == "unknown":
                self._notes.operations.append(opened[key])

    async def get_many(self) -> None:
        wanted = self._some()
        found = await self._notes.ask("get_many", self._client.get_many(wanted))
        if not isinstance(found, Read):
            return
        if sorted([*found.entries, *found.missing, *found.errors]) != sorted(wanted):
            self._notes.fault(f"get_many of {wanted} tells of {found}")
        for key, entry in found.entries.items():
            self._notes.read(key, entry.value, entry.revision)
        for key in found.missing:
            self._notes.read(key, None)
        for error in found.errors.values():
            self._notes.failed("get_many, item", error, (), is_write=False)

    async def scan(self) -> None:
        """List all plain keys: each as it was at some time meanwhile, and those that are not listed were not there."""
        keys = self._keys.plain
        found: list[Entry[Any]] = []

        async def listed() -> None:
            async for entry in self._client.scan(keys[0].removesuffix("0")):
                found.append(entry)  # noqa: PERF401 - what was listed before a failure counts, too

        told = await self._notes.ask("scan", listed())
        names = [entry.key for entry in found]
        if names != sorted(set(names)) or not set(names) <= set(keys):
            self._notes.fault(f"scan listed {names}")
        for entry in found:
            self._notes.read(entry.key, entry.value, entry.revision)
        if told is None:
            for key in set(keys) - set(names):
                self._notes.read(key, None)

    # --- transactions

    def _pair(self) -> tuple[str, str]:
        tag = f"{{{self._keys.prefix}.b{self._rng.randrange(PAIRS)}}}"
        return f"{tag}left", f"{tag}right"

    async def move(self) -> None:
        """Take from one number what is given to another."""
        (left, right), by = self._pair(), self._rng.randint(1, BY_MAX)
        txn = Txn()
        txn.then.increment(left, -by).increment(right, by)
        opened = [self._notes.opened(Kind.INCREMENT, left, -by), self._notes.opened(Kind.INCREMENT, right, by)]
        told = await self._notes.ask("txn", self._client.commit(txn), opened)
        if isinstance(told, TxnResult):
            for one, result in zip(opened, told.results, strict=True):
                self._notes.done(one, result.value)

    async def audit(self) -> None:
        """Read two numbers at once: nothing was taken that was not given; and two values that are only put together."""
        pair = self._pair()
        tag = f"{{{self._keys.prefix}.s{self._rng.randrange(SWAPS)}}}"
        moved = await self._read_both(*pair)
        if moved is not None and (moved[0] or 0) + (moved[1] or 0) != 0:
            self._notes.fault(f"{pair} are {moved} at once")
        swapped = await self._read_both(f"{tag}a", f"{tag}b")
        if swapped is not None and swapped[0] != swapped[1]:
            self._notes.fault(f"{tag}a and {tag}b are {swapped} at once")

    async def _read_both(self, one: str, other: str) -> tuple[Any, Any] | None:
        txn = Txn()
        txn.then.get(one).get(other)
        told = await self._notes.ask("txn that reads", self._client.commit(txn), [])
        if not isinstance(told, TxnResult):
            return None
        for result in told.results:
            self._notes.read(result.key, result.value)
        return told.results[0].value, told.results[1].value

    async def swap(self) -> None:
        """Put two keys to the same value, if the first is what it was."""
        tag = f"{{{self._keys.prefix}.s{self._rng.randrange(SWAPS)}}}"
        a, b = f"{tag}a", f"{tag}b"
        found = await self._single.look(a)
        if isinstance(found, ConcordError):
            return
        value, before = self._single.value(tag), None if found is None else found.value
        txn = Txn().if_exists(a, exists=False) if found is None else Txn().if_value(a, found.value)
        txn.then.put(a, value).put(b, value)
        txn.otherwise.get(b)
        opened = [self._notes.opened(Kind.CAS, a, (before, value)), self._notes.opened(Kind.PUT, b, value)]
        told = await self._notes.ask("txn with comparison", self._client.commit(txn), opened)
        if isinstance(told, ConcordError):
            return
        self._notes.done(opened[0], told.succeeded, told.revision if told.succeeded else None)
        if told.succeeded:
            self._notes.done(opened[1], revision=told.revision)
        else:
            self._notes.read(b, told.results[0].value)

    # --- locks

    async def section(self) -> None:
        """Add one to a number by reading and writing it under a lock and its fence."""
        name = f"{self._keys.prefix}.{self._rng.randrange(LOCKS)}"
        refusals = (Conflict, LockLost, UnknownOutcome)
        try:
            async with self._client.lock(name, ttl=LOCK_TTL_S, wait=LOCK_WAIT_S) as lock:
                from_ns = time.monotonic_ns()
                await self._add(f"{name}/section", lock.fence)
                await self._sleep(self._rng.choice(HOLDS_S))
                until_ns = time.monotonic_ns()
                await self._sleep(0.0)
                if isinstance(lock, Lock):
                    lock.check()
                self._notes.held.append(Held(name, lock.fence, from_ns, until_ns))
        except ConcordError as error:
            self._notes.failed("lock", error, refusals, is_write=False)
        else:
            self._notes.outcomes["lock: done"] += 1

    async def _add(self, key: str, fence: int) -> None:
        found = await self._single.look(key)
        if isinstance(found, ConcordError):
            return
        number, revision = (0, 0) if found is None else (found.value, found.revision)
        opened = self._notes.opened(Kind.CAS, key, (number or None, number + 1))
        call = self._client.put(key, number + 1, if_fence=fence, if_revision=revision)
        told = await self._notes.ask("put under a fence", call, [opened], [PreconditionFailed])
        if isinstance(told, int):
            self._notes.done(opened, result=True, revision=told)
            self._notes.guarded.append(Guarded(key, told, fence))
