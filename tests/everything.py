"""`make test`: all tests, in three rows at once, so that those that compute use what those that wait leave.

The tests of real processes have the terminal and the processor, the attack on the internal ports first. The others run behind them in two
rows, with a priority so low that they get what is left; what these have to say is shown at the end. The attack asserts that nothing
disturbs its clusters, so nothing of its own priority may run beside it: one thing at a time is in front.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

IN_FRONT = ["tests/attack", "tests/chaos", "tests/e2e", "tests/storage", "tests/faultdisk", "tests/test_readme.py"]
PATIENT = ["tests/storage/test_damage.py", "tests/e2e/test_description.py"]  # of those, what does not mind to wait
COMPUTING = [f"tests/{room}" for room in ("simulation", "shard", "raft", "placement", "linearizability", "mutation")]
OTHERS = ["tests", *(f"--ignore={path}" for path in (*IN_FRONT, *COMPUTING))]
PORTS_FROM = ("12375", "12250")  # a cluster takes fewer than 125 from there on, and so do those in front from 12000
NICENESS = 15
FAILED_EXIT = 1


def main() -> int:
    """Run them; 0 when all have passed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="concord-tests-")))
        outputs = [folder / str(number) for number in range(2)]
        rows = [
            stack.enter_context(_behind(words, ports, stack.enter_context(output.open("wb"))))
            for words, ports, output in zip(([*COMPUTING, *PATIENT], OTHERS), PORTS_FROM, outputs, strict=True)
        ]
        front = [*IN_FRONT, *(f"--ignore={path}" for path in PATIENT)]
        codes = [subprocess.run(_pytest(front), check=False).returncode, *(row.wait() for row in rows)]
        for output in outputs:
            sys.stdout.write(output.read_text(errors="replace"))
    return FAILED_EXIT if any(codes) else 0


@contextmanager
def _behind(words: Sequence[str], ports: str, output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A row of its own, with ports that no other uses."""
    command = ["nice", "-n", str(NICENESS), *_pytest(words)]
    with subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "TESTS_PORTS_FROM": ports}) as row:
        try:
            yield row
        finally:
            row.terminate()


def _pytest(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *words]


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main())
