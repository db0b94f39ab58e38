"""What a process of clients keeps open as long as it lives: a copy of the flags, and an instance that is registered."""

import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

import msgspec

from concord import ConcordError, Read
from concord._flags import FlagCache
from tests.chaos.sdk.blocking import Client
from tests.chaos.sdk.evidence import Glance, Listing, Stay
from tests.chaos.sdk.notes import Notes

FLAGS = "f/"
SERVICE = "sdk"
RESIDENT_TTL_S = 3
AGREE_S = 30.0
"""For a copy of the flags to agree with the cluster once nothing is struck nor written any more: over the 25 s in which a watch
notices a connection that is silent. It takes a fraction of a second otherwise."""
PAUSE_S = 0.1


def resident(process: int) -> str:
    """The name of the instance of a process, by the number of its first client."""
    return f"resident-{process}"


class Visit:
    """A registration of an instance, and what is noted of it.

    Args:
        client: registers it.
        notes: of who does.
        instance: its name.
        number: of the visit, unique.
        ttl_s: of the registration.
    """

    def __init__(self, client: Client, notes: Notes, instance: str, number: int, ttl_s: int) -> None:
        self._client = client
        self._notes = notes
        self._stay = Stay(number, instance, ttl_s, 0)
        self._stack = AsyncExitStack()

    async def enter(self) -> ConcordError | None:
        """Register it, or why that failed."""
        stay = self._stay
        registering = self._client.service(SERVICE).register(
            stay.instance, "127.0.0.1", 1, metadata={"number": stay.number}, ttl=stay.ttl_s
        )
        told = await self._notes.ask("service.register", self._stack.enter_async_context(registering), is_write=True)
        stay = msgspec.structs.replace(stay, called_ns=self._notes.called_ns)
        if isinstance(told, ConcordError):
            refused = msgspec.structs.replace(stay, is_refused=told.applied is False)
            self._notes.evidence.stays.append(refused)
            return told
        self._stay = msgspec.structs.replace(stay, entered_ns=self._notes.returned_ns)
        return None

    async def leave(self) -> ConcordError | None:
        """Take it out, or why that failed. A heartbeat that is under way is waited for."""
        told = await self._notes.ask("service.deregister", self._stack.aclose(), is_write=True, more_s=self._stay.ttl_s)
        left_ns = None if told else self._notes.returned_ns
        left = msgspec.structs.replace(self._stay, leaving_ns=self._notes.called_ns, left_ns=left_ns)
        self._notes.evidence.stays.append(left)
        return told


async def list_instances(client: Client, notes: Notes) -> None:
    """List the service, and note it."""
    found = await notes.ask("service.instances", client.service(SERVICE).instances())
    if isinstance(found, list):
        numbers = {one.instance: one.metadata["number"] for one in found}
        left_s = {one.instance: one.ttl or 0 for one in found}
        notes.evidence.listings.append(Listing(notes.called_ns, notes.returned_ns, numbers, left_s))


class Household:
    """See above.

    Args:
        client: of the process.
        number: of its first client.
        notes: of this.
        sleep: how it waits.
    """

    def __init__(self, client: Client, number: int, notes: Notes, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.notes = notes
        self._client = client
        self._number = number
        self._sleep = sleep
        self._stack = AsyncExitStack()
        self._visit = Visit(client, notes, resident(number), -1 - number, RESIDENT_TTL_S)
        self._flags: FlagCache | None = None

    async def open(self) -> None:
        """Begin, while all is well."""
        self._flags = await self._stack.enter_async_context(self._client.flags(FLAGS))
        if (error := await self._visit.enter()) is not None:
            raise error

    def glance(self, name: str) -> Glance:
        """Look at a flag. The age is from before: what came with a later sign of life may not be in the value yet."""
        assert self._flags is not None
        called_ns, age_s = time.monotonic_ns(), self._flags.age_s
        value = self._flags.get(name)
        return Glance(self._number, f"{FLAGS}{name}", value, called_ns, time.monotonic_ns(), age_s)

    async def close(self, names: Iterable[str]) -> None:
        """End, when nothing is struck nor written any more. The flags of these names must agree with the cluster first."""
        await self._agree(list(names))
        await self._visit.leave()
        await self._stack.aclose()

    async def _agree(self, names: list[str]) -> None:
        until = time.monotonic() + AGREE_S
        assert self._flags is not None
        while differing := await self._differing(names):
            if time.monotonic() > until:
                self.notes.fault(
                    f"flags do not agree after {AGREE_S} s of quiet, error {self._flags.error}: {differing}"
                )
                return
            await self._sleep(PAUSE_S)

    async def _differing(self, names: list[str]) -> list[str]:
        found = await self.notes.ask("get_many of flags", self._client.get_many([f"{FLAGS}{name}" for name in names]))
        if not isinstance(found, Read) or found.errors:
            return [f"not read: {found}"]
        pairs = [(name, found.values.get(f"{FLAGS}{name}"), self.glance(name).value) for name in names]
        return [f"{name} is {kept!r}, told {told!r}" for name, kept, told in pairs if kept != told]
