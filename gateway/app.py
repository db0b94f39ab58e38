"""Puts a gateway together: the one place that knows every part, and the ASGI application around them."""

import asyncio
import contextlib
import datetime as dt
import random
import secrets
from collections.abc import AsyncIterator, Callable

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.audit import Trail, open_trail
from gateway.caller import GroupCaller, Pace
from gateway.cluster import Cluster
from gateway.dispatch import Dispatcher
from gateway.divergence import DivergenceWatch
from gateway.docs import Docs
from gateway.guard import TokenGuard, let_everyone_in
from gateway.health import Check, Health, HealthPace
from gateway.kv import KeyValue
from gateway.limits import HttpLimits
from gateway.locks import Locks
from gateway.logins import FailedLogins
from gateway.metrics import Metrics
from gateway.operation_ids import OperationIds
from gateway.pool import ClosableChannel, Pool
from gateway.quotas import Quotas
from gateway.router import Router
from gateway.routes import ROUTES, Handler
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.status import StatusPage
from gateway.throttle import LateLoop
from gateway.tokens import TokenRoutes
from gateway.transactions import Transactions
from gateway.watch import Hub, Watching, WatchLimits, WatchPace
from placement.leader import LeaderCaller, LeaderGuess
from placement.maps import MapHolder, addresses
from placement.tokens.watcher import TokenWatcher
from placement.watcher import MapWatcher
from wire.messages import ClusterMap
from wire.tracing import Tracer


class Gateway:
    """All parts of one gateway process, and their life.

    Args:
        settings: what the process was told.
        open_channel: makes an RPC channel to `host:port`.
        limits: limits of the HTTP side; those of the settings when not given.
        pace: the pace of RPC attempts.
        health_pace: when things count as old.
        watch_pace: the pace of watching; leaders wait well under the time of an attempt when not given.
        tracer: with it every request gets a span.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        open_channel: Callable[[str], ClosableChannel],
        *,
        limits: HttpLimits | None = None,
        pace: Pace = Pace(),  # noqa: B008 - frozen
        health_pace: HealthPace = HealthPace(),  # noqa: B008 - frozen
        watch_pace: WatchPace | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        rng = random.Random(secrets.randbits(64))  # noqa: S311 - jitter, not secrets
        self._pool = Pool(open_channel, settings.nodes)
        self._router = Router()
        self._metrics = Metrics()
        self.holder = MapHolder(settings.cluster)
        self.holder.subscribe(self._map_changed)
        self._watcher = MapWatcher(self.holder, settings.nodes, self._pool.channel, rng=rng)
        caller = GroupCaller(
            self._router,
            self._pool.channel,
            rng,
            seek=self._watcher.seek,
            on_attempt=self._metrics.rpc_ended,
            pace=pace,
        )
        cluster = Cluster(self._router, caller, OperationIds(secrets.randbits(63)), rng)
        self._key_value = KeyValue(cluster, self._router)
        self.hub = self._make_hub(
            caller, rng, settings.watch_limits, watch_pace or WatchPace(wait_s=0.6 * pace.attempt_s)
        )
        self._watching = Watching(self.hub, cluster)
        self._transactions = Transactions(cluster)
        self._quotas = Quotas(cluster)
        self._locks = Locks(cluster)
        self._services = Services(self._key_value)
        guess = LeaderGuess(settings.nodes, lambda: addresses(self.holder.current), rng)
        self.tokens = TokenWatcher(guess, self._pool.channel, rng) if settings.auth == "on" else None
        limits = limits or settings.http_limits
        self.audit = self._open_audit(settings)
        self._token_guard = self._guard_by_tokens(settings, limits)
        self._token_routes = TokenRoutes(LeaderCaller(guess, self._pool.channel, rng), self.tokens)
        self.health = Health(
            self._router,
            caller,
            lambda: self._watcher.age_s,
            now=lambda: dt.datetime.now(dt.UTC),
            further=self._token_checks,
            pace=health_pace,
        )
        self._status = StatusPage(settings.cluster, self._router, self._pool.channel)
        self.divergence = DivergenceWatch(lambda: list(self._router.nodes), self._status.ask)
        self._watch_figures()
        self.dispatcher = Dispatcher(
            ROUTES,
            self._handlers(limits),
            self._token_guard or let_everyone_in,
            limits,
            self._metrics,
            trusted_proxies=settings.trusted_networks,
            trail=self.audit,
            tracer=tracer,
        )
        admission = self.dispatcher.admission
        self._late_loop = LateLoop(admission.throttle, lambda: admission.requests)

    async def start(self) -> None:
        """Begin to watch the map, to probe the groups and to look for states that differ."""
        self._watcher.start()
        if self.tokens is not None:
            self.tokens.start()
        self.health.start()
        self.divergence.start()
        self._late_loop.start()

    def _guard_by_tokens(self, settings: GatewaySettings, limits: HttpLimits) -> TokenGuard | None:
        if self.tokens is None:
            return None
        failed = FailedLogins(limits.failed_logins, limits.failed_login_interval_s)
        return TokenGuard(self.tokens, settings.tokens_age_s_max, failed, on_wrong=self._metrics.wrong_token)

    def _make_hub(self, caller: GroupCaller, rng: random.Random, limits: WatchLimits, pace: WatchPace) -> Hub:
        on_end, on_events = self._metrics.watch_ended, self._metrics.watch_told
        return Hub(caller, rng, on_end=on_end, on_events=on_events, limits=limits, pace=pace)

    def _open_audit(self, settings: GatewaySettings) -> Trail | None:
        trail = open_trail(settings, self._metrics.audit_dropped)
        if trail is not None:
            self._metrics.watch("audit_waiting_bytes", "Audit lines not yet written.", lambda: trail.log.waiting_bytes)
            self._metrics.watch(
                "audit_failing", "1 while the audit log cannot be written.", lambda: trail.log.is_failing
            )
        return trail

    def drain(self) -> None:
        """Say not ready, and send watchers and who waits for a lock away: requests under way may finish."""
        self.health.draining = True
        self.hub.drain()
        self._locks.drain()

    async def close(self) -> None:
        """Stop all of them, and close every channel."""
        await self.hub.close()
        await self._locks.close()
        await self.divergence.close()
        await self.health.close()
        if self.tokens is not None:
            await self.tokens.close()
        self._late_loop.close()
        await self._watcher.close()
        await self._pool.close()
        if self.audit is not None:
            await asyncio.to_thread(self.audit.log.close)

    def _map_changed(self, newer: ClusterMap) -> None:
        self._router.update(newer)
        self._pool.keep(node.address for node in newer.nodes)
        self.hub.map_changed(newer)

    def _token_checks(self) -> list[Check]:
        guard = self._token_guard
        if guard is None:
            return []
        return [
            Check("tokens_fresh", guard.is_fresh, "" if guard.is_fresh else "placement has not confirmed them lately")
        ]

    def _watch_figures(self) -> None:
        watch, health = self._metrics.watch, self.health
        watch("map_epoch", "Epoch of the cluster map in use.", lambda: self._router.epoch)
        watch("watchers", "Watch streams that are open.", lambda: self.hub.watchers)
        watch("watch_feeds", "Groups whose changes are being followed.", lambda: len(self.hub.feeds))
        watch("map_age_seconds", "Time since a node said that it knows no newer map.", lambda: self._watcher.age_s)
        watch("groups", "Groups that own slots.", lambda: len(self._router.serving_groups()))
        watch("groups_without_leader", "Groups whose leader has not answered lately.", health.count_silent)
        watch("state_divergence", "Groups with a replica whose state was found wrong.", self.divergence.count)
        tokens = self.tokens
        if tokens is not None:
            watch("tokens_age_seconds", "Time since placement confirmed the tokens.", lambda: tokens.age_s)
        watch("ready", "1 when every check of readiness holds.", lambda: health.ready)

    def _handlers(self, limits: HttpLimits) -> dict[str, Handler]:
        kv, health, tokens = self._key_value, self.health, self._token_routes
        docs = Docs(ROUTES, limits, has_auth=self.tokens is not None)
        return {
            "put": kv.put,
            "get": kv.get,
            "delete": kv.delete,
            "ttl": kv.ttl,
            "touch": kv.touch,
            "increment": kv.increment,
            "bulk_put": kv.bulk_put,
            "bulk_get": kv.bulk_get,
            "bulk_delete": kv.bulk_delete,
            "bulk_touch": kv.bulk_touch,
            "list": kv.list,
            "watch": self._watching.watch,
            "txn": self._transactions.txn,
            "quota_take": self._quotas.acquire,
            "lock_acquire": self._locks.acquire,
            "lock_renew": self._locks.renew,
            "lock_release": self._locks.release,
            "service": self._services.instances,
            "instance_put": self._services.register,
            "instance_delete": kv.delete,
            "instance_touch": kv.touch,
            "status": self._status.status,
            "members": self._status.members,
            "nodes": self._status.hosts,
            "groups": self._status.groups,
            "health": health.health,
            "livez": health.livez,
            "readyz": health.readyz,
            "root_health": health.health,
            "root_livez": health.livez,
            "root_ready": health.readyz,
            "root_readyz": health.readyz,
            "metrics": self._metrics.answer,
            "openapi": docs.openapi,
            "docs": docs.page,
            "docs_script": docs.script,
            "docs_style": docs.style,
            "token_create": tokens.create,
            "token_list": tokens.list,
            "token_revoke": tokens.revoke,
            "token_rotate": tokens.rotate,
        }


def create_app(gateway: Gateway) -> ASGIApp:
    """The ASGI application of a gateway; its lifespan is the gateway's.

    Requests go to the dispatcher at once. Litestar's own way to a mounted callable costs a quarter of a refusal, and what a
    full gateway spends on those whom it refuses it takes from those whom it serves (docs/limits.md).
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        await gateway.start()
        try:
            yield
        finally:
            await asyncio.shield(gateway.close())

    lifecycle = Litestar(lifespan=[lifespan], openapi_config=None, logging_config=None)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await lifecycle(scope, receive, send)
            return
        try:
            await gateway.dispatcher(scope, receive, send)
        except asyncio.CancelledError:
            if not gateway.health.draining:
                raise  # else the process ends, and nobody is there to be answered

    return app
