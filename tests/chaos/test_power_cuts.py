"""A power cut of the machine takes nothing that was acknowledged; without syncs it does, so the cut is a real one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.image import why_not

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300.0

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"the power cannot be cut: {why_not()}")


def run(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.chaos.power_cuts", *flags],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    done = run(tmp_path, "--rounds", "3", "--nodes", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 violations" in done.stdout


def test_without_syncs_a_power_cut_is_noticed(tmp_path: Path) -> None:
    done = run(tmp_path, "--rounds", "3", "--nodes", "1", "--durability", "os")
    assert done.returncode == 1, done.stdout + done.stderr
