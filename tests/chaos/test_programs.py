"""A program that ends is started again; only what nobody asked for is held against it. A wall clock may be wrong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos import wallclock
from tests.chaos.programs import Keeper, Program
from tests.chaos.wallclock import WallClock
from tests.e2e.cluster import wait_until

DAY_S = 86_400
DIFFERENCE = "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"


@contextmanager
def kept(folder: Path, script: str) -> Iterator[Program]:
    """A shell script that is kept running."""
    program = Program("p", ["sh", "-c", script], [], folder / "log")
    program.set_environ({})
    program.start()
    keeper = Keeper([program])
    keeper.start()
    try:
        yield program
    finally:
        keeper.stop()
        program.kill()


def starts(program: Program) -> int:
    return program.log.read_text().count("began")


def test_a_program_that_ends_by_itself_is_noted_and_started_again(tmp_path: Path) -> None:
    with kept(tmp_path, "echo began; echo last words; exit 3") as program:
        wait_until(lambda: starts(program) >= 2, "it began twice")
        death = program.deaths[0]
    assert (death.code, death.why, death.excused) == (3, "last words", False)


def test_a_program_that_was_killed_is_started_again_and_that_is_nobodys_fault(tmp_path: Path) -> None:
    with kept(tmp_path, "echo began; exec sleep 100") as program:
        wait_until(lambda: starts(program) == 1, "it began")
        program.send(signal.SIGKILL)
        wait_until(lambda: starts(program) == 2, "it began again")
        assert program.deaths == []


def test_a_program_that_ends_badly_when_it_is_asked_to_end_is_noted(tmp_path: Path) -> None:
    with kept(tmp_path, "trap 'exit 4' TERM; echo began; while :; do sleep 0.01; done") as program:
        wait_until(lambda: starts(program) == 1, "it began")
        program.stop()
        wait_until(lambda: bool(program.deaths), "that is noted")
        assert program.deaths[0].code == 4


def test_a_program_that_is_held_is_not_started(tmp_path: Path) -> None:
    with kept(tmp_path, "echo began; exec sleep 100") as program:
        wait_until(lambda: starts(program) == 1, "it began")
        with program.held:
            program.kill()
            for _ in range(3):
                program.look_after()
        wait_until(lambda: starts(program) == 2, "it began again once it was let go")


@pytest.mark.skipif(bool(wallclock.why_not()), reason=wallclock.why_not())
def test_a_wall_clock_may_be_wrong_and_the_other_clocks_are_not(tmp_path: Path) -> None:
    clock = WallClock(wallclock.build(tmp_path), tmp_path / "wallclock")

    def wrong_by_s() -> float:
        words = [sys.executable, "-c", DIFFERENCE]
        done = subprocess.run(words, env={**os.environ, **clock.environ}, capture_output=True, text=True, check=True)
        wall, monotonic, boottime = map(float, done.stdout.split())
        assert abs(monotonic - time.monotonic()) < DAY_S / 2
        assert abs(boottime - time.clock_gettime(time.CLOCK_BOOTTIME)) < DAY_S / 2
        return wall - time.time()

    assert abs(wrong_by_s()) < DAY_S / 2
    clock.set(-2 * DAY_S)
    assert abs(wrong_by_s() + 2 * DAY_S) < DAY_S / 2
    clock.set(0.0, drift=100 * DAY_S)
    assert wrong_by_s() > DAY_S / 2
    clock.set(0.0)
    assert abs(wrong_by_s()) < DAY_S / 2
