"""What the library as shipped does: scenarios of `tests/audit/stock/`, each in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0


def run_shipped(scenario: str, folder: Path, *, under: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run `theme.name` over an empty folder, perhaps under a command that watches it."""
    command = [*under, sys.executable, "-m", "tests.audit.stock.run", scenario, str(folder)]
    environment = os.environ | {"PYTHONHASHSEED": "0"}  # the library iterates over sets of nodes
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def shipped(scenario: str, folder: Path, *, under: Sequence[str] = ()) -> dict[str, Any]:
    """What came of a scenario that ends well."""
    done = run_shipped(scenario, folder, under=under)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found
