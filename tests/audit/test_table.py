"""docs/audit.md names every item of the audit, and tests that exist."""

import ast
import re

import pytest

from tests.audit.shipped import ROOT

ITEMS = 48
PAGE = (ROOT / "docs" / "audit.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_bytes())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    machines = {
        str(node.targets[0].id)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return {name for name in functions | machines if name.lower().startswith("test")}


def test_every_item_is_there_once_and_in_order() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, ITEMS + 1))


@pytest.mark.parametrize("side", [1, 2], ids=["ours", "the library's"])
def test_every_item_has_a_test_on_both_sides(side: int) -> None:
    assert [row[0] for row in ROWS if not TEST.search(row[side])] == []


def test_every_test_that_is_named_exists() -> None:
    named = set(TEST.findall(PAGE))
    there = {(path, name) for path in {path for path, _ in named} for name in names_in(path)}
    assert named - there == set()


def test_every_test_of_the_library_is_named() -> None:
    folder = ROOT / "tests" / "audit"
    own = {
        (f"tests/audit/{path.name}", name)
        for path in folder.glob("test_*.py")
        for name in names_in(f"tests/audit/{path.name}")
    }
    assert {test for test in own if "test_table" not in test[0]} - set(TEST.findall(PAGE)) == set()
