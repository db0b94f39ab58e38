"""The state machine of the placement group: nodes, groups and slots, as one map; and the API tokens, as one table.

Invariants: the epoch grows by exactly one with each visible change and never otherwise; a node id keeps its incarnation for
ever; groups and slots are set once. The same commands give the same map and table on every replica: there is no clock and
no other input. Nodes are ordered by id and groups by number, whatever the order in which they came.
"""

from collections.abc import Callable, Iterator

import msgspec

from placement.checks import NODES_MAX, groups_problem, node_problem
from placement.commands import Accepted, Bootstrap, RegisterNode, Rejected, Rejection, Result, decode_command
from placement.maps import Listener, empty_map
from placement.tokens.book import TokenBook
from wire.messages import ClusterMap, NodeInfo
from wire.rpc import UNDECODABLE
from wire.token_messages import TokenTable

PLACEMENT_GROUP = 0

MAP_ONLY_FORMAT = 1  # before there were tokens; still read
SNAPSHOT_FORMAT = 2
SNAPSHOT_CHUNK_BYTES = 256 << 10


class State(msgspec.Struct, frozen=True, array_like=True):
    """Everything that the machine knows."""

    map: ClusterMap
    tokens: TokenTable


_encode_state: Callable[[State], bytes] = msgspec.msgpack.Encoder().encode
_decode_state: Callable[[memoryview], State] = msgspec.msgpack.Decoder(State).decode
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
        self.tokens = TokenBook()

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
        if isinstance(decoded, Bootstrap):
            return self._bootstrap(decoded)
        return self.tokens.apply(decoded)

    def snapshot(self) -> Iterator[bytes]:
        """The state as it is now; its parts are immutable, so what is applied meanwhile does not show."""
        data = bytes((SNAPSHOT_FORMAT,)) + _encode_state(State(self._map, self.tokens.table))
        return (data[start : start + SNAPSHOT_CHUNK_BYTES] for start in range(0, len(data), SNAPSHOT_CHUNK_BYTES))

    def restore(self) -> "StateRestorer":
        """Begin to replace the state by that of a snapshot."""
        return StateRestorer(self._map.cluster, self._replace_all)

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

    def _replace_all(self, state: State) -> None:
        self._replace(state.map)
        self.tokens.replace(state.tokens)

    def _replace(self, new: ClusterMap) -> None:
        old, self._map = self._map, new
        self._nodes = {node.id: node for node in new.nodes}
        if new != old:
            self._on_map(new)


_OTHER_INCARNATION = (
    "Node {} is registered with another data directory. Start it with that one; if that is lost, so is the node: the cluster "
    "goes on while most replicas of each group live, and docs/operations.md says what comes next (A node that is lost)."
)


class StateRestorer:
    """Gathers a snapshot; implements `raft.interface.Restorer`."""

    def __init__(self, cluster: str, replace: Callable[[State], object]) -> None:
        self._cluster = cluster
        self._replace = replace
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk."""
        self._data += chunk

    def finish(self) -> None:
        """Replace the machine's state.

        Raises:
            SnapshotError: the machine keeps its state.
        """
        state = _read_state(self._data)
        if state.map.cluster != self._cluster:
            raise SnapshotError(f"the snapshot belongs to cluster {state.map.cluster!r}, not {self._cluster!r}")
        self._replace(state)


def _read_state(data: bytearray) -> State:
    known, content = data[:1], memoryview(data)[1:]
    try:
        if known == bytes((SNAPSHOT_FORMAT,)):
            return _decode_state(content)
        if known == bytes((MAP_ONLY_FORMAT,)):
            return State(_decode_map(content), TokenTable())
    except UNDECODABLE as error:
        raise SnapshotError("the snapshot cannot be read") from error
    raise SnapshotError("the snapshot's format is not known")
