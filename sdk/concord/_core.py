"""What both clients have in common: a call as steps, without doing any of them.

`Core.steps` is a generator. It yields `Send` and `Sleep` and is sent back a `Response` or a `TransportError` (None after a
sleep); it returns the result or raises a ConcordError. A write has one idempotency key over all its attempts, so
none applies it twice. Once an attempt has ended without an answer the write is *ambiguous*: only an answer that the
group itself gave makes it definite again.
"""

import itertools
import os
import random
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from concord import _errors as errors
from concord._calls import Call
from concord._endpoints import Endpoints
from concord._errors import ConcordError
from concord._responses import revision_of
from concord._retry import Retry
from concord._transports import Request, Response, TransportError

T = TypeVar("T")

TIMEOUT_S_MAX = 30.0  # that a gateway accepts
ATTEMPT_S_MAX = 10.0  # after which another gateway is asked
SERVER_SHARE = 0.9  # of an attempt: so that a gateway's own word on the deadline arrives in time
OWN_WRITES_MAX = 10_000
_NO_REVISION = 1 << 63


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a request to a gateway, and wait this long for the whole answer."""

    url: str
    request: Request
    timeout_s: float


class Sleep(msgspec.Struct, frozen=True, gc=False):
    """Wait."""

    seconds: float


Step: TypeAlias = Send | Sleep
Heard: TypeAlias = Response | TransportError | None
Steps: TypeAlias = Generator[Step, Heard, T]
Plan: TypeAlias = Generator[Call[Any] | Sleep, Any, T]
"""Several calls, one after another: yields them, is sent their results or thrown their errors."""


class OwnWrites:
    """The revisions of this client's newest writes, by key, so that stale reads are no older than they."""

    def __init__(self, keys_max: int = OWN_WRITES_MAX) -> None:
        self._revisions: OrderedDict[str, int] = OrderedDict()
        self._keys_max = keys_max
        self._lock = threading.Lock()

    def note(self, keys: Iterable[str], response: Response) -> None:
        """A write of the keys was answered. One that tells no revision is newer than whatever a replica may say."""
        if response.status != 200:
            return
        revision = revision_of(response)
        newest = _NO_REVISION if revision is None else revision
        with self._lock:
            for key in keys:
                self._revisions[key] = max(newest, self._revisions.pop(key, 0))
            while len(self._revisions) > self._keys_max:
                self._revisions.popitem(last=False)

    def includes(self, key: str) -> bool:
        """Whether the key was written lately."""
        return key in self._revisions

    def is_behind(self, key: str, response: Response) -> bool:
        """Whether an answer about the key may not know the newest write."""
        newest = self._revisions.get(key)
        if newest is None or response.status not in {200, 404}:
            return False
        known = response.headers.get("x-concord-revision", "")
        return not (known.isascii() and known.isdigit() and int(known) >= newest)


class Core:
    """The settings and the memory of a client.

    Args:
        endpoints: the gateways.
        token: sent with every request, or "".
        timeout_s: of a call that names none: all attempts and waits together.
        retry: when to try again.
        clock: monotonic, in seconds.
        rng: for jitter.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        token: str,
        timeout_s: float,
        retry: Retry,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        if token and not (token.isascii() and token.isprintable()):
            raise ValueError("token: it has characters that no token has")
        if timeout_s <= 0:
            raise ValueError("timeout: expected seconds above 0")
        self.endpoints = endpoints
        self.headers: Mapping[str, str] = {"authorization": f"Bearer {token}"} if token else {}
        self.timeout_s = timeout_s
        self.clock = clock
        self.own_writes = OwnWrites()
        self.retry = retry
        self.rng = rng
        self._name = uuid.uuid4().hex
        self._numbers = itertools.count()

    def idempotency_key(self) -> str:
        """A new one; in a forked process, too."""
        return f"{self._name}-{os.getpid():x}-{next(self._numbers):x}"

    def steps(self, call: Call[T], timeout_s: float | None = None) -> Steps[T]:
        """The steps of a call."""
        answered = yield from _Attempts(self, call, timeout_s).run()
        if call.fallback is not None and answered.is_behind:
            answered = yield from _Attempts(self, call.fallback, timeout_s).run()
        return answered.result


class _Answered(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A result, and whether it was made of an answer that does not know our own writes."""

    result: T
    is_behind: bool


class _Attempts(Generic[T]):
    """All attempts of one call."""

    def __init__(self, core: Core, call: Call[T], timeout_s: float | None) -> None:
        self._core = core
        self._call = call
        self._deadline = core.clock() + (core.timeout_s if timeout_s is None else timeout_s) + call.wait_s
        self._headers: Mapping[str, str] = {**core.headers, **call.request.headers}
        if call.is_write:
            self._headers = {**self._headers, "idempotency-key": core.idempotency_key()}
        self._is_ambiguous = False
        self._was_lost = False
        self._partial: _Answered[T] | None = None

    def run(self) -> Steps[_Answered[T]]:
        """Send, and send again while that may help."""
        core = self._core
        for attempt in itertools.count(1):
            url = core.endpoints.choose(core.clock())
            heard = yield self._send(url, attempt)
            try:
                answered = self._take(url, heard)
                error = self._call.unfinished(answered.result) if self._call.unfinished else None
                if error is None:
                    return answered
            except ConcordError as raised:
                error = raised
                self._was_lost = self._was_lost or error.applied == "unknown"
            wait_s = self._wait_s(attempt, error)
            if wait_s is None:
                return self._give_up(error)
            if wait_s > 0:
                yield Sleep(wait_s)
        raise AssertionError  # the loop has no end of its own

    def _send(self, url: str, attempt: int) -> Send:
        call = self._call
        left_s = max(0.001, self._deadline - self._core.clock())
        timeout_s = min(left_s, ATTEMPT_S_MAX + call.wait_s)
        if self._another_may_be_asked(attempt):
            timeout_s = min(timeout_s, (left_s + call.wait_s) / 2)
        server_s = min(TIMEOUT_S_MAX, max(timeout_s - call.wait_s, timeout_s / 2) * SERVER_SHARE)
        headers = {**self._headers, "x-concord-timeout-ms": str(max(1, int(server_s * 1000)))}
        request = call.request
        return Send(url, Request(request.method, request.target, headers, request.body), timeout_s)

    def _another_may_be_asked(self, attempt: int) -> bool:
        """Whether an attempt that gets no answer leaves a gateway that was not asked: then it leaves time for it, too."""
        attempts_max = self._core.retry.attempts_max
        is_last = attempt >= len(self._core.endpoints) or attempt == attempts_max
        return self._call.is_repeatable and not is_last

    def _take(self, url: str, heard: Heard) -> _Answered[T]:
        core, call = self._core, self._call
        if not isinstance(heard, Response):
            core.endpoints.failed(url, core.clock())
            assert heard is not None, "a Send is answered by a Response or a TransportError"  # noqa: S101 - our drivers
            raise self._lost(heard)
        core.endpoints.answered(url)
        if call.is_write:
            core.own_writes.note(call.keys, heard)
        try:
            result = call.decode(heard)
        except errors.ServerFault as fault:
            raise self._placed(fault) from fault.__cause__
        if self._partial is not None and call.merge is not None:
            result = call.merge(self._partial.result, result)
        is_behind = call.fallback is not None and core.own_writes.is_behind(call.keys[0], heard)
        self._partial = _Answered(result, is_behind)
        return self._partial

    def _placed(self, fault: errors.ServerFault) -> ConcordError:
        """An answer that is not a gateway's leaves a write unknown, and a read as it was."""
        if fault.applied == "unknown" and self._call.is_write:
            return errors.UnknownOutcome(fault.message, status=fault.status)
        fault.applied = False
        return fault

    def _lost(self, failure: TransportError) -> ConcordError:
        if self._call.is_write and failure.was_sent:
            return errors.UnknownOutcome(str(failure))
        return (errors.Timeout if failure.timed_out else errors.ConnectionFailed)(str(failure))

    def _wait_s(self, attempt: int, error: ConcordError) -> float | None:
        core = self._core
        if error.applied == "unknown":
            self._is_ambiguous = True
            if not self._call.is_repeatable:
                return None
        left_s = self._deadline - core.clock()
        return core.retry.wait_s(attempt, error, left_s, len(core.endpoints) - attempt, core.rng.random())

    def _give_up(self, error: ConcordError) -> _Answered[T]:
        if self._partial is not None:
            return self._told(self._partial)
        settles = isinstance(error, errors.Conflict | errors.PreconditionFailed | errors.NotFound | errors.CrossGroup)
        if not self._is_ambiguous or settles or error.applied == "unknown":
            raise error
        message = f"an attempt ended without an answer, and the last with {error}"
        raise errors.UnknownOutcome(message, status=error.status) from error

    def _told(self, partial: _Answered[T]) -> _Answered[T]:
        """What is known of the items of a bulk request that was never answered for all of them."""
        doubted = self._call.doubted
        if not self._was_lost or doubted is None:
            return partial
        return _Answered(doubted(partial.result), partial.is_behind)
