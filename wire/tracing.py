"""Spans: what a request did, from its HTTP headers to the entry that applied it. The one module that knows OpenTelemetry.

Only its API is needed. A process that was not told to trace has no `Tracer` at all, so that the price of not tracing is a
look at None: no span, no attribute and no id is made for nobody. Between processes a trace travels as 25 bytes in front of a
request (see frame.py), and only when it is recorded. Attributes say which route, method, group and outcome; keys, values,
names and tokens are in none of them.
"""

import time
from collections.abc import Mapping
from typing import TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wire.errors import Failure

TRACE_BYTES = 25
"""Trace id (16), span id (8) and flags (1) of a W3C trace context, as they are in front of a traced request."""

LIMIT_HEADER_BYTES = 512  # what is longer was not made by a tracer, or would be passed on for nothing

Span: TypeAlias = trace.Span
Attributes: TypeAlias = Mapping[str, str | int]

_SCOPE = "concord"
_W3C = TraceContextTextMapPropagator()
_DROPPED = "connection_lost"


class Tracer:
    """Makes the spans of one process.

    Args:
        provider: where they go; without one, the process's own (which an embedding program or an agent has set up).
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=provider)

    def request(self, method: str, traceparent: bytes, tracestate: bytes = b"") -> Span:
        """The span of an HTTP request, within the trace that its headers name; b"" and malformed ones name none."""
        parent = otel_context.Context()
        if 0 < len(traceparent) <= LIMIT_HEADER_BYTES:
            carrier = {"traceparent": traceparent.decode("latin-1")}
            if 0 < len(tracestate) <= LIMIT_HEADER_BYTES:
                carrier["tracestate"] = tracestate.decode("latin-1")
            parent = _W3C.extract(carrier, parent)
        return self._tracer.start_span(
            method, parent, trace.SpanKind.SERVER, {"http.request.method": method, "url.scheme": "http"}
        )

    def attempt(self, method: str, host: str, port: int, request: object) -> "CallSpan | None":
        """The span of a call to another process; None unless the running code belongs to a span that is recorded."""
        if not trace.get_current_span().is_recording():
            return None
        attributes = {**_about(method, request), "server.address": host, "server.port": port}
        return self._call(f"rpc {method}", None, trace.SpanKind.CLIENT, attributes)

    def served(self, method: str, origin: bytes, request: object) -> "CallSpan | None":
        """The span of a call that came in with `origin` in front; None when that names no trace, or it is not recorded."""
        parent = unpack(origin)
        if parent is None:
            return None
        within = trace.set_span_in_context(trace.NonRecordingSpan(parent), otel_context.Context())
        return self._call(f"serve {method}", within, trace.SpanKind.SERVER, _about(method, request))

    def _call(
        self, name: str, within: otel_context.Context | None, kind: trace.SpanKind, attributes: Attributes
    ) -> "CallSpan | None":
        span = self._tracer.start_span(name, within, kind, attributes)
        return CallSpan(self._tracer, span) if span.is_recording() else None


class CallSpan:
    """The span of one RPC, at either end of it."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def origin(self) -> bytes:
        """What tells another process of this span: TRACE_BYTES."""
        return pack(self._span.get_span_context())

    def event(self, name: str, attributes: Attributes) -> None:
        """Something happened, now."""
        self._span.add_event(name, attributes)

    def child(self, name: str, began_ns: int, ended_ns: int, attributes: Attributes) -> None:
        """A part of it that is over; times as of `now_ns`."""
        within = trace.set_span_in_context(self._span, otel_context.Context())
        self._tracer.start_span(name, within, attributes=attributes, start_time=began_ns).end(ended_ns)

    def end(self, failure: Failure | None) -> None:
        """It was answered."""
        if failure is not None:
            self._span.set_attributes({"error.type": failure.code.value, "concord.applied": failure.applied.value})
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()

    def lose(self) -> None:
        """Nobody is there to be answered any more."""
        self._span.set_attribute("error.type", _DROPPED)
        self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


def pack(context: trace.SpanContext) -> bytes:
    """A span's identity in TRACE_BYTES."""
    return context.trace_id.to_bytes(16) + context.span_id.to_bytes(8) + bytes([context.trace_flags])


def unpack(origin: bytes) -> trace.SpanContext | None:
    """The identity that `pack` wrote; None for one that is invalid."""
    if len(origin) != TRACE_BYTES:
        return None
    trace_id, span_id = int.from_bytes(origin[:16]), int.from_bytes(origin[16:24])
    context = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(origin[24]))
    return context if context.is_valid else None


def now_ns() -> int:
    """The clock of spans, nanoseconds since 1970."""
    return time.time_ns()


def current_ids() -> tuple[str, str]:
    """Ids of the trace and the span that the running code belongs to, for a log; "" while none is recorded."""
    span = trace.get_current_span()
    if not span.is_recording():
        return "", ""
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def _about(method: str, request: object) -> dict[str, str | int]:
    about: dict[str, str | int] = {"rpc.system": "concord", "rpc.method": method}
    group = getattr(request, "group", None)
    if isinstance(group, int):
        about["concord.group"] = group
    return about
