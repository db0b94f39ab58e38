"""What the sync client keeps alive in threads of its own: a lock that is held, an instance that is registered."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from concord import _coordination
from concord._calls import Call
from concord._coordination import Instance, Permit
from concord._driver import Runner
from concord._errors import ConcordError, Conflict, LockLost
from concord._leases import Heartbeat, Lease

_log = logging.getLogger("concord")


class Keeper:
    """A thread that renews a lease until it is stopped or the lease is over, or the renewal fails on a defect, which is logged.

    Args:
        what: is kept, for the log.
        lease: for how long.
        renew: renews it, within a number of seconds; a Conflict says that it is lost.
        clock: monotonic, in seconds.
        lost: is set when it is over.

    Attributes:
        defect: the exception, not one of this package, that a renewal failed on; None when none did.
    """

    def __init__(
        self,
        what: str,
        lease: Lease,
        renew: Callable[[float], object],
        clock: Callable[[], float],
        lost: threading.Event,
    ) -> None:
        self.defect: Exception | None = None
        self._what = what
        self._lease = lease
        self._renew = renew
        self._clock = clock
        self._lost = lost
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="concord-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; waits for a renewal that is under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        lease, clock = self._lease, self._clock
        while not self._stopping.wait(lease.pause_s(clock())):
            now = clock()
            if lease.is_over(now):
                break
            try:
                self._renew(lease.left_s(now))
                lease.renewed(now)
            except Conflict:
                break
            except ConcordError:
                lease.failed(clock())
            except Exception as defect:  # noqa: BLE001 - it is logged, and told
                self.defect = defect
                _log.exception("%s is not kept any more", self._what)
                break
        if not self._stopping.is_set() or lease.is_over(clock()):
            self._lost.set()


class Lock:
    """A lock that is held within a `with`, and renewed in a thread of its own.

    When it is lost, the body goes on, because a thread cannot be stopped: look at `lost`, or call `check()` before what
    must not happen twice, and write with `if_fence=lock.fence`. At the end of the body LockLost is raised.

    Attributes:
        name: of the lock.
        owner: who holds it; new for each Lock.
        lost: set as soon as another may hold it, or it is not renewed any more.
    """

    def __init__(self, driver: Runner, name: str, ttl: int, wait: float | None) -> None:
        self.name = name
        self.owner = _coordination.new_owner()
        self.lost = threading.Event()
        self._driver = driver
        self._ttl = ttl
        self._wait = wait
        self._fence: int | None = None
        self._lease: Lease | None = None
        self._keeper: Keeper | None = None

    def __repr__(self) -> str:  # without the owner, by which others could give it back
        held = "not held" if self._fence is None else f"held, fence {self._fence}"
        return f"<{type(self).__name__} {self.name!r}, {held}>"

    @property
    def fence(self) -> int:
        """Rises each time the lock changes hands; for `if_fence`."""
        if self._fence is None:
            raise LockLost(f"the lock {self.name} is not held")
        return self._fence

    def check(self) -> None:
        """Raise LockLost if the lock is lost, also when the thread that renews it has not come to notice."""
        if self.lost.is_set() or (self._lease is not None and self._lease.is_over(self._driver.clock())):
            raise LockLost(f"the lock {self.name} is lost") from (self._keeper.defect if self._keeper else None)

    def __enter__(self) -> Self:
        driver = self._driver
        self.lost.clear()
        plan = _coordination.take_lock(self.name, self.owner, self._ttl, wait_s=self._wait, clock=driver.clock)
        grant = driver.follow(plan)
        self._fence = grant.fence
        renewal = _coordination.lock_renew(self.name, self.owner, grant.fence, self._ttl)
        self._lease = lease = Lease(self._ttl, grant.sent_at)
        self._keeper = Keeper(
            f"the lock {self.name}", lease, lambda left_s: driver.run(renewal, left_s), driver.clock, self.lost
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fence, self._fence = self.fence, None
        if self._keeper is not None:
            self._keeper.stop()
        if not self.lost.is_set():
            try:
                self._driver.run(_coordination.lock_release(self.name, self.owner, fence))
            except Conflict:
                pass  # it was sure a moment ago, so the answer to a first attempt was lost
            except ConcordError as failure:
                _log.warning("the lock %s was not given back and runs out by itself: %s", self.name, failure)
        elif error is None:
            self.check()


class Limiter:
    """A rate limit, exact over all who use its name: `limit` in each `window` seconds."""

    def __init__(self, driver: Runner, call: Callable[[int], Call[Permit]]) -> None:
        self._driver = driver
        self._call = call

    def acquire(self, cost: int = 1, *, timeout: float | None = None) -> Permit:
        """Take `cost` out of it, if that is there: see `.allowed`."""
        return self._driver.run(self._call(cost), timeout)

    def wait(self, cost: int = 1, *, wait: float | None = None) -> Permit:
        """Take `cost` out of it as soon as that is there; raises Timeout if that is not within `wait` seconds."""
        return self._driver.follow(
            _coordination.wait_for_permit(self._call(cost), wait_s=wait, clock=self._driver.clock)
        )


class Registration:
    """An instance that is registered within a `with`, kept by heartbeats from a thread, and taken out at its end."""

    def __init__(self, driver: Runner, service: str, instance: Instance, ttl: int) -> None:
        self._driver = driver
        self._service = service
        self._instance = instance
        self._ttl = ttl
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        driver = self._driver
        sent_at = driver.clock()
        driver.run(_coordination.register(self._service, self._instance, self._ttl))
        what = f"the instance {self._instance.instance} of {self._service}"
        self._keeper = Keeper(what, Heartbeat(self._ttl, sent_at), self._beat, driver.clock, threading.Event())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.stop()
        self._driver.run(_coordination.deregister(self._service, self._instance.instance))

    def _beat(self, left_s: float) -> None:
        try:
            self._driver.follow(_coordination.heartbeat(self._service, self._instance, self._ttl), left_s)
        except ConcordError as failure:
            _log.warning("the instance %s of %s had no heartbeat: %s", self._instance.instance, self._service, failure)
            raise


class Service:
    """A service by its name."""

    def __init__(self, driver: Runner, name: str) -> None:
        self._driver = driver
        self._name = name

    def register(
        self, instance: str, address: str, port: int, *, metadata: object = None, ttl: int = 10
    ) -> Registration:
        """An instance that lives within a `with`, whose end raises if it could not be taken out.

        Args:
            instance: its name, one of the service's.
            address: where it is.
            port: where it listens.
            metadata: any JSON that says more of it.
            ttl: seconds after which it is gone when its process died.
        """
        return Registration(self._driver, self._name, Instance(instance, address, port, metadata), ttl)

    def instances(self, *, timeout: float | None = None) -> list[Instance]:
        """The living ones, in the order of their names."""
        return self._driver.follow(_coordination.instances(self._name), timeout)
