"""From an ASGI call to a handler and back: the one way that every request takes.

Path → route → admission → guard → handler → answer → metrics. Whatever happens on it ends in an answer of the one
error shape; a stream begins where an answer would be sent, with nothing of the admission held. Litestar mounts this callable; it does its own routing because keys may hold any character (see paths.py)
and because it costs half of a typed Litestar route.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

import msgspec
from litestar.types import HTTPScope, Receive, Send

from gateway.answers import Answer, Stream
from gateway.errors import ApiCode, ApiError
from gateway.guard import Guard
from gateway.limits import Admission, HttpLimits
from gateway.metrics import Metrics, RouteFigures
from gateway.paths import KEYED, Shape, Target, key_in, parse
from gateway.requests import ClientGoneError, Request
from gateway.routes import Handler, Route
from gateway.spans import RequestSpan
from wire.tracing import Tracer

_log = logging.getLogger(__name__)

_NAMED = frozenset({Shape.TOKEN, Shape.TOKEN_ROTATE})
_FIXED_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_STREAM_STATUS = 200
_REQUEST_ID = b"x-request-id"
_REQUEST_ID_BYTES_MAX = 128
NO_ROUTE = "none"  # in metrics


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """A route with what it takes to serve it."""

    route: Route
    handler: Handler
    figures: RouteFigures


class Dispatcher:
    """Serves the routes of one gateway.

    Args:
        routes: the table.
        handlers: what serves each, by route id.
        guard: asked about every request to a known route.
        limits: what is allowed.
        metrics: where requests are counted.
        tracer: with it every request gets a span.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        handlers: Mapping[str, Handler],
        guard: Guard,
        limits: HttpLimits,
        metrics: Metrics,
        *,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._guard = guard
        self._limits = limits
        self._admission = Admission(limits)
        self._by_shape: dict[Shape, dict[str, _Entry]] = {}
        self._by_path: dict[bytes, dict[str, _Entry]] = {}
        self._unmatched = metrics.route(NO_ROUTE)
        metrics.watch_admission(self._admission)
        for route in routes:
            entry = _Entry(route, handlers[route.id], metrics.route(route.id))
            if route.shape in (Shape.PLAIN, Shape.BULK):
                self._by_path.setdefault(route.path.encode(), {})[route.method] = entry
            else:
                self._by_shape.setdefault(route.shape, {})[route.method] = entry

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if self._tracer is None:
            await self._respond(scope, receive, send, None)
            return
        with RequestSpan(self._tracer, scope) as span:
            await self._respond(scope, receive, send, span)

    async def _respond(self, scope: HTTPScope, receive: Receive, send: Send, span: RequestSpan | None) -> None:
        began = time.perf_counter()  # uvloop's clock has whole milliseconds only
        figures = self._unmatched
        try:
            method = "GET" if scope["method"] == "HEAD" else str(scope["method"])
            target = parse(method, scope["raw_path"])
            entry = self._find(method, target, scope["raw_path"])
            figures = entry.figures
            if span is not None:
                span.found(entry.route)
            request = Request(scope, receive, self._limits, self._admission, asyncio.get_running_loop().time())
            answer = await self._serve(entry, target, request)
        except ApiError as error:
            answer = error.answer()
            if span is not None:
                span.failed(error.code)
        except ClientGoneError:
            return
        except Exception:  # noqa: BLE001 - the last resort: a defect must still end in the error shape
            _log.exception("a request failed on a defect", extra={"request_id": _request_id(scope)})
            answer = _DEFECT.answer()
        if span is not None:
            span.answered(answer.status if isinstance(answer, Answer) else _STREAM_STATUS)
        if isinstance(answer, Answer):
            await _send(answer, send)
            figures.observe(answer.status, time.perf_counter() - began)
        else:
            figures.observe(_STREAM_STATUS, time.perf_counter() - began)
            await _stream(answer, receive, send, has_body=scope["method"] != "HEAD")

    async def _serve(self, entry: _Entry, target: Target, request: Request) -> Answer | Stream:
        if entry.route.always:
            request.access = self._guard(entry.route, request)
            return await entry.handler(request)
        self._admission.enter()
        try:
            if target.shape in KEYED:
                request.key = key_in(target)
            elif target.shape in _NAMED:
                request.name = target.rest.decode("latin-1")
            access = request.access = self._guard(entry.route, request)
            answer = await entry.handler(request)
            if not access.settled:
                raise RuntimeError(f"the handler of {entry.route.id} did not hand its keys over to be checked")
            return answer
        finally:
            request.done()
            self._admission.leave()

    def _find(self, method: str, target: Target, raw_path: bytes) -> _Entry:
        """The entry for a request.

        Raises:
            ApiError: NOT_FOUND, METHOD_NOT_ALLOWED.
        """
        methods = self._methods(target)
        entry = methods.get(method)
        if entry is not None:
            return entry
        allowed = self._allowed(raw_path)
        if not allowed:
            raise ApiError(ApiCode.NOT_FOUND, "there is no such route")
        allow = (b"allow", ", ".join(allowed).encode())
        raise ApiError(ApiCode.METHOD_NOT_ALLOWED, "the route has no such method; see Allow", headers=(allow,))

    def _methods(self, target: Target) -> Mapping[str, _Entry]:
        if target.shape in (Shape.PLAIN, Shape.BULK):
            return self._by_path.get(target.rest, {})
        return self._by_shape.get(target.shape, {})

    def _allowed(self, raw_path: bytes) -> list[str]:
        """Which methods a path answers to: each method may read another shape in it."""
        every = sorted({method for methods in self._tables() for method in methods})
        allowed = [method for method in every if method in self._methods(parse(method, raw_path))]
        return [*allowed, "HEAD"] if "GET" in allowed else allowed

    def _tables(self) -> Iterable[Mapping[str, _Entry]]:
        yield from self._by_path.values()
        yield from self._by_shape.values()


_DEFECT = ApiError(ApiCode.INTERNAL, "the gateway failed on a defect of its own", unknown=True)


def _request_id(scope: HTTPScope) -> str:
    """What the client, or a proxy before it, calls this request; as much of it as a log should carry."""
    given = next((value for name, value in scope["headers"] if name == _REQUEST_ID), b"")
    return given[:_REQUEST_ID_BYTES_MAX].decode("latin-1")


async def _send(answer: Answer, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *_FIXED_HEADERS,
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def _stream(stream: Stream, receive: Receive, send: Send, *, has_body: bool) -> None:
    """Send an answer that goes on; once it has begun a defect can only cut it off."""
    headers = [(b"content-type", stream.content_type), *_FIXED_HEADERS, *stream.headers]
    try:
        await send({"type": "http.response.start", "status": _STREAM_STATUS, "headers": headers})
        if has_body:
            await stream.run(receive, send)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except Exception:  # noqa: BLE001 - see above; nothing can be answered any more
        _log.exception("a stream failed on a defect")
    finally:
        stream.close()
