"""Wrong use of the clients is refused by mypy and by Pyrefly, both strict; right use, which both accept, is in typing_good.py."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[2]
WRONG = """\
from concord import AsyncConcord, Concord
from concord.contrib.flask import ConcordSessions
from concord.contrib.litestar import ConcordStore
def wrong(client: Concord, other: AsyncConcord) -> None:
    client.get(1)
    client.get("k", consistency="eventual")
    number: int = client.get("k", type=int)
    client.put("k", 1, ttl="3")
    client.touch("k")
    text: str = client.get_many(["k"], type=int).values["k"]
    with other.lock("k"): pass
    text = other.get("k", type=str, default="")
    client.limiter("k", 1, 1, algorithm="leaky")
    ConcordStore(client)
    ConcordSessions(other)
"""
GOOD = (Path(__file__).parent / "typing_good.py").read_text()


def with_mypy(folder: Path) -> str:
    options = ["--strict", "--config-file=", f"--cache-dir={folder / 'cache'}", "--follow-imports=silent"]
    out, err, _ = api.run([*options, str(folder / "wrong.py"), str(folder / "good.py")])
    assert not err
    return out


def with_pyrefly(folder: Path) -> str:
    where = ["--python-interpreter-path", sys.executable, "--search-path", str(ROOT / "sdk")]
    options = ["--preset", "strict", "--output-format", "min-text", *where]
    command = [sys.executable, "-m", "pyrefly", "check", *options, "wrong.py", "good.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("checked", [with_mypy, with_pyrefly])
def test_right_use_is_accepted_and_each_wrong_use_is_refused(tmp_path: Path, checked: Callable[[Path], str]) -> None:
    for name, text in (("wrong.py", WRONG), ("good.py", GOOD)):
        (tmp_path / name).write_text(text)
    out = checked(tmp_path)
    assert "good.py" not in out
    refused = {int(number) for number in re.findall(r"wrong\.py:(\d+)", out)}
    assert refused == {number for number, line in enumerate(WRONG.splitlines(), 1) if line.startswith(" ")}, out


def test_the_clients_bring_their_types() -> None:
    assert (ROOT / "sdk" / "concord" / "py.typed").is_file()
