"""A failing history as a timeline: one HTML file without anything from outside, for a browser or an attachment.

A lane per client, a bar from call to return; a bar whose outcome is unknown fades out to the right. Time is stretched where much
happens: equal steps between the instants at which something was called or returned, so that nothing is too small to be seen.
"""

import html
from collections.abc import Sequence
from pathlib import Path

from tests.linearizability.operation import Kind, Operation
from tests.linearizability.verdict import Violation

LANE_PX = 46
BAR_PX = 30
LEFT_PX = 96
TOP_PX = 34
STEP_PX_MIN, STEP_PX_MAX = 26, 110
WIDTH_PX = 1500

_PAGE = (Path(__file__).parent / "timeline.html").read_text(encoding="utf-8")


def draw(violation: Violation, path: Path) -> None:
    """Write the timeline of a violation to a file."""
    instants = _instants(violation.operations)
    step = max(STEP_PX_MIN, min(STEP_PX_MAX, WIDTH_PX // len(instants)))
    place = {instant: LEFT_PX + step * number for number, instant in enumerate(instants)}
    clients, lanes = _lanes(violation.operations)
    right = LEFT_PX + step * len(instants) + 90
    marks = [
        *_axis(instants, place, TOP_PX + LANE_PX * len(clients)),
        *(_lane(client, lane, right) for lane, client in enumerate(clients)),
        *(
            _bar(one, lane, place, right, is_stuck=one == violation.stuck)
            for one, lane in zip(violation.operations, lanes, strict=True)
        ),
    ]
    page = _PAGE
    filling = {
        "key": html.escape(violation.key),
        "reason": html.escape(f"{_label(violation.stuck)} of client {violation.stuck.client}: {violation.reason}"),
        "count": f"{len(violation.operations)} of {violation.of}",
        "width": str(right + 10),
        "height": str(TOP_PX + LANE_PX * len(clients) + 30),
        "legend": "".join(f'<span class="{kind.value}">{kind.value}</span>' for kind in Kind),
        "marks": "\n".join(marks),
        "rows": "\n".join(_row(one, instants[0], is_stuck=one == violation.stuck) for one in violation.operations),
    }
    for name, text in filling.items():
        page = page.replace(f"<!--{name}-->", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _instants(operations: Sequence[Operation]) -> list[int]:
    called = {one.called_ns for one in operations}
    return sorted(called | {one.returned_ns for one in operations if one.returned_ns is not None})


def _lanes(operations: Sequence[Operation]) -> tuple[list[int], list[int]]:
    """Whose each lane is, and the lane of each operation: a client has more than one when operations of its overlap."""
    free: list[tuple[int, int, float]] = []  # client, number among the client's lanes, when it is free again
    taken: list[tuple[int, int]] = []
    for one in sorted(operations, key=lambda one: one.called_ns):
        mine = [lane for lane in free if lane[0] == one.client]
        lane = next((lane for lane in mine if lane[2] <= one.called_ns), None)
        number = len(mine) if lane is None else lane[1]
        if lane is not None:
            free.remove(lane)
        free.append((one.client, number, float("inf") if one.returned_ns is None else one.returned_ns))
        taken.append((one.client, number))
    order = sorted((client, number) for client, number, _ in free)
    return [client for client, _ in order], [order.index(lane) for lane in taken]


def _axis(instants: list[int], place: dict[int, int], bottom: int) -> list[str]:
    lines = [
        f'<line class="grid" x1="{place[at]}" x2="{place[at]}" y1="{TOP_PX - 6}" y2="{bottom}"/>' for at in instants
    ]
    every = max(1, len(instants) // 16)
    texts = [
        f'<text class="axis" x="{place[at]}" y="{TOP_PX - 14}">{_ms(at - instants[0])}</text>'
        for at in instants[::every]
    ]
    return lines + texts


def _lane(client: int, lane: int, right: int) -> str:
    top = TOP_PX + LANE_PX * lane
    line = f'<line class="lane" x1="0" x2="{right}" y1="{top + LANE_PX}" y2="{top + LANE_PX}"/>'
    return f'{line}<text class="client" x="8" y="{top + LANE_PX / 2 + 4}">client {client}</text>'


def _bar(one: Operation, lane: int, place: dict[int, int], right: int, *, is_stuck: bool) -> str:
    x = place[one.called_ns]
    end = right if one.returned_ns is None else place[one.returned_ns]
    y = TOP_PX + LANE_PX * lane + (LANE_PX - BAR_PX) // 2
    width = max(end - x, 4)
    names = [one.kind.value, *(["open"] if one.returned_ns is None else []), *(["stuck"] if is_stuck else [])]
    shape = f'<rect x="{x}" y="{y}" width="{width}" height="{BAR_PX}" rx="5"/>'
    clip = f'<svg x="{x}" y="{y}" width="{width}" height="{BAR_PX}"><text x="6" y="19">{html.escape(_label(one))}</text></svg>'
    return f'<g class="{" ".join(names)}"><title>{html.escape(_told(one))}</title>{shape}{clip}</g>'


def _label(one: Operation) -> str:
    asked = one.kind.value
    if isinstance(one.argument, tuple):
        asked = f"{asked} {_shown(one.argument[0])} to {_shown(one.argument[1])}"
    elif one.argument is not None:
        asked = f"{asked} {one.argument}"
    life = "" if one.ttl_s is None else f" ttl {one.ttl_s} s"
    if one.returned_ns is None:
        return f"{asked}{life} → ?"
    return asked + life if one.kind is Kind.PUT else f"{asked}{life} → {_answer(one)}"


def _answer(one: Operation) -> str:
    if one.kind is Kind.GET:
        return _shown(one.result)
    if isinstance(one.result, bool):
        return "yes" if one.result else "no"
    return "not told" if one.result is None else str(one.result)


def _shown(value: object) -> str:
    return "absent" if value is None else str(value)


def _told(one: Operation) -> str:
    returned = "outcome unknown" if one.returned_ns is None else f"returned {one.returned_ns} ns"
    revision = "" if one.revision is None else f"\nrevision {one.revision}"
    return f"{_label(one)}\nclient {one.client}\ncalled {one.called_ns} ns\n{returned}{revision}"


def _row(one: Operation, origin: int, *, is_stuck: bool) -> str:
    returned = "unknown" if one.returned_ns is None else _ms(one.returned_ns - origin)
    cells = (str(one.client), _label(one), _ms(one.called_ns - origin), returned, str(one.revision or ""))
    mark = ' class="stuck"' if is_stuck else ""
    return f"<tr{mark}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _ms(ns: int) -> str:
    return f"{ns / 1e6:.3f} ms"
