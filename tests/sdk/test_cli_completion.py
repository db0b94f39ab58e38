"""The completion scripts: bash's is run, the others are checked by their shells where those are installed."""

import shutil
import subprocess

import pytest

from concord.cli import SERVER_COMMANDS, main
from concord.cli.commands import MODULES, parser_for
from concord.cli.completion import Flag, Place, bash, fish, places, zsh

CASES = {
    ("",): {*MODULES, *SERVER_COMMANDS, "--help", "-h", "--version"},
    ("st",): {"status"},
    ("get", "--st"): {"--stale"},
    ("token", "re"): {"revoke"},
    ("token", "create", "--sc"): {"--scope"},
    ("lock", "run", "nightly", "--w"): {"--wait"},
    ("put", "k", "v", "--type", ""): {"auto", "json", "text", "raw"},
    ("up", "--durability", "f"): {"fsync"},
    ("get", "--url", ""): set(),
    ("completion", "z"): {"zsh"},
}


def test_bash_completes_what_the_parser_knows(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")
    (folder / "a file").touch()
    (folder / "folder").mkdir()
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    cases = [*CASES, ("import", f"{folder}/"), ("up", "--data-dir", f"{folder}/"), ("export", "-o", f"{folder}/a")]
    for case in cases:
        words = " ".join(f"'{word}'" for word in ("concord", *case))
        script += (
            f"COMP_WORDS=({words}); COMP_CWORD={len(case)}; _concord; printf '%s\\n' \"${{COMPREPLY[@]}}\"; echo ==\n"
        )
    done = subprocess.run(["bash", "-u"], input=script, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    answers = [set(part.split("\n")) - {""} for part in done.stdout.split("==\n")[:-1]]
    expected = [*CASES.values(), {f"{folder}/a file", f"{folder}/folder"}, {f"{folder}/folder"}, {f"{folder}/a file"}]
    for case, answer, right in zip(cases, answers, expected, strict=True):
        assert answer >= right, case
        assert case[-1] == "" or answer == right, case


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    found = list(places(parser_for([], "0", SERVER_COMMANDS)))
    for place in found:
        assert all(name in script for name in place.commands)
        assert all(flag.names[-1].lstrip("-") in script for flag in place.flags)
    if shutil.which(shell) is None:
        pytest.skip(f"the text is right; {shell} is not installed to read it")
    done = subprocess.run([shell, "-n", "/dev/stdin"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_fish_completes_what_the_parser_knows(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    assert main(["completion", "fish"]) == 0
    script = capsys.readouterr().out
    for line, right in (("concord tok", "token"), ("concord token rev", "revoke"), ("concord get --st", "--stale")):
        done = subprocess.run(
            ["fish", "--no-config"],
            input=f"{script}\ncomplete -C '{line}'\n",
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split("\t")[0].strip() == right, done.stdout + done.stderr


ZSH_STUBS = """\
compdef() { : }
_describe() { local name=$argv[-1]; print -rl -- ${(P)name%%:*} }
_files() { print FILES $1 }
_message() { : }
compadd() { shift; print -rl -- $argv }
"""
"""What the completion system of zsh would do, as far as it is asked."""


def test_zsh_completes_what_the_parser_knows(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    assert main(["completion", "zsh"]) == 0
    script = ZSH_STUBS + capsys.readouterr().out
    cases: dict[tuple[str, ...], set[str]] = {
        ("",): CASES[("",)],
        ("token", ""): {"create", "list", "revoke", "rotate", "bootstrap", "-h", "--help"},
        ("put", "k", "v", "--type", ""): {"auto", "json", "text", "raw"},
        ("up", "--data-dir", ""): {"FILES -/"},
        ("get", "--url", ""): set(),
    }
    for case in cases:
        quoted = " ".join(f"'{word}'" for word in ("concord", *case))
        script += f"words=({quoted}); CURRENT={len(case) + 1}; _concord; print @@\n"
    done = subprocess.run(["zsh", "-f"], input=script, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    answers = [set(part.split("\n")) - {""} for part in done.stdout.split("@@\n")[:-1]]
    assert answers == list(cases.values())


def test_no_text_breaks_out_of_a_script() -> None:
    place = Place((), {"a": 'it\'s "$(touch here)" `too`'}, [Flag(["--b"], "'; rm", ("x'y",))], takes_files=False)
    inner = Place(("a",), {}, [], takes_files=True)
    done = subprocess.run(["bash", "-n"], input=bash([place, inner]), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for script in (zsh([place, inner]), fish([place, inner])):
        assert "it'\\''s" in script
