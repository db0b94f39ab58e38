"""The guard fails on what costs over a tenth more, whatever counted it; and every path that it counts works and does what it says."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cost import run, valgrind
from tests.cost.baseline import build, compare, load, save
from tests.cost.paths import WAYS


@pytest.mark.parametrize("name", WAYS)
def test_a_path_can_be_taken(name: str) -> None:
    async def twice() -> None:
        async with WAYS[name].open() as turn:
            await turn()
            await turn()

    asyncio.run(twice())


def test_only_what_costs_over_a_tenth_more_is_a_regression() -> None:
    now = {"same": 100_000, "little more": 110_000, "more": 115_000, "less": 85_000, "new": 5, "short": 3_900}
    before = {"same": 100_000, "little more": 100_000, "more": 100_000, "less": 100_000, "gone": 7, "short": 3_100}
    found = compare(now, before)
    assert [each.name for each in found] == list(now)
    assert [each.name for each in found if each.is_regression] == ["more"]
    assert [each.name for each in found if each.is_stale] == ["less"]
    assert [each.name for each in found if each.before is None] == ["new"]


def test_a_baseline_is_kept_for_each_python_and_path(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    assert load(file) == {}
    save("one", {"put": 1, "get": 2}, file)
    save("two", {"put": 3}, file)
    save("one", {"get": 4}, file)
    assert load(file) == {"one": {"put": 1, "get": 4}, "two": {"put": 3}}


def test_the_committed_baseline_has_every_path_and_no_other() -> None:
    for python, costs in load().items():
        assert set(costs) == set(WAYS), python


@pytest.mark.parametrize(("part", "code"), [(1.0, 0), (1.09, 0), (1.15, run.FAILED)])
def test_a_rise_decides_the_exit_code(
    part: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict.fromkeys(WAYS, 100_000)
    monkeypatch.setattr(run, "load", lambda: {build(): before})
    monkeypatch.setattr(valgrind, "missing", lambda: "")
    monkeypatch.setattr(run, "count", lambda names: {name: round(part * before[name]) for name in names})
    assert run.main(["--only", "get"]) == code
    assert ("REGRESSION" in capsys.readouterr().out) == bool(code)


def test_without_a_baseline_or_valgrind_it_says_so_and_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "load", dict)
    monkeypatch.setattr(valgrind, "missing", lambda: "")
    assert run.main([]) == 0
    assert f"skipped: there is no baseline for {build()}" in capsys.readouterr().out
    monkeypatch.setattr(valgrind, "missing", lambda: "valgrind not found")
    assert run.main(["--update"]) == 0
    assert "skipped: valgrind not found" in capsys.readouterr().out


@pytest.mark.skipif(bool(valgrind.missing()), reason=valgrind.missing())
def test_the_same_work_is_counted_as_the_same_and_more_as_more(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from tests.cost.valgrind import Counter\n"
        "counter = Counter()\n"
        "counter.start()\n"
        "for name, times in {'warm-up': 20000, 'once': 20000, 'again': 20000, 'more': 23000}.items():\n"
        "    counter.zero()\n"
        "    for number in range(times):\n"
        "        divmod(number, 7)\n"
        "    counter.dump(name)\n"
    )
    found = _counted(program, tmp_path / "counts")
    assert found["again"] == pytest.approx(found["once"], rel=0.02)  # what interpreters keep ready differs a little
    assert found["more"] == pytest.approx(1.15 * found["once"], rel=0.02)


def _counted(program: Path, output: Path) -> dict[str, int]:
    words = [*valgrind.command(output), sys.executable, "-S", str(program)]
    subprocess.run(words, env={"PYTHONHASHSEED": "0", "PYTHONPATH": str(run.ROOT)}, check=True, timeout=run.TIMEOUT_S)
    return dict(valgrind.counted(output))
