"""What every path has cost, for each Python that it was counted on, and whether it costs more now. Pure but for reading the file.

A count belongs to a build of Python: another version executes other instructions for the same program. So the file has a section for
each, and where there is none nothing is compared.
"""

import platform
from collections.abc import Mapping
from pathlib import Path

import msgspec

from loadtest.provenance import was_told_to_optimize

FILE = Path(__file__).with_name("baseline.json")
LIMIT_RISE = 0.10
JITTER = 1_000
"""Instructions by which a path may differ between two checkouts of the same code: a get of 3,100 was seen to take 700 more in one of them,
again and again. What Python caches by where a thing lies in memory would explain it, but that was not proven."""
Costs = Mapping[str, int]
"""Path → instructions for each operation."""


class Comparison(msgspec.Struct, frozen=True):
    """One path; `before` None when it is new."""

    name: str
    now: int
    before: int | None

    @property
    def rise(self) -> float:
        """Part of the baseline by which it costs more now; negative when it costs less."""
        return self.now / self.before - 1 if self.before else 0.0

    @property
    def is_regression(self) -> bool:
        """Whether it costs more than is let pass."""
        return self.before is not None and self.now > self.before + max(LIMIT_RISE * self.before, JITTER)

    @property
    def is_stale(self) -> bool:
        """Whether it got so much cheaper that the baseline would let the gain be lost again."""
        return self.rise < -LIMIT_RISE


def build() -> str:
    """Which Python this is, as the file names it."""
    words = [
        platform.python_implementation(),
        platform.python_version(),
        platform.python_compiler(),
        platform.machine(),
    ]
    return ", ".join([*words, "optimized" if was_told_to_optimize() else "not optimized"])


def compare(now: Costs, before: Costs) -> list[Comparison]:
    """Every path that was counted now, in that order."""
    return [Comparison(name, cost, before.get(name)) for name, cost in now.items()]


def load(file: Path = FILE) -> dict[str, dict[str, int]]:
    """Build of Python → what the paths cost there."""
    return msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, int]]) if file.exists() else {}


def save(build_name: str, costs: Costs, file: Path = FILE) -> None:
    """Make these the baseline of a build; paths that were not counted keep theirs."""
    every = load(file)
    every[build_name] = {**every.get(build_name, {}), **costs}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(every, order="sorted"), indent=2) + b"\n")
