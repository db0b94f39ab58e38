"""Everything that a call can fail with, by what it means for the caller.

    ConcordError
    ├── InvalidRequest      the request breaks the contract; the message names the field
    ├── InvalidValue        the value is there, but not of the `type=` that was asked for
    ├── Unauthorized        no token, or one that is not good
    ├── Forbidden           the token's scopes do not cover the request
    ├── NotFound            there is no such key (any more)
    ├── Conflict            another holds the lock (`holder`), or the value is no number or would leave its range
    │   └── LockLost        the lock that was held is not any more
    ├── PreconditionFailed  a condition of the write did not hold; `revision` is the key's present one, if told
    ├── CrossGroup          an atomic request whose keys are not in one slot
    ├── TooLarge            a key's value, a batch or a body is over a limit
    ├── TooManyRequests     the gateway has as much under way as it allows; `retry_after_s`
    ├── Unavailable         no leader or quorum; definitely not applied; `retry_after_s`
    ├── ConnectionFailed    no gateway could be reached; definitely not applied
    ├── Timeout             the deadline passed; definitely not applied
    ├── UnknownOutcome      the write may have been applied, or may yet be
    ├── ServerFault         an answer that no Concord gives, or a defect that it reports
    └── StoreFailed         a store in this process cannot be used (any more); see `.code`

What is retryable was retried until the deadline before the caller sees it.
"""

from typing import Literal, TypeAlias

import msgspec

Applied: TypeAlias = Literal[False, "unknown"]


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock: its owner, the fence, and the seconds that are left."""

    owner: str
    fence: int
    ttl: int


class ConcordError(Exception):
    """A call that failed.

    Attributes:
        code: the code of the HTTP API (docs/errors.md), or one of CONNECTION_FAILED, UNKNOWN, INVALID_VALUE, LOCK_LOST
            and those of StoreFailed.
        message: one sentence for a person.
        retryable: whether the same call may succeed later.
        applied: False, or "unknown" when a write may have been applied or may yet be.
        status: of the HTTP answer; 0 when there was none.
    """

    code = "ERROR"
    retryable = False
    applied: Applied = False

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        retryable: bool | None = None,
        applied: Applied | None = None,
        status: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        if code:
            self.code = code
        if retryable is not None:
            self.retryable = retryable
        if applied is not None:
            self.applied = applied

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class InvalidRequest(ConcordError):
    """The request breaks the contract; the message names the field."""

    code = "INVALID_REQUEST"


class InvalidValue(ConcordError):
    """The value is there, but not of the type that was asked for.

    Attributes:
        key: of the value.
        id: of the event that told it, to go on from with `after=`; "" where nobody can go on, and where this is about no event.
    """

    code = "INVALID_VALUE"
    key: str = ""
    id: str = ""

    def of(self, key: str, place: str = "") -> "InvalidValue":
        """Itself, once it is known whose value it is."""
        if not self.key:
            self.key, self.id = key, place
            self.message = f"{key}: {self.message}" + (f" (event {place})" if place else "")
        return self


class Unauthorized(ConcordError):
    """No token, or one that is not known, was revoked or has expired."""

    code = "UNAUTHORIZED"


class Forbidden(ConcordError):
    """The token's scopes do not cover all of the request."""

    code = "FORBIDDEN"


class NotFound(ConcordError):
    """There is no such key (any more)."""

    code = "NOT_FOUND"


class Conflict(ConcordError):
    """Another holds the lock, or the value is no number or would leave its range.

    Attributes:
        holder: who holds the lock; None when this is about no lock.
    """

    code = "CONFLICT"
    holder: Holder | None = None


class LockLost(Conflict):
    """The lock that was held is not any more: it ran out, or was taken away."""

    code = "LOCK_LOST"


class PreconditionFailed(ConcordError):
    """A condition of the write did not hold; nothing was applied.

    Attributes:
        revision: the present revision of the key, None when it is not known.
    """

    code = "PRECONDITION_FAILED"
    revision: int | None = None


class CrossGroup(ConcordError):
    """An atomic request whose keys are not in one slot: give them a common `{tag}`."""

    code = "CROSS_GROUP"


class TooLarge(ConcordError):
    """A value, a batch or a body is over a limit."""

    code = "BODY_TOO_LARGE"


class TooManyRequests(ConcordError):
    """The gateway has as much under way as it allows.

    Attributes:
        retry_after_s: how long it asked to be left alone.
    """

    code = "TOO_MANY_REQUESTS"
    retryable = True
    retry_after_s = 0.0


class Unavailable(ConcordError):
    """No leader or no quorum; definitely not applied.

    Attributes:
        retry_after_s: how long it asked to be left alone.
    """

    code = "CLUSTER_UNAVAILABLE"
    retryable = True
    retry_after_s = 0.0


class ConnectionFailed(ConcordError):
    """No gateway could be reached; definitely not applied."""

    code = "CONNECTION_FAILED"
    retryable = True


class Timeout(ConcordError):
    """The deadline passed; definitely not applied."""

    code = "TIMEOUT"
    retryable = True


class UnknownOutcome(ConcordError):
    """The write may have been applied, or may yet be."""

    code = "UNKNOWN"
    retryable = True
    applied: Applied = "unknown"


class ServerFault(ConcordError):
    """An answer that no Concord gives, or a defect that it reports."""

    code = "INTERNAL"


class StoreFailed(ConcordError):
    """A store in this process cannot be used: it is locked by another, damaged, closed, or its disk failed. Says what to do.

    `code` is one of STORE_LOCKED, STORE_DAMAGED, STORE_FAILED, STORE_CLOSED, STORE_FORKED, STORE_NOT_INSTALLED.
    """

    code = "STORE_FAILED"
