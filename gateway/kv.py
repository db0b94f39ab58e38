"""The handlers of the key-value routes: parse, call the cluster, render. Each takes a Request and gives an Answer."""

import asyncio
import base64
import binascii
from collections.abc import Sequence

from gateway import answers, bodies
from gateway.answers import Answer, Header
from gateway.cluster import Cluster, Observed, check_size
from gateway.errors import ITEM_NOT_FOUND, ApiCode, ApiError, from_failure, invalid, item_code
from gateway.fanout import Outcome
from gateway.listing import ListQuery, Merge
from gateway.requests import Request, consistency, switch
from gateway.router import Router
from wire.errors import Applied, Failure, RpcError
from wire.messages import LIMIT_KEY_BYTES, LIMIT_LIST_ITEMS, Consistency, ItemResult, Operation, Status


class KeyValue:
    """The routes under `/api/v1/kv`."""

    def __init__(self, cluster: Cluster, router: Router) -> None:
        self._cluster = cluster
        self._router = router

    async def put(self, request: Request) -> Answer:
        """`PUT /kv/{key}`."""
        request.query()
        _refuse_conditions(request)
        result = await self._write_one(request, bodies.parse_put(request.key, await request.body()))
        return answers.put_done(result.revision)

    async def get(self, request: Request) -> Answer:
        """`GET /kv/{key}`."""
        query = request.query("with_ttl", "consistency")
        with_ttl, asked = switch(query, "with_ttl"), consistency(query)
        result, headers = await self._read_one(request, asked)
        return Answer(answers.value_data(result.value, result.ttl_ms, with_ttl=with_ttl), headers=headers)

    async def ttl(self, request: Request) -> Answer:
        """`GET /kv/{key}/ttl`."""
        result, headers = await self._read_one(request, consistency(request.query("consistency")))
        return Answer(answers.ttl_data(result.ttl_ms), headers=headers)

    async def delete(self, request: Request) -> Answer:
        """`DELETE /kv/{key}`; a key that is not there is deleted, too."""
        request.query()
        _refuse_conditions(request)
        outcomes = await self._cluster.write(bodies.delete_of(request.key), request.deadline())
        result = _result(outcomes[0])
        return answers.delete_done(result.revision) if result.status is Status.OK else answers.DELETE_ABSENT

    async def touch(self, request: Request) -> Answer:
        """`POST /kv/{key}/touch`."""
        request.query()
        result = await self._write_one(request, bodies.parse_touch(request.key, await request.body()))
        return answers.touch_done(result.revision)

    async def bulk_put(self, request: Request) -> Answer:
        """`POST /kv/bulk`."""
        request.query()
        operation = bodies.parse_bulk_put(await request.body())
        return await self._bulk_write(request, operation, [item.key for item in operation.items])

    async def bulk_touch(self, request: Request) -> Answer:
        """`POST /kv/bulk/touch`."""
        request.query()
        operation = bodies.parse_bulk_touch(await request.body())
        return await self._bulk_write(request, operation, [item.key for item in operation.items])

    async def bulk_delete(self, request: Request) -> Answer:
        """`POST /kv/bulk/delete`; a key that is not there is deleted, too."""
        request.query()
        operation = bodies.parse_bulk_delete(await request.body())
        return await self._bulk_write(request, operation, operation.keys, absent_is_done=True)

    async def bulk_get(self, request: Request) -> Answer:
        """`POST /kv/bulk/get`."""
        asked = consistency(request.query("consistency"))
        body = bodies.parse_bulk_get(await request.body())
        keys = list(dict.fromkeys(body.keys))
        request.access.check(keys)
        outcomes, _ = await self._cluster.read(keys, asked, request.deadline())
        _refuse_if_nothing_done(outcomes)
        check_size(outcomes)
        members = [_member(key, outcome, with_ttl=body.with_ttl) for key, outcome in zip(keys, outcomes, strict=True)]
        return Answer(answers.data(answers.mapping(members)), headers=(_consistency_header(asked),))

    async def list(self, request: Request) -> Answer:
        """`GET /kv`: all groups or none, because a page with holes would look like deleted keys."""
        query = parse_list_query(request)
        request.access.check((query.prefix,))
        merge = await self._merge(query, request.deadline())
        items = [
            answers.listed(entry.key, entry.ttl_ms, entry.value, with_ttl=query.with_ttl, with_value=query.with_values)
            for entry in merge.page
        ]
        cursor = encode_cursor(merge.page[-1].key) if merge.more and merge.page else ""
        return Answer(answers.page(items, cursor), headers=(_consistency_header(query.consistency),))

    async def _merge(self, query: ListQuery, deadline: float) -> Merge:
        if not self._router.complete:
            raise ApiError(ApiCode.CLUSTER_UNAVAILABLE, "no cluster map yet, or a slot without a group")
        merge = Merge(query, self._router.serving_groups())
        try:
            while wanted := merge.wanted():
                replies = await asyncio.gather(*(self._cluster.list_group(ask, deadline) for ask in wanted))
                for ask, reply in zip(wanted, replies, strict=True):
                    merge.feed(ask.group, reply)
                merge.advance()
        except RpcError as error:
            raise from_failure(error.failure) from None
        return merge

    async def _write_one(self, request: Request, operation: Operation) -> ItemResult:
        outcomes = await self._cluster.write(operation, request.deadline())
        return _found(_result(outcomes[0]))

    async def _read_one(self, request: Request, asked: Consistency) -> tuple[ItemResult, tuple[Header, ...]]:
        outcomes, observed = await self._cluster.read((request.key,), asked, request.deadline())
        result = _found(_result(outcomes[0]))
        return result, (answers.etag(result.revision), _consistency_header(asked), *_observed_headers(observed))

    async def _bulk_write(
        self, request: Request, operation: Operation, keys: Sequence[str], *, absent_is_done: bool = False
    ) -> Answer:
        request.access.check(keys)
        outcomes = await self._cluster.write(operation, request.deadline())
        _refuse_if_nothing_done(outcomes)
        items = [
            _item(key, outcome, absent_is_done=absent_is_done) for key, outcome in zip(keys, outcomes, strict=True)
        ]
        return Answer(answers.data(answers.array(items)))


def parse_list_query(request: Request) -> ListQuery:
    """The query of `GET /kv`.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    query = request.query("limit", "prefix", "cursor", "with_ttl", "values", "consistency")
    limit = query.get("limit", str(LIMIT_LIST_ITEMS))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= LIMIT_LIST_ITEMS):
        raise invalid(f"limit: expected a whole number in 1..{LIMIT_LIST_ITEMS}")
    prefix = query.get("prefix", "")
    if len(prefix.encode()) > LIMIT_KEY_BYTES:
        raise invalid(f"prefix: over {LIMIT_KEY_BYTES} bytes")
    after = decode_cursor(query["cursor"]) if "cursor" in query else ""
    if not after.startswith(prefix) and after:
        raise invalid("cursor: belongs to a listing with another prefix")
    return ListQuery(
        prefix=prefix,
        after=after,
        limit=int(limit),
        with_ttl=switch(query, "with_ttl"),
        with_values=switch(query, "values"),
        consistency=consistency(query),
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


_CONSISTENCY_HEADERS = {
    Consistency.LINEARIZABLE: (b"x-concord-consistency", b"linearizable"),
    Consistency.STALE: (b"x-concord-consistency", b"stale"),
}


def _consistency_header(asked: Consistency) -> Header:
    return _CONSISTENCY_HEADERS[asked]


def _observed_headers(observed: Observed) -> tuple[Header, ...]:
    return (
        (b"x-concord-group", b"%d" % observed.group),
        (b"x-concord-revision", b"%d" % observed.revision),
        (b"x-concord-age-ms", b"%d" % observed.age_ms),
    )


def _refuse_conditions(request: Request) -> None:
    """A write under a condition that nobody checks would be worse than an error."""
    for name in _CONDITIONS:
        if request.header(name) is not None:
            raise invalid(f"{name.decode()}: conditional writes are not supported")


_CONDITIONS = (b"if-match", b"if-none-match")


def _result(outcome: Outcome) -> ItemResult:
    if isinstance(outcome, Failure):
        raise from_failure(outcome)
    return outcome


def _found(result: ItemResult) -> ItemResult:
    if result.status is Status.NOT_FOUND:
        raise ApiError(ApiCode.NOT_FOUND, "there is no such key")
    return result


def _refuse_if_nothing_done(outcomes: Sequence[Outcome]) -> None:
    """Answer as a whole when no item got anywhere: 503 when nothing was applied, 504 when that is not known of any."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    unknown = [failure for failure in failures if failure.applied is not Applied.NO]
    if len(failures) == len(outcomes) and len(unknown) in (0, len(failures)):
        raise from_failure(failures[0])


def _item(key: str, outcome: Outcome, *, absent_is_done: bool) -> bytes:
    if isinstance(outcome, Failure):
        return answers.item_failed(key, item_code(outcome))
    if outcome.status is Status.NOT_FOUND and not absent_is_done:
        return answers.item_failed(key, ITEM_NOT_FOUND)
    return answers.item_done(key)


def _member(key: str, outcome: Outcome, *, with_ttl: bool) -> bytes:
    if isinstance(outcome, Failure):
        return answers.not_found(key, item_code(outcome))
    if outcome.status is Status.NOT_FOUND:
        return answers.not_found(key, ITEM_NOT_FOUND)
    return answers.found(key, outcome.value, outcome.ttl_ms, with_ttl=with_ttl)
