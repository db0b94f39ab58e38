"""What a client expects of a key before it is changed: from headers, bodies and bulk items to one `Condition`."""

import re

import msgspec

from gateway.data_limits import DataLimits
from gateway.errors import ApiCode, ApiError, invalid
from gateway.json_text import json_value
from gateway.requests import Request
from gateway.whole import Natural
from wire.messages import Condition

_INTEGER_MAX = (1 << 63) - 1
_ETAG = re.compile(rb'("?)([0-9]{1,19})\1')


class Conditional(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The fields that a body or a bulk item may have beside its own. Those that are given must all hold.

    Attributes:
        if_absent: the key is not there (true), or is (false).
        if_revision: the key has this revision; 0 for a key that is not there.
        if_value: the key's value is equal to this as JSON.
        if_fence: no greater fence was used on the key; this one is remembered.
    """

    if_absent: bool | None = None
    if_revision: Natural | None = None
    if_value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    if_fence: Natural | None = None

    def condition(self, where: str, limits: DataLimits) -> Condition | None:
        """What they amount to; `where` names the item, with a dot behind, or is "".

        Raises:
            ApiError: INVALID_REQUEST, VALUE_TOO_LARGE.
        """
        asked = self.if_value
        if asked is msgspec.UNSET and self.if_absent is None and self.if_revision is None and self.if_fence is None:
            return None
        value = None if isinstance(asked, msgspec.UnsetType) else json_value(asked, where + "if_value", limits)
        exists = None if self.if_absent is None else not self.if_absent
        return Condition(exists, _plain(self.if_revision), value, _plain(self.if_fence))


_NOTHING = Condition()


def with_headers(request: Request, condition: Condition | None) -> Condition | None:
    """A condition together with what If-Match and If-None-Match say.

    Raises:
        ApiError: INVALID_REQUEST: another form than `"<revision>"` or `*`; PRECONDITION_FAILED: they cannot hold together.
    """
    match, none_match = request.header(b"if-match"), request.header(b"if-none-match")
    if match is None and none_match is None:
        return condition
    found = condition or _NOTHING
    if match is not None:
        found = _both(found, Condition(exists=True, revision=_revision(match)))
    if none_match is not None:
        if none_match.strip() != b"*":
            raise invalid("if-none-match: only * is supported")
        found = _both(found, Condition(exists=False))
    return found


def refuse_headers(request: Request) -> None:
    """Refuse conditions where they would not be heeded: a write that was meant to depend on them must not be done.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    for name in (b"if-match", b"if-none-match"):
        if request.header(name) is not None:
            raise invalid(
                f"{name.decode()}: has no meaning here; conditions on keys stand in the body, if there can be any"
            )


def _both(one: Condition, other: Condition) -> Condition:
    """What holds when both do; `other` says something of existence and revision only."""
    if one.exists not in {None, other.exists} or (
        other.revision is not None and one.revision not in {None, other.revision}
    ):
        raise ApiError(ApiCode.PRECONDITION_FAILED, "the conditions contradict one another, so they cannot hold")
    revision = one.revision if other.revision is None else other.revision
    return msgspec.structs.replace(one, exists=other.exists, revision=revision)


def _revision(header: bytes) -> int | None:
    """The revision of an If-Match header; None for `*`."""
    if header.strip() == b"*":
        return None
    match = _ETAG.fullmatch(header.strip())
    if match is None or int(match[2]) > _INTEGER_MAX:
        raise invalid('if-match: expected "<revision>" or *')
    return int(match[2])


def _plain(number: int | None) -> int | None:
    return None if number is None else int(number)
