"""`concord export` and `concord import`: what comes out goes in again, and an interruption costs nothing."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from concord._transports import Request
from concord.cli import exits, importing, jsonlines, main
from concord.cli.console import Bar, bar
from concord.cli.positions import Position, load, position_path, save
from tests.sdk.fake import REFUSED, UNAVAILABLE, refused
from tests.sdk.memory import Memory

Output = pytest.CaptureFixture[str]


def filled(memory: Memory) -> dict[str, Any]:
    memory.put("text", '"caf\u00e9 \u2028"'.encode())
    memory.put("json", b'{"a":[1.50,123456789012345678901234567890]}')
    memory.put("null", b"null", ttl=77)
    memory.put("a\nb", b"1")
    memory.put("raw", bytes(range(256)), "image/png", 5)
    memory.put("empty", b"", "text/plain")
    return contents(memory)


def contents(memory: Memory) -> dict[str, Any]:
    return {key: (kept.value, kept.content_type, kept.ttl) for key, kept in memory.kept.items()}


def test_what_is_exported_is_imported_as_it_was(memory: Memory, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "all.jsonl"
    before = filled(memory)
    memory.page = 2
    assert main(["export", "--output", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"keys": 6, "bytes": file.stat().st_size}
    assert not position_path(file).exists()
    assert [json.loads(line)["key"] for line in file.read_bytes().splitlines()] == sorted(before)
    for _ in range(2):  # again does no harm
        memory.kept.clear()
        assert main(["import", str(file), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"keys": 6, "failed": 0}
        after = contents(memory)
        assert json.loads(after.pop("json")[0]) == json.loads(before["json"][0])  # spaces and zeros are the double's
        assert json.loads(after.pop("text")[0]) == "caf\u00e9 \u2028"
        assert after == {key: kept for key, kept in before.items() if key not in {"json", "text"}}
        assert not position_path(file).exists()


def test_an_export_that_was_interrupted_goes_on(memory: Memory, tmp_path: Path, capsys: Output) -> None:
    for number in range(9):
        memory.put(f"k{number}", b"%d" % number)
    memory.put("other", b"1")
    memory.page = 3
    file, whole = tmp_path / "k.jsonl", tmp_path / "whole.jsonl"
    assert main(["export", "k", "-o", str(whole)]) == 0
    place = Position("k", "k2", len(b"".join(whole.read_bytes().splitlines(keepends=True)[:3])), 3)
    file.write_bytes(whole.read_bytes()[: place.bytes] + b'{"key":"k3","val')  # a line that was cut off
    save(file, place)
    assert main(["export", "k", "-o", str(file)]) == exits.USAGE
    assert "--resume" in capsys.readouterr().err
    assert main(["export", "o", "-o", str(file), "--resume"]) == exits.USAGE
    memory.answers = [REFUSED] * 20
    assert main(["export", "k", "-o", str(file), "--resume", "--timeout", "0.01"]) == exits.UNREACHABLE
    assert "go on with --resume" in capsys.readouterr().err
    assert load(file) == place
    memory.answers = []
    assert main(["export", "k", "-o", str(file), "--resume"]) == 0
    assert file.read_bytes() == whole.read_bytes()
    assert main(["export", "k", "-o", str(file), "--resume"]) == exits.USAGE
    assert main(["export", "-o", str(file), "--force"]) == 0
    assert len(file.read_bytes().splitlines()) == 10


def test_an_export_to_stdout_is_the_same(
    memory: Memory, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    filled(memory)
    assert main(["export", "-o", str(tmp_path / "f")]) == 0
    assert main(["export"]) == 0
    assert capfdbinary.readouterr().out == (tmp_path / "f").read_bytes()


def test_an_import_that_was_interrupted_goes_on_where_it_was(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(importing, "BATCH_KEYS", 2)
    file = tmp_path / "k.jsonl"
    file.write_text("".join(f'{{"key":"k{number}","value":{number}}}\n' for number in range(5)) + "\n")
    send, sent = memory.send, []

    def twice(*arguments: Any) -> Any:
        sent.append(arguments)
        return UNAVAILABLE if len(sent) > 2 else send(*arguments)

    monkeypatch.setattr(memory, "send", twice)
    assert main(["import", str(file), "--timeout", "0.01"]) == exits.UNAVAILABLE
    assert "go on with --resume" in capsys.readouterr().err
    assert set(memory.kept) == {"k0", "k1", "k2", "k3"}
    monkeypatch.setattr(memory, "send", send)
    memory.kept.clear()
    assert main(["import", str(file), "--resume", "--json"]) == 0
    assert set(memory.kept) == {"k4"}
    assert json.loads(capsys.readouterr().out)["failed"] == 0
    save(file, Position("another file", "", 10, 1))
    assert main(["import", str(file), "--resume"]) == exits.USAGE


@pytest.mark.parametrize("words", [["export", "-o", "file"], ["import", "file"]])
def test_ctrl_c_says_how_to_go_on(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, words: list[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    if words[0] == "import":
        Path("file").write_text('{"key":"a","value":1}\n')
    memory.put("b", b"1")
    send = memory.send
    monkeypatch.setattr(memory, "send", interrupted)
    assert main(words) == exits.INTERRUPTED
    assert "go on with --resume" in capsys.readouterr().err
    monkeypatch.setattr(memory, "send", send)
    assert main([*words, "--resume"]) == 0
    assert not position_path(Path("file")).exists()


def test_a_file_whose_directory_takes_no_position_is_imported_all_the_same(
    memory: Memory, tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "file").write_text('{"key":"a","value":1}\n')
    position_path(tmp_path / "file").mkdir()
    assert main(["import", str(tmp_path / "file")]) == 0
    assert set(memory.kept) == {"a"}
    assert "means to import it again" in capsys.readouterr().err


def test_what_cannot_be_written_is_told_and_the_rest_is_written(memory: Memory, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "k.jsonl"
    file.write_text('{"key":"a","value":"too large"}\n{"key":"b","value":2}\n')
    assert main(["import", str(file)]) == exits.FAILED
    assert set(memory.kept) == {"b"}
    assert capsys.readouterr().err.splitlines() == ["concord: a: a: VALUE_TOO_LARGE", "1 keys imported, 1 failed"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"key":"a"}',
        b'{"key":"","value":1}',
        b'{"key":1,"value":1}',
        b'{"key":"a","value":1,"ttl":0}',
        b'{"key":"a","value":1,"ttl":"x"}',
        b'{"key":"a","value":1,"encoding":"base64"}',
        b'{"key":"a","value":"?","encoding":"base64"}',
        b'{"key":"a","value":"AA==","encoding":"hex"}',
        b'{"key":"a","value":"x","content_type":"image/png"}',
        b'{"key":"\xff","value":1}',
    ],
)
def test_a_line_that_is_none_is_named_and_the_rest_is_written(
    memory: Memory, tmp_path: Path, capsys: Output, line: bytes
) -> None:
    file = tmp_path / "k.jsonl"
    file.write_bytes(b'{"key":"first","value":1}\n' + (line or b"x") + b'\n{"key":"last","value":1}\n')
    assert main(["import", str(file), "--dry-run"]) == exits.USAGE
    assert memory.asked == []
    assert main(["import", str(file), "--json"]) == exits.USAGE
    assert set(memory.kept) == {"first", "last"}
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"keys": 2, "failed": 1}
    first, summary, second = shown.err.splitlines()
    assert first.startswith("concord: line 2: ")
    assert summary == "2 keys can be read, 1 failed"
    error = json.loads(second)["error"]
    assert error["message"].startswith("line 2: ")
    assert (error["code"], error["applied"]) == ("USAGE", False)
    assert not position_path(file).exists()


def test_of_many_lines_that_are_none_some_are_named_and_all_are_counted(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(importing, "BATCH_KEYS", 7)
    monkeypatch.setattr(jsonlines, "LIMIT_FAILED_JOINS", 5)
    file = tmp_path / "k.jsonl"
    file.write_bytes(b"".join(b'{"key":"a%d","value":{\n\n{"key":"b%d","value":1}\n' % (n, n) for n in range(30)))
    assert main(["import", str(file)]) == exits.USAGE
    assert set(memory.kept) == {f"b{n}" for n in range(30)}
    said = capsys.readouterr().err.splitlines()
    assert [one.split(": ")[1] for one in said[:-1]] == [f"line {1 + 3 * n}" for n in range(10)]
    assert said[-1] == "30 keys imported, 30 failed"


def test_an_import_goes_on_behind_a_line_that_is_none(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr(importing, "BATCH_KEYS", 2)
    file = tmp_path / "k.jsonl"
    file.write_text('{"key":"a","value":1}\nbad\n\n{"key":"b","value":1}\nworse\n')
    send = memory.send

    def once(*arguments: Any) -> Any:
        return UNAVAILABLE if memory.kept else send(*arguments)

    monkeypatch.setattr(memory, "send", once)
    assert main(["import", str(file), "--timeout", "0.01"]) == exits.UNAVAILABLE
    monkeypatch.setattr(memory, "send", send)
    capsys.readouterr()
    assert main(["import", str(file), "--resume"]) == exits.USAGE
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("concord: line 5: ")
    assert said[1:] == ["2 keys imported, 2 failed"]
    assert set(memory.kept) == {"a", "b"}


def test_a_key_that_spoils_its_request_does_not_keep_others_out(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    send = memory.send

    def strict(url: str, request: Request, timeout_s: float) -> Any:
        return refused(400, "INVALID_REQUEST") if b"deep" in request.body else send(url, request, timeout_s)

    monkeypatch.setattr(memory, "send", strict)
    file = tmp_path / "k.jsonl"
    values = ("deep" if number in {3, 17} else "flat" for number in range(20))
    file.write_text("".join(f'{{"key":"k{n}","value":"{value}"}}\n' for n, value in enumerate(values)))
    assert main(["import", str(file)]) == exits.FAILED
    assert len(memory.kept) == 18
    said = capsys.readouterr().err.splitlines()
    assert said == ["concord: k3: so it is", "concord: k17: so it is", "18 keys imported, 2 failed"]


PRETTY = {
    "object": b'{\n  "a": 1.50,\r\n\t"b\\n{": [\n  "x\\"]", {}\n  ]\n}',
    "list": b'[\n{"key":"inner","value":1},\n{"key":"inner","value":2}\n]',
    "empty": b"[\n]",
    "string": b'\n"a\\nb"\n',
    "number": b"\n\n-1.5e3\n",
    "true": b"\r\ntrue\r\n",
    "null": b"\nnull\n",
}


def test_values_with_line_breaks_are_exported_as_lines(memory: Memory, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "all.jsonl"
    for key, value in PRETTY.items():
        memory.put(key, value)
    assert main(["export", "--output", str(file)]) == 0
    lines = file.read_bytes().splitlines()
    assert {row["key"]: row["value"] for row in map(json.loads, lines)} == {k: json.loads(v) for k, v in PRETTY.items()}
    assert main(["ls", "--values", "--json"]) == 0
    assert capsys.readouterr().out.encode().splitlines() == lines
    for key, line in zip(sorted(PRETTY), lines, strict=True):
        assert main(["get", key, "--json"]) == 0
        assert capsys.readouterr().out.encode() == line + b"\n"
    memory.kept.clear()
    assert main(["import", str(file)]) == 0
    assert {key: json.loads(kept.value) for key, kept in memory.kept.items()} == {
        key: json.loads(value) for key, value in PRETTY.items()
    }


def test_files_that_older_versions_wrote_are_imported(memory: Memory, tmp_path: Path, capsys: Output) -> None:
    """They have values with line breaks as they were stored."""
    file = tmp_path / "old.jsonl"
    rows = [b'{"key":"%s","value":%s,"revision":7}\n' % (key.encode(), value) for key, value in PRETTY.items()]
    file.write_bytes(b"".join([*rows, b'{"key":"bad",\n"value":1,\n"ttl":0}\n', b"x\n"]))
    assert main(["import", str(file)]) == exits.USAGE
    assert {key: json.loads(kept.value) for key, kept in memory.kept.items()} == {
        key: json.loads(value) for key, value in PRETTY.items()
    }
    bad = b"".join(rows).count(b"\n") + 1
    said = capsys.readouterr().err.splitlines()
    assert [one.split(": ")[1] for one in said[:-1]] == [f"line {bad}", f"line {bad + 3}"]
    assert said[-1] == f"{len(PRETTY)} keys imported, 2 failed"


def test_an_object_without_an_end_is_read_within_a_bound(tmp_path: Path) -> None:
    file = tmp_path / "k.jsonl"
    file.write_bytes(b"{\n" + b"1,\n" * 2_000_000)
    with file.open("rb") as opened:
        piece = next(jsonlines.Reader(opened, importing._put, 0).pieces())
        assert (piece.number, piece.lines, piece.value) == (1, 1, None)
        assert opened.tell() <= jsonlines.LIMIT_JOINED_BYTES + 8


def test_a_line_without_an_end_is_not_read_into_memory(memory: Memory, tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "zeros"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert main(["import", str(file)]) == exits.USAGE
    assert "line 1: over 16777216 bytes" in capsys.readouterr().err
    assert memory.asked == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2


def test_progress_is_a_bar_for_a_terminal_and_nothing_for_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda _fd: type("Size", (), {"columns": 80}))
    for stream in (Terminal(), io.StringIO()):
        shown = Bar(stream, "keys", iter([0.0, 2.0, 2.05]).__next__)
        shown.show(1000, 0.5)
        shown.show(1001, 0.6)  # too soon after the other
        assert (
            "[###############               ]  50%  1,000 keys, 500 a second" in stream.getvalue()
        ) is stream.isatty()
        assert "1,001" not in stream.getvalue()
        shown.clear()
    assert bar(None) == ""
    assert bar(2.0).startswith(f"[{'#' * 30}] 100%")
