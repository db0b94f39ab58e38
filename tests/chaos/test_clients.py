"""What clients write down of an answer: what was done, what may have been, nothing that was refused for certain."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests.chaos.clients import NO_HEADERS, Door, Recorder, name_of, value_of
from tests.e2e.cluster import Reply
from tests.linearizability import Kind, Operation, check

KEY = "k"
COUNTER_KEY = "round/n1"


class ScriptedDoor(Door):
    """Gives the answers that it is told."""

    def __init__(self, *answers: Reply | None, refused: bool = False) -> None:
        super().__init__([], None, lambda _text: None)
        self._answers = list(answers)
        self.sent: list[dict[str, Any]] = []
        self.refused = refused

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        conditional: bool = False,
    ) -> Reply | None:
        del method, path, conditional
        self.sent.append({**(body or {}), **headers})
        self.called_ns += 10
        self.returned_ns = self.called_ns + 5
        return self._answers.pop(0)


def answer(status: int, body: Any, **headers: str) -> Reply:
    return Reply(status, headers, msgspec.json.encode(body))


def found(name: str, revision: int) -> Reply:
    return answer(200, {"data": {"value": value_of(name)}}, etag=f'"{revision}"')


def written(revision: int) -> Reply:
    return answer(200, {"data": {"revision": revision}})


def counted(value: int, revision: int) -> Reply:
    return answer(200, {"data": {"value": value, "revision": revision}})


def failed(status: int, applied: Any) -> Reply:
    return answer(status, {"error": {"applied": applied}})


def recorder(*answers: Reply | None, refused: bool = False) -> tuple[Recorder, list[str]]:
    complaints: list[str] = []
    return Recorder(1, ScriptedDoor(*answers, refused=refused), complaints.append), complaints


def outcomes(history: list[Operation]) -> list[tuple[str, bool]]:
    return [(operation.key, operation.returned_ns is not None) for operation in history]


def test_a_write_that_was_refused_for_certain_is_left_out() -> None:
    client, _ = recorder(failed(503, applied=False))
    client.put(KEY)
    assert client.history == []


def test_a_request_that_reached_nobody_is_left_out_and_one_without_an_answer_stays_open() -> None:
    client, _ = recorder(None, refused=True)
    client.put(KEY)
    assert client.history == []
    client, _ = recorder(None)
    client.put(KEY)
    assert outcomes(client.history) == [(KEY, False)]


def test_a_write_with_an_unknown_outcome_stays_open() -> None:
    client, _ = recorder(failed(504, "unknown"), failed(504, "unknown"), failed(504, "unknown"))
    client.put(KEY)
    client.delete(KEY)
    client.touch(KEY, 5)
    assert outcomes(client.history) == [(KEY, False)] * 3


def test_each_item_of_a_bulk_write_has_an_outcome_of_its_own() -> None:
    items = [
        {"key": "a", "status": "ok"},
        {"key": "b", "status": "error", "error": "CLUSTER_UNAVAILABLE"},
        {"key": "c", "status": "error", "error": "UNKNOWN"},
    ]
    client, _ = recorder(answer(200, {"data": items}))
    client.bulk_put(["a", "b", "c"])
    assert outcomes(client.history) == [("a", True), ("c", False)]


def test_reads_say_what_was_found_and_failed_ones_nothing() -> None:
    value = value_of(f"{KEY}=1.1")
    there = answer(200, {"data": {"value": value}}, etag='"7"')
    client, complaints = recorder(there, answer(404, {}), failed(504, applied=False))
    for _ in range(3):
        client.get(KEY)
    assert [(one.kind, one.result, one.revision) for one in client.history] == [
        (Kind.GET, f"{KEY}=1.1", 7),
        (Kind.GET, None, None),
    ]
    assert complaints == []


def test_a_value_that_nobody_wrote_is_noticed() -> None:
    client, complaints = recorder(answer(200, {"data": {"value": value_of(f"{KEY}=1.1") + "~"}}, etag='"7"'))
    client.get(KEY)
    assert complaints
    assert name_of(value_of("x=1.2")) == "x=1.2"


@pytest.mark.parametrize("named", [["b", "a"], ["a"], ["a", "b", "c"], ["a", "x"]])
def test_a_bulk_answer_that_names_other_keys_than_were_sent_is_noticed(named: list[str]) -> None:
    items = [{"key": key, "status": "ok"} for key in named]
    client, complaints = recorder(answer(200, {"data": items}), answer(200, {"data": items}))
    client.bulk_put(["a", "b"])
    client.bulk_delete(["a", "b"])
    assert [text.partition(":")[0] for text in complaints] == [
        "a bulk answer does not name the keys that were sent"
    ] * 2
    assert outcomes(client.history) == [("a", False), ("b", False)] * 2


def test_a_bulk_get_for_other_keys_is_noticed() -> None:
    client, complaints = recorder(answer(200, {"data": {"a": {"status": "error", "error": "not_found"}}}))
    assert client.bulk_get(["a", "b"]) == {}
    assert complaints
    assert client.history == []


def test_a_conditional_put_names_what_was_found_and_says_whether_it_matched() -> None:
    client, _ = recorder(
        found(f"{KEY}=9.1", 7), written(8), found(f"{KEY}=9.1", 7), answer(412, {}), answer(404, {}), None
    )
    for by_value in (False, True, False):
        client.put_if_unchanged(KEY, by_value=by_value)
    assert isinstance(door := client._door, ScriptedDoor)
    assert door.sent[1] == {"value": value_of(f"{KEY}=1.1"), "If-Match": '"7"'}
    assert door.sent[3] == {"value": value_of(f"{KEY}=1.2"), "if_value": value_of(f"{KEY}=9.1")}
    assert door.sent[5] == {"value": value_of(f"{KEY}=1.3"), "If-None-Match": "*"}
    swaps = [one for one in client.history if one.kind is Kind.CAS]
    assert [(one.argument, one.result, one.revision, one.returned_ns is None) for one in swaps] == [
        ((f"{KEY}=9.1", f"{KEY}=1.1"), True, 8, False),
        ((f"{KEY}=9.1", f"{KEY}=1.2"), False, None, False),
        ((None, f"{KEY}=1.3"), None, None, True),
    ]


def test_two_that_replaced_the_same_value_are_found() -> None:
    first, _ = recorder(written(6), found(f"{KEY}=1.1", 6), written(7))
    first.put(KEY)
    first.put_if_unchanged(KEY, by_value=False)
    second = Recorder(2, ScriptedDoor(found(f"{KEY}=1.1", 6), written(8)), first._complain)
    second.put_if_unchanged(KEY, by_value=True)
    assert check(first.history).ok
    assert not check([*first.history, *second.history]).ok


def test_a_conditional_put_that_is_lost_or_refused_without_a_reason_is_found() -> None:
    lost, _ = recorder(written(6), found(f"{KEY}=1.1", 6), written(7), found(f"{KEY}=1.1", 6))
    refused, _ = recorder(written(6), found(f"{KEY}=1.1", 6), answer(412, {}), found(f"{KEY}=1.1", 6))
    for client in (lost, refused):
        client.put(KEY)
        client.put_if_unchanged(KEY, by_value=True)
        client.get(KEY)
        assert not check(client.history).ok


@pytest.mark.parametrize(
    ("answers", "fine"),
    [
        ((counted(2, 5), counted(4, 6), counted(6, 7)), True),
        ((counted(2, 5), None, counted(6, 7)), True),
        ((counted(2, 5), None, counted(4, 7)), True),
        ((counted(2, 5), counted(2, 6), counted(4, 7)), False),
        ((counted(2, 5), counted(6, 6), counted(8, 7)), False),
        ((counted(2, 5), failed(503, applied=False), counted(6, 7)), False),
    ],
)
def test_a_lost_or_doubled_increment_is_found(answers: tuple[Reply | None, ...], *, fine: bool) -> None:
    last = answers[-1]
    assert last is not None
    client, complaints = recorder(*answers, answer(200, {"data": {"value": last.data["value"]}}, etag='"7"'))
    for _ in answers:
        client.increment(COUNTER_KEY, 2)
    client.get(COUNTER_KEY)
    assert check(client.history).ok is fine
    assert complaints == []
