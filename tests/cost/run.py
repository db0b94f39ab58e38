"""`make bench-guard`: count the instructions of the main paths and fail when one costs over 10 % more than its baseline.

Instructions, because they are the same on a slow machine and on a busy one; what they cannot tell is in docs/bench-guard.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.cost import valgrind
from tests.cost.baseline import LIMIT_RISE, Comparison, build, compare, load, save
from tests.cost.paths import WAYS

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600.0
FAILED, NOT_COUNTED = 1, 2


class CountError(Exception):
    """Nothing was counted; the message is one line for a person."""


def count(names: Sequence[str]) -> dict[str, int]:
    """Instructions for each operation of these paths.

    Raises:
        CountError: the program failed, or did not count all of them.
    """
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "CONCORD_"))}
    environ |= {
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "sdk")]),
    }
    with tempfile.TemporaryDirectory(prefix="concord-cost-") as folder:
        output = Path(folder) / "counts"
        words = [*valgrind.command(output), sys.executable, "-m", "tests.cost.counted", *names]
        try:
            done = subprocess.run(
                words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise CountError(f"the paths were not counted within {TIMEOUT_S:.0f} s") from error
        found = valgrind.counted(output)
    if done.returncode or (uncounted := set(names) - set(found)):
        raise CountError(
            f"{'the program failed' if done.returncode else f'no count of {uncounted}'}: {done.stderr.strip()[-2000:]}"
        )
    return {name: round(found[name] / (WAYS[name].operations * WAYS[name].turns)) for name in names}


def table(comparisons: Sequence[Comparison]) -> str:
    """For a person."""
    lines = [f"{'path':14} {'baseline':>10} {'now':>10}"]
    for each in comparisons:
        before = f"{each.before:,}" if each.before is not None else "new"
        word = "  REGRESSION" if each.is_regression else "  cheaper: update the baseline" if each.is_stale else ""
        lines.append(f"{each.name:14} {before:>10} {each.now:>10,} {each.rise:+8.1%}{word}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """0 when no path costs too much, or none can be compared here; 1 when one does; 2 when counting failed."""
    parser = argparse.ArgumentParser(prog="make bench-guard", description=__doc__)
    parser.add_argument("--update", action="store_true", help="make what is counted now the baseline of this Python")
    parser.add_argument("--only", nargs="+", choices=list(WAYS), metavar="PATH", help=f"some of {', '.join(WAYS)}")
    options = parser.parse_args(arguments)
    names, python = options.only or list(WAYS), build()
    baseline = load().get(python, {})
    if why := valgrind.missing() or ("" if baseline or options.update else _unknown(python)):
        print(f"bench-guard: skipped: {why}")
        return 0
    try:
        comparisons = compare(count(names), baseline)
    except CountError as error:
        sys.stderr.write(f"bench-guard: {error}\n")
        return NOT_COUNTED
    print(f"instructions for each operation, {python}\n{table(comparisons)}")
    if options.update:
        save(python, {each.name: each.now for each in comparisons})
        return 0
    if any(each.is_regression for each in comparisons):
        sys.stderr.write(
            f"bench-guard: a path costs over {LIMIT_RISE:.0%} more than its baseline. Find out why; if it is worth it, "
            "make bench-guard ARGS=--update and say so in the commit.\n"
        )
        return FAILED
    return 0


def _unknown(python: str) -> str:
    return f"there is no baseline for {python}; make bench-guard ARGS=--update would write one"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
