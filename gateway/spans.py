"""The span of an HTTP request: from its headers to its answer (a stream's ends when the stream begins)."""

from contextvars import Token
from typing import Self

from litestar.types import HTTPScope
from opentelemetry import context, trace

from gateway.errors import ApiCode
from gateway.routes import Route
from wire.tracing import Tracer

_TRACEPARENT, _TRACESTATE = b"traceparent", b"tracestate"
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"})
_OTHER = "_OTHER"  # what the semantic conventions say for a method that nobody knows


class RequestSpan:
    """Belongs to the task that serves the request: what that calls meanwhile is a part of it.

    As a context it ends, at the latest, with the request: one that nobody could answer any more says so.
    """

    __slots__ = ("_ended", "_method", "_span", "_token")

    def __init__(self, tracer: Tracer, scope: HTTPScope) -> None:
        method = str(scope["method"])
        self._method = method if method in _METHODS else _OTHER
        headers = {name: value for name, value in scope["headers"] if name in (_TRACEPARENT, _TRACESTATE)}
        self._ended = False
        self._span = tracer.request(self._method, headers.get(_TRACEPARENT, b""), headers.get(_TRACESTATE, b""))
        self._token: Token[context.Context] = context.attach(trace.set_span_in_context(self._span, context.Context()))

    def found(self, route: Route) -> None:
        """It is for this route: the template, never the path, which has the key in it."""
        if self._span.is_recording():
            self._span.update_name(f"{self._method} {route.path}")
            self._span.set_attribute("http.route", route.path)

    def failed(self, code: ApiCode) -> None:
        """It will be answered with this error."""
        self._span.set_attribute("error.type", code.value)

    def answered(self, status: int) -> None:
        """That is over."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(trace.StatusCode.ERROR)
        self._ended = True
        self._span.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            self._span.set_attribute("error.type", "client_gone")
            self._span.end()
        context.detach(self._token)


class NoSpan:
    """What stands in its place when nobody traces."""

    __slots__ = ()

    def found(self, route: Route) -> None:
        """Nothing."""

    def failed(self, code: ApiCode) -> None:
        """Nothing."""

    def answered(self, status: int) -> None:
        """Nothing."""


NO_SPAN = NoSpan()
