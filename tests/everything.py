"""`make test`: all tests, those that compute beside those that wait for processes, which takes two thirds of the time.

The tests of real processes have the terminal and the processor, the attack on the internal ports first; all others run behind them, with
a priority so low that they get what is left; what these have to say is shown at the end. The attack asserts that nothing disturbs its
clusters, so nothing of its own priority may run beside it: one thing at a time is in front.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

PROCESSES = ["tests/attack", "tests/chaos", "tests/e2e", "tests/storage", "tests/faultdisk", "tests/test_readme.py"]
NICENESS = 15
FAILED_EXIT = 1


def main() -> int:
    """Run them; 0 when all have passed."""
    rest = ["tests", *(f"--ignore={path}" for path in PROCESSES)]
    with tempfile.TemporaryDirectory(prefix="concord-tests-") as folder:
        output = Path(folder) / "output"
        with output.open("wb") as file:
            words = ["nice", "-n", str(NICENESS), *_pytest(rest)]
            behind = subprocess.Popen(words, stdout=file, stderr=file, env={**os.environ, "TESTS_PORTS_FROM": "12250"})
        try:
            before = subprocess.run(_pytest(PROCESSES), check=False).returncode
            after = behind.wait()
        finally:
            behind.terminate()
            behind.wait()
        sys.stdout.write(output.read_text(errors="replace"))
    return FAILED_EXIT if any((before, after)) else 0


def _pytest(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *words]


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main())
