"""A bar chart as SVG: ratios by name, on a scale of doublings, with a line where both sides are even. Pure."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

import msgspec

WIDTH, MARGIN, LABEL_WIDTH, VALUE_WIDTH = 760, 12, 250, 56
ROW, BAR, TOP, BOTTOM = 22, 14, 44, 30
MORE, LESS, TEXT, LINE = "#2a7f9e", "#c4622d", "#24292f", "#8c959f"


class Bar(msgspec.Struct, frozen=True):
    """A ratio and the smallest and largest of the rounds that it is the middle of; all above 0."""

    name: str
    ratio: float
    least: float
    most: float


def ratios(title: str, bars: Sequence[Bar]) -> str:
    """The chart: a row for each bar in their order, and a whisker over the rounds.

    Raises:
        ValueError: there are no bars.
    """
    if not bars:
        raise ValueError("a chart needs bars")
    low = min(-1, math.floor(math.log2(min(bar.least for bar in bars))))
    high = max(1, math.ceil(math.log2(max(bar.most for bar in bars))))
    left, right = MARGIN + LABEL_WIDTH, WIDTH - MARGIN - VALUE_WIDTH

    def at(ratio: float) -> float:
        return left + (math.log2(ratio) - low) / (high - low) * (right - left)

    height = TOP + ROW * len(bars) + BOTTOM
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" '
        f'fill="{TEXT}" role="img" aria-label="{escape(title)}">'
    )
    lines = [
        head,
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{MARGIN}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        x, weight = at(2.0**power), 2 if power == 0 else 0.5
        bottom = height - BOTTOM + 4
        lines.append(
            f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="{LINE}" stroke-width="{weight}"/>'
        )
        lines.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{2.0**power:g}</text>')
    for number, bar in enumerate(bars):
        lines += _row(bar, TOP + ROW * number, at(1.0), at(bar.ratio), (at(bar.least), at(bar.most)))
    return "\n".join([*lines, "</svg>", ""])


def _row(bar: Bar, top: float, even: float, end: float, whisker: tuple[float, float]) -> list[str]:
    middle, text = top + BAR / 2, top + BAR - 3
    color = MORE if bar.ratio >= 1 else LESS
    return [
        f'<text x="{MARGIN}" y="{text:.1f}">{escape(bar.name)}</text>',
        f'<rect x="{min(even, end):.1f}" y="{top}" width="{abs(end - even):.1f}" height="{BAR}" fill="{color}"/>',
        f'<line x1="{whisker[0]:.1f}" y1="{middle}" x2="{whisker[1]:.1f}" y2="{middle}" stroke="{TEXT}"/>',
        f'<text x="{WIDTH - MARGIN}" y="{text:.1f}" text-anchor="end">{bar.ratio:.2f}</text>',
    ]
