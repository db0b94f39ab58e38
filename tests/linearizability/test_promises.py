"""The checks that need no search, the file of a history, its drawing and the command."""

import random
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.linearizability import check, draw, expired_early, load, save
from tests.linearizability.build import Story
from tests.linearizability.generate import LIVELY, MS, Shape, draw_history
from tests.linearizability.test_planted import BROKEN

ROOT = Path(__file__).parents[2]


def test_early_expiry_is_seen_without_a_search() -> None:
    story = Story().put("a", 0, 1, ttl_s=1).get(None, 2, 900).put("b", 1000, 1001, ttl_s=1).get(None, 2100, 2101)
    [(put, gone)] = expired_early(story.operations)
    assert (put.argument, gone.returned_ns) == ("a", 900 * MS)


def test_what_may_have_been_deleted_did_not_expire_early() -> None:
    story = Story().put("a", 0, 1, ttl_s=1).delete(2, None).get(None, 4, 5)
    assert expired_early(story.operations) == []


@pytest.mark.parametrize("seed", range(20))
def test_in_a_right_register_nothing_expires_early(seed: int) -> None:
    shape = Shape(300, 5, LIVELY, unknown=0.02, ttl=0.5, pause_ns=500 * MS)
    history = draw_history(random.Random(seed), shape)
    assert expired_early(history) == []


def test_a_history_comes_back_from_its_file(tmp_path: Path) -> None:
    history = [*draw_history(random.Random(1), Shape(200, 3, LIVELY, unknown=0.1, ttl=0.5, revisions=True))]
    save(history, tmp_path / "history.jsonl")
    assert list(load(tmp_path / "history.jsonl")) == history


@pytest.mark.parametrize("name", BROKEN)
def test_a_drawing_shows_every_operation_and_needs_nothing_from_outside(name: str, tmp_path: Path) -> None:
    [violation] = check(BROKEN[name].operations).violations
    draw(violation, tmp_path / "drawings" / "one.html")
    page = (tmp_path / "drawings" / "one.html").read_text()
    assert page.count("<rect") == len(violation.operations)
    assert len(re.findall(r'<g class="[^"]*stuck', page)) == 1
    assert "<!--" not in page
    assert not re.search(r"https?:|src=|@import|url\(", page)


def test_bars_of_one_client_do_not_cover_each_other(tmp_path: Path) -> None:
    story = Story().put("a", 0, None).put("b", 1, 2).get("c", 3, 4)
    one_client = [msgspec.structs.replace(one, client=5) for one in story.operations]
    [violation] = check(one_client, minimal=False).violations
    draw(violation, tmp_path / "one.html")
    page = (tmp_path / "one.html").read_text()
    heights = re.findall(r'<rect x="\d+" y="(\d+)"', page)
    assert len(set(heights)) == 2, "the second and the third follow each other, the first is open to the end"
    assert heights[1] == heights[2]
    assert page.count("client 5</text>") == 2


def test_a_key_cannot_write_into_the_drawing(tmp_path: Path) -> None:
    story = Story("<script>").put("<b>", 0, 1).get("<!--rows-->", 2, 3)
    [violation] = check(story.operations).violations
    draw(violation, tmp_path / "one.html")
    page = (tmp_path / "one.html").read_text()
    assert "<script>" not in page
    assert "<b>" not in page


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.linearizability", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_succeeds_only_when_there_is_an_order(tmp_path: Path) -> None:
    save(Story().put("a", 0, 1).get("a", 2, 3).operations, tmp_path / "fine.jsonl")
    save(BROKEN["stale read"].operations, tmp_path / "broken.jsonl")
    (tmp_path / "none.jsonl").write_text("{}\n")
    assert run(tmp_path / "fine.jsonl").returncode == 0
    broken = run(tmp_path / "broken.jsonl", "--html", tmp_path / "html")
    assert broken.returncode == 1
    assert "VIOLATION k" in broken.stdout
    assert (tmp_path / "html" / "violation-1.html").is_file()
    assert run(tmp_path / "none.jsonl").returncode == 2
