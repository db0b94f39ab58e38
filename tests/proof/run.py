"""Run the long proof, or a share of it, and write docs/PROOF.md: `make proof ARGS='--share 0.1 --only sim-3 power-1'`.

In full it takes about seven hours on two cores. Each step is a program of its own that ends by itself; a step that fails
does not keep the others from running. Records are kept in docs/proof.jsonl as soon as a step has ended.
"""

import argparse
import datetime as dt
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.proof.page import page
from tests.proof.records import Record, append, last_seed, load
from tests.proof.steps import STEPS, Figures, Step

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "docs" / "proof.jsonl"
PAGE = ROOT / "docs" / "PROOF.md"
CANNOT_RUN = 2  # the exit code of a program that lacks something, such as root


def run(step: Step, share: float, seed: int) -> Record | None:
    """Run a step; None when it cannot run here."""
    amount = step.amount if step.unit == "once" else max(1, round(step.amount * share))
    words = step.command(amount, seed)
    command = " ".join(["python -m", *words])
    _say(f"{step.title}: {command}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="concord-proof-") as folder:
        output = Path(folder) / "figures.json"
        done = subprocess.run([sys.executable, "-m", *words, "--json", str(output)], cwd=ROOT, check=False)
        if done.returncode == CANNOT_RUN:
            _say(f"{step.title}: cannot be run here")
            return None
        figures = msgspec.json.decode(output.read_bytes(), type=Figures) if output.exists() else {}
    if step.unit != "once":
        figures.setdefault(step.unit, amount)
    seconds = time.monotonic() - began
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return Record(step.name, _commit(), now, command, round(seconds, 1), done.returncode == 0, figures)


def _commit() -> str:
    """The short id of the code under test, with a + when anything but the evidence was changed since."""
    changed = _git("status", "--porcelain", "--", ".", *(f":!{path.relative_to(ROOT)}" for path in (RECORDS, PAGE)))
    return _git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [step.name for step in STEPS]
    parser.add_argument("--only", nargs="*", default=names, choices=names, metavar="STEP", help=", ".join(names))
    parser.add_argument("--share", type=float, default=1.0, help="part of the full amount of each step (%(default)s)")
    parser.add_argument("--page-only", action="store_true", help="run nothing, only write the page anew")
    arguments = parser.parse_args()
    ok = True
    for step in [step for step in STEPS if step.name in arguments.only and not arguments.page_only]:
        record = run(step, arguments.share, 1 + _used(step))
        if record is not None:
            ok = ok and record.ok
            append(RECORDS, record)
    PAGE.write_text(page(load(RECORDS)))
    return 0 if ok else 1


def _used(step: Step) -> int:
    """The greatest seed of earlier runs of the step, so that no run repeats another's."""
    mine = [record for record in load(RECORDS) if record.step == step.name]
    return last_seed(mine) if step.unit == "seeds" else len(mine)


if __name__ == "__main__":
    sys.exit(main())
