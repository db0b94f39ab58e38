"""The calls of a client that have no answer yet, and how they end without one."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

import msgspec

from process.sweep import Sweep
from wire.errors import Applied, Code, Failure, RpcError
from wire.frame import REPLY, Frame
from wire.rpc import UNDECODABLE, Method, decode_failure, maybe_applied, not_applied

log = logging.getLogger(__name__)


class PendingCall(msgspec.Struct, eq=False):
    """One of them. `deadline` is a time of the loop's clock."""

    future: asyncio.Future[Any]
    method: Method[Any, Any]
    deadline: float


class CallTable:
    """Calls by correlation. Correlations grow and are never used again.

    Args:
        sweep_interval_s: precision of the timeouts.
        has_left: whether a request is on its way to the server, or was.
    """

    def __init__(self, sweep_interval_s: float, has_left: Callable[[int], bool]) -> None:
        self._calls: dict[int, PendingCall] = {}
        self._correlation = 0
        self._has_left = has_left
        self._sweep = Sweep(sweep_interval_s, self._expire)

    def __len__(self) -> int:
        """How many calls have no answer."""
        return len(self._calls)

    def add(self, future: asyncio.Future[Any], method: Method[Any, Any], deadline: float) -> int:
        """Take a call and return its correlation."""
        self._correlation = correlation = self._correlation + 1
        self._calls[correlation] = PendingCall(future, method, deadline)
        if deadline < self._sweep.due:
            self._sweep.watch(deadline)
        return correlation

    def wanted(self, correlation: int) -> PendingCall | None:
        """The call, if it is still to be sent. One that its caller gave up is forgotten."""
        call = self._calls.get(correlation)
        if call is not None and call.future.done():
            del self._calls[correlation]
            return None
        return call

    def answer(self, frame: Frame) -> None:
        """Hand a REPLY or FAILURE frame to its caller, if there still is one."""
        call = self._calls.pop(frame.correlation, None)
        if call is None or call.future.done():
            return
        try:
            if frame.kind == REPLY:
                call.future.set_result(call.method.decode_reply(frame.payload))
            else:
                call.future.set_exception(RpcError(decode_failure(frame.payload)))
        except UNDECODABLE as error:
            log.warning("client: what came is no answer to %s: %s", call.method.name, error)
            _fail(call, maybe_applied(Code.INTERNAL, "the answer cannot be read"))

    def lose(self, may_have_happened: Callable[[int], bool], message: str) -> None:
        """End all calls with their connection: as unknown where they may have been acted upon."""
        calls, self._calls = self._calls, {}
        for correlation, call in calls.items():
            if may_have_happened(correlation):
                _fail(call, maybe_applied(Code.UNKNOWN, message))
            else:
                _fail(call, not_applied(Code.UNAVAILABLE, message))

    def refuse(self, message: str, retry_after_ms: int = 0) -> None:
        """End all calls, of which none has left."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            _fail(call, not_applied(Code.UNAVAILABLE, message, retry_after_ms))

    def stop(self) -> None:
        """Watch no deadlines any more."""
        self._sweep.stop()

    def _expire(self, now: float) -> float:
        due = [correlation for correlation, call in self._calls.items() if call.deadline <= now]
        for correlation in due:
            applied = Applied.UNKNOWN if self._has_left(correlation) else Applied.NO
            failure = Failure(Code.TIMEOUT, "the deadline passed before there was an answer", applied)
            _fail(self._calls.pop(correlation), failure)
        return min((call.deadline for call in self._calls.values()), default=math.inf)


def _fail(call: PendingCall, failure: Failure) -> None:
    if not call.future.done():
        call.future.set_exception(RpcError(failure))
