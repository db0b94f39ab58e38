"""What a node shows to Prometheus: one table of families, each with where its figures come from (see docs/metrics.md).

Groups are told apart by their number; 0 is placement's. Nothing is kept for this: every figure is read when it is asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from process.exposition import Family, Figures, Kind, Sample, Value
from raft import RaftHost, SafeReplica
from shard.group import GroupService
from wire import RpcServer

_ROLES = {"follower": 0, "candidate": 1, "leader": 2}
_KEPT = {"l": "lock", "q": "limit", "i": "idempotency_key"}
_GROUP = ("group",)


class NodeView(msgspec.Struct, frozen=True):
    """What is looked at.

    Attributes:
        identity: labels of the node: id, cluster, durability.
        host: its replicas and its log.
        server: its RPC server.
        groups: the data groups that it hosts.
        epoch: of the map that it knows.
        uptime_s: since the process started.
        memory_bytes: as the kernel counts them.
        cpu_s: processor time of the process.
        descriptors: file descriptors that are open.
    """

    identity: tuple[str, str, str]
    host: RaftHost
    server: RpcServer
    groups: Mapping[int, GroupService]
    epoch: Callable[[], int]
    uptime_s: Callable[[], float]
    memory_bytes: Callable[[], int]
    cpu_s: Callable[[], float]
    descriptors: Callable[[], int]


_Read: TypeAlias = Callable[[NodeView], Iterable[Sample]]


def figures(view: NodeView) -> Figures:
    """Every family with its figures, as `process.exposition.render` wants them."""
    for family, read in _TABLE:
        yield family, read(view)


def families() -> list[Family]:
    """All that are shown."""
    return [family for family, _ in _TABLE]


def _one(read: Callable[[NodeView], Value]) -> _Read:
    return lambda view: [((), read(view))]


def _by_replica(read: Callable[[SafeReplica], float]) -> _Read:
    return lambda view: [((str(number),), read(replica)) for number, replica in view.host.replicas.items()]


def _by_group(read: Callable[[GroupService], float]) -> _Read:
    return lambda view: [((str(number),), read(group)) for number, group in view.groups.items()]


def _answered_reads(view: NodeView) -> Iterator[Sample]:
    for number, group in view.groups.items():
        counted = group.figures
        yield (str(number), "lease"), counted.lease_reads
        yield (str(number), "round"), counted.reads - counted.lease_reads
        yield (str(number), "stale"), counted.stale_reads


def _failures(view: NodeView) -> Iterator[Sample]:
    for number, group in view.groups.items():
        counted = group.figures
        yield (str(number), "NOT_LEADER"), counted.refused
        yield (str(number), "OVERLOADED"), counted.overloaded
        yield (str(number), "TIMEOUT"), counted.timed_out
        yield (str(number), "UNKNOWN"), counted.unknown


def _kept(view: NodeView) -> Iterator[Sample]:
    for number, group in view.groups.items():
        for kind, name in _KEPT.items():
            yield (str(number), name), group.machine.kept(kind)


def _rpcs(view: NodeView) -> Iterator[Sample]:
    for method, counted in view.server.calls().items():
        yield (method, "OK"), counted.replies
        for code, failures in sorted(counted.failures.items()):
            yield (method, code), failures


def _packets(view: NodeView) -> list[Sample]:
    counted = view.host.figures
    return [
        (("sent",), counted.packets_sent),
        (("dropped",), counted.packets_dropped),
        (("received",), counted.packets_received),
    ]


def _messages(view: NodeView) -> list[Sample]:
    counted = view.host.figures
    return [(("sent",), counted.messages_sent), (("received",), counted.messages_received)]


def _rpc_bytes(view: NodeView) -> list[Sample]:
    traffic = view.server.traffic
    return [(("received",), traffic.received_bytes), (("sent",), traffic.sent_bytes)]


def _connections(view: NodeView) -> list[Sample]:
    traffic = view.server.traffic
    return [(("accepted",), traffic.accepted), (("refused",), traffic.refused)]


def _gauge(name: str, meaning: str, read: _Read, *labels: str) -> tuple[Family, _Read]:
    return Family(f"concord_{name}", Kind.GAUGE, meaning, labels), read


def _counter(name: str, meaning: str, read: _Read, *labels: str) -> tuple[Family, _Read]:
    return Family(f"concord_{name}_total", Kind.COUNTER, meaning, labels), read


def _histogram(name: str, meaning: str, read: _Read) -> tuple[Family, _Read]:
    return Family(f"concord_{name}", Kind.HISTOGRAM, meaning), read


_NODE = (
    _gauge(
        "node_info",
        "1, for the labels.",
        lambda view: [(view.identity, 1)],
        "node",
        "cluster",
        "durability",
    ),
    _gauge("node_uptime_seconds", "Time since the process started.", _one(lambda view: view.uptime_s())),
    _gauge("node_memory_bytes", "Resident memory of the process.", _one(lambda view: view.memory_bytes())),
    _counter("node_cpu_seconds", "Processor time of the process.", _one(lambda view: view.cpu_s())),
    _gauge("node_open_fds", "File descriptors that are open.", _one(lambda view: view.descriptors())),
    _gauge("node_map_epoch", "Epoch of the cluster map that the node knows.", _one(lambda view: view.epoch())),
    _gauge("node_groups", "Replicas of data groups hosted.", _one(lambda view: len(view.groups))),
    _gauge(
        "node_groups_led",
        "Data groups that the node leads.",
        _one(lambda view: sum(group.replica.is_leader for group in view.groups.values())),
    ),
)

_RAFT = (
    _gauge("group_role", "0 follower, 1 candidate, 2 leader.", _by_replica(lambda r: _ROLES[r.role]), *_GROUP),
    _gauge("group_term", "The replica's present term.", _by_replica(lambda r: r.term), *_GROUP),
    _gauge(
        "group_commit_index", "Highest index known to be committed.", _by_replica(lambda r: r.commit_index), *_GROUP
    ),
    _gauge("group_applied_index", "Highest index applied.", _by_replica(lambda r: r.applied_index), *_GROUP),
    _gauge("group_last_index", "Index of the last entry in the log.", _by_replica(lambda r: r.last_index), *_GROUP),
    _gauge(
        "group_apply_lag_entries",
        "Entries committed and not yet applied here.",
        _by_replica(lambda r: r.commit_index - r.applied_index),
        *_GROUP,
    ),
    _gauge(
        "group_age_seconds",
        "Time since the leader was last heard; 0 at the leader.",
        _by_replica(lambda r: r.age_ms() / 1000),
        *_GROUP,
    ),
    _gauge(
        "group_fenced", "1 while the replica's state is known to be wrong.", _by_replica(lambda r: r.is_fenced), *_GROUP
    ),
    _counter(
        "group_leader_changes",
        "Times that this replica became leader.",
        _by_replica(lambda r: r.leader_changes),
        *_GROUP,
    ),
    _counter(
        "group_pre_votes",
        "Rounds of asking for a vote beforehand.",
        _by_replica(lambda r: r.figures.pre_votes),
        *_GROUP,
    ),
    _counter("group_elections", "Elections begun here.", _by_replica(lambda r: r.figures.elections), *_GROUP),
    _counter("group_applied_entries", "Entries applied.", _by_replica(lambda r: r.figures.applied), *_GROUP),
    _counter(
        "group_applied_bytes", "Bytes of the entries applied.", _by_replica(lambda r: r.figures.applied_bytes), *_GROUP
    ),
    _counter("group_apply_seconds", "Time spent applying entries.", _by_replica(lambda r: r.figures.apply_s), *_GROUP),
    _gauge(
        "group_log_bytes", "Entries of the group that its log holds.", _by_replica(lambda r: r.journal.bytes), *_GROUP
    ),
    _gauge(
        "group_snapshot_index",
        "Last entry in the newest snapshot; 0: none.",
        _by_replica(lambda r: r.snapshot_index),
        *_GROUP,
    ),
    _counter("group_snapshots_created", "Snapshots written.", _by_replica(lambda r: r.snapshots_taken), *_GROUP),
    _counter(
        "group_snapshots_created_bytes",
        "Bytes of the snapshots written.",
        _by_replica(lambda r: r.figures.snapshots_bytes),
        *_GROUP,
    ),
    _counter(
        "group_snapshots_installed",
        "Snapshots received and installed.",
        _by_replica(lambda r: r.snapshots_installed),
        *_GROUP,
    ),
    _counter(
        "group_snapshots_installed_bytes",
        "Bytes of the snapshots installed.",
        _by_replica(lambda r: r.figures.snapshots_installed_bytes),
        *_GROUP,
    ),
    _histogram("snapshot_create_seconds", "Time to write a snapshot.", _one(lambda view: view.host.figures.snapshot)),
    _histogram(
        "snapshot_install_seconds", "Time to receive and install one.", _one(lambda view: view.host.figures.install)
    ),
)

_GROUPS = (
    _gauge(
        "group_keys", "Keys, and the group's own records beside them.", _by_group(lambda g: g.machine.keys), *_GROUP
    ),
    _gauge("group_state_bytes", "Bytes of keys and values.", _by_group(lambda g: g.machine.size_bytes), *_GROUP),
    _gauge("group_sessions", "Sessions whose writes are remembered.", _by_group(lambda g: g.machine.sessions), *_GROUP),
    _gauge("group_kept", "Locks held, limits counted and idempotency keys remembered.", _kept, "group", "kind"),
    _gauge("group_map_epoch", "Epoch of the ownership in force.", _by_group(lambda g: g.machine.epoch), *_GROUP),
    _gauge("group_writes_waiting", "Writes that wait for an entry.", _by_group(lambda g: g.queue_depth), *_GROUP),
    _gauge(
        "group_reads_waiting", "Reads that wait for a round or an entry.", _by_group(lambda g: g.waiting_reads), *_GROUP
    ),
    _gauge("group_watchers", "Calls that wait for changes.", _by_group(lambda g: g.watches), *_GROUP),
    _gauge("group_lock_waiters", "Calls that wait for a lock.", _by_group(lambda g: g.lock_waits), *_GROUP),
    _gauge(
        "group_history_events",
        "Changes kept for watchers that come back.",
        _by_group(lambda g: g.history_events),
        *_GROUP,
    ),
    _gauge("group_history_bytes", "Bytes of these changes.", _by_group(lambda g: g.history_bytes), *_GROUP),
    _counter("group_operations", "Writes proposed.", _by_group(lambda g: g.figures.operations), *_GROUP),
    _counter("group_entries", "Entries proposed.", _by_group(lambda g: g.figures.entries), *_GROUP),
    _counter(
        "group_time_entries",
        "Of these, those without an operation.",
        _by_group(lambda g: g.figures.time_entries),
        *_GROUP,
    ),
    _counter("group_reads", "Reads and lists answered, by how.", _answered_reads, "group", "by"),
    _counter("group_failures", "Calls that the group failed.", _failures, "group", "code"),
    _counter(
        "group_watch_replies", "Calls for changes answered.", _by_group(lambda g: g.figures.watch_replies), *_GROUP
    ),
    _counter("group_watch_events", "Changes in these answers.", _by_group(lambda g: g.figures.watch_events), *_GROUP),
    _counter("group_resyncs", "Answers that history is gone.", _by_group(lambda g: g.figures.resyncs), *_GROUP),
    _gauge(
        "group_checked_index",
        "Newest index at which a majority agreed on the state.",
        _by_group(lambda g: g.checksums.checked_index),
        *_GROUP,
    ),
    _gauge(
        "group_diverged",
        "1 when the newest comparison of states found a difference.",
        _by_group(lambda g: g.checksums.diverged),
        *_GROUP,
    ),
)

_LOG = (
    _gauge("log_disk_bytes", "Disk space of the write-ahead log.", _one(lambda view: view.host.wal.size_bytes)),
    _gauge("log_segments", "Files of the write-ahead log.", _one(lambda view: view.host.wal.segments)),
    _gauge(
        "log_waiting_bytes", "Bytes that gather for the next batch.", _one(lambda view: view.host.wal.waiting_bytes)
    ),
    _counter("log_records", "Records written.", _one(lambda view: view.host.wal.figures.records)),
    _counter("log_bytes", "Bytes written, in batches.", _one(lambda view: view.host.wal.figures.bytes)),
    _counter("log_batches", "Batches made durable.", _one(lambda view: view.host.wal.syncs)),
    _histogram("log_sync_seconds", "Time to write and sync a batch.", _one(lambda view: view.host.wal.figures.sync)),
)

_WIRE = (
    _counter("transport_packets", "Packets with Raft messages to and from other nodes.", _packets, "direction"),
    _counter(
        "transport_messages",
        "Raft messages in them; heartbeats of idle groups that go together are one.",
        _messages,
        "direction",
    ),
    _counter(
        "transport_payload_bytes",
        "Bytes of entries and snapshots sent.",
        _one(lambda view: view.host.figures.payload_bytes_sent),
    ),
    _gauge(
        "transport_peers_connected", "Other nodes that can be reached.", _one(lambda view: view.host.peers_connected)
    ),
    _gauge("transport_peers", "Other nodes with a replica of a group hosted here.", _one(lambda view: view.host.peers)),
    _counter("rpc_calls", "RPC calls ended, by method and code.", _rpcs, "method", "code"),
    _counter("rpc_bytes", "Bytes through the RPC server's connections.", _rpc_bytes, "direction"),
    _counter(
        "rpc_connections_opened",
        "Connections accepted, and refused because there were too many.",
        _connections,
        "outcome",
    ),
    _gauge("rpc_connections", "Connections open.", _one(lambda view: view.server.connections)),
    _gauge("rpc_handshakes", "Of these, those that have not greeted.", _one(lambda view: view.server.handshakes)),
)

_TABLE = (*_NODE, *_RAFT, *_GROUPS, *_LOG, *_WIRE)
