"""What a client expects of a key before it is changed: from headers, bodies and bulk items to one `Condition`."""

import re
from typing import Annotated

import msgspec

from gateway.errors import invalid
from gateway.json_text import json_value
from gateway.requests import Request
from wire.messages import Condition

_INTEGER_MAX = (1 << 63) - 1
_ETAG = re.compile(rb'"([0-9]{1,19})"')

Revision = Annotated[int, msgspec.Meta(ge=0, le=_INTEGER_MAX)]


class Conditional(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields that a body or a bulk item may have beside its own. Those that are given must all hold.

    Attributes:
        if_absent: the key is not there (true), or is (false).
        if_revision: the key has this revision; 0 for a key that is not there.
        if_value: the key's value is equal to this as JSON.
        if_fence: no greater fence was used on the key; this one is remembered.
    """

    if_absent: bool | None = None
    if_revision: Revision | None = None
    if_value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    if_fence: Revision | None = None

    def condition(self, where: str) -> Condition | None:
        """What they amount to; `where` names the item, with a dot behind, or is "".

        Raises:
            ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
        """
        value = None if isinstance(self.if_value, msgspec.UnsetType) else json_value(self.if_value, where + "if_value")
        exists = None if self.if_absent is None else not self.if_absent
        found = Condition(exists, self.if_revision, value, self.if_fence)
        return None if found == _NOTHING else found


_NOTHING = Condition()


def with_headers(request: Request, condition: Condition | None) -> Condition | None:
    """A condition together with what If-Match and If-None-Match say.

    Raises:
        ApiError: INVALID_REQUEST: another form than `"<revision>"` or `*`, or a contradiction.
    """
    match, none_match = request.header(b"if-match"), request.header(b"if-none-match")
    if match is None and none_match is None:
        return condition
    exists = revision = None
    if match is not None:
        exists, revision = True, _revision(match)
    if none_match is not None:
        if none_match.strip() != b"*" or match is not None:
            raise invalid("if-none-match: only * is supported, and not together with if-match")
        exists = False
    given = condition or _NOTHING
    if given.exists not in {None, exists} or (revision is not None and given.revision not in {None, revision}):
        raise invalid("if-match, if-none-match: contradict the body")
    return msgspec.structs.replace(given, exists=exists, revision=given.revision if revision is None else revision)


def _revision(header: bytes) -> int | None:
    """The revision of an If-Match header; None for `*`."""
    if header.strip() == b"*":
        return None
    match = _ETAG.fullmatch(header.strip())
    if match is None or int(match[1]) > _INTEGER_MAX:
        raise invalid('if-match: expected "<revision>" or *')
    return int(match[1])
