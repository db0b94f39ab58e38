"""What gateways, nodes and placement say to one another, as typed messages.

All are msgpack arrays (`array_like`): compact, and a newer sender may append fields with defaults that an older
receiver ignores. Times are milliseconds unless the name says otherwise; *cluster time* is the state machine's clock
(see shard/), never a wall clock. An operation lists one or more items so that a single put and a bulk of 500 are the
same message.
"""

import enum
from typing import Annotated, TypeAlias, TypeVar

import msgspec

LIMIT_KEY_BYTES = 1024
LIMIT_VALUE_BYTES = 1 << 20
LIMIT_BULK_ITEMS = 500
LIMIT_LIST_ITEMS = 1000
LIMIT_LIST_BYTES = 4 << 20
LIMIT_TTL_MS = 10 * 365 * 24 * 3600 * 1000
LIMIT_GROUPS = 16384
LIMIT_WATCH_BYTES = 1 << 20
NEVER = 0  # a `ttl_ms` or `expires_ms` of 0: does not expire

T = TypeVar("T")
Bulk: TypeAlias = Annotated[list[T], msgspec.Meta(max_length=LIMIT_BULK_ITEMS)]
"""A list that is refused by its length, before its items are made: those of a full frame can take thirty times its size."""


# --- operations on keys -------------------------------------------------------------------------------------------


class OperationId(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Identifies a write so that a retry of it is applied once.

    Attributes:
        session: random 64-bit number of one client session (a gateway process takes one at its start).
        sequence: grows by one with each new write of the session to this group; a retry repeats it.
        floor: every write of the session to this group with a lower sequence has its answer; its memory may be dropped.
    """

    session: int
    sequence: int
    floor: int


class PutItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key to set. `content_type` "" means `value` is JSON text; `ttl_ms` 0 means that it never expires."""

    key: str
    value: bytes
    content_type: str = ""
    ttl_ms: int = NEVER


class TouchItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key whose time to live is set (not added)."""

    key: str
    ttl_ms: int


class Put(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Set keys; each item succeeds or fails by itself."""

    items: Bulk[PutItem]


class Delete(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Delete keys; a key that is not there answers NOT_FOUND."""

    keys: Bulk[str]


class Touch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Set the time to live of keys that exist."""

    items: Bulk[TouchItem]


Operation: TypeAlias = Put | Delete | Touch


class Status(enum.IntEnum):
    """Outcome of one item of an operation or a read."""

    OK = 0
    NOT_FOUND = 1
    WRONG_GROUP = 2  # the key's slot is not owned by this group: nothing was applied
    STALE_OPERATION = 3  # the id is below its session's floor: it was answered before; nothing was applied now


class ItemResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Outcome of one item, in the order of the request.

    Attributes:
        status: see Status.
        revision: log index of the entry that last changed the key (0 when there is none).
        value: the value's bytes (reads only).
        content_type: "" for JSON text.
        ttl_ms: remaining time to live; 0 when it never expires (reads only).
    """

    status: Status
    revision: int = 0
    value: bytes = b""
    content_type: str = ""
    ttl_ms: int = NEVER


class WriteRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Apply one operation in one group, once."""

    group: int
    id: OperationId
    operation: Operation


class WriteReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`revision` is the log index of the entry that carried the operation (or first carried it, for a retry)."""

    results: list[ItemResult]
    revision: int


class Consistency(enum.IntEnum):
    """How fresh a read must be."""

    LINEARIZABLE = 0
    STALE = 1


class ReadRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Read keys of one group; a read of no keys only asks whether the group can serve such a read."""

    group: int
    keys: Bulk[str]
    consistency: Consistency = Consistency.LINEARIZABLE


class ReadReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`revision` is the last applied log index that the read saw; `age_ms` how old it may be (0 when linearizable)."""

    results: list[ItemResult]
    revision: int
    age_ms: int = 0


class ListRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One page of a group's keys with a prefix, in key order, strictly after `after` ("" starts at the beginning)."""

    group: int
    prefix: str
    after: str
    limit: int
    with_values: bool = False
    consistency: Consistency = Consistency.LINEARIZABLE


class ListEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One listed key; `value` only when asked for."""

    key: str
    revision: int
    ttl_ms: int = NEVER
    content_type: str = ""
    value: bytes = b""


class ListReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`more` says that the group holds further keys after the last entry; every unlisted key is after it."""

    entries: list[ListEntry]
    more: bool
    revision: int


# --- watching -----------------------------------------------------------------------------------------------------


class ChangeKind(enum.IntEnum):
    """What became of a key."""

    PUT = 0  # it has a value and a time to live, one of them new
    DELETE = 1
    EXPIRED = 2


class WatchRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Long poll to a group's leader: the changes after a position, or an empty reply after `wait_ms` without any.

    A position is an index and a count: every change of the entries up to `index`, and the first `taken` of those after it.
    """

    group: int
    index: int
    taken: int = 0
    wait_ms: int = 0


class WatchEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change of one key; `revision` is the index of its entry. A value comes with PUT only."""

    kind: ChangeKind
    key: str
    revision: int
    content_type: str = ""
    value: bytes = b""


class WatchReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The changes after the position asked for, in order, about LIMIT_WATCH_BYTES of them, and the position after them.

    `resync` says that the changes after the position asked for are not known any more; the position is then the present
    one. Whoever wants to go on has to read the state first.
    """

    events: list[WatchEvent]
    index: int
    taken: int = 0
    resync: bool = False


# --- state checksums ----------------------------------------------------------------------------------------------


class HashState(enum.IntEnum):
    """Whether a replica can tell the hash of its state at an index."""

    KNOWN = 0
    PENDING = 1  # the entry is not applied yet, or the hash is being taken
    UNABLE = 2  # it never will: it was restarted or got a snapshot since, or it is fenced


class ChecksumRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Ask a replica for the hash of its state right after the entry `index`, at which one must have been requested.

    Attributes:
        group: the group's number.
        index: 0 asks for the newest hash that the replica has.
        begin: have a new request logged first; only the group's leader can. The answer does not wait for it.
    """

    group: int
    index: int = 0
    begin: bool = False


class ChecksumReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a replica knows of the hashes of its state.

    Attributes:
        state: whether `hash` means something.
        index: of which state it is.
        hash: 64 bits.
        checked_index: the newest index at which a majority was found to agree.
        diverged: the newest comparison found a difference.
        fenced: this replica's own state was found wrong; it serves nothing.
    """

    state: HashState
    index: int
    hash: int = 0
    checked_index: int = 0
    diverged: bool = False
    fenced: bool = False


# --- the cluster map ----------------------------------------------------------------------------------------------


class NodeInfo(msgspec.Struct, frozen=True, array_like=True):
    """A registered node: `address` is `host:port` of its RPC server, `incarnation` names its data directory."""

    id: str
    address: str
    zone: str
    host: str
    incarnation: str


class GroupInfo(msgspec.Struct, frozen=True, array_like=True):
    """A Raft group: an immutable list of replicas (node ids); the first is its preferred leader."""

    id: int
    replicas: list[str]


class SlotRange(msgspec.Struct, frozen=True, array_like=True):
    """Slots `first..last` (both included) belong to `group`."""

    first: int
    last: int
    group: int


class ClusterMap(msgspec.Struct, frozen=True, array_like=True):
    """What a router needs; every change raises `epoch` (0: nothing was decided yet). Ranges are sorted and disjoint."""

    cluster: str
    epoch: int
    nodes: list[NodeInfo]
    groups: list[GroupInfo]
    slots: list[SlotRange]


class WatchMapRequest(msgspec.Struct, frozen=True, array_like=True):
    """Long poll: answered when a map with an epoch over `epoch` is there, or with the present one after `wait_ms`."""

    epoch: int
    wait_ms: int


class RegisterRequest(msgspec.Struct, frozen=True, array_like=True):
    """A node makes itself known to placement; idempotent. Another incarnation of a known id is refused (INVALID)."""

    node: NodeInfo


class RegisterReply(msgspec.Struct, frozen=True, array_like=True):
    """The map after the registration."""

    map: ClusterMap


class GroupBeat(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One replica's state in a heartbeat."""

    group: int
    leading: bool
    term: int


class HeartbeatRequest(msgspec.Struct, frozen=True, array_like=True):
    """A node is alive, and what its replicas are doing. Kept in the placement leader's memory, never logged."""

    node: str
    incarnation: str
    epoch: int
    groups: Annotated[list[GroupBeat], msgspec.Meta(max_length=LIMIT_GROUPS)]


class Transfer(msgspec.Struct, frozen=True, array_like=True):
    """Advice to a leader: hand the group over to another replica."""

    group: int
    to: str


class HeartbeatReply(msgspec.Struct, frozen=True, array_like=True):
    """`epoch` is placement's present one; `transfers` what this node should hand over."""

    epoch: int
    transfers: list[Transfer]


# --- status -------------------------------------------------------------------------------------------------------


class StatusRequest(msgspec.Struct, frozen=True, array_like=True):
    """Ask a node what it hosts."""


class GroupStatus(msgspec.Struct, frozen=True, array_like=True):
    """One replica. `role` is leader, follower or candidate; `leader` a node id or "" when none is known.

    `checked_index`, `diverged` and `fenced` are as in ChecksumReply.
    """

    id: int
    role: str
    leader: str
    term: int
    commit_index: int
    applied_index: int
    last_index: int
    snapshot_index: int
    keys: int
    bytes: int
    checked_index: int = 0
    diverged: bool = False
    fenced: bool = False


class NodeStatus(msgspec.Struct, frozen=True, array_like=True):
    """A node and its replicas; group 0 is placement. Figures are since the process started."""

    id: str
    zone: str
    address: str
    cluster: str
    epoch: int
    durability: str
    uptime_s: float
    memory_bytes: int
    log_bytes: int
    log_syncs: int
    snapshots: int
    leader_changes: int
    groups: list[GroupStatus]
