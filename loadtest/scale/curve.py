"""What many groups cost, as a small SVG. Pure."""

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 150, 20, 40
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
STEPS = 4

Line = Mapping[int, float]
"""Number of groups → a ratio, 1 for as with one group."""


def drawn(lines: Mapping[str, Line]) -> str:
    """Lines over the number of groups, which is drawn logarithmically; none when there are no points."""
    counts = sorted({count for line in lines.values() for count in line})
    top = max((ratio for line in lines.values() for ratio in line.values()), default=1.0)
    limit = math.ceil(max(top, 1.0) * 2) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for step in range(STEPS + 1):
        ratio = limit * step / STEPS
        y = _y(ratio, limit)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{ratio:.2f}</text>')
    parts += [
        f'<text x="{_x(count, counts):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{count}</text>'
        for count in counts
    ]
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">groups</text>')
    for number, (name, line) in enumerate(lines.items()):
        parts += _line(name, line, counts, limit, number)
    return "\n".join([*parts, "</svg>", ""])


def _line(name: str, line: Line, counts: Sequence[int], limit: float, number: int) -> list[str]:
    if not line:
        return []
    colour = COLOURS[number % len(COLOURS)]
    points = " ".join(f"{_x(count, counts):.1f},{_y(line[count], limit):.1f}" for count in sorted(line))
    legend = TOP + 10 + 18 * number
    return [
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<path d="M{WIDTH - RIGHT + 10} {legend}h20" stroke="{colour}" stroke-width="2"/>',
        f'<text x="{WIDTH - RIGHT + 35}" y="{legend + 4}">{name}</text>',
    ]


def _x(count: int, counts: Sequence[int]) -> float:
    span = math.log2(max(counts) / min(counts)) or 1.0
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log2(count / min(counts)) / span


def _y(ratio: float, limit: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ratio / limit
