"""The figures of one gateway process, for Prometheus.

Labels have few values, all known in advance: routes, statuses, codes. No key, client or node ever becomes one.
"""

from collections.abc import Callable, Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.answers import Answer
from gateway.limits import Admission
from gateway.requests import Request
from process.histogram import Histogram

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every one, which nobody reads

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class RouteFigures:
    """The figures of one route."""

    __slots__ = ("by_status", "seconds")

    def __init__(self) -> None:
        self.by_status: dict[int, int] = {}
        self.seconds = Histogram(BUCKETS_S)

    def observe(self, status: int, seconds: float) -> None:
        """A request was answered."""
        self.count(status)
        self.seconds.observe(seconds)

    def count(self, status: int) -> None:
        """A request was turned away, whose time would say nothing about the route."""
        self.by_status[status] = self.by_status.get(status, 0) + 1


class Routes(Collector):
    """Requests by route, counted in plain numbers: the library's own counters and histograms cost ten times as much."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteFigures] = {}

    def of(self, route: str) -> RouteFigures:
        """The figures of a route."""
        return self._routes.setdefault(route, RouteFigures())

    def collect(self) -> Iterable[Metric]:
        """For the registry."""
        requests = CounterMetricFamily("concord_gateway_requests", "Requests answered.", labels=("route", "status"))
        seconds = HistogramMetricFamily(
            "concord_gateway_request_seconds", "Time from a request's arrival to its answer.", labels=("route",)
        )
        for route, figures in self._routes.items():
            for status, count in figures.by_status.items():
                requests.add_metric((route, str(status)), count)
            bounds = (*map(floatToGoString, figures.seconds.bounds), "+Inf")
            buckets = list(zip(bounds, accumulate(figures.seconds.counts), strict=True))
            seconds.add_metric((route,), buckets, figures.seconds.sum_s)
        yield requests
        yield seconds


class RpcAttempts(Collector):
    """Attempts of RPCs by method and code, counted in a dict: a labelled Counter would cost ten times as much."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, method: str, code: str) -> None:
        """One ended."""
        self._counts[method, code] = self._counts.get((method, code), 0) + 1

    def collect(self) -> Iterable[Metric]:
        """For the registry."""
        family = CounterMetricFamily(
            "concord_gateway_rpc_attempts",
            "Attempts of RPCs to groups, by method and code; OK for those that were answered.",
            labels=("method", "code"),
        )
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Metrics:
    """All figures of a gateway, in a registry of its own.

    Attributes:
        rpc_ended: told the method of each attempt of an RPC that got a reply ("OK") or failed with a code; most of those are
            tried again.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._routes = Routes()
        self.registry.register(self._routes)
        attempts = RpcAttempts()
        self.registry.register(attempts)
        self.rpc_ended = attempts.count
        self._watch_ends = Counter(
            "concord_gateway_watch_ends", "Watch streams that ended.", ("reason",), registry=self.registry
        )
        self._watch_events = Counter(
            "concord_gateway_watch_events",
            "Changes that watchers were told, counted once for each prefix that is watched.",
            registry=self.registry,
        )

        self._refused = Counter(
            "concord_gateway_refused",
            "Requests refused because the gateway, a token or a client address had too much under way.",
            ("limit",),
            registry=self.registry,
        )
        self._refused_by = {limit: self._refused.labels(limit) for limit in ("gateway", "token", "address")}
        self._audit_dropped = Counter(
            "concord_gateway_audit_dropped", "Lines that the audit log had no room for.", registry=self.registry
        )
        self._wrong_tokens = Counter(
            "concord_gateway_wrong_tokens",
            "Requests with a wrong token; throttled are those over what one client address may send.",
            ("outcome",),
            registry=self.registry,
        )

    def route(self, route: str) -> RouteFigures:
        """The figures of a route."""
        return self._routes.of(route)

    def refused(self, limit: str) -> None:
        """A request met a limit of the gateway, token or address."""
        self._refused_by[limit].inc()

    def wrong_token(self, outcome: str) -> None:
        """A request had a wrong token: refused or throttled."""
        self._wrong_tokens.labels(outcome).inc()

    def audit_dropped(self) -> None:
        """A line of the audit log was dropped."""
        self._audit_dropped.inc()

    def watch_ended(self, reason: str) -> None:
        """A watch stream ended: gone, slow, shutdown, resync, forbidden or unavailable."""
        self._watch_ends.labels(reason).inc()

    def watch_told(self, events: int) -> None:
        """Watchers of a prefix were told of so many changes."""
        self._watch_events.inc(events)

    def watch_admission(self, admission: Admission) -> None:
        """Show what is under way."""
        self.watch("requests_in_flight", "Requests under way.", lambda: admission.requests)
        self.watch("requests_limit", "Requests that may be under way now.", lambda: admission.throttle.limit)
        self.watch("bytes_in_flight", "Bytes of request bodies and answers held.", lambda: admission.bytes)
        self.watch("addresses_in_flight", "Client addresses with requests under way.", lambda: admission.parties)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a value that is looked up when the metrics are read."""
        Gauge("concord_gateway_" + name, meaning, registry=self.registry).set_function(value)

    async def answer(self, request: Request) -> Answer:
        """`GET /metrics`."""
        name = request.query("name[]").get("name[]")
        shown = self.registry.restricted_registry([name]) if name else self.registry
        return Answer(generate_latest(shown), content_type=CONTENT_TYPE_LATEST.encode())
