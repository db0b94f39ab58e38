"""Figures as Prometheus' text format (0.0.4). Pure.

It is cheap, too: a node with hundreds of groups shows ten thousand figures, and its event loop has other things to do;
whoever renders takes a pause between two pieces.
"""

import enum
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PIECE_LINES = 128

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Kind(enum.StrEnum):
    """What a figure is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Buckets(Protocol):
    """A histogram: ascending upper bounds, a count for each and one for what is over all, and the sum."""

    @property
    def bounds(self) -> tuple[float, ...]:
        """Upper bounds, each included in its bucket."""

    @property
    def counts(self) -> list[int]:
        """One for each bound, and one more; not cumulative."""

    @property
    def sum_s(self) -> float:
        """Of everything observed."""


class Family(msgspec.Struct, frozen=True):
    """Figures of one name. The name of a counter ends in `_total`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


Value: TypeAlias = "float | Buckets"
Sample: TypeAlias = "tuple[tuple[str, ...], Value]"
"""Values of the labels, in the order of the family's, and the figure; `Buckets` in families of histograms only."""

Figures: TypeAlias = "Iterable[tuple[Family, Iterable[Sample]]]"


def render(figures: Figures) -> Iterator[str]:
    """The text, in pieces of at most a family and about PIECE_LINES. A figure is looked up when its turn comes."""
    for family, samples in figures:
        lines = [f"# HELP {family.name} {_help(family.help)}\n# TYPE {family.name} {family.kind.value}\n"]
        for values, figure in samples:
            pairs = [
                f'{label}="{value.translate(_ESCAPES)}"' for label, value in zip(family.labels, values, strict=True)
            ]
            if isinstance(figure, int | float):
                lines.append(f"{family.name}{_braced(pairs)} {float(figure)!r}\n")
            else:
                lines.extend(_histogram(family.name, pairs, figure))
            if len(lines) >= PIECE_LINES:
                yield "".join(lines)
                lines.clear()
        yield "".join(lines)


def _histogram(name: str, pairs: list[str], figure: Buckets) -> Iterator[str]:
    cumulated = 0
    for bound, count in zip([*map(repr, figure.bounds), "+Inf"], figure.counts, strict=True):
        cumulated += count
        bucket = _braced([*pairs, f'le="{bound}"'])
        yield f"{name}_bucket{bucket} {cumulated}\n"
    yield f"{name}_sum{_braced(pairs)} {figure.sum_s!r}\n"
    yield f"{name}_count{_braced(pairs)} {cumulated}\n"


def _braced(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
