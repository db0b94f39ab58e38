"""The headers of answers: what each means, and which answers have it.

Those that HTTP itself has on every answer (Content-Type, Content-Length, Date, Server, Connection) are left out.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from gateway.errors import ApiCode

Document: TypeAlias = dict[str, Any]

_COUNT: Document = {"type": "integer", "minimum": 0}
_TEXT: Document = {"type": "string"}
_SECONDS: Document = {"type": "integer", "minimum": 1}
_ETAG: Document = {"type": "string", "pattern": '^"[0-9]+"$'}


class Header(msgspec.Struct, frozen=True):
    """A header of answers.

    Attributes:
        name: as clients know it.
        description: what it means.
        schema: of its value.
        is_always: every answer that is said to have it has it.
    """

    name: str
    description: str
    schema: Document
    is_always: bool = True

    @property
    def component(self) -> str:
        """Its name among the components."""
        return self.name if self.is_always else f"{self.name}.Optional"


_OPTIONAL_ETAG = Header(
    "ETag", "The key's revision, if it is there and the answer is about it alone.", _ETAG, is_always=False
)
_EVERYWHERE = (
    Header("Cache-Control", "Nothing may be kept by caches.", {"const": "no-store"}),
    Header("X-Content-Type-Options", "The content type is the one that is said.", {"const": "nosniff"}),
    Header(
        "X-Request-Id",
        "Only of a gateway that keeps an audit log: the request's own `X-Request-Id`, or one made for it.",
        _TEXT,
        is_always=False,
    ),
)
_RETRY_AFTER = Header("Retry-After", "Seconds to wait.", _SECONDS)
_CONSISTENCY = Header(
    "X-Concord-Consistency", "How it was read.", {"type": "string", "enum": ["linearizable", "stale"]}
)
_AGE = Header(
    "X-Concord-Age-Ms",
    "How old it may be, in milliseconds; 0 if it is linearizable. Of several groups' answers the greatest.",
    _COUNT,
)
_REVISION_READ = (
    Header("ETag", "The key's revision, in quotes.", _ETAG),
    _CONSISTENCY,
    _AGE,
    Header("X-Concord-Group", "The group that has the key.", _COUNT),
    Header("X-Concord-Revision", "Up to which revision the replica had the group's writes.", _COUNT),
)
_CHANGED = (Header("ETag", "The key's revision, in quotes.", _ETAG),)
_RATE_LIMIT = (
    Header("RateLimit-Limit", "`limit` of the request.", _COUNT),
    Header("RateLimit-Remaining", "What is left of it.", _COUNT),
    Header("RateLimit-Reset", "After how many seconds all of it is there again.", _COUNT),
    Header(
        "RateLimit-Policy", "`limit` and `window` of the request.", {"type": "string", "pattern": "^[0-9]+;w=[0-9]+$"}
    ),
    Header("Retry-After", "Seconds to wait; only when it was not allowed.", _SECONDS, is_always=False),
)
_SANDBOX = (
    Header(
        "Content-Security-Policy", "Of bytes as they were put: they run nothing in a browser.", _TEXT, is_always=False
    ),
    Header("Vary", "Of what was put with a content type: the answer depends on `Accept`.", _TEXT, is_always=False),
)
_PAGE = (Header("Content-Security-Policy", "The page loads nothing from elsewhere.", _TEXT),)
_STREAM = (Header("X-Accel-Buffering", "Proxies pass each event on at once.", {"const": "no"}),)

_OF_SUCCESS: dict[str, tuple[Header, ...]] = {
    "put": _CHANGED,
    "get": (*_REVISION_READ, *_SANDBOX),
    "delete": (_OPTIONAL_ETAG,),
    "ttl": _REVISION_READ,
    "touch": _CHANGED,
    "increment": _CHANGED,
    "bulk_get": (_CONSISTENCY, _AGE),
    "list": (_CONSISTENCY, _AGE),
    "watch": _STREAM,
    "quota_take": _RATE_LIMIT,
    "service": (_CONSISTENCY, _AGE),
    "instance_put": _CHANGED,
    "instance_delete": (_OPTIONAL_ETAG,),
    "instance_touch": _CHANGED,
    "docs": _PAGE,
}
_OF_FAILURE: dict[ApiCode, Header] = {
    ApiCode.UNAUTHORIZED: Header("WWW-Authenticate", "How to show a token.", {"const": "Bearer"}),
    ApiCode.METHOD_NOT_ALLOWED: Header("Allow", "The methods that the route has.", _TEXT),
    ApiCode.PRECONDITION_FAILED: _OPTIONAL_ETAG,
    ApiCode.TOO_MANY_REQUESTS: _RETRY_AFTER,
    ApiCode.CLUSTER_UNAVAILABLE: _RETRY_AFTER,
}


def of_success(route_id: str) -> Document:
    """The headers of a route's success."""
    return _references((*_EVERYWHERE, *_OF_SUCCESS.get(route_id, ())))


def of_failure(codes: Iterable[ApiCode]) -> Document:
    """The headers of a failure that has one of these codes, which have one status."""
    return _references((*_EVERYWHERE, *(_OF_FAILURE[code] for code in codes if code in _OF_FAILURE)))


def components() -> Document:
    """All of them."""
    known = [*_EVERYWHERE, *_OF_FAILURE.values(), *(header for sent in _OF_SUCCESS.values() for header in sent)]
    return {header.component: _described(header) for header in known}


def _described(header: Header) -> Document:
    return {"description": header.description, "required": header.is_always, "schema": header.schema}


def _references(headers: Iterable[Header]) -> Document:
    return {header.name: {"$ref": f"#/components/headers/{header.component}"} for header in headers}
