"""How fast the check is: `python -m tests.linearizability.measure`. Every line is one history of one seed."""

import argparse
import random
import time

from tests.linearizability.check import check
from tests.linearizability.generate import COUNTED, LIVELY, MIXED, MS, Shape, draw_history
from tests.linearizability.operation import Operation

# Name, keys, and what happens on each.
CASES = (
    ("many keys, 8 clients on each", 1000, Shape(1000, 8, MIXED, unknown=0.003)),
    ("the same, with times to live", 1000, Shape(1000, 8, LIVELY, unknown=0.003, ttl=0.3, pause_ns=100 * MS)),
    ("the same, with revisions", 1000, Shape(1000, 8, MIXED, unknown=0.003, revisions=True)),
    ("one hot key, 30 clients", 1, Shape(20_000, 30, MIXED, unknown=0.001)),
    ("one hot counter, 30 clients", 1, Shape(5_000, 30, COUNTED)),
)


def drawn(keys: int, shape: Shape, seed: int) -> list[Operation]:
    """Histories of many keys, one after the other; a register that is right made them."""
    rng = random.Random(seed)
    return [one for key in range(keys) for one in draw_history(rng, shape, f"key-{key}")]


def main() -> None:
    """Measure, and print one line a case."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--keys", type=int, default=1000, help="in the cases with many (%(default)s)")
    arguments = flags.parse_args()
    for name, keys, shape in CASES:
        history = drawn(min(keys, arguments.keys), shape, arguments.seed)
        began, worked = time.monotonic(), time.process_time()
        verdict = check(history)
        took, work = time.monotonic() - began, time.process_time() - worked
        print(
            f"{name}: {verdict.operations} operations, {verdict.keys} keys: {took:.1f} s, {work:.1f} s of CPU,"
            f" {1e6 * work / verdict.operations:.1f} µs each, {verdict.steps} steps; ok: {verdict.ok}",
            flush=True,
        )


if __name__ == "__main__":
    main()
