"""The console blocks of the README, docs/use-cases.md and docs/tutorial.md are true: run in order against a real cluster.

Every output is compared.

In an expected output `…` stands for anything within its line, a line of `…` alone for any lines, and runs of blanks count
as one. Ports are those of a free range instead of 4000 and above. `make up`, which does not return, is played by `concord up`
with the same defaults; `.venv/bin/concord` by this environment's. Python blocks that begin with a comment like `# name.py:`
are programs of that name, which `.venv/bin/python name.py` runs in this process.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.e2e.cluster import ROOT, LocalCluster, local_cluster

README = ROOT / "README.md"
USE_CASES = ROOT / "docs" / "use-cases.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
START = "make up"
CONCORD = ".venv/bin/concord"
PYTHON = ".venv/bin/python"
COMMAND_TIMEOUT_S = 30


class Step(msgspec.Struct, frozen=True):
    """One command of a console block and what should come out."""

    command: str
    expected: str


def steps(text: str) -> Iterator[Step]:
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            yield Step(command, expected)


def programs(text: str) -> dict[str, str]:
    """Names of files, and the programs that a page shows of them."""
    return {
        found[1]: found[0]
        for found in re.findall(r"^```python\n(# (\w+\.py): .*?)^```", text, re.DOTALL | re.MULTILINE)
    }


def moved(text: str, port: int) -> str:
    """The text with the README's ports replaced: 4000 by `port`, and so on upwards."""
    return re.sub(r"127\.0\.0\.1:4(\d{3})", lambda match: f"127.0.0.1:{port + int(match[1])}", text)


def squeezed(text: str) -> str:
    return "\n".join(re.sub(r"\s+", " ", line).strip() for line in text.strip().splitlines())


def matches(expected: str, actual: str) -> bool:
    lines = [
        r"(?:.*\n)*" if line == "…" else ".*?".join(map(re.escape, line.split("…"))) + r"\n"
        for line in squeezed(expected).splitlines()
    ]
    return re.fullmatch("".join(lines), squeezed(actual) + "\n") is not None


def run_program(path: Path, arguments: list[str]) -> str:
    """The stdout of a Python program."""
    said = io.StringIO()
    before = sys.argv
    sys.argv = [str(path), *arguments]
    try:
        with contextlib.redirect_stdout(said):
            runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before
    return said.getvalue()


def run(command: str, cluster: LocalCluster) -> str:
    """The stdout of a command line in the repository, with our concord and our cluster."""
    words = shlex.split(command)
    if words[0] == PYTHON:
        return run_program(cluster.data_dir.parent / words[1], words[2:])
    if words[0] == CONCORD:
        words = [sys.executable, "-P", "-m", "concord.cli", *words[1:]]
    environ = os.environ | {"CONCORD_URL": cluster.url, "PYTHONPATH": f"{ROOT / 'sdk'}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    return done.stdout or done.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's session needs curl")
def test_the_readme_the_use_cases_and_the_tutorial_are_true(tmp_path: Path) -> None:
    script = [step for page in (README, USE_CASES, TUTORIAL) for step in steps(page.read_text())]
    assert [step.command for step in script].count(START) == 1
    with local_cluster(tmp_path / "concord-data") as cluster:
        for name, text in programs(TUTORIAL.read_text()).items():
            (tmp_path / name).write_text(moved(text, cluster.port))
        for step in script:
            expected = moved(step.expected, cluster.port)
            if step.command == START:
                cluster.start()
                actual = cluster.output
            else:
                actual = run(moved(step.command, cluster.port), cluster)
            assert matches(expected, actual), f"$ {step.command}\n{actual}\ninstead of\n{expected}"


def test_commands_and_what_they_print_are_told_apart() -> None:
    text = "a\n```console\n$ one x\nout 1\nout 2\n$ two\n```\n```sh\n$ no\n```\n```console\n$ three\n```\n"
    assert list(steps(text)) == [Step("one x", "out 1\nout 2\n"), Step("two", ""), Step("three", "")]


def test_programs_are_known_by_their_first_line() -> None:
    text = "```python\n# one.py: it\nprint(1)\n```\n```python\nnone = 0\n```\n```python\n# two.py: it\n```\n"
    assert programs(text) == {"one.py": "# one.py: it\nprint(1)\n", "two.py": "# two.py: it\n"}


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("a\n", "a", True),
        ("a  b\n", "a b\n", True),
        ("a\n", "b\n", False),
        ('{"n":…}\n', '{"n":17}', True),
        ('{"n":…}\n', '{"n":17', False),
        ("a\n…\nz\n", "a\nb\n\nc\nz\n", True),
        ("a\n…\n", "a\n", True),
        ("a\n…\nz\n", "a\nb\n", False),
        ("…x\n", "a\nx\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_dots_stand_for_what_varies_and_nothing_else(expected: str, actual: str, same: object) -> None:
    assert matches(expected, actual) is same


def test_ports_move_together() -> None:
    assert moved("127.0.0.1:4000 127.0.0.1:4102 4000", 20000) == "127.0.0.1:20000 127.0.0.1:20102 4000"
