"""Liveness, and readiness: whether a load balancer should send requests here.

Ready means that the map is complete and fresh and that the leader of every group has lately answered a request that
needs a quorum. Traffic is proof enough; for groups without any, a probe sends a linearizable read of no keys.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable

import msgspec

from gateway.answers import JSON_TYPE, OK, Answer
from gateway.caller import GroupCaller
from gateway.errors import ApiCode, ApiError
from gateway.requests import Request, switch
from gateway.router import Router
from process.clock import Clock, Sleep, loop_time
from wire.errors import RpcError
from wire.messages import ReadRequest
from wire.methods import READ

SERVICE = "concord-api"
PROBES_AT_ONCE = 32


class HealthPace(msgspec.Struct, frozen=True, kw_only=True):
    """When things count as old, in seconds.

    Attributes:
        map_age_s_max: since a node last said that it knows no newer map.
        answer_age_s_max: since a leader last answered for its group.
        probe_interval_s: between two rounds of probes; a group that answered within it is left alone.
        probe_interval_s_unready: the same while the gateway is not ready.
        probe_timeout_s: for one probe.
    """

    map_age_s_max: float = 15.0
    answer_age_s_max: float = 6.0
    probe_interval_s: float = 2.0
    probe_interval_s_unready: float = 0.2
    probe_timeout_s: float = 1.5


class Check(msgspec.Struct, frozen=True):
    """One condition of readiness; `detail` says what is missing."""

    name: str
    ok: bool
    detail: str = ""


class Health:
    """Answers the probes.

    Args:
        router: the map.
        caller: reaches the groups, and knows when each last answered.
        map_age_s: seconds since a node said that it knows no newer map.
        now: the wall clock, for people.
        further: conditions beside its own.
        pace: when things count as old.
        clock: the event loop's clock, in seconds.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        router: Router,
        caller: GroupCaller,
        map_age_s: Callable[[], float],
        *,
        now: Callable[[], dt.datetime],
        further: Callable[[], list[Check]] = list,
        pace: HealthPace = HealthPace(),  # noqa: B008 - frozen
        clock: Clock = loop_time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.draining = False
        self._further = further
        self._router = router
        self._caller = caller
        self._map_age_s = map_age_s
        self._now = now
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to probe, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="group-probe")

    async def close(self) -> None:
        """Stop to probe."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def checks(self) -> list[Check]:
        """Every condition of readiness as it stands."""
        silent = self.silent_groups(self._pace.answer_age_s_max)
        age_s = self._map_age_s()
        shown = ", ".join(str(group) for group in silent[:10]) + (", …" if len(silent) > 10 else "")
        fresh = age_s <= self._pace.map_age_s_max
        return [
            Check("serving", not self.draining, "shutting down" if self.draining else ""),
            Check("map_known", self._router.complete, "" if self._router.complete else "a slot has no group"),
            Check("map_fresh", fresh, "" if fresh else "no node has confirmed the map lately"),
            Check("groups_answer", not silent, f"no leader answers for {shown}" if silent else ""),
            *self._further(),
        ]

    @property
    def ready(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks())

    def silent_groups(self, age_s: float) -> list[int]:
        """The groups whose leader has not answered within `age_s`."""
        oldest, answered_at = self._clock() - age_s, self._caller.answered_at
        never = -float("inf")
        return [group for group in self._router.serving_groups() if answered_at.get(group, never) < oldest]

    def count_silent(self) -> int:
        """How many groups make the gateway not ready."""
        return len(self.silent_groups(self._pace.answer_age_s_max))

    async def probe(self) -> None:
        """Ask the leader of each group that has not answered lately."""
        gate = asyncio.Semaphore(PROBES_AT_ONCE)
        due = self.silent_groups(self._pace.probe_interval_s)
        await asyncio.gather(*(self._probe_one(group, gate) for group in due))

    async def health(self, request: Request) -> Answer:
        """`GET /health`: the process is alive."""
        request.query()
        stamp = self._now().isoformat(timespec="milliseconds")
        return Answer(b'{"status":"healthy","timestamp":"%s","service":"%s"}' % (stamp.encode(), SERVICE.encode()))

    async def livez(self, request: Request) -> Answer:
        """`GET /livez`: the process is alive."""
        switch(request.query("verbose"), "verbose")
        return Answer(OK)

    async def readyz(self, request: Request) -> Answer:
        """`GET /readyz`: 503 when a check fails; `?verbose` lists them all."""
        verbose = switch(request.query("verbose"), "verbose")
        checks = self.checks()
        failed = [check for check in checks if not check.ok]
        listing = b',"data":{"checks":' + msgspec.json.encode(checks) + b"}}" if verbose else b"}"
        if not failed:
            return Answer(OK[:-1] + listing)
        refusal = ApiError(ApiCode.CLUSTER_UNAVAILABLE, "not ready: " + "; ".join(c.name for c in failed)).answer()
        return Answer(refusal.body[:-1] + listing, refusal.status, refusal.headers, JSON_TYPE)

    async def _run(self) -> None:
        while True:
            await self.probe()
            await self._sleep(self._pace.probe_interval_s if self.ready else self._pace.probe_interval_s_unready)

    async def _probe_one(self, group: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            deadline = self._clock() + self._pace.probe_timeout_s
            with contextlib.suppress(RpcError):
                await self._caller.to_leader(group, READ, ReadRequest(group, []), deadline, write=False)
