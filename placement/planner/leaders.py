"""Spreads leaders over the nodes that are alive, by leadership transfers.

A transfer is worth its cost only when it evens out the load, so nothing moves once no chain of transfers can (this and
the settle time keep leaders from flapping). Among equally good transfers, those that bring a group home to its preferred leader
come first.
"""

from collections.abc import Iterable, Mapping

from placement.planner.evenness import Move, Option, cost_reducing_path
from placement.planner.view import Decision, Idle, Operator, Operators, Purpose, Reason, TransferLeader, View
from wire.messages import GroupInfo


def balance_leaders(view: View) -> Decision:
    """Transfers to ask for now, or why there are none."""
    if not view.leaders:
        return Idle(Reason.NO_LEADERS)
    leaders = _expected_leaders(view)
    load = dict.fromkeys(view.alive, 0)
    for leader in leaders.values():
        load[leader] += 1
    is_level = max(load.values(), default=0) - min(load.values(), default=0) <= 1  # nearly always, and needs no edges
    if is_level or not cost_reducing_path(load, _edges(view.map.groups, leaders, view.alive)):
        return Idle(Reason.BALANCED)
    budget = view.goals.transfers_max - len(view.pending)
    if budget <= 0:
        return Idle(Reason.TRANSFERS_UNDER_WAY)
    operators = _plan(view, leaders, load, budget)
    return Operators(operators) if operators else Idle(Reason.SETTLING)


def _expected_leaders(view: View) -> dict[int, str]:
    """Who leads each group once the transfers under way have ended."""
    leaders = {group: leadership.node for group, leadership in view.leaders.items() if leadership.node in view.alive}
    asked = {group: node for group, node in view.pending.items() if group in leaders and node in view.alive}
    return leaders | asked


def _plan(view: View, leaders: dict[int, str], load: dict[str, int], budget: int) -> tuple[Operator, ...]:
    """One operator for each chain of transfers, `budget` steps in all; moves `leaders` and `load` along."""
    settle_ms = view.goals.settle_ms
    targets = {name for name, age_ms in view.alive.items() if age_ms >= settle_ms}
    settled = {group for group, leadership in view.leaders.items() if leadership.age_ms >= settle_ms}
    movable = [group for group in view.map.groups if group.id in settled and group.id not in view.pending]
    operators = []
    while budget > 0 and (path := cost_reducing_path(load, _edges(movable, leaders, targets))):
        steps = path[:budget]
        budget -= len(steps)
        for move in steps:
            _apply(move, leaders, load)
        moved = {move.item for move in steps}
        movable = [group for group in movable if group.id not in moved]
        operators.append(Operator(Purpose.LEADER_BALANCE, tuple(TransferLeader(*move) for move in steps)))
    return tuple(operators)


def _apply(move: Move, leaders: dict[int, str], load: dict[str, int]) -> None:
    leaders[move.item] = move.target
    load[move.source] -= 1
    load[move.target] += 1


def _edges(
    groups: Iterable[GroupInfo], leaders: Mapping[int, str], targets: Iterable[str]
) -> dict[str, dict[str, Option]]:
    """For each pair of nodes, the group that had best move from the one to the other."""
    allowed = set(targets)
    edges: dict[str, dict[str, Option]] = {}
    for group in groups:
        leader = leaders.get(group.id)
        if leader is None:
            continue
        options = edges.setdefault(leader, {})
        for target in group.replicas:
            if target != leader and target in allowed:
                option = Option(_rank(group, leader, target), group.id)
                options[target] = min(option, options.get(target, option))
    return edges


def _rank(group: GroupInfo, leader: str, target: str) -> int:
    preferred = group.replicas[0]
    if target == preferred:
        return 0
    return 2 if leader == preferred else 1
