"""From an answer to a typed result or an exception. Pure."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from concord import _errors as errors
from concord._errors import ConcordError, Holder
from concord._transports import Response
from concord._values import decode

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_UNKNOWN_ITEM = "UNKNOWN"

BY_CODE: dict[str, type[ConcordError]] = {
    "INVALID_KEY": errors.InvalidRequest,
    "INVALID_REQUEST": errors.InvalidRequest,
    "METHOD_NOT_ALLOWED": errors.InvalidRequest,
    "UNAUTHORIZED": errors.Unauthorized,
    "FORBIDDEN": errors.Forbidden,
    "NOT_FOUND": errors.NotFound,
    "CONFLICT": errors.Conflict,
    "PRECONDITION_FAILED": errors.PreconditionFailed,
    "CROSS_GROUP": errors.CrossGroup,
    "BATCH_TOO_LARGE": errors.TooLarge,
    "VALUE_TOO_LARGE": errors.TooLarge,
    "BODY_TOO_LARGE": errors.TooLarge,
    "TOO_MANY_REQUESTS": errors.TooManyRequests,
    "INTERNAL": errors.ServerFault,
    "CLUSTER_UNAVAILABLE": errors.Unavailable,
    "REQUEST_TIMEOUT": errors.Timeout,
    "TIMEOUT": errors.Timeout,
    _UNKNOWN_ITEM: errors.UnknownOutcome,
}
"""Every code of docs/errors.md, and that of an item of a bulk request of which it is not known what came."""


class Entry(msgspec.Struct, Generic[T], frozen=True):
    """A key as it is.

    Attributes:
        key: its name.
        value: of the type that was asked for.
        revision: of its last change; put it into `if_revision`.
        ttl: whole seconds to live, rounded up; None for ever.
        content_type: of a value of bytes; "" for JSON.
    """

    key: str
    value: T
    revision: int
    ttl: int | None = None
    content_type: str = ""


class _ErrorMembers(msgspec.Struct, frozen=True):
    code: str
    message: str = ""
    applied: Any = False
    retryable: bool = False
    holder: Holder | None = None


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _ErrorMembers


class Found(msgspec.Struct, frozen=True, gc=False):
    """A value with what is beside it, as answers, listings and events carry it."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    encoding: str = ""
    content_type: str = ""
    ttl: int | None = None
    revision: int = 0
    key: str = ""
    status: str = "ok"
    error: str = ""
    deleted: bool | None = None

    def decoded(self, kind: Any) -> Any:
        """The value as a type; raises InvalidValue."""
        return decode(self.value, self.encoding, kind)

    def entry(self, key: str, kind: Any) -> Entry[Any]:
        """All that is known of a key; raises InvalidValue."""
        try:
            return Entry(key, self.decoded(kind), self.revision, self.ttl, self.content_type)
        except errors.InvalidValue as error:
            raise error.of(key)  # noqa: B904 - the same

    def told(self, key: str, kind: Any) -> "Entry[Any] | errors.InvalidValue":
        """The same, or why it is not of the type."""
        try:
            return self.entry(key, kind)
        except errors.InvalidValue as error:
            return error


class Body(msgspec.Struct, Generic[T_co], frozen=True, gc=False):
    """A success: its data, and the cursor of a page to go on from; "" at the end."""

    data: T_co
    cursor: str = ""


_error_body = msgspec.json.Decoder(_ErrorBody)
_found = msgspec.json.Decoder(Body[Found])


def raise_for(response: Response) -> None:
    """Raise what an answer that is no success means."""
    if response.status != 200:
        raise error_of(response)


def error_of(response: Response) -> ConcordError:
    """The exception for an answer that is no success."""
    try:
        told = _error_body.decode(response.body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _foreign(response)
    kind = BY_CODE.get(told.code, errors.ServerFault)
    is_unknown = told.applied == "unknown"
    if is_unknown:
        kind = errors.UnknownOutcome
    error = kind(
        told.message,
        code=told.code,
        retryable=told.retryable,
        applied="unknown" if is_unknown else False,
        status=response.status,
    )
    if isinstance(error, errors.TooManyRequests | errors.Unavailable):
        error.retry_after_s = retry_after_s(response.headers)
    elif isinstance(error, errors.Conflict):
        error.holder = told.holder
    elif isinstance(error, errors.PreconditionFailed):
        error.revision = revision_of(response)
    return error


def _foreign(response: Response) -> ConcordError:
    """What stands between us and a gateway has answered, and says only a status."""
    message = f"HTTP {response.status}, and no answer of Concord's"
    if response.status in {429, 503}:
        error = errors.TooManyRequests if response.status == 429 else errors.Unavailable
        refused = error(message, status=response.status)
        refused.retry_after_s = retry_after_s(response.headers)
        return refused
    if response.status >= 500 or response.status == 200:
        return errors.ServerFault(message, status=response.status, retryable=True, applied="unknown")
    return errors.ServerFault(message, status=response.status)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The header Retry-After in seconds; 0 when there is none that says seconds."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0.0


def revision_of(response: Response) -> int | None:
    """The revision in the entity tag; None when there is none."""
    tag = response.headers.get("etag", "").strip('"')
    return int(tag) if tag.isascii() and tag.isdigit() else None


def parsed(decoder: msgspec.json.Decoder[T], response: Response) -> T:
    """The body of a success.

    Raises:
        ConcordError: it is none, or not the body that a gateway sends.
    """
    raise_for(response)
    try:
        return decoder.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _foreign(response) from error


def found(response: Response) -> Found:
    """The data of a success about one key."""
    return parsed(_found, response).data


def item_error(key: str, code: str) -> ConcordError:
    """What the code of an item of a bulk request means."""
    kind = BY_CODE.get(code.upper(), errors.ServerFault)
    return kind(f"{key}: {code}", code=code.upper())


def body_decoder(kind: type[T]) -> msgspec.json.Decoder[Body[T]]:
    """A decoder of bodies with data of a type."""
    return msgspec.json.Decoder(Body[kind])  # type: ignore[valid-type] # a type that is known at run time
