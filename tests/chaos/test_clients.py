"""What clients write down of an answer: what was done, what may have been, nothing that was refused for certain."""

from typing import Any

import msgspec

from tests.chaos.clients import Door, Recorder, name_of, value_of
from tests.e2e.cluster import Reply
from tests.linearizability import Kind, Operation

KEY = "k"


class ScriptedDoor(Door):
    """Gives the answers that it is told."""

    def __init__(self, *answers: Reply | None, refused: bool = False) -> None:
        super().__init__([], None, lambda _text: None)
        self._answers = list(answers)
        self.refused = refused

    def send(self, method: str, path: str, body: Any = None) -> Reply | None:
        del method, path, body
        self.called_ns += 10
        self.returned_ns = self.called_ns + 5
        return self._answers.pop(0)


def answer(status: int, body: Any, **headers: str) -> Reply:
    return Reply(status, headers, msgspec.json.encode(body))


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
    found = answer(200, {"data": {"value": value}}, etag='"7"')
    client, complaints = recorder(found, answer(404, {}), failed(504, applied=False))
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
