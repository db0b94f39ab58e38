"""What the planner sees and what it answers.

A decision is a list of operators, each a list of small idempotent steps, or one numbered reason why nothing is done
(the shape of TiKV's placement driver). Ages are in milliseconds and were measured by the caller: there is no clock here.
"""

import enum
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from wire.messages import ClusterMap, GroupInfo, SlotRange
from wire.slots import SLOT_COUNT


class Goals(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster should look like.

    Attributes:
        expected_nodes: how many nodes must be alive before groups are created.
        groups: how many groups to create, 1..16384.
        replicas: members of each group.
        transfers_max: leadership transfers under way at a time.
        settle_ms: a group whose leader changed, or a node that came up, less than this ago is left in peace.

    Raises:
        ValueError: a goal is out of its range.
    """

    expected_nodes: int
    groups: int
    replicas: int
    transfers_max: int = 4
    settle_ms: int = 5000

    def __post_init__(self) -> None:
        if not 1 <= self.groups <= SLOT_COUNT:
            raise ValueError(f"groups is {self.groups}: it must be 1..{SLOT_COUNT}")
        if min(self.expected_nodes, self.replicas, self.transfers_max) < 1 or self.settle_ms < 0:
            raise ValueError("expected_nodes, replicas and transfers_max must be at least 1 and settle_ms at least 0")


class Leadership(msgspec.Struct, frozen=True):
    """Which node leads a group, and for how long it is known to."""

    node: str
    age_ms: int


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster at one moment.

    Attributes:
        map: what is decided.
        alive: node id → for how long it has been alive, in ms; a node that is not here is down or unknown.
        leaders: group id → its leader, for groups whose leader is known and alive.
        pending: group id → node id that was asked to take over and has not yet.
        goals: what the cluster should look like.
    """

    map: ClusterMap
    alive: Mapping[str, int]
    leaders: Mapping[int, Leadership]
    pending: Mapping[int, str]
    goals: Goals


class CreateGroups(msgspec.Struct, frozen=True):
    """Log the first groups and who owns which slots."""

    groups: tuple[GroupInfo, ...]
    slots: tuple[SlotRange, ...]


class TransferLeader(msgspec.Struct, frozen=True):
    """Ask `source`, which leads the group, to hand it over to `target`."""

    group: int
    source: str
    target: str


Step: TypeAlias = CreateGroups | TransferLeader


class Purpose(enum.StrEnum):
    """Why an operator exists; a label for logs and metrics."""

    BOOTSTRAP = "bootstrap"
    LEADER_BALANCE = "leader-balance"


class Operator(msgspec.Struct, frozen=True):
    """Steps to carry out in order; each may be repeated without harm."""

    purpose: Purpose
    steps: tuple[Step, ...]


class Reason(enum.Enum):
    """Why nothing is done: a number that stays the same for ever, and a sentence."""

    BALANCED = (1, "Leaders are spread as evenly as the replicas allow.")
    WAITING_FOR_NODES = (2, "Fewer nodes are alive than are expected before groups are created.")
    TOO_FEW_NODES = (3, "Fewer nodes are alive than a group has replicas.")
    SETTLING = (4, "Leaders are uneven, but those that could move, or where to, changed a moment ago.")
    TRANSFERS_UNDER_WAY = (5, "As many leadership transfers are under way as are allowed at a time.")
    NO_LEADERS = (6, "No group has a known leader.")

    def __init__(self, number: int, sentence: str) -> None:
        self.number = number
        self.sentence = sentence


class Operators(msgspec.Struct, frozen=True):
    """Something is to be done."""

    operators: tuple[Operator, ...]


class Idle(msgspec.Struct, frozen=True):
    """Nothing is to be done."""

    reason: Reason


Decision: TypeAlias = Operators | Idle
