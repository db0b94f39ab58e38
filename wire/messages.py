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
LIMIT_COMPARED_BYTES = 64 << 10  # of a value that is understood in order to compare it
LIMIT_QUEUE = 1000  # who may wait for one lock
LIMIT_WAIT_MS = 30_000  # for a lock
LIMIT_LOCK_MS = 24 * 3600 * 1000  # that one is held without being renewed
LIMIT_QUOTA = 1_000_000_000  # of a rate limit, in a window
LIMIT_WINDOW_MS = 366 * 24 * 3600 * 1000
NEVER = 0  # a `ttl_ms` or `expires_ms` of 0: does not expire
UNKNOWN_AGE_MS = (1 << 53) - 1  # of what was read from a node that does not say how old it may be

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
        key: an idempotency key that the client chose, "" for none. For ten minutes a write with the same key, whichever
            session brings it, gets the same answer, and is not applied again. It counts together with the slot of the
            write's first key: where that one goes its answer goes, and a write that begins elsewhere is another one.
        digest: hash of the client's request; a key that comes with another one is REUSED_KEY.
    """

    session: int
    sequence: int
    floor: int
    key: str = ""
    digest: bytes = b""


class Condition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What must hold of a key before it is changed; of several things all must.

    Attributes:
        exists: whether the key must be there (True) or must not (False).
        revision: the key's revision; 0 for a key that is not there.
        value: JSON text that the key's value must be equal to as JSON, or, when one of them is over 64 KiB, byte by byte.
        fence: no greater one was ever used on the key while it lives. It is kept with the key: a holder of a lock sends the
            lock's fence, and once its successor has written, it cannot write any more.
    """

    exists: bool | None = None
    revision: int | None = None
    value: bytes | None = None
    fence: int | None = None


class PutItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key to set. `content_type` "" means `value` is JSON text; `ttl_ms` 0 means that it never expires."""

    key: str
    value: bytes
    content_type: str = ""
    ttl_ms: int = NEVER
    condition: Condition | None = None


class TouchItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key whose time to live is set (not added)."""

    key: str
    ttl_ms: int
    condition: Condition | None = None


class IncrementItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One number to change. The sum stays within signed 64 bits, and within `minimum` and `maximum` if given.

    Attributes:
        key: holds a whole number as JSON text, or is not there.
        by: what is added, signed 64 bits.
        initial: what a key that is not there counts as.
        ttl_ms: for a key that is not there; one that is keeps its own.
        minimum, maximum: the sum must not pass them.
        condition: what must hold before.
    """

    key: str
    by: int = 1
    initial: int = 0
    ttl_ms: int = NEVER
    minimum: int | None = None
    maximum: int | None = None
    condition: Condition | None = None


class Put(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Set keys; each item succeeds or fails by itself."""

    items: Bulk[PutItem]


class Delete(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Delete keys; a key that is not there answers NOT_FOUND. There is a condition for each key, or none at all."""

    keys: Bulk[str]
    conditions: Bulk[Condition | None] = []


class Touch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Set the time to live of keys that exist."""

    items: Bulk[TouchItem]


class Increment(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Change numbers; an item's result has the new value as JSON text, or the present one when that is out of range."""

    items: Bulk[IncrementItem]


class Fetch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Read keys in the middle of a transaction: what its earlier steps did is seen."""

    keys: Bulk[str]


Step: TypeAlias = Put | Delete | Touch | Increment | Fetch


class Relation(enum.IntEnum):
    """How something must compare."""

    EQUAL = 0
    NOT_EQUAL = 1
    LESS = 2
    GREATER = 3


class Comparison(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing to look at before a transaction; of `exists`, `revision` and `value` exactly one is given.

    `relation` is about the revision (0 for a key that is not there) or the value: numbers are compared as such, strings by
    their code points; other values, values of different types and keys that are not there are only ever unequal. A value
    of over 64 KiB is equal to the same bytes, and never less or greater.
    """

    key: str
    exists: bool | None = None
    revision: int | None = None
    value: bytes | None = None
    relation: Relation = Relation.EQUAL


class Transaction(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """Look at keys of one slot, and change others of it, or not, at once.

    When every comparison holds the steps of `success` are taken, else those of `failure`; all of them or none: a
    step with an item that is refused, such as a touch of a key that is not there, undoes the others. The first result says
    which steps were taken, OK or PRECONDITION_FAILED, or ABORTED when they were undone. Then comes one result for each item of
    these steps; when they were undone, ABORTED for all but those that were refused.
    """

    compare: Bulk[Comparison]
    success: Bulk[Step]
    failure: Bulk[Step] = []


class Algorithm(enum.IntEnum):
    """How a rate limit counts."""

    FIXED = 0  # so many in each window of cluster time, all at its beginning if they come then
    GCRA = 1  # so many at once, coming back one by one: in a stretch of t no more than limit * (1 + t / window)


class TakeQuota(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """Take `cost` out of a rate limit, or nothing when less is left. The result's value is a QuotaInfo."""

    name: str
    limit: int
    window_ms: int
    cost: int = 1
    algorithm: Algorithm = Algorithm.FIXED


class QuotaInfo(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is left of a rate limit.

    Attributes:
        remaining: what could be taken now.
        reset_ms: until all of the limit is there again.
        retry_ms: until what was asked for will be there, if nobody else takes it; 0 when it was given.
    """

    remaining: int
    reset_ms: int
    retry_ms: int


class AcquireLock(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """Take a lock, or queue for it. The result's value is a LockInfo.

    Who holds it already keeps its fence and gets a new time to live. Who waits already keeps its place.

    Attributes:
        name: of the lock.
        owner: who asks; unique among those who ask for the lock.
        ttl_ms: how long it holds the lock without renewing it, once it has it.
        wait_ms: how long it waits in the queue if another holds the lock; 0: it does not begin to.
        request: names the client's request among all others, "" when it has no name. The lock, or the place in the queue,
            is its own from now on, also when an earlier request of the owner got it.
    """

    name: str
    owner: str
    ttl_ms: int
    wait_ms: int = 0
    request: str = ""


class RenewLock(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """Hold a lock for `ttl_ms` from now; NOT_HOLDER unless the owner holds it under this fence."""

    name: str
    owner: str
    fence: int
    ttl_ms: int


class ReleaseLock(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """Give a lock back, to whoever waits first; NOT_HOLDER unless the owner holds it under this fence."""

    name: str
    owner: str
    fence: int


class LeaveQueue(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """Wait no longer: OK when the owner holds the lock by now, else LOCKED.

    Attributes:
        name: of the lock.
        owner: who waits.
        request: whose client's request ends; "" for whatever request of the owner. A place that is a later request's stays.
        gives_back: nobody is left to be told that the owner holds the lock, so it is given back if it is this request's.
            Else the client is told, and the lock is this request's from now on: no other one gives it back.
    """

    name: str
    owner: str
    request: str = ""
    gives_back: bool = False


class LockInfo(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who holds a lock: the holder, its fence, how long at most from now, and how many wait ("" and zeros: nobody)."""

    owner: str = ""
    fence: int = 0
    ttl_ms: int = 0
    waiting: int = 0


LockOperation: TypeAlias = AcquireLock | RenewLock | ReleaseLock | LeaveQueue
Operation: TypeAlias = Put | Delete | Touch | Increment | Transaction | TakeQuota | LockOperation


class Status(enum.IntEnum):
    """Outcome of one item of an operation or a read."""

    OK = 0
    NOT_FOUND = 1
    WRONG_GROUP = 2  # the key's slot is not owned by this group: nothing was applied
    STALE_OPERATION = 3  # the id is below its session's floor: it was answered before; nothing was applied now
    PRECONDITION_FAILED = 4  # its condition does not hold; `revision` is the key's present one, 0 if it is not there
    NOT_A_NUMBER = 5  # what was to be incremented is no whole number of signed 64 bits
    OUT_OF_RANGE = 6  # the sum would be out of range; `value` is the present number
    ABORTED = 7  # another item of the transaction was refused: nothing of it was applied
    REUSED_KEY = 8  # the idempotency key was used for another request; nothing was applied
    TOO_LARGE = 9  # a transaction reads more than one answer may hold
    QUOTA_EXCEEDED = 10  # less is left of the rate limit than was asked for
    LOCKED = 11  # another holds the lock
    QUEUED = 12  # another holds the lock, and the asker waits for it
    QUEUE_FULL = 13  # another holds the lock, and as many wait for it as may
    NOT_HOLDER = 14  # the lock is not held by this owner under this fence


class ItemResult(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Outcome of one item, in the order of the request.

    Attributes:
        status: see Status.
        revision: log index of the entry that last changed the key (0 when there is none).
        value: the value's bytes (reads and increments).
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
    """One page of a group's keys with a prefix, in key order, strictly after `after` ("" starts at the beginning).

    `bytes_max` is for who wants less than LIMIT_LIST_BYTES; 0: who does not. One entry comes in any case.
    """

    group: int
    prefix: str
    after: str
    limit: int
    with_values: bool = False
    consistency: Consistency = Consistency.LINEARIZABLE
    bytes_max: int = 0


class ListEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One listed key; `value` only when asked for."""

    key: str
    revision: int
    ttl_ms: int = NEVER
    content_type: str = ""
    value: bytes = b""


class ListReply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`more` says that the group holds further keys after the last entry; every unlisted key is after it.

    `revision` and `age_ms` are as in ReadReply; an older sender tells no age.
    """

    entries: list[ListEntry]
    more: bool
    revision: int
    age_ms: int = UNKNOWN_AGE_MS


class AwaitLockRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Wait for a lock that the owner has queued for; answered when it has it, when it waits in vain, or after `wait_ms`.

    The reply's one result is OK, QUEUED (not yet), or LOCKED (it is in no queue), with a LockInfo. A lock whose time is up
    but which was not handed on yet has no holder in it. When `request` is given, OK says that the lock is that request's; one that
    another request of the owner got is LOCKED.
    """

    group: int
    name: str
    owner: str
    wait_ms: int
    request: str = ""


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


class Founding(msgspec.Struct, frozen=True, array_like=True):
    """What a cluster begins with: the addresses of all nodes by id, the number of groups, and of replicas of each."""

    members: dict[str, str]
    groups: int
    replicas: int


class NodeStatus(msgspec.Struct, frozen=True, array_like=True):
    """A node and its replicas; group 0 is placement. Figures are since the process started.

    `founding` is what the node was told, None when it was not told of all nodes.
    """

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
    placement: list[str] = []
    founding: Founding | None = None
