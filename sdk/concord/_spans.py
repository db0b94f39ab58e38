"""Spans of OpenTelemetry: one for each call of a client, whatever it takes; attempts after the first are events in it.

Only its API is needed, and only by a client with `tracing=`: without it a call costs a look at None. Attributes are those of the
semantic conventions for database clients, and say of a request what gateways say in their spans: routes as templates. Keys, names,
values and tokens are in none. Every attempt has the `traceparent` (W3C Trace Context) of the span, which is the current one
while it is under way, so that what an HTTP library or a log says of it belongs to it.
"""

from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from concord._calls import API, Call
from concord._core import Heard, Send, Steps
from concord._errors import ConcordError
from concord._transports import Request, Response

T = TypeVar("T")

CANCELLED = "cancelled"
_BULK = "bulk"
_VARIABLES = {"kv": ("{key}",), "locks": ("{name}",), "limits": ("{name}",), "services": ("{service}", "{instance}")}


class TracerProvider(Protocol):
    """Of `opentelemetry.trace`."""

    def get_tracer(self, instrumenting_module_name: str, /) -> Any:
        """A tracer."""


def make_tracing(tracing: "bool | TracerProvider") -> "Tracing | None":
    """What `tracing=` asks for.

    Raises:
        ImportError: OpenTelemetry is not installed.
    """
    if tracing is False:
        return None
    try:
        return Tracing(None if tracing is True else tracing)
    except ImportError as error:
        raise ImportError("tracing= needs OpenTelemetry: pip install opentelemetry-api") from error


def route_of(target: str) -> tuple[str, str]:
    """The collection and the action of a request's target: `/api/v1/kv/a%2Fb/touch` is of `kv`, and its action `touch`."""
    collection, *names = target.partition("?")[0].removeprefix(f"{API}/").split("/")
    if names[:1] == [_BULK]:
        return collection, "_".join(names)
    return collection, "_".join(names[len(_VARIABLES.get(collection, ())) :])


class Tracing:
    """Makes the spans of one client.

    Args:
        provider: where they go; None for the process's own.
    """

    def __init__(self, provider: TracerProvider | None) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - only who traces pays for it, and has it
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - as above
            TraceContextTextMapPropagator,
        )

        self._context, self._trace = context, trace
        self._tracer = trace.get_tracer("concord") if provider is None else provider.get_tracer("concord")
        self._w3c = TraceContextTextMapPropagator()

    def traced(self, call: Call[T], steps: Steps[T]) -> Steps[T]:
        """The same steps, within a span. Must be closed by who takes them, so that it ends with them."""
        request = call.request
        collection, action = route_of(request.target)
        operation = action or request.method.lower()
        attributes: dict[str, str | int] = {
            "db.system.name": "concord",
            "db.operation.name": operation,
            "db.collection.name": collection,
            "http.request.method": request.method,
        }
        if len(call.keys) > 1:
            attributes["db.operation.batch.size"] = len(call.keys)
        name = f"{operation} {collection}"
        span = self._tracer.start_span(name, kind=self._trace.SpanKind.CLIENT, attributes=attributes)
        if not span.get_span_context().is_valid:
            return (yield from steps)  # nobody has set up where spans go
        try:
            return (yield from self._followed(span, steps))
        except ConcordError as error:
            span.set_attribute("concord.applied", str(error.applied).lower())
            self._failed(span, error.code)
            raise
        except GeneratorExit:
            self._failed(span, CANCELLED)
            raise
        except BaseException as error:
            self._failed(span, type(error).__qualname__)
            raise
        finally:
            span.end()

    def _followed(self, span: Any, steps: Steps[T]) -> Steps[T]:
        within = self._trace.set_span_in_context(span)
        headers: dict[str, str] = {}
        self._w3c.inject(headers, within)
        told = _Told(span) if span.is_recording() else None
        heard: Heard = None
        try:
            while True:
                step = steps.send(heard)
                if not isinstance(step, Send):
                    heard = yield step
                    continue
                if told is not None:
                    told.attempt(step)
                token = self._context.attach(within)
                try:
                    heard = yield _with_headers(step, headers)
                finally:
                    self._context.detach(token)
                if told is not None:
                    told.heard(heard)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            if told is not None:
                span.set_attributes(told.attributes)

    def _failed(self, span: Any, error_type: str) -> None:
        span.set_attribute("error.type", error_type)
        span.set_status(self._trace.StatusCode.ERROR)


class _Told:
    """What attempts say of themselves in a span: each one after the first in an event, the last in attributes."""

    def __init__(self, span: Any) -> None:
        self.attributes: dict[str, str | int] = {}
        self._span = span
        self._attempts = 0

    def attempt(self, step: Send) -> None:
        """A request is sent."""
        where = urlsplit(step.url)
        port = where.port or (443 if where.scheme == "https" else 80)
        self.attributes = {"server.address": where.hostname or "", "server.port": port}
        self._attempts += 1
        if self._attempts > 1:
            self._span.add_event("retry", {"http.request.resend_count": self._attempts - 1, **self.attributes})

    def heard(self, heard: Heard) -> None:
        """It was answered, or not."""
        if isinstance(heard, Response):
            status = heard.status
            self.attributes |= {"http.response.status_code": status, "db.response.status_code": str(status)}
        else:
            self._span.add_event("no answer", {"concord.was_sent": bool(heard and heard.was_sent)})


def _with_headers(step: Send, headers: dict[str, str]) -> Send:
    request = step.request
    more = {**request.headers, **headers}
    return Send(step.url, Request(request.method, request.target, more, request.body), step.timeout_s)
