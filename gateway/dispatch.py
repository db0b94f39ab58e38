"""From an ASGI call to a handler and back: the one way that every request takes.

Path → route → admission → guard → handler → answer → metrics. Whatever happens on it ends in an answer of the one
error shape; a stream begins where an answer would be sent, with nothing of the admission held. A large answer is handed over
in parts, and holds its place until the client has taken them. It is the ASGI application for HTTP and does its own routing
because keys may hold any character (see paths.py) and because it costs half of a typed Litestar route.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import partial

import msgspec
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, HTTPScope, Receive, Send

from gateway.addresses import Network, client_address, party
from gateway.answers import PART_BYTES, Answer, Stream
from gateway.audit import Trail
from gateway.conditions import refuse_headers
from gateway.errors import ApiCode, ApiError
from gateway.guard import Guard
from gateway.limits import Admission, HttpLimits, Place, answer_due_s
from gateway.metrics import Metrics, RouteFigures
from gateway.paths import KEYED, Shape, Target, key_in, parse
from gateway.requests import ClientGoneError, Request, discard_body
from gateway.routes import Handler, Route, Verb
from gateway.spans import NO_SPAN, NoSpan, RequestSpan
from gateway.throttle import RefusalPace
from process.patience import Patience
from wire.tracing import Tracer

_log = logging.getLogger(__name__)

_NAMED = frozenset({Shape.TOKEN, Shape.TOKEN_ROTATE})
_CLOSE = (b"connection", b"close")
_FIXED_HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_STREAM_STATUS = 200
_REQUEST_ID = b"x-request-id"
_REQUEST_ID_BYTES_MAX = 128
NO_ROUTE = "none"  # in metrics
LARGE_BYTES = 256 << 10  # an answer up to this is handed over whole: the server keeps it for who does not take it
_FORWARDED = b"x-forwarded-for"
_NO_LIMIT = 1 << 62
_UNLIMITED = HttpLimits(
    requests_in_flight=_NO_LIMIT,
    requests_per_token=_NO_LIMIT,
    requests_per_address=_NO_LIMIT,
    bytes_in_flight=_NO_LIMIT,
    bytes_per_token=_NO_LIMIT,
    bytes_per_address=_NO_LIMIT,
)


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """A route with what it takes to serve it."""

    route: Route
    handler: Handler
    figures: RouteFigures
    refuses_conditions: bool


class _UnderWay(msgspec.Struct, eq=False, gc=False):
    """A request on its way: where it is counted and traced, its place, and whether there was none for it."""

    figures: RouteFigures
    span: RequestSpan | NoSpan
    place: Place | None = None
    turned_away: bool = False


class Dispatcher:
    """Serves the routes of one gateway.

    Args:
        routes: the table.
        handlers: what serves each, by route id.
        guard: asked about every request to a known route.
        limits: what is allowed.
        metrics: where requests are counted.
        trusted_proxies: whose X-Forwarded-For counts.
        trail: writes down who did what; None when nobody asked for it.
        tracer: with it every request gets a span.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        handlers: Mapping[str, Handler],
        guard: Guard,
        limits: HttpLimits,
        metrics: Metrics,
        *,
        trusted_proxies: Sequence[Network] = (),
        trail: Trail | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._trusted = trusted_proxies
        self._trail = trail
        self._tracer = tracer
        self._guard = guard
        self._limits = limits
        self._patience = Patience()
        self.admission = Admission(limits, metrics.refused)
        self._aside = Admission(_UNLIMITED)  # of the routes that are always admitted
        self._by_shape: dict[Shape, dict[str, _Entry]] = {}
        self._by_path: dict[bytes, dict[str, _Entry]] = {}
        self._unmatched = metrics.route(NO_ROUTE)
        metrics.watch_admission(self.admission)
        self._on_refused = metrics.refused
        self._refusal_pace = RefusalPace()
        self._always = {route.path.encode() for route in routes if route.always}
        for route in routes:
            refuses = route.changes and not route.conditional
            entry = _Entry(route, handlers[route.id], metrics.route(route.id), refuses)
            if route.shape in (Shape.PLAIN, Shape.BULK):
                self._by_path.setdefault(route.path.encode(), {})[route.method] = entry
            else:
                self._by_shape.setdefault(route.shape, {})[route.method] = entry

    def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request (ASGI)."""
        if self.admission.is_full and scope["raw_path"] not in self._always:
            return self._refuse(scope, receive, send)
        if self._tracer is None:
            return self._respond(scope, receive, send, NO_SPAN)
        return self._respond_within_span(self._tracer, scope, receive, send)

    async def _refuse(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Say that the gateway is full. It takes from those who are served, so it has to be cheap: no parsing, no new bytes."""
        self._on_refused("gateway")
        self._unmatched.count(_FULL.status)
        await self._hold_back()
        await send(_FULL_HEAD if await discard_body(scope, receive) else _FULL_CLOSING_HEAD)
        await send(_FULL_BODY)

    async def _respond_within_span(self, tracer: Tracer, scope: HTTPScope, receive: Receive, send: Send) -> None:
        with RequestSpan(tracer, scope) as span:
            await self._respond(scope, receive, send, span)

    async def _respond(self, scope: HTTPScope, receive: Receive, send: Send, span: RequestSpan | NoSpan) -> None:
        began = time.perf_counter()  # uvloop's clock has whole milliseconds only
        under = _UnderWay(self._unmatched, span)
        try:
            answer = await self._answer(under, scope, receive)
            if isinstance(answer, Answer) and len(answer.body) > LARGE_BYTES and scope["method"] != "HEAD":
                under.span.answered(answer.status)
                await _send_parts(answer, send, self._limits)
                under.figures.observe(answer.status, time.perf_counter() - began)
                return
        except ClientGoneError:
            return
        finally:
            if under.place is not None:
                under.place.leave()
        if not isinstance(answer, Answer):
            under.span.answered(_STREAM_STATUS)
            under.figures.observe(_STREAM_STATUS, time.perf_counter() - began)
            await _stream(answer, receive, send, has_body=scope["method"] != "HEAD")
            return
        under.span.answered(answer.status)
        await _send(answer, send)
        if under.turned_away:
            under.figures.count(answer.status)
        else:
            under.figures.observe(answer.status, time.perf_counter() - began)

    async def _answer(self, under: _UnderWay, scope: HTTPScope, receive: Receive) -> Answer | Stream:
        """What is answered, whatever happens. Raises only ClientGoneError."""
        request: Request | None = None
        try:
            method = "GET" if scope["method"] == "HEAD" else str(scope["method"])
            target = parse(method, scope["raw_path"])
            entry = self._find(method, target, scope["raw_path"])
            under.figures = entry.figures
            under.span.found(entry.route)
            under.turned_away = True
            under.place = (self._aside if entry.route.always else self.admission).enter(self._party(scope))
            under.turned_away = False
            request = Request(
                scope,
                receive,
                self._limits,
                under.place,
                patience=self._patience,
                started_at=asyncio.get_running_loop().time(),
            )
            if self._trail is None:
                return await self._handle(entry, target, request)
            return await self._trail.follow(entry.route, request, partial(self._handle, entry, target, request))
        except ApiError as error:
            under.span.failed(error.code)
            if under.turned_away:
                await self._hold_back()
            return await _clear(error.answer(), request, scope, receive)
        except ClientGoneError:
            raise
        except Exception:  # noqa: BLE001 - the last resort: a defect must still end in the error shape
            _log.exception("a request failed on a defect", extra={"request_id": _request_id(scope)})
            return _DEFECT.answer()

    async def _handle(self, entry: _Entry, target: Target, request: Request) -> Answer | Stream:
        if target.shape in KEYED:
            request.key = key_in(target, self._limits.data)
        elif target.shape in _NAMED:
            request.name = target.rest.decode("latin-1")
        access = request.access = self._guard(entry.route, request)
        if entry.refuses_conditions:
            refuse_headers(request)
        answer = await entry.handler(request)
        if not access.settled:
            raise RuntimeError(f"the handler of {entry.route.id} did not hand its keys over to be checked")
        request.place.release()
        if isinstance(answer, Answer) and len(answer.body) > LARGE_BYTES:
            # What was read may be refused and read again; what was done must be told.
            hold = request.place.reserve if entry.route.verb is Verb.READ else request.place.hold
            hold(len(answer.body))
        return answer

    async def _hold_back(self) -> None:
        """Wait before a request for which there is no place is turned away, when very many are."""
        hold_s = self._refusal_pace.hold_s(asyncio.get_running_loop().time())
        if hold_s:
            await asyncio.sleep(hold_s)

    def _party(self, scope: HTTPScope) -> str:
        """Whose share a request counts to."""
        client = scope.get("client")
        if client is None:
            return ""
        if not self._trusted:
            return party(client[0])
        forwarded = b",".join(value for name, value in scope["headers"] if name == _FORWARDED)
        return party(client_address(client[0], forwarded, self._trusted))

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


async def _clear(answer: Answer, request: Request | None, scope: HTTPScope, receive: Receive) -> Answer:
    """The answer to a request that was refused, whose body may not have been looked at: its connection can go on, or it says so."""
    if (request is not None and request.has_read) or _CLOSE in answer.headers or await discard_body(scope, receive):
        return answer
    return _closing(answer)


def _closing(answer: Answer) -> Answer:
    """The answer as the last one of its connection."""
    return msgspec.structs.replace(answer, headers=(*answer.headers, _CLOSE))


def _request_id(scope: HTTPScope) -> str:
    """What the client, or a proxy before it, calls this request; as much of it as a log should carry."""
    given = next((value for name, value in scope["headers"] if name == _REQUEST_ID), b"")
    return given[:_REQUEST_ID_BYTES_MAX].decode("latin-1")


async def _send(answer: Answer, send: Send) -> None:
    await send(_head(answer))
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


def _head(answer: Answer) -> HTTPResponseStartEvent:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *_FIXED_HEADERS,
        *answer.headers,
    ]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send_parts(answer: Answer, send: Send, limits: HttpLimits) -> None:
    """Send a large answer as fast as the client takes it; one that takes it too slowly is cut off."""
    await send(_head(answer))
    began, body = asyncio.get_running_loop().time(), memoryview(answer.body)
    try:
        async with asyncio.timeout_at(began + answer_due_s(limits, 0)) as patience:
            for at in range(0, len(body), PART_BYTES):
                part = bytes(body[at : at + PART_BYTES])
                await send({"type": "http.response.body", "body": part, "more_body": at + len(part) < len(body)})
                patience.reschedule(began + answer_due_s(limits, at + len(part)))
    except TimeoutError:
        _log.info("an answer of %d bytes was not taken in time and is cut off", len(body))


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


_FULL = ApiError(ApiCode.CLUSTER_UNAVAILABLE, "the gateway has as many requests under way as it allows").answer()
_FULL_HEAD = _head(_FULL)
_FULL_CLOSING_HEAD = _head(_closing(_FULL))
_FULL_BODY: HTTPResponseBodyEvent = {"type": "http.response.body", "body": _FULL.body, "more_body": False}
