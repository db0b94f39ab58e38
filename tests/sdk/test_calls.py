"""What is sent, and how many keys become few requests."""

import asyncio
import itertools
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import concord
from concord import InvalidRequest, Put, _calls, _many
from concord._calls import NO_CONDITION
from concord._core import OwnWrites
from concord._responses import Entry
from concord._transports import AsyncStream, Request, Response, Stream
from concord._values import AS_STORED
from gateway.data_limits import DataLimits
from gateway.paths import Shape, key_in, parse
from tests.sdk.fake import World, ok, refused

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@given(
    KEYS | st.sampled_from([".", "..", "bulk", "a/../b", "x/ttl", "x/touch", "%", "%2F", "a?b#c", "\x00", "/", "//"])
)
def test_the_gateway_reads_the_key_that_was_meant(key: str) -> None:
    target = _calls.get(key, Any, _calls.LINEARIZABLE).request.target.partition("?")[0]
    parsed = parse("GET", target.encode())
    assert parsed.shape is Shape.KEY
    assert key_in(parsed, DataLimits()) == key
    for call, shape in (
        (_calls.ttl(key, _calls.LINEARIZABLE), Shape.TTL),
        (_calls.touch(key, 1, NO_CONDITION), Shape.TOUCH),
        (_calls.increment(key, by=1, initial=0, ttl=None, minimum=None, maximum=None), Shape.INCREMENT),
    ):
        parsed = parse(call.request.method, call.request.target.encode())
        assert parsed.shape is shape
        assert key_in(parsed, DataLimits()) == key


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_a_key_that_is_none_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(concord.InvalidRequest):
        _calls.get(key, Any, _calls.LINEARIZABLE)


@pytest.mark.parametrize("value", [object(), "\ud800", {1j: 2}])
def test_a_value_that_is_no_json_is_refused_before_anything_is_sent(value: object) -> None:
    with pytest.raises(concord.InvalidRequest):
        _calls.put("k", value, None, NO_CONDITION, None)


def test_conditions_go_into_the_body_and_with_bytes_into_headers() -> None:
    condition = _calls.conditions(None, 5, None, 0)
    body = msgspec.json.decode(_calls.put("k", 1, 9, condition, None).request.body)
    assert body == {"value": 1, "ttl": 9, "if_revision": 5, "if_value": None, "if_fence": 0}

    def headers(if_absent: object, if_revision: int | None) -> dict[str, str]:
        condition = _calls.conditions(None if if_absent is None else bool(if_absent), if_revision, _calls.UNSET, None)
        return dict(_calls.put("k", b"x", 9, condition, "text/plain").request.headers)

    plain = {"content-type": "text/plain"}
    assert headers(None, None) == plain
    assert headers(None, 5) == plain | {"if-match": '"5"'}
    assert headers(None, 0) == headers(True, None) == plain | {"if-none-match": "*"}
    assert headers(False, None) == plain | {"if-match": "*"}
    with pytest.raises(concord.InvalidRequest):
        _calls.put("k", b"x", None, condition, None)


@given(st.lists(st.tuples(st.integers(), st.integers(0, 30))), st.integers(1, 7), st.integers(1, 50))
def test_splitting_loses_nothing_and_keeps_both_limits(items: list[tuple[int, int]], most: int, size: int) -> None:
    numbered = [((index, cost), cost) for index, (_, cost) in enumerate(items)]
    parts = list(_many.parts(numbered, most, size))
    assert [item for part in parts for item in part] == [item for item, _ in numbered]
    assert all(0 < len(part) <= most for part in parts)
    assert all(len(part) == 1 or sum(cost for _, cost in part) <= size for part in parts)
    for part, after in itertools.pairwise(parts):
        assert len(part) == most or sum(cost for _, cost in part) + after[0][1] > size


def test_a_batch_whose_values_are_too_large_for_one_answer_is_read_in_halves() -> None:
    found: dict[str, str] = {}

    def told(*keys: str) -> Response:
        return ok({key: {"status": "ok", "value": key, "revision": 1} for key in keys})

    world = World(refused(413, "BATCH_TOO_LARGE"), told("a"), told("b"))
    (batch,) = _many.get_batches(["a", "b", "a"], str, _calls.LINEARIZABLE, OwnWrites())
    plan = batch.plan()
    step = next(plan)
    try:
        while True:
            try:
                result = world.run(step)  # type: ignore[arg-type] # there are no sleeps in it
            except concord.ConcordError as error:
                step = plan.throw(error)
            else:
                step = plan.send(result)
    except StopIteration as stop:
        found.update(_many.read([stop.value]).values)
    assert found == {"a": "a", "b": "b"}


def test_keys_that_were_written_lately_are_not_read_stale() -> None:
    own = OwnWrites(keys_max=2)
    for key in ("a", "b", "c"):
        own.note([key], ok({}, etag='"3"'))
    batches = list(_many.get_batches(["a", "b", "c"], Any, _calls.freshness("stale", 50), own))
    assert [list(batch.keys) for batch in batches] == [["b", "c"], ["a"]]


class Asked:
    """A network in which nothing is found, and which remembers what was asked for."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []

    def send(self, _url: str, request: Request, _timeout_s: float) -> Response:
        path, _, query = request.target.partition("?")
        self.queries.append(dict(parse_qsl(query)))
        return ok({} if path.endswith("/bulk/get") else [])

    def stream(self, _url: str, _request: Request, _silence_s: float) -> Stream:
        raise AssertionError("nobody watches")

    def close(self) -> None:
        """There is nothing to close."""


class AsyncAsked:
    """The same for asyncio."""

    def __init__(self) -> None:
        self.asked = Asked()

    async def send(self, url: str, request: Request, timeout_s: float) -> Response:
        return self.asked.send(url, request, timeout_s)

    async def stream(self, base_url: str, request: Request, silence_s: float) -> AsyncStream:
        raise NotImplementedError

    async def close(self) -> None:
        """There is nothing to close."""


def check_ages(queries: list[dict[str, str]]) -> None:
    """Four reads were asked for that may be 50 ms old, then one of any age."""
    *bounded, unbounded = [(query.get("consistency"), query.get("max_age_ms")) for query in queries]
    assert (bounded, unbounded) == ([("stale", "50")] * 4, ("stale", None))


def test_lists_and_bulk_reads_may_be_so_old_and_no_older() -> None:
    asked = Asked()
    with concord.Concord(transport=asked, consistency="stale") as client:
        client.get_many(["a"], max_age_ms=50)
        assert list(client.keys(max_age_ms=50)) == []
        assert list(client.scan(max_age_ms=50)) == []
        assert len(list(client.pages(max_age_ms=50, limit=10))) == 1
        client.get_many(["a"])
        check_ages(asked.queries)
        for read in (
            client.keys,
            client.scan,
            client.pages,
            lambda **told: iter(client.get_many(["a"], **told).errors),
        ):
            with pytest.raises(concord.InvalidRequest, match="max_age_ms: only for reads with consistency=stale"):
                next(read(consistency="linearizable", max_age_ms=50))


def test_lists_and_bulk_reads_of_asyncio_may_be_so_old_and_no_older() -> None:
    async def main() -> None:
        network = AsyncAsked()
        async with concord.AsyncConcord(transport=network, consistency="stale") as client:
            await client.get_many(["a"], max_age_ms=50)
            assert [key async for key in client.keys(max_age_ms=50)] == []
            assert [entry async for entry in client.scan(max_age_ms=50)] == []
            assert len([page async for page in client.pages(max_age_ms=50, limit=10)]) == 1
            await client.get_many(["a"])
            check_ages(network.asked.queries)
            with pytest.raises(concord.InvalidRequest, match="max_age_ms"):
                await client.get_many(["a"], consistency="linearizable", max_age_ms=50)

    asyncio.run(main())


def test_each_key_is_in_one_place_of_a_result() -> None:
    outcome: _many.Read[int] = _many.read(
        [{"a": Entry("a", 1, 1), "b": concord.NotFound(""), "c": concord.Unavailable("")}]
    )
    assert (outcome.values, outcome.missing, list(outcome.errors)) == ({"a": 1}, ["b"], ["c"])
    with pytest.raises(concord.Unavailable):
        outcome.check()


def test_values_are_told_as_they_are_stored_when_asked_so() -> None:
    listed = {
        "data": [
            {"key": "a", "value": [1.50], "revision": 3, "ttl": 9},
            {"key": "b", "value": "AP8=", "encoding": "base64", "content_type": "image/png", "revision": 4},
        ],
        "cursor": "more",
    }
    body = msgspec.json.encode(listed).replace(b"[1.5]", b"[ 1.50 ]")
    page = _calls.list_entries("", AS_STORED, "", 10, _calls.LINEARIZABLE).decode(Response(200, {}, body))
    first, second = _calls.valid(page).entries
    assert (bytes(first.value), first.content_type, first.ttl) == (b"[ 1.50 ]", "", 9)
    assert (second.value, second.content_type, second.revision) == (b"\x00\xff", "image/png", 4)
    assert page.cursor == "more"


def test_a_put_among_many_may_have_a_time_to_live_and_a_content_type_of_its_own() -> None:
    items = {"a": 1, "b": Put(2, ttl=5), "c": Put(b"\x01", ttl=6, content_type="image/png"), "d": b"\x02"}
    steps = [next(batch.plan()) for batch in _many.put_batches(items, 60)]
    sent = [step.request for step in steps if isinstance(step, _calls.Call)]
    raw, plain, bulk = sent
    assert (raw.target, raw.headers["content-type"], raw.body) == ("/api/v1/kv/c?ttl=6", "image/png", b"\x01")
    assert (plain.target, plain.headers["content-type"]) == ("/api/v1/kv/d?ttl=60", "application/octet-stream")
    operations = msgspec.json.decode(bulk.body)["operations"]
    assert operations == [{"key": "a", "value": 1, "ttl": 60}, {"key": "b", "value": 2, "ttl": 5}]
    with pytest.raises(InvalidRequest, match="content_type"):
        list(_many.put_batches({"a": Put(1, content_type="image/png")}, None))
