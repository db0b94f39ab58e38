"""What a node and a set of groups must fulfil to enter the map. Pure: the machine applies these inside the log."""

import re
from collections.abc import Container, Sequence

from process.address import parse_address
from wire.messages import GroupInfo, NodeInfo, SlotRange
from wire.slots import SLOT_COUNT

NODES_MAX = 1024
LABEL_CHARACTERS_MAX = 255

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


def node_problem(node: NodeInfo) -> str:
    """What is wrong with a node's description, as a sentence; "" when nothing is."""
    if not _NAME.fullmatch(node.id):
        return (
            "A node's id is 1 to 63 letters, digits, dots, dashes and underscores, and begins with a letter or digit."
        )
    if max(len(node.zone), len(node.host), len(node.address)) > LABEL_CHARACTERS_MAX:
        return f"A node's zone, host and address have at most {LABEL_CHARACTERS_MAX} characters each."
    if not 1 <= len(node.incarnation) <= LABEL_CHARACTERS_MAX:
        return f"A node's incarnation has 1 to {LABEL_CHARACTERS_MAX} characters."
    return "" if _is_address(node.address) else "A node's address has the form host:port."


def groups_problem(groups: Sequence[GroupInfo], slots: Sequence[SlotRange], nodes: Container[str]) -> str:
    """What is wrong with the first groups of a cluster, as a sentence; "" when nothing is."""
    ids = {group.id for group in groups}
    if len(ids) != len(groups) or min(ids, default=0) < 1:
        return "Groups have distinct ids from 1 on, and there is at least one."
    for group in groups:
        if not group.replicas or len(set(group.replicas)) != len(group.replicas):
            return f"Group {group.id} does not have distinct replicas."
        if any(name not in nodes for name in group.replicas):
            return f"Group {group.id} has a replica on a node that is not registered."
    return _slots_problem(slots, ids)


def _slots_problem(slots: Sequence[SlotRange], groups: Container[int]) -> str:
    following = 0
    for part in slots:
        if part.first != following or part.last < part.first or part.group not in groups:
            return "Each slot must be owned by exactly one group, in ranges in order."
        following = part.last + 1
    return "" if following == SLOT_COUNT else "Each slot must be owned by exactly one group, in ranges in order."


def _is_address(address: str) -> bool:
    try:
        return parse_address(address)[1] > 0
    except ValueError:
        return False
