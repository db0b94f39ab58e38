"""The state machine of the placement group: nodes, groups and slots, as one map.

Invariants: the epoch grows by exactly one with each visible change and never otherwise; a node id keeps its incarnation for
ever; groups and slots are set once. The same commands give the same map on every replica: there is no clock and no
other input. Nodes are ordered by id and groups by number, whatever the order in which they came.
"""

from collections.abc import Callable, Iterator

import msgspec

from placement.checks import NODES_MAX, groups_problem, node_problem
from placement.commands import Accepted, Bootstrap, RegisterNode, Rejected, Rejection, Result, decode_command
from placement.maps import Listener, empty_map
from wire.messages import ClusterMap, NodeInfo
from wire.rpc import UNDECODABLE

PLACEMENT_GROUP = 0

SNAPSHOT_FORMAT = 1
SNAPSHOT_CHUNK_BYTES = 256 << 10

_encode_map: Callable[[ClusterMap], bytes] = msgspec.msgpack.Encoder().encode
_decode_map: Callable[[memoryview], ClusterMap] = msgspec.msgpack.Decoder(ClusterMap).decode


class SnapshotError(ValueError):
    """A snapshot of the placement group cannot be read, or is another cluster's."""


class PlacementMachine:
    """Implements `raft.interface.StateMachine`; `apply` returns a `Result`.

    Args:
        cluster: name of the cluster.
        on_map: called after each apply or restore that changed the map; not part of the state, must not raise.
    """

    def __init__(self, cluster: str, on_map: Listener) -> None:
        self._on_map = on_map
        self._map = empty_map(cluster)
        self._nodes: dict[str, NodeInfo] = {}

    @property
    def map(self) -> ClusterMap:
        """What is decided so far."""
        return self._map

    def node(self, node_id: str) -> NodeInfo | None:
        """A registered node."""
        return self._nodes.get(node_id)

    def refusal(self, node: NodeInfo) -> Rejected | None:
        """Why a node may not be registered, None when it may."""
        known = self._nodes.get(node.id)
        if problem := node_problem(node):
            return Rejected(Rejection.INVALID_NODE, problem)
        if known is not None and known.incarnation != node.incarnation:
            return Rejected(Rejection.OTHER_INCARNATION, _OTHER_INCARNATION.format(node.id))
        if known is None and len(self._nodes) >= NODES_MAX:
            return Rejected(Rejection.TOO_MANY_NODES, f"The cluster has {NODES_MAX} nodes, the most that it takes.")
        return None

    def apply(self, index: int, term: int, command: bytes) -> Result:
        """Apply a committed command; a command that cannot hold changes nothing and says why."""
        del index, term
        decoded = decode_command(command)
        if decoded is None:
            return Rejected(Rejection.MALFORMED, "The command cannot be read.")
        if isinstance(decoded, RegisterNode):
            return self._register(decoded.node)
        return self._bootstrap(decoded)

    def snapshot(self) -> Iterator[bytes]:
        """The map as it is now; it is immutable, so what is applied meanwhile does not show."""
        data = bytes((SNAPSHOT_FORMAT,)) + _encode_map(self._map)
        return (data[start : start + SNAPSHOT_CHUNK_BYTES] for start in range(0, len(data), SNAPSHOT_CHUNK_BYTES))

    def restore(self) -> "MapRestorer":
        """Begin to replace the map by that of a snapshot."""
        return MapRestorer(self._map.cluster, self._replace)

    def _register(self, node: NodeInfo) -> Result:
        if self._nodes.get(node.id) == node:
            return Accepted(self._map.epoch)
        if rejected := self.refusal(node):
            return rejected
        nodes = sorted((self._nodes | {node.id: node}).values(), key=lambda each: each.id)
        return self._change(msgspec.structs.replace(self._map, nodes=nodes))

    def _bootstrap(self, command: Bootstrap) -> Result:
        groups = sorted(command.groups, key=lambda group: group.id)
        if self._map.groups:
            if (groups, command.slots) == (self._map.groups, self._map.slots):
                return Accepted(self._map.epoch)
            return Rejected(Rejection.ALREADY_BOOTSTRAPPED, "The cluster has its groups already.")
        if problem := groups_problem(groups, command.slots, self._nodes):
            return Rejected(Rejection.INVALID_GROUPS, problem)
        return self._change(msgspec.structs.replace(self._map, groups=groups, slots=command.slots))

    def _change(self, changed: ClusterMap) -> Accepted:
        self._replace(msgspec.structs.replace(changed, epoch=self._map.epoch + 1))
        return Accepted(self._map.epoch)

    def _replace(self, new: ClusterMap) -> None:
        old, self._map = self._map, new
        self._nodes = {node.id: node for node in new.nodes}
        if new != old:
            self._on_map(new)


_OTHER_INCARNATION = (
    "Node {} is registered with another data directory. Start it with that one; "
    "if the data is lost, start an empty node under an id that was never used."
)


class MapRestorer:
    """Gathers a snapshot; implements `raft.interface.Restorer`."""

    def __init__(self, cluster: str, replace: Listener) -> None:
        self._cluster = cluster
        self._replace = replace
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._data += chunk

    def finish(self) -> None:
        """Replace the machine's map.

        Raises:
            SnapshotError: the machine keeps its map.
        """
        if self._data[:1] != bytes((SNAPSHOT_FORMAT,)):
            raise SnapshotError("the snapshot's format is not known")
        try:
            new = _decode_map(memoryview(self._data)[1:])
        except UNDECODABLE as error:
            raise SnapshotError("the snapshot cannot be read") from error
        if new.cluster != self._cluster:
            raise SnapshotError(f"the snapshot belongs to cluster {new.cluster!r}, not {self._cluster!r}")
        self._replace(new)
