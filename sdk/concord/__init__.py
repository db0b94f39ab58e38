"""Concord for its users: the clients `Concord` and `AsyncConcord`, and the command line.

Speaks HTTP and knows nothing of the server, unless a store or a node in this process is opened. The tour is in docs/sdk.md, every exception in `ConcordError`'s module.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from concord._calls import Consistency, Page
from concord._client import Concord
from concord._coordination import Instance, Permit
from concord._errors import (
    ConcordError,
    Conflict,
    ConnectionFailed,
    CrossGroup,
    Forbidden,
    Holder,
    InvalidRequest,
    InvalidValue,
    LockLost,
    NotFound,
    PreconditionFailed,
    ServerFault,
    StoreFailed,
    Timeout,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownOutcome,
)
from concord._flags import Flags
from concord._held import Limiter, Lock, Registration, Service
from concord._many import Put, Read, Written
from concord._responses import Entry
from concord._retry import Retry
from concord._sessions import AsyncSessions, Sessions
from concord._txn import StepResult, Steps, Txn, TxnResult
from concord._watch import Watch
from concord._watching import Event

if TYPE_CHECKING:
    from concord._async_client import AsyncConcord
    from concord._async_embedded import AsyncEmbedded
    from concord._async_flags import AsyncFlags
    from concord._async_held import AsyncLimiter, AsyncLock, AsyncRegistration, AsyncService
    from concord._async_watch import AsyncWatch
    from concord._embedded import Embedded
    from concord._member import AsyncMember, Member, open_async_member, open_member
    from concord._open import open, open_async  # noqa: A004 - as `gzip.open`

__version__ = "0.1.0"

__all__ = [
    "AsyncConcord",
    "AsyncEmbedded",
    "AsyncFlags",
    "AsyncLimiter",
    "AsyncLock",
    "AsyncMember",
    "AsyncRegistration",
    "AsyncService",
    "AsyncSessions",
    "AsyncWatch",
    "Concord",
    "ConcordError",
    "Conflict",
    "ConnectionFailed",
    "Consistency",
    "CrossGroup",
    "Embedded",
    "Entry",
    "Event",
    "Flags",
    "Forbidden",
    "Holder",
    "Instance",
    "InvalidRequest",
    "InvalidValue",
    "Limiter",
    "Lock",
    "LockLost",
    "Member",
    "NotFound",
    "Page",
    "Permit",
    "PreconditionFailed",
    "Put",
    "Read",
    "Registration",
    "Retry",
    "ServerFault",
    "Service",
    "Sessions",
    "StepResult",
    "Steps",
    "StoreFailed",
    "Timeout",
    "TooLarge",
    "TooManyRequests",
    "Txn",
    "TxnResult",
    "Unauthorized",
    "Unavailable",
    "UnknownOutcome",
    "Watch",
    "Written",
    "open",
    "open_async",
    "open_async_member",
    "open_member",
]

_AT_FIRST_USE = {
    "AsyncConcord": "_async_client",
    "AsyncEmbedded": "_async_embedded",
    "AsyncFlags": "_async_flags",
    "AsyncLimiter": "_async_held",
    "AsyncLock": "_async_held",
    "AsyncMember": "_member",
    "AsyncRegistration": "_async_held",
    "AsyncService": "_async_held",
    "AsyncWatch": "_async_watch",
    "Embedded": "_embedded",
    "Member": "_member",
    "open": "_open",
    "open_async": "_open",
    "open_async_member": "_member",
    "open_member": "_member",
}
"""What is loaded by who asks for it, and where it is: importing asyncio alone takes as long as all the rest."""


def __getattr__(name: str) -> object:
    """A name of `_AT_FIRST_USE`."""
    module = _AT_FIRST_USE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"concord.{module}"), name)
