"""The operations on keys, as commands: what they send, what they print, how they fail."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from concord.cli import exits, main
from concord.cli.commands import MODULES, parser_for
from concord.cli.values import shown_on_a_line
from tests.sdk.fake import LOST, REFUSED, UNAVAILABLE, refused
from tests.sdk.memory import Memory

ROOT = Path(__file__).parents[2]
Output = pytest.CaptureFixture[str]


def stdin_of(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content))


def code_of(words: list[str]) -> object:
    try:
        return main(words)
    except SystemExit as leaving:
        return leaving.code


@pytest.mark.parametrize(
    ("word", "flags", "kept"),
    [
        ("10", [], b"10"),
        ("-5", [], b"-5"),
        ("true", [], b"true"),
        ('{"a":  1.50}', [], b'{"a":  1.50}'),
        ("ten", [], b'"ten"'),
        ("", [], b'""'),
        ("007", [], b'"007"'),
        ("NaN", [], b'"NaN"'),
        ('"10"', [], b'"10"'),
        ("10", ["--type", "text"], b'"10"'),
        ("10", ["--type", "json"], b"10"),
    ],
)
def test_a_value_that_is_json_is_that_json_and_any_other_a_string(
    memory: Memory, word: str, flags: list[str], kept: bytes
) -> None:
    assert main(["put", "k", word, *flags]) == 0
    assert memory.kept["k"].value == kept
    assert memory.kept["k"].content_type == ""


def test_values_come_from_stdin_and_files(memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "value"
    for content, flags, kept in (
        (b"some text\n", [], b'"some text"'),
        (b"[1]\n", [], b"[1]"),
        (b"10\n", ["--type", "text"], b'"10"'),
        (b"\x00\xff\n", ["--raw"], b"\x00\xff\n"),
    ):
        file.write_bytes(content)
        monkeypatch.setattr("sys.stdin", stdin_of(content))
        assert main(["put", "a", "-", *flags]) == 0
        assert main(["put", "b", f"@{file}", *flags]) == 0
        assert memory.kept["a"].value == memory.kept["b"].value == kept
    assert main(["put", "c", f"@{file}", "--content-type", "image/png"]) == 0
    assert memory.kept["a"].content_type == "application/octet-stream"
    assert memory.kept["c"].content_type == "image/png"


def test_get_prints_the_value_and_json_all_that_is_known(
    memory: Memory, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    memory.put("text", b'"caf\\u00e9"', ttl=9)
    memory.put("json", b'{"a":  1}')
    memory.put("raw", b"\x00\xff", "image/png")
    for key, shown in (("text", "café\n".encode()), ("json", b'{"a":  1}\n'), ("raw", b"\x00\xff")):
        assert main(["get", key]) == 0
        assert capfdbinary.readouterr().out == shown
    assert main(["get", "raw", "--json"]) == 0
    row = {"key": "raw", "value": "AP8=", "encoding": "base64", "content_type": "image/png", "revision": 3}
    assert json.loads(capfdbinary.readouterr().out) == row
    assert main(["get", "text", "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == {"key": "text", "value": "café", "ttl": 9, "revision": 1}


def test_conditions_times_to_live_and_numbers(memory: Memory, capsys: Output) -> None:
    assert main(["put", "k", "1", "--if-absent", "--ttl", "60"]) == 0
    revision = capsys.readouterr().out.strip()
    assert main(["ttl", "k"]) == 0
    assert main(["put", "k", "2", "--if-absent"]) == exits.CONFLICT
    assert main(["put", "k", "2", "--if-revision", revision]) == 0
    assert main(["put", "k", "3", "--if-revision", revision]) == exits.CONFLICT
    assert main(["ttl", "k"]) == 0
    assert main(["touch", "k", "5"]) == 0
    assert main(["ttl", "k", "--json"]) == 0
    assert capsys.readouterr().out.split() == ["60", "2", "never", "3", '{"ttl":5}']
    assert main(["incr", "n", "--initial", "5"]) == 0
    assert main(["incr", "n", "-3", "--json"]) == 0
    assert capsys.readouterr().out.split() == ["6", '{"value":3}']
    memory.put("text", b'"x"')
    assert main(["incr", "text"]) == exits.CONFLICT


def test_a_value_is_a_condition(memory: Memory, tmp_path: Path) -> None:
    memory.put("k", b'{"a": 1}')
    assert main(["put", "k", "x", "--if-value", '{"a": 2}']) == exits.CONFLICT
    assert main(["put", "none", "x", "--if-value", "null"]) == exits.CONFLICT
    (tmp_path / "old").write_text('{\n"a": 1\n}\n')
    assert main(["put", "k", "x", "--if-value", f"@{tmp_path / 'old'}"]) == 0
    assert main(["put", "k", "10", "--if-value", "x", "--type", "text"]) == 0
    assert main(["put", "k", "11", "--if-value", "10"]) == exits.CONFLICT  # it is a string
    assert main(["put", "k", "11", "--if-value", "10", "--type", "text"]) == 0
    assert main(["delete", "k", "--if-value", "x"]) == exits.CONFLICT
    assert main(["delete", "k", "--if-value", '"11"']) == 0
    assert memory.kept == {}


def test_commands_have_the_names_of_elsewhere(memory: Memory, capsys: Output) -> None:
    assert main(["set", "k", "1"]) == 0
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split()[1:] == ["k"]
    assert main(["rm", "k"]) == main(["del", "k"]) == 0
    assert memory.kept == {}
    capsys.readouterr()
    for words, shown in (
        (["version"], "concord "),
        (["help"], "usage: concord "),
        (["help", "set"], "usage: concord put "),
        (["help", "token"], "usage: concord token "),
    ):
        assert code_of(words) == 0
        assert capsys.readouterr().out.startswith(shown)
    assert code_of(["sett"]) == exits.USAGE
    assert "did you mean set?" in capsys.readouterr().err


@pytest.mark.usefixtures("memory")
def test_a_key_that_is_not_there_is_named(capsys: Output) -> None:
    for words in (["get", "none"], ["ttl", "none"], ["touch", "none", "5"]):
        assert main(words) == exits.NOT_FOUND
        assert capsys.readouterr().err == "concord: there is no key none\n"


def test_what_is_no_file_is_said_so(memory: Memory, tmp_path: Path, capsys: Output) -> None:
    for word, fault in (("@", "the name of a file is missing"), (f"@{tmp_path}", f"{tmp_path}: Is a directory")):
        assert main(["put", "a", word]) == exits.USAGE
        assert capsys.readouterr().err.startswith(f"concord: {fault}")
    assert memory.asked == []


def test_delete_says_what_was_there_and_takes_a_prefix(memory: Memory, capsys: Output) -> None:
    for key in ("a", "user/1", "user/2"):
        memory.put(key, b"1")
    assert main(["delete", "a", "none"]) == 0
    assert capsys.readouterr().out == "a deleted\nnone was not there\n"
    assert main(["delete", "--prefix", "user/", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": 2, "failed": 0}
    assert memory.kept == {}


def test_ls_pages_and_no_key_can_forge_a_line(memory: Memory, capsys: Output) -> None:
    memory.page = 2
    for number in range(5):
        memory.put(f"k{number}", b'{"n":\n %d}' % number)
    memory.put("k\nforged", b"\x00", "application/octet-stream")
    assert main(["ls", "k"]) == 0
    assert capsys.readouterr().out.splitlines() == ['"k\\nforged"', *(f"k{number}" for number in range(5))]
    assert main(["ls", "k", "--values", "--limit", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == ['"k\\nforged"\t(1 bytes)', 'k0\t{"n": 0}', 'k1\t{"n": 1}']
    assert main(["ls", "--json", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out) == "k\nforged"
    assert main(["ls", "none"]) == 0
    assert capsys.readouterr().out == ""


def test_a_terminal_obeys_no_value(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    memory.put("k", b'"\\u001b[2Jred"')
    monkeypatch.setattr("sys.stdout", terminal)
    assert main(["get", "k"]) == 0
    assert terminal.getvalue() == "\\x1b[2Jred\n"


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (REFUSED, exits.UNREACHABLE, "nobody answers at"),
        (refused(401, "UNAUTHORIZED"), exits.DENIED, "CONCORD_TOKEN"),
        (refused(403, "FORBIDDEN"), exits.DENIED, "scopes"),
        (refused(400, "INVALID_REQUEST"), exits.USAGE, "so it is"),
        (refused(413, "VALUE_TOO_LARGE"), exits.USAGE, "limits"),
        (refused(412, "PRECONDITION_FAILED"), exits.CONFLICT, "nothing was written"),
        (refused(422, "CROSS_GROUP"), exits.CONFLICT, ""),
        (refused(404, "NOT_FOUND"), exits.NOT_FOUND, ""),
        (UNAVAILABLE, exits.UNAVAILABLE, "nothing was applied"),
        (LOST, exits.UNKNOWN, "read before you write again"),
        (refused(500, "INTERNAL"), exits.FAILED, ""),
    ],
)
def test_every_failure_is_one_line_with_a_hint_and_a_code_of_its_own(
    memory: Memory, capsys: Output, answer: object, code: int, said: str
) -> None:
    memory.answers = [answer] * 20  # type: ignore[list-item] # those above
    assert main(["put", "k", "1", "--timeout", "0.01"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("concord: ")
    assert shown.err.count("\n") == 1
    assert said in shown.err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (REFUSED, ("CONNECTION_FAILED", False, True)),
        (refused(401, "UNAUTHORIZED"), ("UNAUTHORIZED", False, False)),
        (refused(412, "PRECONDITION_FAILED"), ("PRECONDITION_FAILED", False, False)),
        (UNAVAILABLE, ("CLUSTER_UNAVAILABLE", False, True)),
        (LOST, ("UNKNOWN", "unknown", True)),
    ],
)
def test_with_json_every_failure_is_a_line_of_json(
    memory: Memory, capsys: Output, answer: object, said: tuple[object, ...]
) -> None:
    memory.answers = [answer] * 20  # type: ignore[list-item] # those above
    assert main(["put", "k", "1", "--timeout", "0.01", "--json"]) != 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    error = json.loads(shown.err)["error"]
    assert (error["code"], error["applied"], error["retryable"]) == said
    assert error["message"]


@pytest.mark.usefixtures("memory")
def test_with_json_wrong_use_and_keys_that_are_not_there_are_lines_of_json(capsys: Output) -> None:
    for words, code in ((["get", "a", "--stall"], "USAGE"), (["gett"], "USAGE"), (["get", "none"], "NOT_FOUND")):
        assert code_of([*words, "--json"]) != 0
        assert json.loads(capsys.readouterr().err)["error"]["code"] == code


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["gett"],
        ["get"],
        ["get", "a", "b"],
        ["get", "a", "--url", "nowhere"],
        ["get", "a", "--url", ""],
        ["get", "a", "--token", "a\r\nb"],
        ["get", "a", "--timeout", "0"],
        ["get", "a", "--timeout", "nan"],
        ["get", ""],
        ["get", "\udcff"],
        ["put", "a"],
        ["put", "a", "x", "--type", "json"],
        ["put", "a", "x", "--type", "yaml"],
        ["put", "a", "@/does/not/exist"],
        ["put", "a", "x", "--ttl", "0"],
        ["put", "a", "x", "--if-revision", "-1"],
        ["put", "a", "x", "--type", "text", "--content-type", "image/png"],
        ["put", "a", "x", "--raw", "--if-fence", "3"],
        ["put", "a", "x", "--raw", "--if-value", "3"],
        ["put", "a", "-", "--if-value", "-"],
        ["delete", "a", "b", "--if-value", "3"],
        ["delete"],
        ["delete", "--prefix", ""],
        ["delete", "a", "--prefix", "b"],
        ["delete", "a", "b", "--if-revision", "3"],
        ["incr", "a", "1.5"],
        ["touch", "a", "soon"],
        ["ls", "--limit", "0"],
        ["watch", "--limit", "0"],
        ["export", "--resume"],
        ["export", "-o", "/does/not/exist"],
        ["import", "/does/not/exist"],
        ["import", "-", "--resume"],
        ["lock", "run", "a"],
        ["lock", "run", "--", "true"],
        ["lock", "run", "a", "--wait", "-1", "--", "true"],
        ["bench", "--seconds", "1e9"],
        ["doctor", "--local"],
        ["completion", "tcsh"],
    ],
)
def test_wrong_use_is_one_line_and_nobody_is_asked(memory: Memory, capsys: Output, words: list[str]) -> None:
    assert code_of(words) == exits.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("concord: ")
    assert shown.err.count("\n") == 1
    assert memory.asked == []


def test_a_value_over_the_limit_is_refused_without_being_read_to_its_end(memory: Memory, tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert main(["put", "k", f"@{file}", "--raw"]) == exits.USAGE
    assert memory.asked == []


def test_every_command_is_in_the_help_and_only_its_own_module_is_loaded() -> None:
    check = "import sys; from concord.cli import main; main(['get', '--help']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", check],
        env={"PYTHONPATH": str(ROOT / "sdk")},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "concord.cli.keys" in loaded
    others = {f"concord.cli.{module}" for module in set(MODULES.values()) - {"keys"}}
    assert not loaded & (others | {"asyncio", "urllib3", "http.client"})
    text = parser_for([], "0", ("node",)).format_help()
    assert all(f"\n    {command}" in text for command in MODULES)
    assert all(f"\n  {code:<4} {meaning}\n" in f"{text}\n" for code, meaning in exits.MEANINGS.items())


def test_a_reader_that_goes_away_and_a_full_disk_are_no_tracebacks(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "sdk"), "CONCORD_URL": ""}
    words = [sys.executable, "-P", "-m", "concord.cli", "completion", "bash"]
    reader, writer = os.pipe()
    os.close(reader)
    for stdout, said in (
        (writer, b""),
        (os.open("/dev/full", os.O_WRONLY), b"concord: stdout: No space left on device\n"),
    ):
        done = subprocess.run(words, env=environ, stdout=stdout, stderr=subprocess.PIPE, cwd=tmp_path, check=False)
        os.close(stdout)
        assert (done.returncode, done.stderr) == (exits.FAILED, said)


def test_a_value_within_a_line_has_no_line_breaks() -> None:
    assert shown_on_a_line(msgspec.Raw(b'{"a":\n [1,\n2]}')) == '{"a": [1, 2]}'
    assert shown_on_a_line(None) == ""
