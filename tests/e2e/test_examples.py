"""The programs in examples/ do what they say: each is run against real processes, and prints what examples/README.md shows."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT
from tests.e2e.guarded import Guarded
from tests.test_readme import matches, steps

EXAMPLES = ROOT / "examples"
SHARED = {"api.sh", "concord_http.py"}
TIMEOUT_S = 120.0


def expected() -> dict[str, str]:
    """Name of an example → what it prints."""
    shown = steps((EXAMPLES / "README.md").read_text())
    return {Path(step.command.removeprefix("python ")).stem: step.expected for step in shown}


def test_each_example_is_there_in_both_languages_and_its_output_is_shown() -> None:
    programs = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"}} - SHARED
    assert programs == {f"{name}{suffix}" for name in expected() for suffix in (".py", ".sh")}


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples in shell need curl")
def test_each_example_prints_what_the_readme_shows(guarded: Guarded) -> None:
    """All at once: they wait for times to live most of the time, and share no keys."""
    environ = os.environ | {"CONCORD_URL": guarded.cluster.url, "CONCORD_TOKEN": guarded.root}

    def run(program: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            program, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    programs = {
        (name, language): [interpreter, f"examples/{name}.{language}"]
        for name in expected()
        for language, interpreter in (("py", sys.executable), ("sh", "sh"))
    }
    with ThreadPoolExecutor(len(programs)) as pool:
        done = dict(zip(programs, pool.map(run, programs.values()), strict=True))
    for (name, language), ended in done.items():
        said = f"{name}.{language}\n{ended.stdout}{ended.stderr}"
        assert ended.returncode == 0, said
        assert matches(expected()[name], ended.stdout), said
        assert not ended.stderr, said
