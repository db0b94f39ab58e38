"""Decides what the cluster should do next. Pure: a view in, a decision out; no clock, network or randomness."""

from placement.planner.decide import decide
from placement.planner.view import (
    CreateGroups,
    Decision,
    Goals,
    Idle,
    Leadership,
    Operator,
    Operators,
    Purpose,
    Reason,
    Step,
    TransferLeader,
    View,
)

__all__ = [
    "CreateGroups",
    "Decision",
    "Goals",
    "Idle",
    "Leadership",
    "Operator",
    "Operators",
    "Purpose",
    "Reason",
    "Step",
    "TransferLeader",
    "View",
    "decide",
]
