"""A short chaos finds nothing, leaves nothing behind, and says so when it is told a lie or may not run."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.chaos.fleet import PREFIX
from tests.chaos.namespaces import FOLDER
from tests.chaos.run import why_not
from tests.proof.steps import Figures

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300.0
KINDS = ["kill", "stop", "isolate", "mute", "loss", "delay", "sync-fails", "power-cut", "gateway-kill", "clock-jump"]

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"there can be no chaos here: {why_not()}")


def run(folder: Path, *flags: str) -> tuple[int, int, str, Figures]:
    """Run the program: its pid, exit code, output and figures."""
    written = folder / "figures.json"
    size = ["--nodes", "3", "--groups", "4", "--rate", "80"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.run", *size, "--evidence", str(folder), "--json", str(written), *flags],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.terminate()
        process.wait()
    return process.pid, process.returncode, output, msgspec.json.decode(written.read_bytes(), type=Figures)


def test_a_short_chaos_finds_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    pid, code, output, figures = run(tmp_path, "--minutes", "0.4", "--round-s", "22", "--kinds", *KINDS)
    assert code == 0, output
    assert figures["violations"] == 0
    assert float(str(figures["operations"])) > 1000, output
    assert isinstance(figures["faults"], dict)
    assert sum(figures["faults"].values()) >= 2, output
    assert not [path.name for path in FOLDER.glob(f"{PREFIX}{pid}-*")]
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert str(tmp_path) not in _loop_devices()


def test_nodes_that_keep_nothing_are_found_out_when_everything_is_restarted(tmp_path: Path) -> None:
    forgetful = ["--durability", "memory", "--kinds", "restart-all"]
    _, code, output, figures = run(tmp_path, "--minutes", "0.2", "--round-s", "10", *forgetful)
    assert code == 1, output
    assert figures["violations"]
    assert list((tmp_path / "1").glob("*.html")), output


def _loop_devices() -> str:
    return subprocess.run(["losetup", "--all"], capture_output=True, text=True, check=True).stdout
