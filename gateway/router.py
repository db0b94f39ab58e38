"""Where a key's request should go: key → slot → group → node. Pure; fed with maps and with what answers teach.

The leader of a group is a guess until a node answers as one; a wrong guess costs one more RPC and never correctness,
because only a leader acts as one. `epoch` 0 and groups of 0 mean that nothing is known yet.
"""

from collections.abc import Collection, Iterable, Sequence

from wire.messages import ClusterMap, GroupInfo, NodeInfo
from wire.slots import SLOT_COUNT, slot_of

NO_GROUP = 0


class Router:
    """The newest map as tables, and the guess at each group's leader."""

    def __init__(self) -> None:
        self._slots = [NO_GROUP] * SLOT_COUNT
        self._groups: dict[int, GroupInfo] = {}
        self._nodes: dict[str, NodeInfo] = {}
        self._leaders: dict[int, str] = {}
        self._epoch = 0
        self._complete = False

    def update(self, newer: ClusterMap) -> None:
        """Take a map; a leader is remembered as long as it still has a replica of its group."""
        slots = [NO_GROUP] * SLOT_COUNT
        for owned in newer.slots:
            slots[owned.first : owned.last + 1] = [owned.group] * (owned.last + 1 - owned.first)
        self._slots = slots
        self._groups = {group.id: group for group in newer.groups}
        self._nodes = {node.id: node for node in newer.nodes}
        self._leaders = {
            group: node
            for group, node in self._leaders.items()
            if group in self._groups and node in self._groups[group].replicas
        }
        self._epoch = newer.epoch
        self._complete = NO_GROUP not in slots

    @property
    def epoch(self) -> int:
        """The epoch of the map in use."""
        return self._epoch

    @property
    def complete(self) -> bool:
        """Whether every slot has a group."""
        return self._complete

    @property
    def groups(self) -> Sequence[int]:
        """The groups of the map."""
        return tuple(self._groups)

    @property
    def nodes(self) -> Iterable[NodeInfo]:
        """The nodes of the map."""
        return self._nodes.values()

    def serving_groups(self) -> list[int]:
        """The groups that own slots, each once."""
        return sorted(set(self._slots) - {NO_GROUP})

    def group_of(self, key: str) -> int:
        """The group that owns a key, or NO_GROUP."""
        return self._slots[slot_of(key)]

    def node(self, node: str) -> NodeInfo | None:
        """A node of the map."""
        return self._nodes.get(node)

    def replicas(self, group: int) -> Sequence[str]:
        """The nodes that hold a group, its preferred leader first; empty when the map has no such group."""
        info = self._groups.get(group)
        return info.replicas if info is not None else ()

    def leader(self, group: int) -> str:
        """The best guess at a group's leader: the last that acted as one, else the preferred one, else ""."""
        known = self._leaders.get(group)
        if known is not None:
            return known
        replicas = self.replicas(group)
        return replicas[0] if replicas else ""

    def learn(self, group: int, node: str) -> None:
        """`node` acted as the group's leader, or was named as such by another replica."""
        if self._leaders.get(group) != node and node in self.replicas(group):
            self._leaders[group] = node

    def avoid(self, group: int, node: str, failed: Collection[str]) -> None:
        """`node` is not the leader or is away: guess the next replica, sooner one that is not among `failed`.

        Without effect when the guess has already moved on, so that many requests that fail together move it once.
        """
        replicas = self.replicas(group)
        if not replicas or self.leader(group) != node:
            return
        start = replicas.index(node) + 1 if node in replicas else 0
        turn = [*replicas[start:], *replicas[:start]]
        self._leaders[group] = next((replica for replica in turn if replica not in failed), turn[0])
