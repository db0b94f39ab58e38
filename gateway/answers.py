"""Answers, put together from bytes: the values in them were JSON when they came and are never parsed or written again."""

import base64
from typing import Protocol, TypeAlias

import msgspec
from litestar.types import Receive, Send

from gateway.listing import ListQuery
from wire.messages import ItemResult, ListEntry

Header: TypeAlias = tuple[bytes, bytes]

JSON_TYPE = b"application/json"
PART_BYTES = 64 << 10  # of what is handed to the server at once, where the whole could be large
OK = b'{"status":"ok"}'

_key_encoder = msgspec.json.Encoder()


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A whole HTTP answer; content-type and content-length are added when it is sent.

    `revision` is that of the change that it tells of, where it has one and no ETag; of a lock the fence. It is not sent.
    """

    body: bytes
    status: int = 200
    headers: tuple[Header, ...] = ()
    content_type: bytes = JSON_TYPE
    revision: int = 0


class Stream(Protocol):
    """An answer that goes on: it is begun with its headers once the request was let in, and holds no place there."""

    content_type: bytes
    headers: tuple[Header, ...]

    async def run(self, receive: Receive, send: Send) -> None:
        """Send bodies until the last one, or until the client is gone."""

    def close(self) -> None:
        """It is over, or was never begun."""


def etag(revision: int) -> Header:
    """The entity tag of a key: its revision."""
    return (b"etag", b'"%d"' % revision)


def text(value: str) -> bytes:
    """A string as JSON."""
    return _key_encoder.encode(value)


def seconds(ttl_ms: int) -> bytes:
    """A remaining time to live as JSON: whole seconds, rounded up so that a living key never says 0; null for never."""
    return b"%d" % -(-ttl_ms // 1000) if ttl_ms else b"null"


def put_done(revision: int) -> Answer:
    """`PUT /kv/{key}`."""
    return Answer(b'{"status":"ok","data":{"revision":%d}}' % revision, headers=(etag(revision),))


def delete_done(revision: int) -> Answer:
    """`DELETE /kv/{key}` of a key that was there."""
    return Answer(b'{"status":"ok","data":{"deleted":true,"revision":%d}}' % revision, headers=(etag(revision),))


DELETE_ABSENT = Answer(b'{"status":"ok","data":{"deleted":false}}')


def touch_done(revision: int, *, meta: bool) -> Answer:
    """`POST /kv/{key}/touch`."""
    body = data(b'{"revision":%d}' % revision) if meta else OK
    return Answer(body, headers=(etag(revision),))


def data(parts: bytes) -> bytes:
    """A success body around a rendered `data`."""
    return b'{"status":"ok","data":' + parts + b"}"


def increment_done(value: bytes, revision: int) -> Answer:
    """`POST /kv/{key}/increment`."""
    return Answer(data(b'{"value":%b,"revision":%d}' % (value, revision)), headers=(etag(revision),))


def value(result: ItemResult, *, with_ttl: bool, meta: bool) -> bytes:
    """The data of `GET /kv/{key}`."""
    return b"{" + value_members(result.value, result.content_type) + _beside(result, with_ttl, meta) + b"}"


def value_members(stored: bytes, content_type: str) -> bytes:
    """A value as members of an object: JSON as it came, anything else in base64 with its type."""
    if not content_type:
        return b'"value":' + stored
    return b'"value":"%b","encoding":"base64","content_type":%b' % (base64.b64encode(stored), text(content_type))


def _beside(found: ItemResult | ListEntry, with_ttl: bool, meta: bool) -> bytes:  # noqa: FBT001 - passed on
    """The further members that were asked for."""
    ttl = b',"ttl":' + seconds(found.ttl_ms) if with_ttl else b""
    return ttl + b',"revision":%d' % found.revision if meta else ttl


def ttl_data(result: ItemResult, *, meta: bool) -> bytes:
    """The body of `GET /kv/{key}/ttl`."""
    revision = b',"revision":%d' % result.revision if meta else b""
    return data(b'{"ttl":%b%b}' % (seconds(result.ttl_ms), revision))


def item_done(key: str) -> bytes:
    """One item of a bulk write that was applied."""
    return b'{"key":' + text(key) + b',"status":"ok"}'


def item_failed(key: str, code: str) -> bytes:
    """One item of a bulk write that was not applied, or of which it is not known."""
    return b'{"key":' + text(key) + b',"status":"error","error":"' + code.encode() + b'"}'


def found(key: str, result: ItemResult, *, with_ttl: bool, meta: bool) -> bytes:
    """One member of a bulk get's object."""
    members = value_members(result.value, result.content_type) + _beside(result, with_ttl, meta)
    return text(key) + b':{"status":"ok",' + members + b"}"


def not_found(key: str, code: str) -> bytes:
    """One member of a bulk get's object for a key without a value."""
    return text(key) + b':{"status":"error","error":"' + code.encode() + b'"}'


def listed(entry: ListEntry, query: ListQuery) -> bytes:
    """One entry of a listing: the key alone, or an object when more was asked for."""
    if not (query.with_ttl or query.with_values or query.meta):
        return text(entry.key)
    members = b"," + value_members(entry.value, entry.content_type) if query.with_values else b""
    return b'{"key":' + text(entry.key) + _beside(entry, query.with_ttl, query.meta) + members + b"}"


def array(items: list[bytes]) -> bytes:
    """A JSON array of rendered items."""
    return b"[" + b",".join(items) + b"]"


def mapping(members: list[bytes]) -> bytes:
    """A JSON object of rendered members."""
    return b"{" + b",".join(members) + b"}"


def page(items: list[bytes], cursor: str) -> bytes:
    """The body of a listing; `cursor` "" when there is no more."""
    if not cursor:
        return data(array(items))
    return b'{"status":"ok","data":' + array(items) + b',"cursor":' + text(cursor) + b"}"
