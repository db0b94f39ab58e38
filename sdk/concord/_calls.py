"""Each operation once, as a value: what is sent, and what is made of the answer. Pure; both clients use it.

Keys hold any UTF-8. A key is percent-encoded whole, `/` too, so that none can be taken for a sub-route.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from concord import _values
from concord._errors import ConcordError, InvalidRequest, InvalidValue, NotFound
from concord._responses import Entry, Found, body_decoder, found, item_error, parsed, revision_of
from concord._store import Store
from concord._transports import Request, Response

T = TypeVar("T")
Consistency: TypeAlias = Literal["linearizable", "stale"]
Freshness: TypeAlias = Mapping[str, str]
"""What the query of a read says of how new its answer has to be."""
LINEARIZABLE: Freshness = {}
Outcomes: TypeAlias = dict[str, ConcordError | None]
"""Of a bulk write: for each key how it failed, None when it was done."""

API = "/api/v1"
JSON_HEADERS = {"content-type": "application/json"}
LIMIT_PAGE = 1000
UNSET = msgspec.UNSET


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True, gc=False):
    """One operation.

    Attributes:
        request: what is sent, but for the headers that the client adds.
        decode: makes the result of an answer of any status, or raises a ConcordError.
        is_write: goes with an idempotency key, and its outcome may be unknown.
        is_repeatable: may be sent again when its outcome is unknown.
        wait_s: how long the server may take on purpose, beside the timeout.
        keys: those that it writes, or the one that it reads.
        fallback: what to ask instead when a stale answer does not know this client's own writes.
        merge: for bulk requests, joins the results of two attempts.
        doubted: for bulk writes, what is left of a result when another attempt had no answer at all.
        unfinished: for bulk requests, an error of the result that another attempt may mend.
        local: the same operation of a store in this process, within a timeout in seconds; None where it has another way.
        undo: gives back what `local` got when nobody waits for it any more.
    """

    request: Request
    decode: Callable[[Response], T]
    is_write: bool = False
    is_repeatable: bool = True
    wait_s: float = 0.0
    keys: Sequence[str] = ()
    fallback: "Call[T] | None" = None
    merge: Callable[[T, T], T] | None = None
    doubted: Callable[[T], T] | None = None
    unfinished: Callable[[T], ConcordError | None] | None = None
    local: Callable[[Store, float], T] | None = None
    undo: Callable[[Store, T], object] | None = None


class Conditions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a write expects of the key; those that are given must all hold.

    Attributes:
        if_absent: the key is not there (True), or is (False).
        if_revision: the key has this revision; 0 for a key that is not there.
        if_value: the key's value is equal to this as JSON.
        if_fence: no greater fence was used on the key; this one is remembered.
    """

    if_absent: bool | msgspec.UnsetType = UNSET
    if_revision: int | msgspec.UnsetType = UNSET
    if_value: Any = UNSET
    if_fence: int | msgspec.UnsetType = UNSET


NO_CONDITION = Conditions()


def conditions(if_absent: bool | None, if_revision: int | None, if_value: Any, if_fence: int | None) -> Conditions:  # noqa: FBT001 - as the user named it
    """The conditions that were given; None and UNSET are none."""
    if if_absent is None and if_revision is None and if_value is UNSET and if_fence is None:
        return NO_CONDITION
    return Conditions(
        if_absent=UNSET if if_absent is None else if_absent,
        if_revision=UNSET if if_revision is None else if_revision,
        if_value=if_value,
        if_fence=UNSET if if_fence is None else if_fence,
    )


def fenced(fence: int | None) -> Conditions:
    """The condition that no greater fence was used; none for None."""
    return NO_CONDITION if fence is None else Conditions(if_fence=fence)


_AMBIGUOUS = {".": "%2E", "..": "%2E%2E", "bulk": "%62ulk"}
"""Names whose plain spelling is a step of a path, or the beginning of a bulk route."""


def key_target(key: str, rest: str = "") -> str:
    """The path of a key.

    Raises:
        InvalidRequest: it is empty, or no UTF-8.
    """
    return f"{API}/kv/{quoted(key, 'key')}{rest}"


def quoted(name: str, what: str) -> str:
    """A name as one segment of a path.

    Raises:
        InvalidRequest: it is empty, or no UTF-8.
    """
    try:
        text = quote(name, safe="")
    except (UnicodeEncodeError, TypeError) as error:
        raise InvalidRequest(f"{what}: {error}", code="INVALID_KEY") from error
    if not text:
        raise InvalidRequest(f"the {what} is empty", code="INVALID_KEY")
    return _AMBIGUOUS.get(text, text)


def post(target: str, body: object, decode: Callable[[Response], T], **options: Any) -> Call[T]:
    """A POST of JSON."""
    return Call(request=Request("POST", target, JSON_HEADERS, _values.encode(body)), decode=decode, **options)


def _members(condition: Conditions, **members: Any) -> dict[str, Any]:
    """Members of a body: those that are not None, and the conditions."""
    given = {name: value for name, value in members.items() if value is not None}
    return given | {name: value for name, value in msgspec.structs.asdict(condition).items() if value is not UNSET}


def put(key: str, value: object, ttl: int | None, condition: Conditions, content_type: str | None) -> Call[int]:
    """Set a key; the result is its revision."""
    target = key_target(key)
    if _values.is_raw(value):
        target += "" if ttl is None else f"?ttl={ttl}"
        headers = {"content-type": content_type or _values.RAW_TYPE, **_raw_conditions(condition)}
        body = bytes(value)  # type: ignore[call-overload] # is_raw has looked
    elif content_type is not None:
        raise InvalidRequest("content_type: only values of bytes have one")
    else:
        headers = JSON_HEADERS
        body = _put_body(key, value, ttl, condition)
    return Call(
        request=Request("PUT", target, headers, body),
        decode=_revision,
        is_write=True,
        keys=(key,),
        local=lambda store, timeout: store.put(
            key, value, ttl=ttl, condition=condition, content_type=content_type, timeout=timeout
        ),
    )


def _put_body(key: str, value: object, ttl: int | None, condition: Conditions) -> bytes:
    if condition is NO_CONDITION and ttl is None:
        return b'{"value":' + _values.encode(value, key) + b"}"
    return _values.encode({"value": value, **_members(condition, ttl=ttl)}, key)


def check_raw(condition: Conditions) -> None:
    """Refuse conditions that a value of bytes cannot have: its request has no place for them.

    Raises:
        InvalidRequest: there is one.
    """
    if condition.if_value is not UNSET or condition.if_fence is not UNSET:
        raise InvalidRequest("a value of bytes cannot be put with if_value or if_fence")


def _raw_conditions(condition: Conditions) -> dict[str, str]:
    """As headers, because the body is the value."""
    check_raw(condition)
    headers = {}
    if condition.if_revision is not UNSET and condition.if_revision != 0:
        headers["if-match"] = f'"{condition.if_revision}"'
    elif condition.if_revision == 0 or condition.if_absent is True:
        headers["if-none-match"] = "*"
    elif condition.if_absent is False:
        headers["if-match"] = "*"
    return headers


def _revision(response: Response) -> int:
    return found(response).revision


def freshness(consistency: Consistency, max_age_ms: int | None) -> Freshness:
    """How new the answer to a read has to be."""
    if consistency == "stale":
        return {"consistency": "stale"} | ({} if max_age_ms is None else {"max_age_ms": str(max_age_ms)})
    if max_age_ms is not None:
        raise InvalidRequest("max_age_ms: only for reads with consistency=stale")
    return LINEARIZABLE


def get(key: str, kind: Any, fresh: Freshness) -> Call[Entry[Any] | None]:
    """Read a key; None when it is not there."""
    query = "?meta=true&with_ttl=true"

    def decode(response: Response) -> Entry[Any] | None:
        try:
            there = found(response)
        except NotFound:
            return None
        return there.entry(key, kind)

    call = _read(key, key_target(key), query, decode, fresh)
    return msgspec.structs.replace(call, local=lambda store, _: store.entry(key, kind))


def ttl(key: str, fresh: Freshness) -> Call[int | None]:
    """The time to live of a key in seconds; raises NotFound."""
    call: Call[int | None] = _read(
        key,
        key_target(key, "/ttl"),
        "?",
        lambda response: found(response).ttl,
        fresh,
    )
    return msgspec.structs.replace(call, local=lambda store, _: store.ttl(key))


def _read(
    key: str,
    target: str,
    query: str,
    decode: Callable[[Response], T],
    fresh: Freshness,
) -> Call[T]:
    plain = Call(request=Request("GET", target + query.removesuffix("?")), decode=decode, keys=(key,))
    if not fresh:
        return plain
    asked = query + ("" if query.endswith("?") else "&") + urlencode(fresh)
    return Call(request=Request("GET", target + asked), decode=decode, keys=(key,), fallback=plain)


def delete(key: str, condition: Conditions) -> Call[bool]:
    """Delete a key; the result is whether it was there."""
    members = _members(condition)
    body, headers = (_values.encode(members, key, "if_value"), JSON_HEADERS) if members else (b"", {})
    request = Request("DELETE", key_target(key), headers, body)
    return Call(
        request=request,
        decode=lambda response: bool(found(response).deleted),
        is_write=True,
        keys=(key,),
        local=lambda store, timeout: store.delete(key, condition, timeout),
    )


def touch(key: str, ttl: int, condition: Conditions) -> Call[int]:
    """Set the time to live of a key; the result is its revision; raises NotFound."""

    def decode(response: Response) -> int:
        parsed(_ANYTHING, response)
        return revision_of(response) or 0

    body = _members(condition, ttl=ttl)

    def local(store: Store, timeout: float) -> int:
        return store.touch(key, ttl, condition, timeout)

    return post(key_target(key, "/touch"), body, decode, is_write=True, keys=(key,), local=local)


def increment(
    key: str,
    *,
    by: int,
    initial: int,
    ttl: int | None,
    minimum: int | None,
    maximum: int | None,
    condition: Conditions = NO_CONDITION,
) -> Call[int]:
    """Add to a number; the result is the new one."""
    body = _members(condition, by=by, initial=initial, ttl=ttl, min=minimum, max=maximum)

    def local(store: Store, timeout: float) -> int:
        return store.increment(
            key,
            by=by,
            initial=initial,
            ttl=ttl,
            minimum=minimum,
            maximum=maximum,
            condition=condition,
            timeout=timeout,
        )

    return post(
        key_target(key, "/increment"),
        body,
        lambda response: int(found(response).decoded(int)),
        is_write=True,
        keys=(key,),
        local=local,
    )


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Part of a listing.

    Attributes:
        entries: keys in their order.
        cursor: where to go on; "" at the end. A program that is started again may go on there, too.
    """

    entries: list[T]
    cursor: str


Told: TypeAlias = Entry[Any] | InvalidValue


def valid(page: Page[Told]) -> Page[Entry[Any]]:
    """A page as its reader wants it.

    Raises:
        InvalidValue: a value on it is not of the type.
    """
    return Page([entry_of(told) for told in page.entries], page.cursor)


def entry_of(told: Told) -> Entry[Any]:
    """What is next in a listing, for its reader; raises InvalidValue if it is that."""
    if isinstance(told, InvalidValue):
        raise told
    return told


_ANYTHING = msgspec.json.Decoder(dict[str, Any])
_listed_keys = body_decoder(list[str])
_listed = body_decoder(list[Found])
_bulk_found = body_decoder(dict[str, Found])


def list_keys(prefix: str, cursor: str, limit: int, fresh: Freshness) -> Call[Page[str]]:
    """A page of keys in their order."""

    def decode(response: Response) -> Page[str]:
        body = parsed(_listed_keys, response)
        return Page(body.data, body.cursor)

    request = _list_request(prefix, cursor, limit, fresh)
    return Call(request=request, decode=decode, local=lambda store, _: store.list_keys(prefix, cursor, limit))


def list_entries(prefix: str, kind: Any, cursor: str, limit: int, fresh: Freshness) -> Call[Page[Told]]:
    """A page of keys with all that is known of them, in the place of one whose value is not of the type the error."""

    def decode(response: Response) -> Page[Told]:
        body = parsed(_listed, response)
        return Page([one.told(one.key, kind) for one in body.data], body.cursor)

    options = {"values": "true", "meta": "true", "with_ttl": "true"}
    request = _list_request(prefix, cursor, limit, {**options, **fresh})
    return Call(request=request, decode=decode, local=lambda store, _: store.list_entries(prefix, kind, cursor, limit))


def _list_request(prefix: str, cursor: str, limit: int, options: Mapping[str, str]) -> Request:
    query = {"prefix": prefix, "limit": str(limit), **options}
    if cursor:
        query["cursor"] = cursor
    try:
        return Request("GET", f"{API}/kv?{urlencode(query)}")
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"prefix: {error}") from error


def bulk_get(keys: Sequence[str], kind: Any, fresh: Freshness) -> Call[dict[str, Entry[Any] | ConcordError]]:
    """Read up to 500 keys; those that are not there say NotFound."""

    def one(key: str, item: Found) -> Entry[Any] | ConcordError:
        if item.status != "ok":
            return item_error(key, item.error)
        try:
            return item.entry(key, kind)
        except ConcordError as error:
            return error

    def decode(response: Response) -> dict[str, Entry[Any] | ConcordError]:
        return {key: one(key, item) for key, item in parsed(_bulk_found, response).data.items()}

    target = f"{API}/kv/bulk/get" + (f"?{urlencode(fresh)}" if fresh else "")
    body = {"keys": keys, "with_ttl": True, "meta": True}
    return post(target, body, decode, merge=joined_reads, unfinished=_first_retryable)


def bulk_write(target: str, body: bytes, keys: Sequence[str]) -> Call[Outcomes]:
    """A bulk write whose body is rendered; `keys` are all that are in it, for what the answer leaves out."""

    def decode(response: Response) -> Outcomes:
        told = {item.key: item for item in parsed(_listed, response).data}
        return {key: _outcome(key, told.get(key)) for key in keys}

    request = Request("POST", f"{API}/kv/{target}", JSON_HEADERS, body)
    return Call(
        request=request,
        decode=decode,
        is_write=True,
        keys=keys,
        merge=joined_writes,
        doubted=_doubted,
        unfinished=_first_retryable,
    )


def _outcome(key: str, item: Found | None) -> ConcordError | None:
    if item is None:
        return item_error(key, "UNKNOWN")
    return None if item.status == "ok" else item_error(key, item.error)


def _first_retryable(outcomes: Mapping[str, object]) -> ConcordError | None:
    retryable = (one for one in outcomes.values() if isinstance(one, ConcordError) and one.retryable)
    return next(retryable, None)


def _doubted(outcomes: Outcomes) -> Outcomes:
    """An attempt without an answer may have applied whatever no group has settled."""
    return {
        key: item_error(key, "UNKNOWN") if error is not None and error.retryable else error
        for key, error in outcomes.items()
    }


def joined_writes(before: Outcomes, after: Outcomes) -> Outcomes:
    """What is known of each key after two attempts: done stays done, and unknown stays so until it is settled."""
    return {key: _joined(before[key], error) for key, error in after.items()}


def _joined(before: ConcordError | None, after: ConcordError | None) -> ConcordError | None:
    if before is None or after is None:
        return None
    return before if after.retryable and (before.applied == "unknown" or not before.retryable) else after


def joined_reads(
    before: dict[str, Entry[Any] | ConcordError], after: dict[str, Entry[Any] | ConcordError]
) -> dict[str, Entry[Any] | ConcordError]:
    """For each key the newest answer that is one."""
    return {key: before[key] if isinstance(one, ConcordError) and one.retryable else one for key, one in after.items()}
