"""What a larger cluster would need, reckoned from what was measured on this machine and from how Concord works. Pure.

Nothing here was measured at that size. What is counted exactly: connections, messages and encoded sizes. What is scaled up from a
measurement: the processor time of idle groups and the memory of keys, both as straight lines.
"""

from collections.abc import Sequence

import msgspec

from loadtest.figures import percentile, significant
from loadtest.scale.records import Idle, Keys
from raft import RaftConfig
from wire.messages import ClusterMap, GroupBeat, GroupInfo, HeartbeatRequest, NodeInfo, SlotRange
from wire.slots import SLOT_COUNT

REPLICAS = 3
BULK_KEYS = 500
GATEWAYS = 10
KEYS = 100_000_000
SIZES = ((3, 8), (10, 64), (30, 256), (100, 1_000), (300, 4_000))
HEADINGS = (
    "nodes",
    "groups",
    "replicas a node",
    "connections of a node",
    "packets a node, per s",
    "heartbeats a node, per s",
    "idle CPU a node",
    "map",
    "placement, per s",
    "groups of a bulk of 500",
    "memory a node",
)


class Need(msgspec.Struct, frozen=True):
    """What one size needs.

    Attributes:
        nodes: how many.
        groups: with three replicas each, spread evenly.
        replicas: on each node.
        connections: of a node: one to and one from each other node, and one from each of ten gateways.
        packets_per_s: Raft packets that an idle node sends: one to each other node at each heartbeat, and one in answer to each.
        heartbeats_per_s: Raft messages in them, answers included.
        map_bytes: of the cluster map as it goes to gateways and nodes when it changes.
        beats_bytes_per_s: what all nodes together tell placement.
        bulk_groups: how many groups a bulk of 500 keys meets on average.
    """

    nodes: int
    groups: int
    replicas: float
    connections: int
    packets_per_s: float
    heartbeats_per_s: float
    map_bytes: int
    beats_bytes_per_s: int
    bulk_groups: float


def reckon(nodes: int, groups: int) -> Need:
    """What follows from the numbers alone."""
    replicas = groups * REPLICAS / nodes
    peers = min(nodes - 1, replicas * (REPLICAS - 1))
    beats_per_s = 1 / RaftConfig().heartbeat_s
    return Need(
        nodes=nodes,
        groups=groups,
        replicas=replicas,
        connections=round(2 * peers) + GATEWAYS,
        packets_per_s=2 * peers * beats_per_s,
        heartbeats_per_s=2 * groups / nodes * (REPLICAS - 1) * beats_per_s,
        map_bytes=len(msgspec.msgpack.encode(_map(nodes, groups))),
        beats_bytes_per_s=nodes * _beat_bytes(round(replicas)),
        bulk_groups=groups * (1 - (1 - 1 / groups) ** BULK_KEYS),
    )


def _map(nodes: int, groups: int) -> ClusterMap:
    """A map as placement would make it: names, addresses and incarnations as long as they are, a range of slots for each group."""
    infos = [
        NodeInfo(
            f"n{number}", f"10.0.{number // 250}.{number % 250}:4101", f"z{number % 3}", f"host-{number}", "f" * 32
        )
        for number in range(nodes)
    ]
    made = [
        GroupInfo(number, [infos[(number + step) % nodes].id for step in range(REPLICAS)])
        for number in range(1, groups + 1)
    ]
    edges = [SLOT_COUNT * number // groups for number in range(groups + 1)]
    slots = [SlotRange(edges[number], edges[number + 1] - 1, number + 1) for number in range(groups)]
    return ClusterMap("production", 1_000, infos, made, slots)


def _beat_bytes(replicas: int) -> int:
    beats = [GroupBeat(group=1_000 + number, leading=False, term=10) for number in range(replicas)]
    return len(msgspec.msgpack.encode(HeartbeatRequest("n100", "f" * 32, 1_000, beats)))


def core_per_replica(idle: Sequence[Idle]) -> float | None:
    """Part of a core that one more idle replica costs a node, a straight line through the smallest and the largest measurement."""
    by_groups = sorted(idle, key=lambda one: one.groups)
    if len(by_groups) < 2 or by_groups[0].groups == by_groups[-1].groups:
        return None
    few, many = by_groups[0], by_groups[-1]
    more = (many.groups - few.groups) * REPLICAS / many.nodes
    return (percentile(many.node_shares, 0.5) - percentile(few.node_shares, 0.5)) / more


def rows(idle: Sequence[Idle], keys: Sequence[Keys]) -> list[list[str]]:
    """The table's lines; `?` where what it would be derived from was not measured."""
    per_replica = core_per_replica(idle)
    largest = max(keys, key=lambda one: one.keys, default=None)
    return [_row(reckon(nodes, groups), per_replica, largest) for nodes, groups in SIZES]


def _row(need: Need, per_replica: float | None, largest: Keys | None) -> list[str]:
    share = "?" if per_replica is None else f"{per_replica * need.replicas:.1%}"
    memory = "?" if largest is None else f"{significant(largest.bytes_per_key * KEYS * REPLICAS / need.nodes / 1e9)} GB"
    return [
        str(need.nodes),
        f"{need.groups:,}",
        significant(need.replicas),
        str(need.connections),
        significant(need.packets_per_s),
        significant(need.heartbeats_per_s),
        share,
        f"{need.map_bytes / 1024:,.1f} KiB",
        f"{need.beats_bytes_per_s / 1024:,.1f} KiB",
        significant(need.bulk_groups),
        memory,
    ]
