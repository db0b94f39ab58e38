"""The planner's one question: given the cluster as it is, what is to be done?"""

from placement.planner.groups import create_groups
from placement.planner.leaders import balance_leaders
from placement.planner.view import Decision, Idle, Operator, Operators, Purpose, Reason, View


def decide(view: View) -> Decision:
    """Operators to carry out now, or the reason why there are none. The same view gives the same decision."""
    return balance_leaders(view) if view.map.groups else _bootstrap(view)


def _bootstrap(view: View) -> Decision:
    goals = view.goals
    nodes = [node for node in view.map.nodes if node.id in view.alive]
    if len(nodes) < goals.expected_nodes:
        return Idle(Reason.WAITING_FOR_NODES)
    if len(nodes) < goals.replicas:
        return Idle(Reason.TOO_FEW_NODES)
    step = create_groups(nodes, goals.groups, goals.replicas)
    return Operators((Operator(Purpose.BOOTSTRAP, (step,)),))
