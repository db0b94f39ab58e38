"""What the asyncio client keeps alive in tasks of its own: a lock that is held, an instance that is registered."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from concord import _coordination
from concord._async_driver import AsyncRunner
from concord._calls import Call
from concord._coordination import Instance, Permit
from concord._errors import ConcordError, Conflict, LockLost
from concord._leases import Heartbeat, Lease
from concord._settled import settled

RELEASE_S_MAX = 5.0  # that who is cancelled may have to wait until what it held is given back
_log = logging.getLogger("concord")


class AsyncKeeper:
    """A task that renews a lease until it is stopped or the lease is over, or the renewal fails on a defect, which is logged.

    Args:
        what: is kept, for the log.
        lease: for how long.
        renew: renews it, within a number of seconds; a Conflict says that it is lost.
        clock: monotonic, in seconds.
        on_lost: is called when it is over.

    Attributes:
        defect: the exception, not one of this package, that a renewal failed on; None when none did.
    """

    def __init__(
        self,
        what: str,
        lease: Lease,
        renew: Callable[[float], Awaitable[object]],
        clock: Callable[[], float],
        on_lost: Callable[[], object],
    ) -> None:
        self.defect: Exception | None = None
        self._what = what
        self._lease = lease
        self._renew = renew
        self._clock = clock
        self._on_lost = on_lost
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Renew no more."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        lease, clock = self._lease, self._clock
        while True:
            await asyncio.sleep(lease.pause_s(clock()))
            now = clock()
            if lease.is_over(now):
                break
            try:
                await self._renew(lease.left_s(now))
                lease.renewed(now)
            except Conflict:
                break
            except ConcordError:
                lease.failed(clock())
            except Exception as defect:  # noqa: BLE001 - it is logged, and told
                self.defect = defect
                _log.exception("%s is not kept any more", self._what)
                break
        self._on_lost()


class AsyncLock:
    """A lock that is held within an `async with`, and renewed in a task of its own.

    When it is lost, the body is cancelled, and LockLost is raised from the `async with`, as asyncio.timeout does. What the
    body had sent by then may still arrive: write with `if_fence=lock.fence`.

    Attributes:
        name: of the lock.
        owner: who holds it; new for each AsyncLock.
    """

    def __init__(self, driver: AsyncRunner, name: str, ttl: int, wait: float | None) -> None:
        self.name = name
        self.owner = _coordination.new_owner()
        self._driver = driver
        self._ttl = ttl
        self._wait = wait
        self._fence: int | None = None
        self._is_lost = False
        self._keeper: AsyncKeeper | None = None
        self._body: asyncio.Task[object] | None = None
        self._cancelling = 0

    def __repr__(self) -> str:  # without the owner, by which others could give it back
        held = "not held" if self._fence is None else f"held, fence {self._fence}"
        return f"<{type(self).__name__} {self.name!r}, {held}>"

    @property
    def fence(self) -> int:
        """Rises each time the lock changes hands; for `if_fence`."""
        if self._fence is None:
            raise LockLost(f"the lock {self.name} is not held")
        return self._fence

    async def __aenter__(self) -> Self:
        driver = self._driver
        plan = _coordination.take_lock(self.name, self.owner, self._ttl, wait_s=self._wait, clock=driver.clock)
        try:
            grant = await driver.follow(plan)
        except asyncio.CancelledError:
            await settled(self._withdraw())  # it may have been granted, or be about to
            raise
        self._fence, self._is_lost, self._body = grant.fence, False, asyncio.current_task()
        self._cancelling = self._body.cancelling() if self._body else 0
        renewal = _coordination.lock_renew(self.name, self.owner, grant.fence, self._ttl)
        lease = Lease(self._ttl, grant.sent_at)
        self._keeper = AsyncKeeper(
            f"the lock {self.name}", lease, lambda left_s: driver.run(renewal, left_s), driver.clock, self._lose
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fence, keeper, cancelled = self.fence, self._keeper, None
        self._fence = self._keeper = None
        try:
            await settled(self._give_back(fence, keeper))
        except asyncio.CancelledError as cancellation:
            cancelled = cancellation
        if self._is_lost and (self._body is None or self._body.uncancel() <= self._cancelling):
            if kind in self._REPLACED:
                raise LockLost(f"the lock {self.name} is lost") from (keeper and keeper.defect) or error
        elif cancelled is not None:
            raise cancelled

    async def _give_back(self, fence: int, keeper: AsyncKeeper | None) -> None:
        if keeper is not None:
            await keeper.stop()
        if self._is_lost:
            return
        try:
            await self._driver.run(_coordination.lock_release(self.name, self.owner, fence), RELEASE_S_MAX)
        except Conflict:
            pass  # it was sure a moment ago, so the answer to a first attempt was lost
        except ConcordError as failure:
            self._warn(failure)

    async def _withdraw(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_S_MAX):
                await self._driver.follow(_coordination.withdraw_lock(self.name, self.owner), RELEASE_S_MAX)
        except (ConcordError, TimeoutError) as failure:
            self._warn(failure)

    def _warn(self, failure: Exception) -> None:
        _log.warning("the lock %s was not given back and runs out by itself: %s", self.name, failure)

    _REPLACED = (None, asyncio.CancelledError)

    def _lose(self) -> None:
        self._is_lost = True
        if self._body is not None:
            self._body.cancel()


class AsyncLimiter:
    """A rate limit, exact over all who use its name: `limit` in each `window` seconds."""

    def __init__(self, driver: AsyncRunner, call: Callable[[int], Call[Permit]]) -> None:
        self._driver = driver
        self._call = call

    async def acquire(self, cost: int = 1, *, timeout: float | None = None) -> Permit:
        """Take `cost` out of it, if that is there: see `.allowed`."""
        return await self._driver.run(self._call(cost), timeout)

    async def wait(self, cost: int = 1, *, wait: float | None = None) -> Permit:
        """Take `cost` out of it as soon as that is there; raises Timeout if that is not within `wait` seconds."""
        return await self._driver.follow(
            _coordination.wait_for_permit(self._call(cost), wait_s=wait, clock=self._driver.clock)
        )


class AsyncRegistration:
    """An instance that is registered within an `async with`, kept by heartbeats from a task, and taken out at its end."""

    def __init__(self, driver: AsyncRunner, service: str, instance: Instance, ttl: int) -> None:
        self._driver = driver
        self._service = service
        self._instance = instance
        self._ttl = ttl
        self._keeper: AsyncKeeper | None = None

    async def __aenter__(self) -> Self:
        driver = self._driver
        sent_at = driver.clock()
        await driver.run(_coordination.register(self._service, self._instance, self._ttl))
        what = f"the instance {self._instance.instance} of {self._service}"
        self._keeper = AsyncKeeper(what, Heartbeat(self._ttl, sent_at), self._whole_beat, driver.clock, lambda: None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await settled(self._leave())

    async def _leave(self) -> None:
        if self._keeper is not None:
            await self._keeper.stop()
        await self._driver.run(_coordination.deregister(self._service, self._instance.instance))

    async def _whole_beat(self, left_s: float) -> None:
        """One that is under way at the end is waited for: what it sets again must not come after what takes it out."""
        await settled(self._beat(left_s))

    async def _beat(self, left_s: float) -> None:
        try:
            await self._driver.follow(_coordination.heartbeat(self._service, self._instance, self._ttl), left_s)
        except ConcordError as failure:
            _log.warning("the instance %s of %s had no heartbeat: %s", self._instance.instance, self._service, failure)
            raise


class AsyncService:
    """A service by its name."""

    def __init__(self, driver: AsyncRunner, name: str) -> None:
        self._driver = driver
        self._name = name

    def register(
        self, instance: str, address: str, port: int, *, metadata: object = None, ttl: int = 10
    ) -> AsyncRegistration:
        """An instance that lives within an `async with`, whose end raises if it could not be taken out.

        Args:
            instance: its name, one of the service's.
            address: where it is.
            port: where it listens.
            metadata: any JSON that says more of it.
            ttl: seconds after which it is gone when its process died.
        """
        return AsyncRegistration(self._driver, self._name, Instance(instance, address, port, metadata), ttl)

    async def instances(self, *, timeout: float | None = None) -> list[Instance]:
        """The living ones, in the order of their names."""
        return await self._driver.follow(_coordination.instances(self._name), timeout)
