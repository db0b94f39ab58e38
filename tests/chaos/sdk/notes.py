"""What one client did and was told, and whether each exception is one that the documentation allows, and true to its word."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Collection, Sequence
from typing import Literal, TypeVar

import msgspec

from concord import (
    ConcordError,
    Conflict,
    ConnectionFailed,
    LockLost,
    NotFound,
    PreconditionFailed,
    Timeout,
    TooManyRequests,
    Unavailable,
    UnknownOutcome,
)
from tests.chaos.sdk.evidence import Evidence
from tests.linearizability import Kind, Operation, Scalar
from tests.linearizability.operation import Answer
from tests.linearizability.watching import Told, Written

T = TypeVar("T")
Refusals = Collection[type[ConcordError]]

MEANING: dict[type[ConcordError], tuple[bool, Literal[False, "unknown"]]] = {
    Unavailable: (True, False),
    ConnectionFailed: (True, False),
    Timeout: (True, False),
    TooManyRequests: (True, False),
    UnknownOutcome: (True, "unknown"),
    PreconditionFailed: (False, False),
    NotFound: (False, False),
    Conflict: (False, False),
    LockLost: (False, False),
}
"""Each exception that chaos excuses, with its `retryable` and its `applied`."""
ANY_TIME: Refusals = (Unavailable, ConnectionFailed, Timeout, TooManyRequests)


class Held(msgspec.Struct, frozen=True):
    """A lock that a client held: from when it had it until it last knew that it had it, on the clock of the history."""

    name: str
    fence: int
    from_ns: int
    until_ns: int


class Guarded(msgspec.Struct, frozen=True):
    """A write under a fence that was accepted."""

    key: str
    revision: int
    fence: int


class Report(msgspec.Struct):
    """What a process of clients has to tell.

    Attributes:
        operations: the history.
        written: writes to the keys that are watched.
        seen: the watches' events; a watch that had to begin anew has more than one list.
        held: locks.
        guarded: writes under their fences.
        evidence: of services, flags and limiters.
        outcomes: how often each call came to each end.
        faults: promises that were broken before anybody looked at the whole.
        overrun_s: the longest that a call took over its deadline.
    """

    operations: list[Operation] = []
    written: list[Written] = []
    seen: list[list[list[Told]]] = []
    held: list[Held] = []
    guarded: list[Guarded] = []
    evidence: Evidence = msgspec.field(default_factory=Evidence)
    outcomes: dict[str, int] = {}
    faults: list[str] = []
    overrun_s: float = 0.0


class Notes:
    """One client's; it does one thing at a time.

    Args:
        client: its number.
        timeout_s: of each of its calls.
    """

    def __init__(self, client: int, timeout_s: float) -> None:
        self.client = client
        self.operations: list[Operation] = []
        self.written: list[Written] = []
        self.held: list[Held] = []
        self.guarded: list[Guarded] = []
        self.evidence = Evidence()
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        self.overrun_s = 0.0
        self.called_ns = 0
        self.returned_ns = 0
        self._timeout_s = timeout_s

    def fault(self, text: str) -> None:
        """Take note of a broken promise."""
        self.faults.append(f"client {self.client}: {text}")

    def opened(
        self, kind: Kind, key: str, argument: Scalar | tuple[Scalar, Scalar] = None, ttl_s: int | None = None
    ) -> Operation:
        """A write that is about to be called; nobody knows what will come of it."""
        return Operation(self.client, key, kind, time.monotonic_ns(), None, argument, ttl_s)

    def done(self, opened: Operation, result: Answer = None, revision: int | None = None) -> None:
        """The last call has told that the write was done."""
        told = msgspec.structs.replace(opened, returned_ns=self.returned_ns, result=result, revision=revision or None)
        self.operations.append(told)

    def read(self, key: str, value: Scalar, revision: int | None = None) -> None:
        """The last call has read a key."""
        self.operations.append(
            Operation(
                self.client, key, Kind.GET, self.called_ns, self.returned_ns, result=value, revision=revision or None
            )
        )

    async def ask(
        self,
        what: str,
        call: Awaitable[T],
        writes: Sequence[Operation] = (),
        refusals: Refusals = (),
        *,
        is_write: bool = False,
        more_s: float = 0.0,
    ) -> T | ConcordError:
        """The result of a call, or how it failed.

        Args:
            what: the name of the call.
            call: made, and not begun.
            writes: what it does if it is done; noted with an unknown outcome when that is all that is known.
            refusals: exceptions by which it may be refused, beside those of any time.
            is_write: whether its outcome may stay unknown though it has no `writes`.
            more_s: what it may take on top of its deadline.
        """
        self.called_ns = time.monotonic_ns()
        try:
            result = await call
        except ConcordError as error:
            self._returned(more_s)
            self.failed(what, error, refusals, is_write=is_write or bool(writes))
            if error.applied == "unknown":
                self.operations.extend(writes)
            return error
        except asyncio.CancelledError:
            self.outcomes[f"{what}: cancelled"] += 1
            self.operations.extend(writes)
            raise
        self._returned(more_s)
        self.outcomes[f"{what}: done"] += 1
        return result

    def _returned(self, more_s: float) -> None:
        self.returned_ns = time.monotonic_ns()
        took_s = (self.returned_ns - self.called_ns) / 1e9
        self.overrun_s = max(self.overrun_s, took_s - self._timeout_s - more_s)

    def failed(self, what: str, error: ConcordError, refusals: Refusals, *, is_write: bool) -> None:
        """A call has raised: is that documented, and does the exception say what is documented?"""
        kind = type(error)
        self.outcomes[f"{what}: {kind.__name__}"] += 1
        allowed = (*ANY_TIME, *refusals, *([UnknownOutcome] if is_write else []))
        if kind not in allowed:
            self.fault(f"{what} raised {error!r}, status {error.status}")
        elif (error.retryable, error.applied) != MEANING[kind]:
            self.fault(f"{what} raised {error!r}, which says retryable={error.retryable}, applied={error.applied}")
