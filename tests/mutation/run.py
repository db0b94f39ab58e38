"""Plant every known mistake, one at a time, and see who notices: `python -m tests.mutation.run [--write FILE]`.

Each is looked for twice, by the unit tests of `raft/` and by the simulation, first with three members and then with
five, so that the table tells what would be left if one of the two were gone. Succeeds only when no mistake survives.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec

from tests.mutation.mistake import Mistake
from tests.mutation.mistakes import MISTAKES

ROOT = Path(__file__).parents[2]
UNITS = ("tests/raft",)
UNITS_TIMEOUT_S = 300.0
SIMULATION_TIMEOUT_S = 180.0
MAX_FAILURES = 4  # enough to show who notices
PYTEST_DID_NOT_RUN = {2, 4, 5}  # exit codes: interrupted while collecting, wrong usage, no tests
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_FOUND = re.compile(r"found after (\d+) seeds, by seed (\d+): (.*)")


class Finding(msgspec.Struct, frozen=True):
    """Who noticed one mistake.

    Attributes:
        mistake: its name.
        tests: the first unit tests that failed.
        simulation: what the first seed that failed said, "" when none did.
    """

    mistake: str
    tests: list[str]
    simulation: str

    @property
    def survived(self) -> bool:
        """Whether nobody noticed."""
        return not self.tests and not self.simulation


def look_for(mistake: Mistake, seeds: int) -> Finding:
    """Run the tests and the simulation with the mistake in place."""
    return Finding(mistake.name, _failing_tests(mistake), _failing_seed(mistake, seeds))


def _failing_tests(mistake: Mistake) -> list[str]:
    flags = ["-q", "--no-header", "-p", "tests.mutation.plugin", "-p", "no:cacheprovider", f"--maxfail={MAX_FAILURES}"]
    environment = {**os.environ, "CONCORD_MISTAKE": mistake.name}
    code, output = _run(["pytest", *flags, *UNITS], environment, UNITS_TIMEOUT_S)
    if code is None:
        return ["(the tests hang)"]
    if code in PYTEST_DID_NOT_RUN:
        raise RuntimeError(f"{mistake.name}: pytest ended with {code}\n{output[-3000:]}")
    failed = _FAILED.findall(output)
    return failed if failed or not code else [f"(the tests crash with exit code {code})"]


def _failing_seed(mistake: Mistake, seeds: int) -> str:
    for replicas, share in ((3, seeds), (5, seeds // 2)):
        flags = ["--mutant", mistake.name, "--seeds", str(share), "--replicas", str(replicas), "--processes", "1"]
        code, output = _run(["tests.simulation.run", *flags], dict(os.environ), SIMULATION_TIMEOUT_S)
        if code is None:
            return f"{replicas} members: hangs"
        found = _FOUND.search(output)
        if found:
            return f"{replicas} members, seed {found[2]}: {found[3]}"
        if code != 1:
            raise RuntimeError(f"{mistake.name}: the simulation ended with {code}\n{output[-3000:]}")
    return ""


def _run(module: list[str], environment: dict[str, str], timeout_s: float) -> tuple[int | None, str]:
    """Exit code (None: it took too long) and output. Whatever the program started ends with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, output


def table(findings: Iterable[Finding]) -> str:
    """The findings in Markdown."""
    rows = ["| mistake | the rule that it breaks | unit tests that fail | simulation |", "|---|---|---|---|"]
    for finding in findings:
        mistake = MISTAKES[finding.mistake]
        names = "<br>".join(f"`{_short(test)}`" for test in finding.tests[:2]) or "none"
        rows.append(
            f"| `{finding.mistake}`, `{mistake.module}` | {mistake.breaks} | {names} | {_cell(finding.simulation) or 'none'} |"
        )
    return "\n".join(rows)


def _short(test: str) -> str:
    return test.removeprefix("tests/raft/").partition("[")[0]


def _cell(text: str) -> str:
    return text[:90].replace("|", "/").replace("<", "&lt;").replace(">", "&gt;")


def _noticed_by(findings: list[Finding]) -> tuple[int, int]:
    """How many were noticed by unit tests, and by the simulation."""
    by_tests = sum(bool(finding.tests) for finding in findings)
    return by_tests, sum(bool(finding.simulation) for finding in findings)


def page(findings: list[Finding], seeds: int) -> str:
    """The whole document."""
    caught = [finding for finding in findings if not finding.survived]
    by_tests, by_simulation = _noticed_by(findings)
    return f"""# Planted mistakes

Written by `make mutants ARGS='--write docs/mutants.md'`. {len(findings)} mistakes were planted in `raft/`, one at a time;
{len(caught)} were noticed, {by_tests} by unit tests (`tests/raft`) and {by_simulation} by the simulation (up to {seeds} seeds with
three members and {seeds // 2} with five). What each mistake is stands in `tests/mutation/`.

{table(findings)}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(MISTAKES), help="names of mistakes")
    parser.add_argument("--seeds", type=int, default=60, help="at most so many are simulated for each")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", type=Path, help="write the table into this file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file")
    arguments = parser.parse_args()
    findings = _hunt(arguments)
    survivors = [finding.mistake for finding in findings if finding.survived]
    if arguments.write:
        arguments.write.write_text(page(findings, arguments.seeds))
    if arguments.json:
        by_tests, by_simulation = _noticed_by(findings)
        figures = {"mistakes": len(findings), "noticed by tests": by_tests, "noticed by simulation": by_simulation}
        arguments.json.write_bytes(msgspec.json.encode({**figures, "survived": len(survivors)}))
    print(f"{len(findings)} mistakes, {len(survivors)} survived{': ' if survivors else ''}{', '.join(survivors)}")
    return 1 if survivors else 0


def _hunt(arguments: argparse.Namespace) -> list[Finding]:
    """All findings, in the order of the names given; told as they come."""
    found: dict[str, Finding] = {}
    began = time.monotonic()
    with ThreadPoolExecutor(arguments.processes) as pool:
        futures = [pool.submit(look_for, MISTAKES[name], arguments.seeds) for name in arguments.only]
        for future in as_completed(futures):
            finding = future.result()
            found[finding.mistake] = finding
            _tell(finding)
            _progress(f"{len(found)}/{len(futures)} mistakes, {time.monotonic() - began:.0f} s")
    return [found[name] for name in arguments.only]


def _tell(finding: Finding) -> None:
    tests = _short(finding.tests[0]) if finding.tests else "no unit test"
    verdict = "SURVIVED " if finding.survived else ""
    print(f"{verdict}{finding.mistake}: {tests}; {finding.simulation[:100] or 'not simulation'}", flush=True)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text} ")


if __name__ == "__main__":
    sys.exit(main())
