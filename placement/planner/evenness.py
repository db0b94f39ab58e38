"""Spreads items over bins as evenly as their options allow.

Leaders over nodes are a semi-matching: each group (item) picks one of its replicas (bins). A semi-matching is as even as
possible exactly when it has no *cost-reducing path*: a chain of moves from a bin to another that holds at least two
items less (Harvey, Ladner, Lovász, Tamir: Semi-matchings for bipartite graphs and load balancing, J. Algorithms 2006,
Theorem 3.1). Shortest paths are taken first, so a chain that is carried out only in part leaves a shorter one.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple


class Option(NamedTuple):
    """An item that may move along an edge; the lowest is taken."""

    rank: int
    item: int


class Move(NamedTuple):
    """Take an item from one bin to another."""

    item: int
    source: str
    target: str


def cost_reducing_path(load: Mapping[str, int], edges: Mapping[str, Mapping[str, Option]]) -> list[Move]:
    """The shortest chain of moves out of the fullest bin that has one; empty when the load is as even as it can be.

    Args:
        load: bin → how many items it holds.
        edges: source → target → the item that may move between them.
    """
    for source in sorted(load, key=lambda name: (-load[name], name)):
        path = _path_from(source, load, edges)
        if path:
            return path
    return []


def _path_from(source: str, load: Mapping[str, int], edges: Mapping[str, Mapping[str, Option]]) -> list[Move]:
    reached_by: dict[str, Move] = {}
    frontier = deque([source])
    while frontier:
        ends = []
        for _ in range(len(frontier)):  # one distance at a time
            here = frontier.popleft()
            for there, option in edges.get(here, {}).items():
                if there == source or there in reached_by:
                    continue
                reached_by[there] = Move(option.item, here, there)
                frontier.append(there)
                if load[there] <= load[source] - 2:
                    ends.append((load[there], option.rank, there))
        if ends:
            return _trace(min(ends)[2], source, reached_by)
    return []


def _trace(end: str, source: str, reached_by: Mapping[str, Move]) -> list[Move]:
    path = []
    while end != source:
        path.append(reached_by[end])
        end = path[-1].source
    return path[::-1]
