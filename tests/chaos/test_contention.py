"""A few seconds of each contest, with a strike in the middle of it: see contention.py, which is run for longer by `make proof`."""

import subprocess
import sys
from pathlib import Path

import msgspec

from tests.proof.steps import Figures

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 240.0
RETRIED = ("increments", "puts if absent", "transactions", "sections", "taken", "answers lost")


def test_many_clients_that_want_the_same_get_it_in_turn_while_a_leader_dies(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    words = [sys.executable, "-m", "tests.chaos.contention", "--minutes", "0.16", "--limit", "100"]
    words += ["--json", str(written)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = msgspec.json.decode(written.read_bytes(), type=Figures)
    assert all(float(str(figures[name])) > 0 for name in ("grants", "guarded writes", "windows used up", *RETRIED)), (
        figures
    )
