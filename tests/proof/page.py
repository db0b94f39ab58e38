"""Renders the records as the page that a sceptic reads first."""

from collections.abc import Sequence

from tests.proof.records import Record, totals
from tests.proof.steps import STEPS, Step

HEAD = """# Proof

What was tried to make Concord lose data, read stale data or stand still, how often, on which commit, and what came of it.
Written by `make proof` from the records in [proof.jsonl](proof.jsonl); each run there has the command that repeats it.
`make proof ARGS='--share 0.05'` does a twentieth of everything, `--only NAME` one step. Records add up over runs and commits;
the last column of the first table says how much was run on the newest commit that has records.
"""


def page(records: Sequence[Record]) -> str:
    """The page in Markdown."""
    newest = records[-1].commit if records else ""
    sections = [_section(step, [record for record in records if record.step == step.name]) for step in STEPS]
    return "\n".join([HEAD, _overview(records, newest), *sections])


def _overview(records: Sequence[Record], newest: str) -> str:
    rows = [f"| step | runs | failed | in all | on `{newest}` |", "|---|---|---|---|---|"]
    for step in STEPS:
        mine = [record for record in records if record.step == step.name]
        failed = sum(not record.ok for record in mine)
        now = [record for record in mine if record.commit == newest]
        rows.append(f"| {step.title} | {len(mine)} | {failed} | {_amount(step, mine)} | {_amount(step, now)} |")
    return "\n".join(rows) + "\n"


def _amount(step: Step, records: Sequence[Record]) -> str:
    if step.unit == "once":
        return f"{len(records)} times"
    done = sum(_number(record.figures.get(step.unit)) for record in records)
    return f"{done:,.0f} of {step.amount:,} {step.unit}"


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0.0


def _section(step: Step, records: Sequence[Record]) -> str:
    lines = [f"## {step.title}", "", f"Claim: {step.claim}.", ""]
    if not records:
        return "\n".join([*lines, "Not run yet.", ""])
    lines += ["| figure | all runs |", "|---|---|"]
    lines += [f"| {name} | {_format(value)} |" for name, value in totals(records).items()]
    lines += ["", "| commit | date | held | again by |", "|---|---|---|---|"]
    lines += [
        f"| `{record.commit}` | {record.date[:16]} | {_held(record)} | `{record.command}` |" for record in records
    ]
    return "\n".join([*lines, ""])


def _held(record: Record) -> str:
    """Whether the claim held, and what was found when it did not."""
    return "yes" if record.ok else f"**no**{': ' if record.remark else ''}{record.remark}"


def _format(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
