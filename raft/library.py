"""PySyncObj under lock and key: the only module that touches the library or its private names.

`Library` is `pysyncobj.SyncObj` with the hooks that we override given names, and its private state readable under the
names of the Raft paper. What stays the library's: the tick (`SyncObj._onTick`: election timing, the leader's commit
rule, the step-down of a leader that lost its quorum), becoming leader with a no-op, the command queue, leadership
transfer. Everything that it does unsafely is replaced in `raft/replica.py`; why is said there.

Hooks work because `self.__x` inside `SyncObj` is looked up as `_SyncObj__x` through the normal method resolution
order, so a method or property of that name in a subclass wins. They are private names, hence the check of the
library's files at import: another release is refused until it was audited.
"""

import hashlib
from collections.abc import Callable, Collection
from importlib import resources
from typing import Any, NoReturn

import pysyncobj.journal
import pysyncobj.pickle
import pysyncobj.serializer
import pysyncobj.syncobj
import pysyncobj.tcp_connection
import pysyncobj.transport
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.syncobj import FAIL_REASON
from pysyncobj.transport import Transport

__all__ = [
    "CANDIDATE",
    "COMMAND",
    "FAIL_REASON",
    "FOLLOWER",
    "LEADER",
    "NO_OP",
    "Library",
    "Member",
    "Node",
    "Transport",
]

FOLLOWER, CANDIDATE, LEADER = 0, 1, 2
COMMAND, NO_OP = b"\x00", b"\x01"  # the library's first byte of a log entry

_AUDITED = {  # SHA-256 of the files of PySyncObj 0.3.17 that the audit read
    "journal.py": "9cf1eaf6acc704581a4cf7d3de330a404403913107adc91c929778b7e3f35edf",
    "serializer.py": "4d39fde2f15000ad8f507ec229ebd4f6a86371b6f84d4dc1439a9cccd52857ee",
    "syncobj.py": "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4",
    "transport.py": "0c9d89f9c4781ec9772df8011d7975a1a4a1a5f541357e12eae85a813e92b50b",
}


class UnauditedLibraryError(ImportError):
    """The installed PySyncObj is not the release whose every line the overrides were written against."""


def _check_release() -> None:
    for name, expected in _AUDITED.items():
        found = hashlib.sha256((resources.files("pysyncobj") / name).read_bytes()).hexdigest()
        if found != expected:
            raise UnauditedLibraryError(f"pysyncobj/{name} is not that of release 0.3.17: install pysyncobj==0.3.17")


class _NoPickle:
    """Stands in the place of the library's pickle module: nothing read from network, log or disk is ever unpickled."""

    @staticmethod
    def loads(*_: object) -> NoReturn:
        raise RuntimeError("pickle is disabled in raft/")

    load = dump = dumps = to_bytes = loads


def _forbid_pickle() -> None:
    for module in (pysyncobj.syncobj, pysyncobj.serializer, pysyncobj.tcp_connection):
        module.pickle = _NoPickle
    pysyncobj.journal.loads = pysyncobj.journal.dumps = _NoPickle.loads
    pysyncobj.pickle.loads = pysyncobj.pickle.load = _NoPickle.loads


def _journal_from_configuration(journal: Any) -> Any:  # noqa: ANN401 - the library's type is `object`
    return journal


_check_release()
_forbid_pickle()
pysyncobj.syncobj.createJournal = _journal_from_configuration


class _NoPoller:
    """The library polls sockets at the end of a tick; we have none of its sockets."""

    def poll(self, _timeout: float) -> None:
        pass


class Member(Node):  # type: ignore[misc] # the library is untyped
    """A member of one group: every mention of it is this very object, so that being equal is being the same."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__


class Library(SyncObj):  # type: ignore[misc] # the library is untyped
    """`SyncObj` with named hooks.

    Time is seconds on the `clock` handed in. A subclass must set its own attributes before it calls `__init__`, which looks at every one of them.
    """

    _SyncObj__newAppendEntriesTime = 0.0  # the library sets it late in its constructor

    def __init__(
        self,
        node: Node,
        peers: Collection[Node],
        *,
        journal: object,
        transport: Transport,
        election_timeout_s: tuple[float, float],
        heartbeat_s: float,
        leader_timeout_s: float,
        on_state: Callable[[int, int], None],
        clock: Callable[[], float],
    ) -> None:
        self._commit_index = 0
        self._clock = clock
        self._use_own_clock()
        conf = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=True,
            appendEntriesPeriod=heartbeat_s,
            appendEntriesBatchSizeBytes=1 << 30,
            commandsQueueSize=0,
            commandsWaitLeader=False,
            connectionTimeout=max(3.5, election_timeout_s[1]),
            journalFile=journal,
            leaderFallbackTimeout=leader_timeout_s,
            onStateChanged=on_state,
            pollerType="poll",
            raftMinTimeout=election_timeout_s[0],
            raftMaxTimeout=election_timeout_s[1],
            useFork=False,
        )
        super().__init__(node, peers, conf=conf, transport=transport)
        # In order, where a set of members has that of their addresses: a seed of the simulation shall replay.
        self._SyncObj__otherNodes = dict.fromkeys(peers)
        self._SyncObj__readonlyNodes: dict[Node, None] = {}
        self._poller = _NoPoller()

    def _use_own_clock(self) -> None:
        """The library's clock is a global of its module: set before each entry into code of the library that reads it."""
        pysyncobj.syncobj.monotonicTime = self._clock

    # --- state under the paper's names -----------------------------------------------------------------------------

    @property
    def state(self) -> int:
        """FOLLOWER, CANDIDATE or LEADER."""
        return self._SyncObj__raftState  # type: ignore[no-any-return] # the library has no types

    @property
    def current_term(self) -> int:
        """The paper's currentTerm."""
        return self._SyncObj__raftCurrentTerm  # type: ignore[no-any-return] # the library has no types

    @property
    def voted_for(self) -> str:
        """Id of the candidate that got this member's vote in the current term, or ""."""
        return self._SyncObj__votedForNodeId or ""

    @property
    def leader_node(self) -> Node | None:
        """The last known leader, also of an earlier term."""
        return self._SyncObj__raftLeader

    @leader_node.setter
    def leader_node(self, node: Node | None) -> None:
        self._SyncObj__raftLeader = node

    @property
    def last_applied(self) -> int:
        """The paper's lastApplied."""
        return self._SyncObj__raftLastApplied

    @last_applied.setter
    def last_applied(self, index: int) -> None:
        self._SyncObj__raftLastApplied = index

    @property
    def election_deadline(self) -> float:
        """When a follower that heard nothing starts an election (seconds on the installed clock)."""
        return self._SyncObj__raftElectionDeadline

    @election_deadline.setter
    def election_deadline(self, deadline: float) -> None:
        self._SyncObj__raftElectionDeadline = deadline

    @property
    def heartbeat_due(self) -> float:
        """When a leader sends its next heartbeat."""
        return self._SyncObj__newAppendEntriesTime

    @heartbeat_due.setter
    def heartbeat_due(self, due: float) -> None:
        self._SyncObj__newAppendEntriesTime = due

    @property
    def connected_peers(self) -> set[Node]:
        """The other members that can be reached."""
        return self._SyncObj__connectedNodes  # type: ignore[no-any-return] # the library has no types

    def leads(self, term: int) -> bool:
        """Whether this member leads in `term`."""
        return bool(self._SyncObj__raftState == LEADER and self._SyncObj__raftCurrentTerm == term)

    def follows(self, leader: Node, term: int, applied: int) -> bool:
        """Whether this member follows `leader` in `term` and has applied entries up to `applied`."""
        return bool(
            self._SyncObj__raftLeader is leader
            and self._SyncObj__raftCurrentTerm == term
            and self._SyncObj__raftState == FOLLOWER
            and self._SyncObj__raftLastApplied == applied
        )

    def record_match(self, node: Node, index: int) -> None:
        """A member's log equals ours up to `index`, durably: what the library's commit rule counts."""
        self._SyncObj__raftMatchIndex[node] = index

    def match_index(self, node: Node) -> int:
        """The paper's matchIndex."""
        return int(self._SyncObj__raftMatchIndex.get(node, 0))

    def record_response(self, node: Node, now: float) -> None:
        """A member answered: what the library's step-down of a leader without quorum looks at."""
        self._SyncObj__lastResponseTime[node] = now

    def take_waiting(self, index: int) -> list[tuple[int, Callable[[object, int], None]]]:
        """Remove and return the (term, callback) pairs of commands that were given this log index."""
        return self._SyncObj__commandsWaitingCommit.pop(index, [])  # type: ignore[no-any-return] # the library has no types

    def take_all_waiting(self) -> list[tuple[int, Callable[[object, int], None]]]:
        """Remove and return every waiting (term, callback), in log order."""
        waiting = self._SyncObj__commandsWaitingCommit
        pairs = [pair for index in sorted(waiting) for pair in waiting[index]]
        waiting.clear()
        return pairs

    def count_queued(self) -> int:
        """Commands that wait for the next tick to enter the log."""
        return len(self._SyncObj__commandsQueue._FastQueue__queue)  # noqa: SLF001 - the library's queue tells no length

    def take_queued(self) -> list[Callable[[object, int], None]]:
        """Remove commands that are not in the log yet and return their callbacks."""
        queue = self._SyncObj__commandsQueue
        return [queue.get_nowait()[1] for _ in range(self.count_queued())]

    def become_leader(self) -> None:
        """Take leadership of the current term (the library adds the no-op and calls `ship_entries`)."""
        self._use_own_clock()
        self._SyncObj__onBecomeLeader()

    def run_tick(self) -> None:
        """One tick of the library: elections, commits, applies, heartbeats, new commands."""
        self._use_own_clock()
        self.doTick(0)

    def become_follower(self, term: int) -> None:
        """Follow, and move to `term` when it is newer (with no vote given in it)."""
        if term > self.current_term:
            self.set_term(term, "")
            self.leader_node = None
        self._SyncObj__setState(FOLLOWER)

    def set_term(self, term: int, voted_for: str) -> None:
        """Set currentTerm and votedFor; both go through the write-ahead log."""
        self._SyncObj__setCurrentTerm(term, voted_for or None)

    # --- hooks -----------------------------------------------------------------------------------------------------

    def cap_commit_index(self, index: int) -> int:
        """The commit index that may be taken in place of the `index` that the library or a leader wants."""
        raise NotImplementedError

    def may_campaign(self) -> bool:
        """Asked by the tick when the election deadline has passed: whether to start a real election now."""
        raise NotImplementedError

    def random_election_timeout(self) -> float:
        """Seconds until the next election, drawn anew each time."""
        raise NotImplementedError

    def apply_committed(self) -> None:
        """Apply what is committed and not applied."""
        raise NotImplementedError

    def ship_entries(self) -> None:
        """Send every peer what it lacks, or a heartbeat."""
        raise NotImplementedError

    def compact(self) -> None:
        """Called each tick: start a snapshot when it is time."""
        raise NotImplementedError

    @property
    def _SyncObj__raftCommitIndex(self) -> int:  # noqa: N802 - the library's name
        return self._commit_index

    @_SyncObj__raftCommitIndex.setter
    def _SyncObj__raftCommitIndex(self, index: int) -> None:  # noqa: N802 - the library's name
        self._commit_index = self.cap_commit_index(index)

    def _SyncObj__connectedToAnyone(self) -> bool:  # noqa: N802 - the library's name
        return self.may_campaign()

    def _SyncObj__generateRaftTimeout(self) -> float:  # noqa: N802 - the library's name
        return self.random_election_timeout()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802 - the library's name
        self.apply_committed()
        return False

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802 - the library's name
        self.ship_entries()

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802 - the library's name
        self.compact()

    def _SyncObj__onMessageReceived(self, _node: Node, _message: object) -> NoReturn:  # noqa: N802 - the library's name
        raise RuntimeError("messages reach a replica through Replica.receive only")
