"""What the OpenAPI document says in words: of the API as a whole, and of operations with something that a schema cannot say."""

from gateway.errors import HTTP_SERVER_ANSWERS

_ABOUT = """\
JSON in, JSON out, in UTF-8. A success has `"status": "ok"`, a failure `"status": "error"` and an `error`, whose `applied` says whether \
anything was done and whose `retryable` says whether the same request may succeed later. Answers may gain members and headers: ignore \
those that you do not know. Requests may not: an unknown member of a body or parameter of a query is refused.

**Bodies.** A whole number may be written as `60`, `60.0` or `6e1`. Of members of one object that have the same name the last counts (two \
different `op` of a step are refused); within a value they are kept as they came. A body without a content type is taken for JSON.

**Headers.** One that decides about a request may not be given twice with different values. `If-Match` and `If-None-Match` are refused by writes \
that would not heed them; reads take no notice of them. A body is taken as it is: a `Content-Encoding` other than `identity` is refused.

**Methods.** `HEAD` answers wherever `GET` does, without the body. A path without a route is a `404`, a route without the method a `405` \
with `Allow` (`NoSuchRoute` and `NoSuchMethod` among the responses of the components).

**Retries.** `Idempotency-Key` counts on every write of keys: put, delete, touch, increment, bulk writes, transactions that \
write, limits and instances of services. A key is remembered with the slot of the first key \
that is written: choose a new one for each request. It has no meaning for locks, which can be asked for again by owner and fence, nor for tokens.

**Tracing.** A gateway that traces goes on with `traceparent` and `tracestate` of a request. `X-Request-Id` (up to 64 letters, digits and `._:/+=-`) is \
written to the audit log, and sent back, by a gateway that keeps one.

**Before the gateway.** What is not well-formed HTTP/1.1, or too long, is answered by the HTTP server itself, without a body and with \
`Connection: close`; nothing was applied. {bare}
"""

ABOUT = _ABOUT.format(bare=" ".join(f"`{status}`: {text}" for status, text in HTTP_SERVER_ANSWERS.items()))

DESCRIPTIONS = {
    "lock_acquire": "May be sent again: an owner that holds the lock gets the same fence, and its time begins anew; one that waits "
    "keeps its place, which is the latest request's then. A client that hangs up while it waits gives up its place, and the lock if it has just got "
    "it, but neither the place of a later request of the owner nor a lock that another one was told of. `wait_ms` counts beside the time of "
    "`X-Concord-Timeout-Ms`, which is for the cluster's answers. A gateway that stops takes those who wait through it out of the queue, with a `503`: "
    "ask another. After an unknown outcome the owner may wait, and get the lock, until `wait_ms` is over. "
    "`Idempotency-Key` has no meaning here.",
    "lock_renew": "May be sent again: the time is set, not added. A lock that is not held under this fence is a `409`. "
    "`Idempotency-Key` has no meaning here.",
    "lock_release": "May be sent again: a `409` then says that the lock is not held under this fence any more. "
    "`Idempotency-Key` has no meaning here.",
    "token_create": "Sent again it makes another token: `Idempotency-Key` has no meaning here.",
    "token_rotate": "Sent again it makes yet another secret: `Idempotency-Key` has no meaning here.",
    "token_revoke": "Sent again it is a `404`. `Idempotency-Key` has no meaning here.",
    "txn": "`Idempotency-Key` counts when a step may write; a transaction that only reads is answered anew.",
}
