"""The house is tidy: what a reviewer would otherwise have to look for in every change."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("gateway", "member", "placement", "process", "raft", "shard", "wire")
SERVED_ROOMS = (*ROOMS, "sdk/concord", "examples", "loadtest", "tests")
LIMIT_FUNCTION_LINES = 70
# Hosts of package registries, spelled so that this file does not name one.
REGISTRY = re.compile(
    rb"pypi\.(?:org|io)|pythonhosted\." + rb"org|registry\.npmjs|deb\.debian\." + rb"org|proxy\.golang"
)
HOME = re.compile(rb"(?<![\w.-])/(?:root|home/\w+|work)/[\w.]")
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def parsed(*patterns: str) -> Iterator[tuple[str, ast.Module]]:
    for path in tracked(*patterns):
        if path.suffix == ".py":
            yield str(path.relative_to(ROOT)), tree_of(path)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("pattern", [REGISTRY, HOME], ids=["registry", "home"])
def test_no_file_names_a_registry_or_somebodys_directory(pattern: re.Pattern[bytes]) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in tracked()
        for match in pattern.finditer(path.read_bytes())
    }
    assert not found


@pytest.mark.parametrize("room", SERVED_ROOMS)
def test_a_room_says_what_it_is_for(room: str) -> None:
    folder = ROOT / room
    package = folder / "__init__.py"
    said = (folder / "README.md").is_file() or (package.is_file() and ast.get_docstring(ast.parse(package.read_text())))
    assert said or not tracked(room), f"{room} has neither a README.md nor a docstring in its __init__.py"


def test_no_function_is_too_long_to_be_read_at_once() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, tree in parsed(*SERVED_ROOMS)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LIMIT_FUNCTION_LINES
    ]
    assert not long


def test_no_room_reads_what_can_run_code() -> None:
    found = {name: unsafe for name, tree in parsed(*ROOMS, "sdk") if (unsafe := imported(tree) & UNSAFE_MODULES)}
    assert not found


def test_every_exemption_from_a_rule_has_a_reason() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked(*ROOMS, "sdk")
        if path.suffix == ".py"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"#\s*(?:noqa|type:\s*ignore)(?:: ?[\w, ]+|\[[\w, -]+\])?\s*$", line)
    ]
    assert not bare
