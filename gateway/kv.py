"""The handlers of the key-value routes: parse, call the cluster, render. Each takes a Request and gives an Answer."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from gateway import answers, bodies, media
from gateway.answers import Answer, Header
from gateway.cluster import NO_MAP, Cluster, Observed, check_size
from gateway.conditions import with_headers
from gateway.data_limits import LIMIT_READ_BYTES, DataLimits
from gateway.errors import from_failure, invalid, item_code
from gateway.fanout import Outcome
from gateway.idempotency import once_of
from gateway.listing import ListQuery, Merge
from gateway.paths import check_prefix
from gateway.requests import Request, consistency, max_age_ms, switch, whole_number
from gateway.results import code_of, granted, result_of
from gateway.router import Router
from gateway.transactions import write_atomically
from wire.errors import Applied, Failure, RpcError
from wire.messages import (
    LIMIT_KEY_BYTES,
    Consistency,
    Delete,
    Increment,
    IncrementItem,
    ItemResult,
    ListEntry,
    Operation,
    Put,
    PutItem,
    Status,
    Touch,
    TouchItem,
)
from wire.operations import keys_of

ItemT = TypeVar("ItemT", TouchItem, IncrementItem)

FRESHNESS = ("consistency", "max_age_ms")
PAGE = ("limit", "cursor", *FRESHNESS)


class KeyValue:
    """The routes under `/api/v1/kv`."""

    def __init__(self, cluster: Cluster, router: Router) -> None:
        self._cluster = cluster
        self._router = router

    async def put(self, request: Request) -> Answer:
        """`PUT /kv/{key}`: a value in JSON, or with another content type the body itself."""
        query, limits = request.query("ttl", "meta"), request.limits
        switch(query, "meta")  # the revision is answered in any case
        kind = media.stored_type(request)
        body = await request.body()
        item = media.raw_item(request.key, body, kind, limits) if kind else bodies.parse_put(request.key, body, limits)
        condition, ttl_ms = with_headers(request, item.condition), item.ttl_ms or media.ttl_ms(query, limits)
        if condition is not item.condition or ttl_ms != item.ttl_ms:
            item = msgspec.structs.replace(item, condition=condition, ttl_ms=ttl_ms)
        return await self.put_item(request, item, body)

    async def put_item(self, request: Request, item: PutItem, body: bytes) -> Answer:
        """Set one key; `body` is what the client sent, for its own retries to be known by."""
        return answers.put_done((await self._write_one(request, Put([item]), body)).revision)

    async def get(self, request: Request) -> Answer:
        """`GET /kv/{key}`."""
        query = request.query("with_ttl", "meta", "raw", *FRESHNESS)
        with_ttl, meta = switch(query, "with_ttl"), switch(query, "meta")
        raw = switch(query, "raw") if "raw" in query else None
        result, headers = await self._read_one(request, query)
        if result.content_type:
            headers = (*headers, media.VARIES)
        if raw or (raw is None and media.asks_for(request, result.content_type)):
            return media.raw_answer(result, headers)
        return Answer(answers.data(answers.value(result, with_ttl=with_ttl, meta=meta)), headers=headers)

    async def ttl(self, request: Request) -> Answer:
        """`GET /kv/{key}/ttl`."""
        query = request.query("meta", *FRESHNESS)
        meta = switch(query, "meta")
        result, headers = await self._read_one(request, query)
        return Answer(answers.ttl_data(result, meta=meta), headers=headers)

    async def delete(self, request: Request) -> Answer:
        """`DELETE /kv/{key}`; a key that is not there is deleted, too."""
        switch(request.query("meta"), "meta")  # it is answered in any case
        body = await request.body()
        condition = with_headers(request, bodies.parse_condition(body, request.limits))
        operation = Delete([request.key], [condition] if condition else [])
        outcomes = await self._cluster.write(operation, request.deadline(), once_of(request, body))
        result = result_of(outcomes[0])
        if result.status is Status.NOT_FOUND:
            return answers.DELETE_ABSENT
        return answers.delete_done(granted(result).revision)

    async def touch(self, request: Request) -> Answer:
        """`POST /kv/{key}/touch`."""
        meta = switch(request.query("meta"), "meta")
        body = await request.body()
        item = _conditional(request, bodies.parse_touch(request.key, body, request.limits))
        result = await self._write_one(request, Touch([item]), body)
        return answers.touch_done(result.revision, meta=meta)

    async def increment(self, request: Request) -> Answer:
        """`POST /kv/{key}/increment`."""
        switch(request.query("meta"), "meta")  # it is answered in any case
        body = await request.body()
        item = _conditional(request, bodies.parse_increment(request.key, body, request.limits))
        result = await self._write_one(request, Increment([item]), body)
        return answers.increment_done(result.value, result.revision)

    async def bulk_put(self, request: Request) -> Answer:
        """`POST /kv/bulk`."""
        request.query()
        body = await request.body()
        return await self._bulk_write(request, bodies.parse_bulk_put(body, request.limits), body)

    async def bulk_touch(self, request: Request) -> Answer:
        """`POST /kv/bulk/touch`."""
        request.query()
        body = await request.body()
        return await self._bulk_write(request, bodies.parse_bulk_touch(body, request.limits), body)

    async def bulk_delete(self, request: Request) -> Answer:
        """`POST /kv/bulk/delete`; a key that is not there is deleted, too."""
        request.query()
        body = await request.body()
        return await self._bulk_write(
            request, bodies.parse_bulk_delete(body, request.limits), body, absent_is_done=True
        )

    async def bulk_get(self, request: Request) -> Answer:
        """`POST /kv/bulk/get`."""
        query = request.query(*FRESHNESS)
        body = bodies.parse_bulk_get(await request.body(), request.limits)
        keys, bytes_max = list(dict.fromkeys(body.keys)), request.limits.bulk_get_bytes
        request.access.check(keys)
        asked, outcomes, observed = await self._read(request, keys, query, bytes_max)
        _refuse_if_nothing_done(outcomes)
        check_size(outcomes, bytes_max)
        members = [_member(key, outcome, body) for key, outcome in zip(keys, outcomes, strict=True)]
        return Answer(answers.data(answers.mapping(members)), headers=_freshness_headers(asked, observed.age_ms))

    async def list(self, request: Request) -> Answer:
        """`GET /kv`: all groups or none, because a page with holes would look like deleted keys."""
        query = list_query(request)
        return await self.answer_page(query, request, lambda entry: answers.listed(entry, query))

    async def answer_page(self, query: ListQuery, request: Request, render: Callable[[ListEntry], bytes]) -> Answer:
        """A page of keys, each as `render` shows it."""
        request.access.check((query.prefix,))
        asked, deadline, bytes_max = query.consistency, request.deadline(), request.limits.list_bytes
        merge = await self._merge(query, bytes_max, deadline)
        if query.age_ms_max is not None and merge.age_ms > query.age_ms_max:
            asked = Consistency.LINEARIZABLE
            merge = await self._merge(msgspec.structs.replace(query, consistency=asked), bytes_max, deadline)
        cursor = encode_cursor(merge.page[-1].key) if merge.more and merge.page else ""
        headers = _freshness_headers(asked, merge.age_ms)
        return Answer(answers.page([render(entry) for entry in merge.page], cursor), headers=headers)

    async def _merge(self, query: ListQuery, bytes_max: int, deadline: float) -> Merge:
        if not self._router.complete:
            raise from_failure(NO_MAP)
        merge = Merge(query, self._router.serving_groups(), bytes_max)
        try:
            while wanted := merge.wanted():
                replies = await asyncio.gather(*(self._cluster.list_group(ask, deadline) for ask in wanted))
                for ask, reply in zip(wanted, replies, strict=True):
                    merge.feed(ask.group, reply)
                merge.advance()
        except RpcError as error:
            raise from_failure(error.failure) from None
        return merge

    async def _write_one(self, request: Request, operation: Operation, body: bytes) -> ItemResult:
        outcomes = await self._cluster.write(operation, request.deadline(), once_of(request, body))
        return granted(result_of(outcomes[0]))

    async def _read_one(self, request: Request, query: Mapping[str, str]) -> tuple[ItemResult, tuple[Header, ...]]:
        asked, outcomes, observed = await self._read(request, (request.key,), query)
        result = granted(result_of(outcomes[0]))
        served = ((b"x-concord-group", b"%d" % observed.group), (b"x-concord-revision", b"%d" % observed.revision))
        return result, (answers.etag(result.revision), *_freshness_headers(asked, observed.age_ms), *served)

    async def _read(
        self, request: Request, keys: Sequence[str], query: Mapping[str, str], bytes_max: int = LIMIT_READ_BYTES
    ) -> tuple[Consistency, Sequence[Outcome], Observed]:
        """Read as `FRESHNESS` in the query asks for; from the leaders after all when what replicas have is too old."""
        asked, oldest_ms = consistency(query), max_age_ms(query)
        deadline = request.deadline()
        outcomes, observed = await self._cluster.read(keys, asked, deadline, bytes_max)
        if oldest_ms is not None and observed.age_ms > oldest_ms:
            del outcomes  # up to `bytes_max`, which need not be held twice
            asked = Consistency.LINEARIZABLE
            outcomes, observed = await self._cluster.read(keys, asked, deadline, bytes_max)
        return asked, outcomes, observed

    async def _bulk_write(
        self, request: Request, bulk: bodies.Bulk[bodies.BulkT], body: bytes, *, absent_is_done: bool = False
    ) -> Answer:
        operation, deadline, once = bulk.operation, request.deadline(), once_of(request, body)
        keys = keys_of(operation)
        request.access.check(keys)
        outcomes: Sequence[Outcome]
        revision = 0
        if bulk.atomic:
            outcomes = done = await write_atomically(self._cluster, operation, deadline, once)
            revision = max(result.revision for result in done)
        else:
            outcomes = await self._cluster.write(operation, deadline, once)
            _refuse_if_nothing_done(outcomes)
        items = [
            _item(key, outcome, absent_is_done=absent_is_done) for key, outcome in zip(keys, outcomes, strict=True)
        ]
        return Answer(answers.data(answers.array(items)), revision=revision)


def list_query(request: Request) -> ListQuery:
    """The query of `GET /kv`.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    query = request.query(*PAGE, "prefix", "with_ttl", "values", "meta")
    prefix = query.get("prefix", "")
    check_prefix(prefix, request.limits)
    return msgspec.structs.replace(
        page_query(query, prefix, request.limits),
        with_ttl=switch(query, "with_ttl"),
        with_values=switch(query, "values"),
        meta=switch(query, "meta"),
    )


def page_query(query: Mapping[str, str], prefix: str, limits: DataLimits) -> ListQuery:
    """Which page of the keys with a prefix is asked for, by the parameters in `PAGE`.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    limit = whole_number(query, "limit", 1, limits.list_items)
    after = decode_cursor(query["cursor"]) if query.get("cursor") else ""
    if not after.startswith(prefix) and after:
        raise invalid("cursor: belongs to a listing with another prefix")
    return ListQuery(
        prefix,
        after,
        limits.list_items if limit is None else limit,
        consistency=consistency(query),
        age_ms_max=max_age_ms(query),
    )


def encode_cursor(key: str) -> str:
    """An opaque cursor that goes on after `key`."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The key in a cursor.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = raw.decode()
    except (ValueError, binascii.Error):
        raise invalid("cursor: not one that a listing gave") from None
    if not 0 < len(raw) <= LIMIT_KEY_BYTES or encode_cursor(key) != cursor:
        raise invalid("cursor: not one that a listing gave")
    return key


def _conditional(request: Request, item: ItemT) -> ItemT:
    """The item under the conditions of the headers, too."""
    condition = with_headers(request, item.condition)
    return item if condition is item.condition else msgspec.structs.replace(item, condition=condition)


_CONSISTENCY_HEADERS = {
    Consistency.LINEARIZABLE: (b"x-concord-consistency", b"linearizable"),
    Consistency.STALE: (b"x-concord-consistency", b"stale"),
}


def _freshness_headers(asked: Consistency, age_ms: int) -> tuple[Header, ...]:
    return _CONSISTENCY_HEADERS[asked], (b"x-concord-age-ms", b"%d" % age_ms)


def _refuse_if_nothing_done(outcomes: Sequence[Outcome]) -> None:
    """Answer as a whole when no item got anywhere: 503 when nothing was applied, 504 when that is not known of any."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    unknown = [failure for failure in failures if failure.applied is not Applied.NO]
    if len(failures) == len(outcomes) and len(unknown) in (0, len(failures)):
        raise from_failure(failures[0])


def _item(key: str, outcome: Outcome, *, absent_is_done: bool) -> bytes:
    if isinstance(outcome, Failure):
        return answers.item_failed(key, item_code(outcome))
    if outcome.status is Status.OK or (outcome.status is Status.NOT_FOUND and absent_is_done):
        return answers.item_done(key)
    return answers.item_failed(key, code_of(outcome))


def _member(key: str, outcome: Outcome, asked: bodies.BulkGetBody) -> bytes:
    if isinstance(outcome, Failure):
        return answers.not_found(key, item_code(outcome))
    if outcome.status is Status.NOT_FOUND:
        return answers.not_found(key, code_of(outcome))
    return answers.found(key, outcome, with_ttl=asked.with_ttl, meta=asked.meta)
