"""The reference of the package as a page, from its signatures and docstrings: `python -m tests.sdk.reference > docs/reference.md`.

It has every name of `concord.__all__`, every class that their methods return, and all public methods of both. Docstrings
are in Google's style; `Args`, `Attributes` and `Raises` become lists.
"""

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

import concord
from concord import ConcordError

CLIENTS = (concord.Concord, concord.AsyncConcord)
INTERNAL = frozenset(
    {"Txn.call", "Retry.wait_s", "Flags.apply", "Flags.failed", "AsyncFlags.apply", "AsyncFlags.failed"}
)
"""Methods whose names are public because other modules of the package call them."""
SECTIONS = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Raises", "Returns": "Returns"}
WIDTH = 100
STARS: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}

_HEAD = """# Reference of the Python package

Everything public in `concord`, from its signatures and docstrings by `python -m tests.sdk.reference > docs/reference.md`. A tour is in
[sdk.md](sdk.md), what can be relied on in [semantics.md](semantics.md), what the codes of errors mean in [errors.md](errors.md).
"""
_NAMESAKES = (
    "These methods have the arguments, the result and the exceptions of their namesakes in [Concord](#concord):\n"
)
_SEE = re.compile(r"See `Concord\.\w+`[:;.,]?\s*")


def page() -> str:
    """The page in Markdown."""
    first, second = CLIENTS
    parts = [_HEAD, "## Clients\n", *_described_class(first), *_described_class(second)]
    parts += ["## What clients give and take\n", *(part for kind in others() for part in _described_class(kind))]
    parts += ["## Exceptions\n", *_errors()]
    parts += ["## Other names\n", *(part for name, value in rest() for part in _other(name, value))]
    return "\n".join(parts)


def others() -> list[type]:
    """The classes that are neither clients nor exceptions: the public ones, and those that methods return."""
    found: dict[str, type] = {}
    waiting = [*CLIENTS, *(value for value in _public().values() if isinstance(value, type))]
    while waiting:
        kind = waiting.pop(0)
        if found.setdefault(kind.__name__, kind) is kind:
            waiting += [one for one in _mentioned(kind) if one.__name__ not in found]
    kept = {name: kind for name, kind in found.items() if kind not in CLIENTS and not issubclass(kind, ConcordError)}
    return [kept[name] for name in sorted(kept, key=lambda name: (name.removeprefix("Async"), name))]


def rest() -> list[tuple[str, Any]]:
    """Public names that are no classes."""
    return [(name, value) for name, value in _public().items() if not isinstance(value, type)]


def errors() -> list[type[ConcordError]]:
    """The exceptions, each after what it is one of."""

    def below(kind: type[ConcordError]) -> Iterator[type[ConcordError]]:
        yield kind
        for one in kind.__subclasses__():
            if one.__name__ in concord.__all__:
                yield from below(one)

    return list(below(ConcordError))


def _public() -> dict[str, Any]:
    return {name: getattr(concord, name) for name in concord.__all__}


def _mentioned(kind: type) -> list[type]:
    """The package's classes in the annotations of results and fields."""
    hints = [typing.get_type_hints(member).get("return") for _, member in methods(kind) if callable(member)]
    hints += [typing.get_type_hints(member.fget).get("return") for _, member in methods(kind) if _is_property(member)]
    return [one for hint in (*hints, *fields(kind).values()) for one in _classes(hint)]


def _classes(hint: Any) -> Iterator[type]:
    origin = typing.get_origin(hint) or hint
    if isinstance(origin, type) and origin.__module__.partition(".")[0] == "concord":
        yield origin
    for argument in typing.get_args(hint):
        yield from _classes(argument)


def methods(kind: type) -> list[tuple[str, Any]]:
    """Public methods and properties by name, inherited ones included, in the order in which they are written."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] == "concord":
            found |= {name: one for name, one in vars(base).items() if inspect.isfunction(one) or _is_property(one)}
    return [
        (name, one)
        for name, one in found.items()
        if not name.startswith("_") and f"{kind.__name__}.{name}" not in INTERNAL
    ]


def is_namesake(kind: type, name: str, member: Any) -> bool:
    """Whether a method is what `Concord` describes under the same name."""
    described = dict(methods(CLIENTS[0])).get(name)
    doc = inspect.getdoc(member) or ""
    is_same = member is described or doc.startswith("See `Concord.") or doc == inspect.getdoc(described)
    return kind is not CLIENTS[0] and described is not None and is_same


def _is_property(member: Any) -> bool:
    return isinstance(member, property)


def fields(kind: type) -> dict[str, Any]:
    """Public fields and their types."""
    if issubclass(kind, msgspec.Struct):
        return {field.name: field.type for field in msgspec.structs.fields(kind)}
    own = inspect.get_annotations(kind)
    return {name: hint for name, hint in own.items() if not name.startswith("_")}


# --- rendering


def _described_class(kind: type) -> Iterator[str]:
    yield f"### {kind.__name__}\n"
    if kind in CLIENTS or kind is concord.Retry or kind is concord.Txn:
        yield _code(kind.__name__, kind.__init__ if kind in CLIENTS else kind)
    yield from described(kind, arguments=kind in CLIENTS)
    if (own := fields(kind)) and "Attributes:" not in (inspect.getdoc(kind) or ""):
        yield "\n".join(f"- `{name}: {annotation(hint)}`" for name, hint in own.items()) + "\n"
    every = methods(kind)
    if same := [(name, member) for name, member in every if is_namesake(kind, name, member)]:
        yield _NAMESAKES
        rows = [f"| `{name}` | {_use(member)} | {_remark(member)} |" for name, member in same]
        yield "\n".join(["| method | how it is used | |", "|---|---|---|", *rows]) + "\n"
    for name, member in [one for one in every if one not in same]:
        yield f"#### {kind.__name__}.{name}\n"
        if not _is_property(member):
            yield _code(name, member)
        yield from described(member)


def _remark(member: Any) -> str:
    """What a docstring adds to its reference to a namesake."""
    doc = inspect.getdoc(member) or ""
    return _SEE.sub("", doc) if _SEE.match(doc) else ""


def _use(member: Callable[..., Any]) -> str:
    hint = typing.get_type_hints(member)["return"]
    result = typing.get_origin(hint) or hint
    if inspect.isasyncgenfunction(member) or hasattr(result, "__aiter__"):
        return "`async for`"
    if inspect.iscoroutinefunction(member):
        return "`await`"
    if hasattr(result, "__aenter__"):
        return "`async with`"
    if hasattr(result, "__enter__"):
        return "`with`"
    return "`for`" if result is Iterator else "called"


def _errors() -> Iterator[str]:
    for kind in errors():
        above = "" if kind is ConcordError else f", a `{kind.__mro__[1].__name__}`"
        yield f"### {kind.__name__}\n"
        yield f"`code` {kind.code}, `retryable` {kind.retryable}, `applied` {kind.applied!r}{above}.\n"
        yield from described(kind)


def _other(name: str, value: Any) -> Iterator[str]:
    yield f"### {name}\n"
    if inspect.isroutine(value):
        yield _code(name, value)
        yield from described(value)
    else:
        yield f"`{annotation(value)}`\n"


def described(member: Any, *, arguments: bool = True) -> Iterator[str]:
    """A docstring in Markdown, with the arguments if users give them."""
    for title, text in sections(inspect.getdoc(member) or ""):
        if title == "Args" and not arguments:
            continue
        yield text + "\n" if not title else f"{SECTIONS[title]}:\n\n{_listed(text)}\n"


def sections(doc: str) -> list[tuple[str, str]]:
    """The parts of a docstring: the text, whose title is "", and what stands under a title."""
    parts: list[tuple[str, list[str]]] = [("", [])]
    for line in doc.splitlines():
        if line.removesuffix(":") in SECTIONS and line.endswith(":"):
            parts.append((line.removesuffix(":"), []))
        elif parts[-1][0] and line and not line.startswith(" "):
            parts.append(("", [line]))
        else:
            parts[-1][1].append(line)
    return [(title, "\n".join(lines).strip("\n")) for title, lines in parts if any(lines)]


def items(text: str) -> list[tuple[str, str]]:
    """Name and text of each item of a section."""
    joined = re.sub(r"\n {5,}", " ", text)
    return [(name.strip(), rest.strip()) for name, _, rest in (line.partition(": ") for line in joined.splitlines())]


def _listed(text: str) -> str:
    return "\n".join(f"- `{name}`: {rest}" if rest else f"- {name}" for name, rest in items(text))


def _code(name: str, member: Callable[..., Any]) -> str:
    signature = inspect.signature(member)
    given = [one for one in signature.parameters.values() if one.name != "self"]
    shown, is_keyword = list[str](), False
    for one in given:
        if one.kind is inspect.Parameter.KEYWORD_ONLY and not is_keyword:
            shown.append("*")
            is_keyword = True
        shown.append(_parameter(one))
    is_class = isinstance(member, type) or name[0].isupper()
    result = "" if is_class else f" -> {annotation(signature.return_annotation)}"
    prefix = "async " if inspect.iscoroutinefunction(member) else ""
    line = f"{prefix}{name}({', '.join(shown)}){result}"
    if len(line) > WIDTH:
        line = f"{prefix}{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){result}"
    return f"```text\n{line}\n```\n"


def _parameter(one: inspect.Parameter) -> str:
    text = f"{STARS.get(one.kind, '')}{one.name}: {annotation(one.annotation)}"
    if one.default is inspect.Parameter.empty:
        return text
    default = annotation(one.default) if one.default is Any or one.default is msgspec.UNSET else repr(one.default)
    return f"{text} = {default}"


def annotation(hint: Any) -> str:
    """A type as one writes it."""
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if hint is None or hint is type(None):
        return "None"
    if origin in {typing.Union, types.UnionType}:
        return " | ".join(map(annotation, arguments))
    if origin is typing.Literal:
        return " | ".join(map(repr, arguments))
    if isinstance(hint, TypeVar) or hint is Any:
        return getattr(hint, "__name__", "Any")
    if arguments:
        return f"{annotation(origin)}[{', '.join(map(annotation, arguments))}]"
    return getattr(hint, "__name__", str(hint))


if __name__ == "__main__":
    sys.stdout.write(page())
