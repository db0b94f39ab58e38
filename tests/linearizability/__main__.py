"""Check a saved history: `python -m tests.linearizability FILE.jsonl [--html DIR]`. Succeeds only when every key has an order."""

import argparse
import sys
import time
from pathlib import Path

import msgspec

from tests.linearizability import check, draw, load
from tests.linearizability.check import STEPS_MAX


def main() -> int:
    """Check, say what was found, and return the exit code."""
    flags = argparse.ArgumentParser(prog="python -m tests.linearizability", description=__doc__)
    flags.add_argument("file", type=Path, help="a history, an operation a line")
    flags.add_argument("--html", type=Path, metavar="DIR", help="draw every violation there")
    flags.add_argument("--steps", type=int, default=STEPS_MAX, help="for one key, before it is undecided (%(default)s)")
    arguments = flags.parse_args()
    began = time.monotonic()
    try:
        verdict = check(load(arguments.file), steps_max=arguments.steps)
    except (OSError, msgspec.MsgspecError) as error:
        flags.error(f"{arguments.file}: {error}")
    for number, violation in enumerate(verdict.violations, start=1):
        print(
            f"VIOLATION {violation.key}: client {violation.stuck.client}'s {violation.stuck.kind.value}: {violation.reason}"
        )
        if arguments.html:
            path = arguments.html / f"violation-{number}.html"
            draw(violation, path)
            print(f"  drawn in {path}")
    for key in verdict.undecided:
        print(f"UNDECIDED {key}: more than {arguments.steps} steps")
    print(
        f"{verdict.operations} operations on {verdict.keys} keys: {len(verdict.violations)} violations,"
        f" {len(verdict.undecided)} undecided, {verdict.steps} steps, {time.monotonic() - began:.1f} s"
    )
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
