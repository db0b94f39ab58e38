"""What every run of a step found, kept as JSON lines, so that evidence gathers over many runs and commits."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.proof.steps import Figures


class Record(msgspec.Struct, frozen=True):
    """One run.

    Attributes:
        step: its name.
        commit: of the code under test; ends with + when files were changed.
        date: when it ended, ISO 8601.
        command: to run it again.
        seconds: how long it took.
        ok: whether its claim held.
        figures: what the program said.
        remark: what came of it when its claim did not hold.
    """

    step: str
    commit: str
    date: str
    command: str
    seconds: float
    ok: bool
    figures: Figures
    remark: str = ""


def load(path: Path) -> list[Record]:
    """All records, oldest first; none when there is no file."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Record) for line in lines]


def append(path: Path, record: Record) -> None:
    """Add a record."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")


def last_seed(records: Iterable[Record]) -> int:
    """The greatest seed that these runs of a simulation tried; 0 when there were none."""
    return max((_first_seed(record) + _seeds(record) - 1 for record in records), default=0)


def _first_seed(record: Record) -> int:
    words = record.command.split()
    return int(words[words.index("--first") + 1]) if "--first" in words else 1


def _seeds(record: Record) -> int:
    seeds = record.figures.get("seeds", 0)
    return int(seeds) if isinstance(seeds, int | float) else 0


def totals(records: Iterable[Record]) -> dict[str, float]:
    """Figures of several runs of one step: counts are added up; figures in seconds (`…_s`) are the worst of all."""
    found: dict[str, float] = {}
    for record in records:
        for name, value in _flat(record.figures):
            worst = name.endswith("_s") or name == "staleness"
            found[name] = max(found.get(name, value), value) if worst else found.get(name, 0) + value
    return found


def _flat(figures: Figures) -> Iterable[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from value.items()
        elif isinstance(value, int | float) and name != "seconds":
            yield name, value
