"""docs/reference.md is what the docstrings say, and they say something of everything that a user can call or get."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import concord
from tests.sdk.reference import CLIENTS, errors, fields, is_namesake, items, methods, others, page, rest, sections

ROOT = Path(__file__).parents[2]
EVERYWHERE = {"timeout", "consistency"}
"""Parameters that the client's own description explains."""
KINDS = [CLIENTS[0], *(kind for kind in others() if not kind.__name__.startswith("Async"))]
MEMBERS = [
    (f"{kind.__name__}.{name}", member)
    for kind in KINDS
    for name, member in methods(kind)
    if not is_namesake(kind, name, member)
]


def test_the_page_is_that_of_the_docstrings() -> None:
    assert (ROOT / "docs" / "reference.md").read_text() == page(), "python -m tests.sdk.reference > docs/reference.md"


def test_the_page_has_every_public_name() -> None:
    headings = set(re.findall(r"^### (\w+)$", page(), re.MULTILINE))
    assert set(concord.__all__) <= headings
    assert {"Lock", "AsyncLock", "Watch", "Limiter", "Steps", "StepResult", "Registration", "Flags"} <= headings


@pytest.mark.parametrize("kind", [*CLIENTS, *others(), *errors()], ids=lambda kind: kind.__name__)
def test_every_class_is_described_with_all_its_fields(kind: type) -> None:
    doc = inspect.getdoc(kind) or ""
    assert doc
    attributes = {name for title, text in sections(doc) if title == "Attributes" for name, _ in items(text)}
    assert not attributes or set(fields(kind)) <= attributes, f"{set(fields(kind)) - attributes} are not described"


def test_every_function_is_described() -> None:
    assert all(inspect.getdoc(value) for _, value in rest() if inspect.isroutine(value))


@pytest.mark.parametrize(("name", "member"), MEMBERS, ids=[name for name, _ in MEMBERS])
def test_every_method_is_described_with_all_its_arguments(name: str, member: Any) -> None:
    doc = inspect.getdoc(member) or ""
    assert doc, name
    if isinstance(member, property):
        return
    parameters = set(inspect.signature(member).parameters) - {"self"}
    listed = {item for title, text in sections(doc) if title == "Args" for item, _ in items(text)}
    assert listed <= parameters, f"{listed - parameters} are no arguments"
    unsaid = {one for one in parameters - EVERYWHERE - listed if not re.search(rf"\b{one}\b", doc)}
    assert not unsaid, f"{unsaid} are not described"


@pytest.mark.parametrize("kind", [*CLIENTS, *others(), *errors()], ids=lambda kind: kind.__name__)
def test_every_class_of_the_page_can_be_imported_from_the_package(kind: type) -> None:
    assert getattr(concord, kind.__name__) is kind
    assert kind.__name__ in concord.__all__


def test_arguments_that_are_taken_by_name_only_are_shown_so() -> None:
    assert "    **member: Any,\n" in page()


@pytest.mark.parametrize(("name", "member"), MEMBERS, ids=[name for name, _ in MEMBERS])
def test_what_a_method_is_said_to_raise_is_public(name: str, member: Any) -> None:
    raised = [
        one for title, text in sections(inspect.getdoc(member) or "") if title == "Raises" for one, _ in items(text)
    ]
    assert all(hasattr(concord, one) or one in {"OSError", "ValueError"} for one in raised), (name, raised)


def test_both_clients_take_the_same_arguments() -> None:
    def parameters(kind: type) -> dict[str, list[tuple[str, object]]]:
        return {
            name: [(one.name, one.default) for one in inspect.signature(member).parameters.values()]
            for name, member in methods(kind)
        }

    assert parameters(CLIENTS[0]) == parameters(CLIENTS[1])


def test_what_refers_to_a_client_takes_no_more_than_that_does() -> None:
    described = dict(methods(CLIENTS[0]))
    for kind in (CLIENTS[1], *others()):
        for name, member in methods(kind):
            if is_namesake(kind, name, member):
                more = set(inspect.signature(member).parameters) - set(inspect.signature(described[name]).parameters)
                assert not more, f"{kind.__name__}.{name} takes {more}, which Concord.{name} does not describe"


def test_docstrings_are_read() -> None:
    doc = "Does it.\n\nMore of it.\n\nArgs:\n    a: one\n        line.\n    b: two.\n\nRaises:\n    ValueError: no.\n"
    parts = sections(doc)
    assert [title for title, _ in parts] == ["", "Args", "Raises"]
    assert items(parts[1][1]) == [("a", "one line."), ("b", "two.")]
