"""The rules of sessions on the web, one request at a time: what is asked of the cluster, and what becomes of the cookie."""

from typing import Any

import pytest

import concord
from concord._calls import Call
from concord._sessions import is_id, key_of, new_id
from concord._web_sessions import Act, Cookie, Opened, Rules, begin, finish
from tests.sdk.fake import World, ok, refused

ROLLING, FIXED = Rules("s/", 100, rolling=True), Rules("s/", 100, rolling=False)
NOW = 1_000_000.0
ID = new_id()
GONE = refused(404, "NOT_FOUND")


def follow(plan: Any, *answers: Any) -> tuple[Any, list[Call[Any]]]:
    """The result of a plan and its calls, each answered by the next answer."""
    calls: list[Call[Any]] = []
    remaining = list(answers)
    try:
        step = next(plan)
        while True:
            calls.append(step)
            try:
                result = World(remaining.pop(0)).run(step)
            except concord.ConcordError as error:
                step = plan.throw(error)
            else:
                step = plan.send(result)
    except StopIteration as stop:
        assert not remaining
        return stop.value, calls


def opened(ttl: int = 100, until: float | None = None) -> Opened:
    return Opened(ID, b'{"user":"ada"}', ttl, until)


def asked(calls: list[Call[Any]]) -> list[str]:
    return [call.request.method for call in calls]


def test_an_id_has_256_bits_and_its_key_does_not_tell_it() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(map(is_id, ids))
    assert ID not in key_of("s/", ID)
    assert key_of("s/", ID) != key_of("s/", new_id())


@pytest.mark.parametrize(
    "cookie", [None, "", "x", "../" * 14 + "a", ID + "A", ID[:-1] + "\n", ID[:-1] + "é", "A" * 4000]
)
def test_what_is_no_id_is_not_asked_for(cookie: str | None) -> None:
    assert follow(begin(ROLLING, cookie, NOW)) == (None, [])


def test_an_id_that_the_store_does_not_know_is_not_taken_over() -> None:
    found, calls = follow(begin(ROLLING, ID, NOW), GONE)
    assert (found, asked(calls)) == (None, ["GET"])
    cookie, calls = follow(finish(ROLLING, None, b'{"user":"ada"}', rotate=False, now=NOW), ok({"revision": 1}))
    assert cookie.act is Act.SET
    assert is_id(cookie.id)
    assert cookie.id != ID


def test_a_session_is_found_as_it_was_kept() -> None:
    record = {"data": {"user": "ada"}, "until": None}
    found, _ = follow(begin(ROLLING, ID, NOW), ok({"value": record, "ttl": 70, "revision": 3}))
    assert found == opened(ttl=70)


def test_what_another_program_wrote_is_no_session() -> None:
    found, _ = follow(begin(ROLLING, ID, NOW), ok({"value": 3, "ttl": 70, "revision": 3}))
    assert found is None


def test_a_session_whose_time_is_up_is_none_although_it_is_still_there() -> None:
    record = {"data": {}, "until": NOW}
    found, _ = follow(begin(FIXED, ID, NOW), ok({"value": record, "ttl": 1, "revision": 3}))
    assert found is None


def test_a_request_that_changes_nothing_writes_nothing() -> None:
    assert follow(finish(ROLLING, None, b"", rotate=False, now=NOW)) == (Cookie(Act.KEEP), [])
    assert follow(finish(ROLLING, opened(), opened().data, rotate=False, now=NOW)) == (Cookie(Act.KEEP), [])
    assert follow(finish(ROLLING, opened(91), opened().data, rotate=False, now=NOW)) == (Cookie(Act.KEEP), [])


def test_an_idle_time_begins_anew_when_a_tenth_is_over_unless_it_is_fixed() -> None:
    cookie, calls = follow(finish(ROLLING, opened(90), opened().data, rotate=False, now=NOW), ok({}))
    assert cookie == Cookie(Act.SET, ID, 100)
    assert calls[0].request.target.endswith("/touch")
    cookie, calls = follow(finish(FIXED, opened(5, NOW + 5), opened().data, rotate=False, now=NOW))
    assert (cookie, calls) == (Cookie(Act.KEEP), [])


def test_a_fixed_time_is_not_moved_by_a_change() -> None:
    cookie, calls = follow(finish(FIXED, opened(50, NOW + 40.5), b"{}", rotate=False, now=NOW), ok({"revision": 4}))
    assert cookie == Cookie(Act.KEEP)
    assert b'"ttl":41' in calls[0].request.body
    assert b'"until":1000040.5' in calls[0].request.body


@pytest.mark.parametrize("data", [b'{"user":"bob"}', opened().data])
def test_a_session_that_was_ended_meanwhile_is_not_brought_back(data: bytes) -> None:
    answer = refused(412, "PRECONDITION_FAILED") if data != opened().data else GONE
    cookie, calls = follow(finish(ROLLING, opened(50), data, rotate=False, now=NOW), answer)
    assert cookie == Cookie(Act.CLEAR)
    assert data == opened().data or b'"if_absent":false' in calls[0].request.body


def test_with_a_login_the_old_id_is_gone_before_the_new_one_is_there() -> None:
    plan = finish(ROLLING, opened(), opened().data, rotate=True, now=NOW)
    cookie, calls = follow(plan, ok({"deleted": True, "revision": 4}), ok({"revision": 5}))
    assert asked(calls) == ["DELETE", "PUT"]
    assert calls[0].request.target.endswith(key_of("", ID))
    assert cookie.act is Act.SET
    assert cookie.id != ID
    with pytest.raises(concord.Forbidden):
        follow(finish(ROLLING, opened(), opened().data, rotate=True, now=NOW), refused(403, "FORBIDDEN"))


def test_a_session_with_nothing_in_it_is_over() -> None:
    cookie, calls = follow(finish(ROLLING, opened(), b"", rotate=True, now=NOW), ok({"deleted": True}))
    assert (cookie, asked(calls)) == (Cookie(Act.CLEAR), ["DELETE"])
