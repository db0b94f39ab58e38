"""Attempts, deadlines and outcomes of one call, without a network."""

import itertools

import msgspec
import pytest

import concord
from concord import AsyncConcord, Concord, Retry, Txn, _calls
from concord._calls import NO_CONDITION, Call
from concord._core import Heard
from concord._endpoints import Endpoints
from concord._responses import BY_CODE
from concord._transports import Response
from gateway.errors import MEANINGS, ApiCode
from tests.sdk.fake import LOST, REFUSED, SILENT, UNAVAILABLE, UNKNOWN, World, ok, refused
from tests.sdk.memory import Memory

HIDDEN = "hidden"
DONE = ok({"revision": 7}, etag='"7"')
VALUE = ok({"value": 1, "revision": 7})


def write() -> Call[int]:
    return _calls.put("k", 1, None, NO_CONDITION, None)


def read(consistency: concord.Consistency = "linearizable") -> Call[concord.Entry[object] | None]:
    return _calls.get("k", int, _calls.freshness(consistency, None))


def test_a_write_has_one_idempotency_key_over_all_attempts_and_another_write_another() -> None:
    world = World(REFUSED, LOST, UNAVAILABLE, UNKNOWN, DONE, DONE)
    assert world.run(write()) == 7
    assert world.run(write()) == 7
    keys = world.header("idempotency-key")
    assert len(set(keys[:5])) == 1
    assert keys[0]
    assert keys[5] not in {"", keys[0]}
    assert {send.request.body for send in world.sent} == {b'{"value":1}'}


def test_a_read_has_no_idempotency_key_and_every_request_the_token() -> None:
    world = World(LOST, VALUE)
    entry = world.run(read())
    assert entry is not None
    assert entry.value == 1
    assert world.header("idempotency-key") == ["", ""]
    assert world.header("authorization") == ["Bearer secret"] * 2


def test_retry_after_is_obeyed() -> None:
    world = World(UNAVAILABLE, UNAVAILABLE, VALUE)
    world.run(read())
    assert all(1.0 <= wait_s <= 1.25 for wait_s in world.slept)
    assert len(world.slept) == 2


def test_what_a_wait_would_take_beyond_the_deadline_is_not_waited_for() -> None:
    world = World(UNAVAILABLE)
    with pytest.raises(concord.Unavailable) as raised:
        world.run(read(), 0.9)
    assert raised.value.retry_after_s == 1.0
    assert world.slept == []


def test_the_deadline_is_one_for_all_attempts() -> None:
    world = World(*itertools.repeat(SILENT, 50))
    world.costs_s = 3.0
    with pytest.raises(concord.Timeout):
        world.run(read(), 10.0)
    assert len(world.sent) == 4
    timeouts = [send.timeout_s for send in world.sent]
    assert timeouts == sorted(timeouts, reverse=True)
    assert timeouts[-1] <= 1.0
    assert all(
        int(ms) < send.timeout_s * 1000
        for ms, send in zip(world.header("x-concord-timeout-ms"), world.sent, strict=True)
    )


def test_an_attempt_leaves_time_for_the_gateways_that_were_not_asked() -> None:
    world = World(SILENT, SILENT, VALUE, urls=("http://a", "http://b", "http://c"))
    world.costs_s = 3.0
    world.run(read(), 10.0)
    first, second, third = [send.timeout_s for send in world.sent]
    assert first == 5.0
    assert 3.3 < second <= 3.5
    assert 3.8 < third <= 4.0  # nobody is left to be asked


@pytest.mark.parametrize(("retry", "is_repeatable"), [(Retry(attempts_max=1), True), (Retry(), False)])
def test_an_attempt_after_which_there_is_none_takes_all_of_the_time(retry: Retry, *, is_repeatable: bool) -> None:
    world = World(VALUE, urls=("http://a", "http://b"), retry=retry)
    world.run(msgspec.structs.replace(read(), is_repeatable=is_repeatable), 8.0)
    assert world.sent[0].timeout_s == 8.0


def test_attempts_are_counted() -> None:
    world = World(*itertools.repeat(REFUSED, 50), retry=Retry(attempts_max=3))
    with pytest.raises(concord.ConnectionFailed) as raised:
        world.run(write())
    assert len(world.sent) == 3
    assert raised.value.applied is False


def test_without_a_count_a_call_is_tried_until_its_deadline() -> None:
    world = World(*itertools.repeat(REFUSED, 500))
    with pytest.raises(concord.ConnectionFailed):
        world.run(write(), 60.0)
    assert world.now - 100.0 > 57.0  # a wait has two seconds at most


@pytest.mark.parametrize("later", [REFUSED, UNAVAILABLE, refused(401, "UNAUTHORIZED"), refused(500, "INTERNAL")])
def test_once_a_write_may_have_been_applied_only_the_group_makes_it_definite(later: object) -> None:
    world = World(LOST, later, retry=Retry(attempts_max=2))  # type: ignore[arg-type] # all are Heard
    with pytest.raises(concord.UnknownOutcome) as raised:
        world.run(write())
    assert raised.value.applied == "unknown"


def test_a_refusal_by_the_group_settles_an_ambiguous_write() -> None:
    with pytest.raises(concord.PreconditionFailed):
        World(LOST, refused(412, "PRECONDITION_FAILED")).run(write())


def test_a_read_is_never_of_unknown_outcome() -> None:
    with pytest.raises(concord.ConnectionFailed):
        World(LOST, retry=Retry(attempts_max=1)).run(read())


@pytest.mark.parametrize("heard", [LOST, SILENT, UNKNOWN])
def test_of_a_transaction_that_only_reads_the_outcome_is_never_unknown(heard: Heard) -> None:
    txn = Txn().if_exists("a")
    txn.then.get("a")
    for more, unknown in ((lambda: None, False), (lambda: txn.otherwise.put("a", 1), True)):
        more()
        world = World(heard, retry=Retry(attempts_max=1))
        with pytest.raises(concord.ConcordError) as raised:
            world.run(txn.call())
        assert isinstance(raised.value, concord.UnknownOutcome) is unknown
        assert raised.value.applied == ("unknown" if unknown else False)
        assert bool(world.header("idempotency-key")[0]) is unknown


@pytest.mark.parametrize("code", list(ApiCode))
def test_every_code_of_the_api_has_its_exception_and_is_retried_only_if_it_may_help(code: ApiCode) -> None:
    meaning = MEANINGS[code]
    answer = refused(meaning.status, code.value, retryable=meaning.retryable)
    world = World(answer, answer, retry=Retry(attempts_max=2))
    with pytest.raises(BY_CODE[code.value]) as raised:
        world.run(write())
    assert raised.value.code == code
    assert raised.value.retryable is meaning.retryable
    assert raised.value.status == meaning.status
    assert len(world.sent) == (2 if meaning.retryable else 1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Response(502, {}, b"<html>"), concord.ServerFault),
        (Response(429, {}, b"<html>"), concord.TooManyRequests),
        (Response(503, {}, b"<html>"), concord.Unavailable),
        (Response(404, {}, b"<html>"), concord.ServerFault),
        (Response(200, {}, b"<html>"), concord.ServerFault),
        (Response(200, {}, b'{"data":{"value":"\xff"}}'), concord.InvalidValue),
        (ok({"value": "text"}), concord.InvalidValue),
        (Response(302, {"location": "http://elsewhere"}, b""), concord.ServerFault),
    ],
)
def test_an_answer_of_something_else_is_an_error_of_ours(answer: Response, kind: type[concord.ConcordError]) -> None:
    with pytest.raises(kind) as raised:
        World(answer, retry=Retry(attempts_max=1)).run(read())
    assert raised.value.applied is False


@pytest.mark.parametrize("status", [200, 500, 502, 504])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"data":[]}'])
def test_an_answer_of_something_else_leaves_a_write_unknown_until_it_is_repeated(status: int, body: bytes) -> None:
    strange = Response(status, {}, body)
    with pytest.raises(concord.UnknownOutcome):
        World(strange, retry=Retry(attempts_max=1)).run(write())
    assert World(strange, DONE).run(write()) == 7


def test_a_gateway_that_cannot_be_reached_is_passed_over_at_once_and_for_a_while() -> None:
    world = World(REFUSED, REFUSED, VALUE, VALUE, VALUE, VALUE, urls=("http://a", "http://b", "http://c"))
    for _ in range(4):
        world.run(read())
    urls = [send.url for send in world.sent]
    assert len(set(urls[:3])) == 3
    assert set(urls[2:]) == {urls[2]}
    assert world.slept == []


def test_requests_go_round_those_that_are_well() -> None:
    world = World(*itertools.repeat(VALUE, 6), urls=("http://a", "http://b", "http://c"))
    for _ in range(6):
        world.run(read())
    urls = [send.url for send in world.sent]
    assert urls[:3] == urls[3:]
    assert len(set(urls)) == 3


def test_all_are_asked_even_when_none_is_well() -> None:
    world = World(*itertools.repeat(REFUSED, 100), urls=("http://a", "http://b"))
    with pytest.raises(concord.ConnectionFailed):
        world.run(read())
    assert {send.url for send in world.sent[2:]} == {"http://a", "http://b"}


@pytest.mark.parametrize("url", ["", "a:4000", "ftp://a", "http://", "http://a?x", "http://u:p@a", "http://a:x"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        World(urls=(url,))


def test_no_endpoints_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Endpoints([], World().core.rng)


@pytest.mark.parametrize("kind", [Concord, AsyncConcord])
def test_an_address_with_a_path_is_refused(kind: type[Concord | AsyncConcord]) -> None:
    for url in ("http://host:4000/foo", "https://host/a/b/"):
        with pytest.raises(ValueError, match=r"path .* is not supported"):
            kind(url)
    with pytest.raises(ValueError, match="user or a password") as raised:
        kind("http://:hidden@host:4000")
    assert "hidden" not in str(raised.value)
    assert Endpoints(["http://host:4000/"], World().core.rng).urls == ["http://host:4000"]


def test_clients_and_locks_show_no_secrets() -> None:
    network = Memory()
    with Concord(["http://a:1", "http://b:2/"], token=HIDDEN, transport=network) as client:
        assert repr(client) == "<Concord of http://a:1, http://b:2>"
        lock = client.lock("nightly")
        assert repr(lock) == "<Lock 'nightly', not held>"
        with lock:
            assert repr(lock) == f"<Lock 'nightly', held, fence {lock.fence}>"
            assert lock.owner not in repr(lock)
    with concord.open(durability="memory") as db:
        assert repr(db) == "<Embedded store in this process>"


def test_a_stale_answer_older_than_an_own_write_is_asked_for_anew() -> None:
    old = ok({"value": 0, "revision": 3}, x_concord_revision="6")
    world = World(DONE, old, VALUE)
    world.run(write())
    entry = world.run(read("stale"))
    assert entry is not None
    assert entry.value == 1
    assert ["consistency=stale" in send.request.target for send in world.sent] == [False, True, False]


def test_a_stale_answer_that_knows_the_own_write_is_taken() -> None:
    fresh = ok({"value": 1, "revision": 7}, x_concord_revision="7")
    world = World(DONE, fresh)
    world.run(write())
    world.run(read("stale"))
    assert len(world.sent) == 2


def test_a_stale_absence_is_not_believed_of_a_key_that_was_written() -> None:
    world = World(DONE, refused(404, "NOT_FOUND"), VALUE)
    world.run(write())
    assert world.run(read("stale")) is not None


def test_items_of_a_bulk_write_that_may_succeed_later_are_asked_for_again_with_the_same_key() -> None:
    first = ok([{"key": "a", "status": "ok"}, {"key": "b", "status": "error", "error": "UNKNOWN"}])
    second = ok([{"key": "a", "status": "error", "error": "CLUSTER_UNAVAILABLE"}, {"key": "b", "status": "ok"}])
    world = World(first, second)
    outcomes = world.run(_calls.bulk_write("bulk", b"{}", ["a", "b"]))
    assert outcomes["b"] is None
    assert outcomes["a"] is None
    assert len(set(world.header("idempotency-key"))) == 1


def test_an_item_of_unknown_outcome_stays_so_until_it_is_settled() -> None:
    first = ok([{"key": "a", "status": "error", "error": "UNKNOWN"}])
    second = ok([{"key": "a", "status": "error", "error": "CLUSTER_UNAVAILABLE"}])
    world = World(first, second, retry=Retry(attempts_max=2))
    error = world.run(_calls.bulk_write("bulk", b"{}", ["a"]))["a"]
    assert isinstance(error, concord.UnknownOutcome)


def test_what_was_known_of_a_bulk_write_is_told_when_the_connection_is_lost_afterwards() -> None:
    first = ok([{"key": "a", "status": "ok"}, {"key": "b", "status": "error", "error": "CLUSTER_UNAVAILABLE"}])
    world = World(first, REFUSED, retry=Retry(attempts_max=2))
    outcomes = world.run(_calls.bulk_write("bulk", b"{}", ["a", "b"]))
    assert outcomes["a"] is None
    assert isinstance(outcomes["b"], concord.Unavailable)


@pytest.mark.parametrize("lost", [LOST, SILENT, UNKNOWN, Response(502, {}, b"<html>")])
@pytest.mark.parametrize("is_first", [True, False])
def test_what_a_lost_attempt_at_a_bulk_write_may_have_applied_is_unknown(lost: Heard, *, is_first: bool) -> None:
    told = {"a": "ok", "b": "CLUSTER_UNAVAILABLE", "c": "not_found"}
    items = [{"key": key, "status": "ok" if how == "ok" else "error", "error": how} for key, how in told.items()]
    script = [lost, ok(items)] if is_first else [ok(items), lost]
    world = World(*script, retry=Retry(attempts_max=2))
    outcomes = world.run(_calls.bulk_write("bulk/touch", b"{}", list(told)))
    assert outcomes["a"] is None
    assert isinstance(outcomes["b"], concord.UnknownOutcome)
    assert outcomes["b"].applied == "unknown"
    assert isinstance(outcomes["c"], concord.NotFound)
