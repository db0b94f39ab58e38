"""Run one scenario of the library as shipped, in this process: `python -m tests.audit.stock.run THEME.NAME FOLDER`.

Prints what came of it as JSON. A process of its own, because `raft` disarms the library in whatever process imports it.
"""

import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec


def main() -> None:
    theme, _, name = sys.argv[1].partition(".")
    logging.disable(logging.CRITICAL)
    scenario: Callable[[Path], object] = getattr(importlib.import_module(f"tests.audit.stock.{theme}"), name)
    sys.stdout.write(msgspec.json.encode(scenario(Path(sys.argv[2]))).decode())


if __name__ == "__main__":
    main()
