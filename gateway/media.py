"""Values that are not JSON: bytes with a content type, as they came and as they go."""

import re
from collections.abc import Mapping

from gateway.answers import JSON_TYPE, Answer, Header
from gateway.data_limits import DataLimits
from gateway.errors import invalid
from gateway.json_text import check_size
from gateway.requests import Request, whole_number
from wire.messages import NEVER, ItemResult, PutItem

LIMIT_TYPE_CHARACTERS = 255
_AS_JSON = frozenset({b"", b"application/json", b"application/x-www-form-urlencoded"})
"""Types of bodies that are taken for JSON: no type, its own, and the one that curl sends with `-d` unless told otherwise."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = rb'(?:[!#-+\--:<-\[\]-~]+|"(?:[ !#-\[\]-~]|\\[ -~])*")'
_MEDIA_TYPE = re.compile(rb"%b/%b(?: *;(?: *%b=%b)?)*" % (_TOKEN, _TOKEN, _TOKEN, _VALUE))
"""A media type with its parameters (RFC 9110, 8.3.1), in visible ASCII.

Of a value without quotes only that is asked which keeps it apart from what follows: clients send boundaries and addresses with `/` and
`:`. Two types that a proxy joined with a comma are none.
"""

_NOT_ACCEPTED = re.compile(rb";\s*q=0(\.0*)?\s*(;|$)", re.IGNORECASE)

VARIES: Header = (b"vary", b"accept")  # of the answers that Accept decides about
_SANDBOX: Header = (
    b"content-security-policy",
    b"sandbox; default-src 'none'",
)  # a stored page runs nothing in our name


def stored_type(request: Request) -> str:
    """The content type to keep with the body, "" for JSON.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    header = (request.header(b"content-type") or b"").strip()
    if _essence(header) in _AS_JSON:
        return ""
    if len(header) > LIMIT_TYPE_CHARACTERS or not _MEDIA_TYPE.fullmatch(header):
        raise invalid(
            f"content-type: expected a media type of at most {LIMIT_TYPE_CHARACTERS} visible ASCII characters"
        )
    return header.decode()


def raw_item(key: str, body: bytes, kind: str, limits: DataLimits) -> PutItem:
    """A body as a value of a type.

    Raises:
        ApiError: VALUE_TOO_LARGE.
    """
    check_size(len(body), "body", limits)
    return PutItem(key, body, kind)


def ttl_ms(query: Mapping[str, str], limits: DataLimits) -> int:
    """The time to live in the query, for a body that says none.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    ttl = whole_number(query, "ttl", 1, limits.ttl_s_max)
    return NEVER if ttl is None else ttl * 1000


def asks_for(request: Request, kind: str) -> bool:
    """Whether the header Accept names a type that is not JSON, by itself or as `type/*`; not with `q=0`."""
    if not kind:
        return False
    wanted = {_essence(member): not _NOT_ACCEPTED.search(member) for member in request.listed(b"accept")}
    essence = _essence(kind.encode())
    return wanted.get(essence, wanted.get(essence.partition(b"/")[0] + b"/*", False))


def raw_answer(result: ItemResult, headers: tuple[Header, ...]) -> Answer:
    """The bytes of a value with the type that they were stored with."""
    kind = result.content_type.encode() or JSON_TYPE
    return Answer(result.value, headers=(*headers, _SANDBOX), content_type=kind)


def _essence(media_type: bytes) -> bytes:
    """A media type without parameters, in lower case."""
    return media_type.partition(b";")[0].strip().lower()
