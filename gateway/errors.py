"""What an HTTP client is told when something went wrong: the one table of codes, and the one shape.

Every failure of the API, whatever its source, is an `ApiError` before it becomes an answer. The body says whether
anything was applied (`false`, or `"unknown"` when a write may have happened or may yet) and whether the same request
may succeed later.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from gateway.answers import Answer, Header
from wire.errors import Applied, Code, Failure


class ApiCode(enum.StrEnum):
    """The closed list of error codes of the HTTP API."""

    INVALID_KEY = "INVALID_KEY"
    INVALID_REQUEST = "INVALID_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    CONFLICT = "CONFLICT"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    CROSS_GROUP = "CROSS_GROUP"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    VALUE_TOO_LARGE = "VALUE_TOO_LARGE"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    INTERNAL = "INTERNAL"
    CLUSTER_UNAVAILABLE = "CLUSTER_UNAVAILABLE"
    TIMEOUT = "TIMEOUT"


class Meaning(msgspec.Struct, frozen=True):
    """One row of the table: HTTP status, whether a retry may help, what it means in one sentence, and what to do."""

    status: int
    retryable: bool
    text: str
    advice: str


MEANINGS: dict[ApiCode, Meaning] = {
    ApiCode.INVALID_KEY: Meaning(
        400, retryable=False, text="The key is empty, over 1024 bytes or not UTF-8.", advice="Send another key."
    ),
    ApiCode.INVALID_REQUEST: Meaning(
        400,
        retryable=False,
        text="Malformed JSON, or a missing or wrong field, parameter or header; the message names it.",
        advice="Mend what the message names.",
    ),
    ApiCode.UNAUTHORIZED: Meaning(
        401,
        retryable=False,
        text="No token, or one that is not known, was revoked or has expired.",
        advice="Send a token that is good: `Authorization: Bearer …`.",
    ),
    ApiCode.FORBIDDEN: Meaning(
        403,
        retryable=False,
        text="The token's scopes do not cover all of the request.",
        advice="Use a token whose scopes cover it, or ask for less.",
    ),
    ApiCode.NOT_FOUND: Meaning(
        404,
        retryable=False,
        text="There is no such key (any more), no such token, or no such route.",
        advice="Make it first, or take its absence as the answer.",
    ),
    ApiCode.METHOD_NOT_ALLOWED: Meaning(
        405,
        retryable=False,
        text="The route exists, but not with this method; see the header Allow.",
        advice="Use a method that Allow names.",
    ),
    ApiCode.CONFLICT: Meaning(
        409,
        retryable=False,
        text="Another holds the lock, the value is no number or would leave its range, the idempotency key was used for "
        "another request, or there are too many tokens or no other one with admin; nothing was applied.",
        advice="For a lock, ask again later or with `wait_ms`; else look at the message.",
    ),
    ApiCode.PRECONDITION_FAILED: Meaning(
        412,
        retryable=False,
        text="What If-Match, If-None-Match or an `if_…` field expects of the key does not hold; nothing was applied.",
        advice="Read the key again (its ETag may be in the answer) and decide anew.",
    ),
    ApiCode.CROSS_GROUP: Meaning(
        422,
        retryable=False,
        text="All keys of a transaction or an atomic request must be in one slot: give them a common `{tag}`; nothing was "
        "applied.",
        advice="Give the keys a common `{tag}`.",
    ),
    ApiCode.BATCH_TOO_LARGE: Meaning(
        413,
        retryable=False,
        text="More items, or bytes of values to read, than the gateway takes; the message says how many; nothing was applied.",
        advice="Split the request.",
    ),
    ApiCode.VALUE_TOO_LARGE: Meaning(
        413,
        retryable=False,
        text="A value over what the gateway takes (1 MiB unless it is turned down); nothing was applied.",
        advice="Split the value, or keep it elsewhere and its place here.",
    ),
    ApiCode.BODY_TOO_LARGE: Meaning(
        413,
        retryable=False,
        text="A request body over what the gateway takes (8 MiB unless set otherwise); nothing was applied.",
        advice="Split the request.",
    ),
    ApiCode.TOO_MANY_REQUESTS: Meaning(
        429,
        retryable=True,
        text="This token or client address has as much under way as one may have, or has sent too many wrong tokens; nothing "
        "was applied. See Retry-After.",
        advice="Wait as long as Retry-After says, then send it again; send fewer at once.",
    ),
    ApiCode.REQUEST_TIMEOUT: Meaning(
        408,
        retryable=True,
        text="The request body came too slowly; nothing was applied, and the connection is closed.",
        advice="Send it again over a faster connection, or in smaller parts.",
    ),
    ApiCode.INTERNAL: Meaning(
        500,
        retryable=False,
        text="A defect of the gateway; please report it.",
        advice="Read before you write again, and report it.",
    ),
    ApiCode.CLUSTER_UNAVAILABLE: Meaning(
        503,
        retryable=True,
        text="No leader, no quorum, the cluster or the gateway has as much under way as it allows, the gateway stops, or tokens "
        "could not be confirmed: nothing was applied. See Retry-After.",
        advice="Wait as long as Retry-After says, then send it again; to another gateway if this one stops.",
    ),
    ApiCode.TIMEOUT: Meaning(
        504,
        retryable=True,
        text="The deadline passed; `applied` says false, or unknown for a write that may yet happen.",
        advice="If it is unknown, send it again with the same Idempotency-Key, or read what came of it.",
    ),
}

MAYBE_APPLIED = frozenset({ApiCode.TIMEOUT, ApiCode.INTERNAL})
"""Codes of which `applied` may be "unknown"; of all others it is false."""

HTTP_SERVER_ANSWERS: dict[int, str] = {
    400: "It is not well-formed HTTP/1.1: the request line, a header, `Content-Length` or `Transfer-Encoding` is malformed.",
    414: "The request target (path and query) has 65,535 bytes or more.",
    431: "There are more than 100 headers, or they have more than some 400 KiB together.",
}
"""What the HTTP server answers by itself, before any code of the gateway sees the request: with an empty body."""

ITEM_UNKNOWN = "UNKNOWN"  # an item of a bulk request that may or may not have been applied
ITEM_UNAVAILABLE = ApiCode.CLUSTER_UNAVAILABLE.value

RETRY_AFTER_S_DEFAULT = 1
_WITH_RETRY_AFTER = frozenset({ApiCode.TOO_MANY_REQUESTS, ApiCode.CLUSTER_UNAVAILABLE})


class ApiError(Exception):
    """A request that failed, as its client will see it.

    Args:
        code: what went wrong.
        message: one sentence for a person; never a path, an address or a stack trace.
        unknown: whether a write may have been applied or may yet be.
        retry_after_s: for 429 and 503, how long to wait.
        headers: further response headers.
        details: further members of the error.
    """

    def __init__(
        self,
        code: ApiCode,
        message: str,
        *,
        unknown: bool = False,
        retry_after_s: int = RETRY_AFTER_S_DEFAULT,
        headers: tuple[Header, ...] = (),
        details: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        super().__init__(f"{code.value}: {message}")
        self.code = code
        self.message = message
        self.unknown = unknown
        self.retry_after_s = retry_after_s
        self.headers = headers
        self.details = details

    def answer(self) -> Answer:
        """The HTTP answer."""
        meaning = MEANINGS[self.code]
        error = {
            "code": self.code.value,
            "message": self.message,
            "applied": "unknown" if self.unknown else False,
            "retryable": meaning.retryable,
            **self.details,
        }
        body = {"status": "error", "error": error}
        headers = self.headers
        if self.code in _WITH_RETRY_AFTER:
            headers = (*headers, (b"retry-after", b"%d" % self.retry_after_s))
        return Answer(msgspec.json.encode(body), meaning.status, headers)


def invalid(message: str) -> ApiError:
    """A request that breaks the contract; the message names the field."""
    return ApiError(ApiCode.INVALID_REQUEST, message)


class OwnFailure(Failure, frozen=True):
    """A failure that this gateway found by itself, before it asked a node: clients are told its message."""


def from_failure(failure: Failure) -> ApiError:
    """What a client is told about a failed RPC after all retries; a message that came by the wire stays inside."""
    if isinstance(failure, OwnFailure):
        return ApiError(ApiCode.CLUSTER_UNAVAILABLE, failure.message)
    unknown = failure.applied is not Applied.NO
    if unknown:
        return ApiError(
            ApiCode.TIMEOUT, "the outcome is not known: it may have been applied or may yet be", unknown=True
        )
    if failure.code is Code.TIMEOUT:
        return ApiError(ApiCode.TIMEOUT, "the deadline passed before the cluster answered; nothing was applied")
    if failure.code is Code.INVALID:
        return ApiError(ApiCode.INVALID_REQUEST, "the cluster refused the request as invalid")
    if failure.code is Code.OVERLOADED:
        wait_s = max(RETRY_AFTER_S_DEFAULT, -(-failure.retry_after_ms // 1000))
        return ApiError(ApiCode.CLUSTER_UNAVAILABLE, "the cluster is overloaded", retry_after_s=wait_s)
    return ApiError(ApiCode.CLUSTER_UNAVAILABLE, "no leader or quorum for this key could be reached")


def item_code(failure: Failure) -> str:
    """What an item of a bulk request says about a failed RPC."""
    return ITEM_UNAVAILABLE if failure.applied is Applied.NO else ITEM_UNKNOWN
