"""The page of the proof says what the records say, and no step runs what an earlier run has tried already."""

from pathlib import Path

from tests.proof.page import page
from tests.proof.records import Record, append, last_seed, load, totals
from tests.proof.steps import STEPS, Figures

STEP = STEPS[0]


def record(commit: str, *, ok: bool = True, **figures: float) -> Record:
    every: Figures = {**figures, "faults": {"crash": 3.0}}
    return Record(STEP.name, commit, "2026-01-02T03:04:05+00:00", "python -m it", 1.0, ok, every)


def test_records_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    assert load(path) == []
    records = [record("aaa", seeds=5), record("bbb", seeds=7)]
    for one in records:
        append(path, one)
    assert load(path) == records


def test_counts_add_up_and_the_worst_time_stays() -> None:
    found = totals([record("aaa", seeds=5, max_s=2.5), record("bbb", seeds=7, max_s=1.5)])
    assert found == {"seeds": 12, "max_s": 2.5, "crash": 6}


def test_a_run_that_failed_is_not_hidden() -> None:
    text = page([record("aaa", ok=False, seeds=5), record("bbb", seeds=7)])
    assert f"| {STEP.title} | 2 | 1 | 12 of {STEP.amount:,} seeds | 7 of {STEP.amount:,} seeds |" in text
    assert "| `aaa` | 2026-01-02T03:04 | **no** | `python -m it` |" in text


def test_what_was_not_run_is_said() -> None:
    assert page([]).count("Not run yet.") == len(STEPS)


def test_every_step_names_its_program_and_its_amount() -> None:
    root = Path(__file__).parents[2]
    for step in STEPS:
        module, *flags = step.command(7, 11)
        assert (root / module.replace(".", "/")).parent.is_dir()
        assert step.unit == "once" or {"7", "11"} <= set(flags)


def test_the_next_run_begins_after_the_greatest_seed_that_was_tried_not_after_as_many_as_were() -> None:
    def tried(first: int, seeds: float) -> Record:
        return Record(
            "sim-3", "c", "2026-01-01", f"python -m x --first {first}", 1.0, ok=True, figures={"seeds": seeds}
        )

    assert last_seed([]) == 0
    assert last_seed([Record("sim-3", "c", "d", "python -m x", 1.0, ok=True, figures={"seeds": 2000})]) == 2000
    assert last_seed([tried(4001, 1000.0), tried(1, 2000.0)]) == 5000
    assert last_seed([tried(1, 0.0)]) == 0
