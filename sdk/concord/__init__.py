"""Concord for its users: the clients `Concord` and `AsyncConcord`, and the command line.

Speaks HTTP and knows nothing of the server. The tour is in docs/sdk.md, every exception in `ConcordError`'s module.
"""

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
    Timeout,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownOutcome,
)
from concord._many import Put, Read, Written
from concord._responses import Entry
from concord._retry import Retry
from concord._txn import Txn, TxnResult
from concord._watching import Event

if TYPE_CHECKING:
    from concord._async_client import AsyncConcord

__version__ = "0.1.0"

__all__ = [
    "AsyncConcord",
    "Concord",
    "ConcordError",
    "Conflict",
    "ConnectionFailed",
    "Consistency",
    "CrossGroup",
    "Entry",
    "Event",
    "Forbidden",
    "Holder",
    "Instance",
    "InvalidRequest",
    "InvalidValue",
    "LockLost",
    "NotFound",
    "Page",
    "Permit",
    "PreconditionFailed",
    "Put",
    "Read",
    "Retry",
    "ServerFault",
    "Timeout",
    "TooLarge",
    "TooManyRequests",
    "Txn",
    "TxnResult",
    "Unauthorized",
    "Unavailable",
    "UnknownOutcome",
    "Written",
]


def __getattr__(name: str) -> object:
    """`AsyncConcord`, at its first use: importing asyncio takes as long as all the rest."""
    if name == "AsyncConcord":
        from concord._async_client import AsyncConcord  # noqa: PLC0415 - as said above

        return AsyncConcord
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
