"""Follows requests and writes down what became of them.

Changes, locks and everything about tokens are written down; reads and watches only when that is asked for. A request that is
turned away for want of a token or of rights is written down whatever it asked for; one that came when there was too much under
way (429) never is, so that whoever floods the gateway does not flood the log. Health, metrics and what needs no token are not.
"""

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection

import msgspec

from gateway.answers import Answer, Stream
from gateway.audit.lines import Event, Lines
from gateway.audit.log import AuditLog
from gateway.errors import MEANINGS, ApiCode, ApiError
from gateway.requests import ClientGoneError, Request
from gateway.routes import CHANGES, Route, Verb

REQUEST_ID = b"x-request-id"
CLIENT_GONE = "CLIENT_GONE"
CUT_OFF = "CUT_OFF"
NAME_MAX = 64

_GOOD_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,64}")
_READS = frozenset({Verb.READ, Verb.WATCH, Verb.TOKEN})
_TURNED_AWAY = frozenset({ApiCode.UNAUTHORIZED, ApiCode.FORBIDDEN})


class Trail:
    """Writes the lines of one gateway.

    Args:
        log: where they go.
        lines: how they look.
        reads: whether reads and watches are written down.
        refuses: whether a request is refused when its line might not be written.
        now_ms: Unix time in ms.
    """

    def __init__(
        self,
        log: AuditLog,
        lines: Lines,
        *,
        reads: bool,
        refuses: bool,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.log = log
        self._lines = lines
        self._verbs = CHANGES | _READS if reads else CHANGES
        self._refuses = refuses
        self._now_ms = now_ms

    async def follow(
        self, route: Route, request: Request, serve: Callable[[], Awaitable[Answer | Stream]]
    ) -> Answer | Stream:
        """Serve a request and write down what came of it.

        Raises:
            ApiError: what serving raised; CLUSTER_UNAVAILABLE when the log might not take the line.
        """
        if route.always or route.is_open:
            return await serve()
        name = _request_id(request)
        header = (REQUEST_ID, name.encode())
        is_reserved = self._refuses and route.verb in self._verbs
        if is_reserved and not self.log.reserve():
            raise ApiError(ApiCode.CLUSTER_UNAVAILABLE, "the audit log cannot be written", headers=(header,))
        try:
            answer = await serve()
        except BaseException as error:
            self._end(route, request, name, _failure(error), was_reserved=is_reserved)
            if isinstance(error, ApiError):
                error.headers = (*error.headers, header)
            raise
        self._end(route, request, name, _Outcome(200, revision=_revision(route, answer)), was_reserved=is_reserved)
        return _with_header(answer, header)

    def _end(self, route: Route, request: Request, name: str, outcome: "_Outcome", *, was_reserved: bool) -> None:
        is_wanted = route.verb in self._verbs and outcome.code != ApiCode.TOO_MANY_REQUESTS
        if is_wanted or outcome.code in _TURNED_AWAY:
            self.log.add(self._line(route, request, name, outcome), was_reserved=was_reserved)
        elif was_reserved:
            self.log.release()

    def _line(self, route: Route, request: Request, name: str, outcome: "_Outcome") -> bytes:
        return self._lines.line(
            Event(
                at_ms=self._now_ms(),
                request=name,
                address=request.place.address,
                token=request.place.token,
                verb=route.verb.value,
                method=route.method,
                route=route.id,
                keys=_keys(request),
                status=outcome.status,
                code=outcome.code,
                unknown=outcome.unknown and route.verb in CHANGES,
                revision=outcome.revision,
            )
        )


class _Outcome(msgspec.Struct, frozen=True, gc=False):
    """What came of a request; see Event."""

    status: int
    code: str = ""
    unknown: bool = False
    revision: int = 0


def _failure(error: BaseException) -> _Outcome:
    """What came of a request that raised."""
    if isinstance(error, ApiError):
        return _Outcome(MEANINGS[error.code].status, error.code.value, error.unknown)
    if isinstance(error, ClientGoneError):
        return _Outcome(0, CLIENT_GONE, unknown=True)
    if isinstance(error, Exception):
        return _Outcome(500, ApiCode.INTERNAL.value, unknown=True)
    return _Outcome(0, CUT_OFF, unknown=True)


def _request_id(request: Request) -> str:
    """The client's own id for its request, if it has a sane one, or a new one; a proxy may have added another behind it."""
    given = request.first(REQUEST_ID)
    if given is not None and _GOOD_ID.fullmatch(given):
        return given.decode()
    return secrets.token_hex(8)


def _keys(request: Request) -> Collection[str]:
    """What a request named: its keys, each once, or what is in its path."""
    named = dict.fromkeys(key for keys in request.access.named for key in keys)
    if request.name:
        return (request.name[:NAME_MAX],)
    return named or ((request.key,) if request.key else ())


def _revision(route: Route, answer: Answer | Stream) -> int:
    """The revision of the change that an answer tells of."""
    if route.verb not in CHANGES:
        return 0
    if isinstance(answer, Answer) and answer.revision:
        return answer.revision
    tag = next((value.strip(b'"') for name, value in answer.headers if name == b"etag"), b"")
    return int(tag) if tag.isdigit() else 0


def _with_header(answer: Answer | Stream, header: tuple[bytes, bytes]) -> Answer | Stream:
    if isinstance(answer, Answer):
        return msgspec.structs.replace(answer, headers=(*answer.headers, header))
    answer.headers = (*answer.headers, header)
    return answer
