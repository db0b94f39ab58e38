"""Creates the first groups: which nodes hold the replicas of each, who leads it first, and which slots it owns.

In this order: replicas on distinct nodes; in distinct zones as far as there are zones, on distinct hosts as far as
there are hosts; the same number of replicas on each node; the same number of first leaders on each node. Deterministic:
the same nodes, in any order, give the same groups.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from placement.planner.evenness import Option, cost_reducing_path
from placement.planner.view import CreateGroups
from wire.messages import GroupInfo, NodeInfo, SlotRange
from wire.slots import SLOT_COUNT


def create_groups(nodes: Iterable[NodeInfo], groups: int, replicas: int) -> CreateGroups:
    """Groups 1..`groups` of `replicas` members each on `nodes`, which must be at least as many as `replicas`."""
    ordered = sorted(nodes, key=lambda node: node.id)
    members = _spread_replicas(ordered, groups, replicas)
    leaders = _spread_leaders(members)
    infos = tuple(
        GroupInfo(group, [leaders[group], *(name for name in names if name != leaders[group])])
        for group, names in members.items()
    )
    return CreateGroups(infos, even_slots(groups))


def even_slots(groups: int) -> tuple[SlotRange, ...]:
    """All slots in one contiguous range for each of the groups 1..`groups`, whose sizes differ by at most one."""
    edges = [SLOT_COUNT * group // groups for group in range(groups + 1)]
    return tuple(SlotRange(edges[group - 1], edges[group] - 1, group) for group in range(1, groups + 1))


class _Load:
    """How many replicas each node, zone and host has so far."""

    def __init__(self, nodes: Sequence[NodeInfo]) -> None:
        self.nodes = nodes
        self.by_node: Counter[str] = Counter()
        self.by_zone: Counter[str] = Counter()
        self.zone_sizes = Counter(node.zone for node in nodes)

    def take(self, chosen: Sequence[NodeInfo]) -> NodeInfo:
        """The best node to join the chosen ones in a group: distance first, then the least load."""
        zones, hosts = Counter(node.zone for node in chosen), Counter(node.host for node in chosen)

        def cost(node: NodeInfo) -> tuple[bool, bool, int, int, int, float, str]:
            zone, host = zones[node.zone], hosts[node.host]
            crowding = self.by_zone[node.zone] / self.zone_sizes[node.zone]
            return (zone > 0, host > 0, zone, host, self.by_node[node.id], crowding, node.id)

        best = min((node for node in self.nodes if node not in chosen), key=cost)
        self.by_node[best.id] += 1
        self.by_zone[best.zone] += 1
        return best


def _spread_replicas(nodes: Sequence[NodeInfo], groups: int, replicas: int) -> dict[int, list[str]]:
    load = _Load(nodes)
    members = {}
    for group in range(1, groups + 1):
        chosen: list[NodeInfo] = []
        for _ in range(replicas):
            chosen.append(load.take(chosen))
        members[group] = [node.id for node in chosen]
    _even_out(nodes, members, load.by_node)
    return members


def _even_out(nodes: Sequence[NodeInfo], members: dict[int, list[str]], load: Counter[str]) -> None:
    """Swap replicas off fuller nodes while that brings no two of a group closer; each swap lowers the sum of squares."""
    known = {node.id: node for node in nodes}
    changed = True
    while changed:
        changed = False
        for names in members.values():
            for place, name in enumerate(names):
                better = _swap_for(place, names, known, load)
                if better:
                    names[place] = better
                    load[name] -= 1
                    load[better] += 1
                    changed = True


def _swap_for(place: int, names: list[str], known: Mapping[str, NodeInfo], load: Counter[str]) -> str:
    """The emptiest node that may stand in at a place of a group and is at least two replicas emptier, or ""."""
    fits = (
        name
        for name in known
        if load[name] <= load[names[place]] - 2
        and name not in names
        and _spread(names, known) <= _spread([*names[:place], name, *names[place + 1 :]], known)
    )
    return min(fits, key=lambda name: (load[name], name), default="")


def _spread(names: Iterable[str], known: Mapping[str, NodeInfo]) -> tuple[int, int]:
    """How many zones and hosts a group is on; more is better, zones first."""
    return len({known[name].zone for name in names}), len({known[name].host for name in names})


def _spread_leaders(members: dict[int, list[str]]) -> dict[int, str]:
    load: Counter[str] = Counter({name: 0 for names in members.values() for name in names})
    leaders = {}
    for group, names in members.items():
        leaders[group] = min(names, key=lambda name: (load[name], name))
        load[leaders[group]] += 1
    while path := cost_reducing_path(load, _handovers(members, leaders)):
        for move in path:
            leaders[move.item] = move.target
            load[move.source] -= 1
            load[move.target] += 1
    return leaders


def _handovers(members: dict[int, list[str]], leaders: dict[int, str]) -> dict[str, dict[str, Option]]:
    edges: dict[str, dict[str, Option]] = {}
    for group, names in members.items():
        targets = edges.setdefault(leaders[group], {})
        for name in names:
            if name != leaders[group]:
                targets.setdefault(name, Option(0, group))
    return edges
