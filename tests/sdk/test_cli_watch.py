"""`concord watch` over streams that are a script."""

import json

import pytest

from concord.cli import exits, main
from tests.sdk.memory import Memory


@pytest.fixture(autouse=True)
def alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concord.cli.watch.first_alive", lambda urls, _timeout_s: urls[0])


def event(kind: str, data: object = None, place: str = "") -> bytes:
    return (f"id: {place}\n" if place else "").encode() + f"event: {kind}\ndata: {json.dumps(data or {})}\n\n".encode()


STATE = [event("state", {"key": "a", "value": 1, "revision": 3}), event("synced", place="p3")]
CHANGES = [
    event("put", {"key": "a", "value": {"n": 2}, "revision": 4}, "p4"),
    event("put", {"key": "b\n", "value": "AA==", "encoding": "base64", "revision": 5}, "p5"),
    event("delete", {"key": "a", "revision": 6}, "p6"),
]


def test_changes_are_printed_a_line_each_and_it_goes_on_over_a_lost_gateway(
    memory: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.streams = [[*STATE, CHANGES[0]], [CHANGES[1]], [CHANGES[2]]]
    assert main(["watch", "", "--limit", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == ['put\ta\t{"n": 2}', 'put\t"b\\n"\t(1 bytes)', "delete\ta"]
    assert [request.headers.get("last-event-id") for request in memory.asked] == [None, "p4", "p5"]


def test_the_state_is_printed_when_asked_for_and_when_changes_were_missed(
    memory: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.streams = [STATE]
    assert main(["watch", "--state", "--limit", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == ["state\ta\t1", "synced"]
    again = event("state", {"key": "b", "value": 5, "revision": 9})
    memory.streams = [[*STATE, event("resync")], [again, event("synced", place="p9")]]
    assert main(["watch", "--limit", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == ["state\tb\t5", "delete\ta"]


def test_json_lines_have_what_it_takes_to_go_on(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    memory.streams = [[*STATE, *CHANGES]]
    assert main(["watch", "--json", "--limit", "3"]) == 0
    first, second, third = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == {"event": "put", "key": "a", "value": {"n": 2}, "revision": 4, "id": "p4"}
    assert (second["value"], second["encoding"]) == ("AA==", "base64")
    assert third == {"event": "delete", "key": "a", "revision": 6, "id": "p6"}
    memory.streams = [[CHANGES[2]]]
    assert main(["watch", "--after", "p5", "--limit", "1"]) == 0
    assert memory.asked[-1].headers["last-event-id"] == "p5"


def test_ctrl_c_ends_it_without_a_word(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(memory, "stream", interrupted)
    assert main(["watch"]) == exits.INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_nobody_at_the_url_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.undo()
    assert main(["watch", "--url", "http://127.0.0.1:1"]) == exits.UNREACHABLE
    assert "nobody answers" in capsys.readouterr().err
