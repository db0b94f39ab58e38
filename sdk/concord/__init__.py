"""Concord for its users: the clients `Concord` and `AsyncConcord`, and the command line.

Speaks HTTP and knows nothing of the server. The tour is in docs/sdk.md, every exception in `ConcordError`'s module.
"""

from concord._async_client import AsyncConcord
from concord._async_embedded import AsyncEmbedded
from concord._calls import Consistency
from concord._client import Concord
from concord._coordination import Instance, Permit
from concord._embedded import Embedded
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
from concord._many import Read, Written
from concord._member import AsyncMember, Member, open_async_member, open_member
from concord._open import open, open_async  # noqa: A004 - as `gzip.open`
from concord._responses import Entry
from concord._retry import Retry
from concord._txn import Txn, TxnResult
from concord._watching import Event

__version__ = "0.1.0"

__all__ = [
    "AsyncConcord",
    "AsyncEmbedded",
    "AsyncMember",
    "Concord",
    "ConcordError",
    "Conflict",
    "ConnectionFailed",
    "Consistency",
    "CrossGroup",
    "Embedded",
    "Entry",
    "Event",
    "Forbidden",
    "Holder",
    "Instance",
    "InvalidRequest",
    "InvalidValue",
    "LockLost",
    "Member",
    "NotFound",
    "Permit",
    "PreconditionFailed",
    "Read",
    "Retry",
    "ServerFault",
    "StoreFailed",
    "Timeout",
    "TooLarge",
    "TooManyRequests",
    "Txn",
    "TxnResult",
    "Unauthorized",
    "Unavailable",
    "UnknownOutcome",
    "Written",
    "open",
    "open_async",
    "open_async_member",
    "open_member",
]
