"""One member of one group: PySyncObj's engine with every unsafe part replaced.

The paper's rules, and what the library got wrong (numbers are the audit's, see docs/adr/):

- *Nothing leaves before it is durable.* Votes, vote requests and acknowledgements wait for the sync that covers the
  group's last record (`barrier`); a leader counts itself only up to `durable_index` (`cap_commit_index`). Items 1-3.
- *Stickiness and pre-vote.* A member that heard its leader within the shortest election timeout, or that has just
  started and cannot know, refuses to vote, for itself, too; an election begins only after a quorum said that it would
  vote. Item 6.
- *Fenced replies.* Every reply carries a term, and counts only in that term. Items 5, 8.
- *Truncation only on a real conflict*, never at or below the commit index. Item 11.
- *The commit index never passes what this message verified.* Items 12, 13.
- *Apply cannot be wedged*: the index moves before anyone is told; an exception becomes a result. Items 32-34.
- *Every call gets one outcome*; commands are never forwarded. Items 29-31.
- *Reads* go through a lease or a ReadIndex round (`lease.py`). Item 28.
- *A fenced replica*, whose state was found wrong while its log is right, votes and stores entries but never leads.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from .config import RaftConfig
from .figures import ReplicaFigures
from .interface import Committed, Outcome, ReadGranted, ReadOutcome, Refused, StateMachine, Unknown
from .journal import Entry, Journal
from .lease import Lease
from .library import CANDIDATE, COMMAND, FAIL_REASON, FOLLOWER, LEADER, Library, Member, Node, Transport
from .messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    InstallReply,
    InstallSnapshot,
    LogEntry,
    Message,
    PreVote,
    PreVoteReply,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from .progress import Progress
from .snapshotting import Installation, SnapshotShelf

logger = logging.getLogger(__name__)

_ROLES = {FOLLOWER: "follower", CANDIDATE: "candidate", LEADER: "leader"}
_GRANTED_BY_LEASE, _GRANTED_BY_ROUND = ReadGranted(by_lease=True), ReadGranted(by_lease=False)


class Surroundings(Protocol):
    """What a replica needs of the node that hosts it."""

    node_id: str
    config: RaftConfig

    @property
    def log_backlogged(self) -> bool:
        """Whether so much log waits for the disk that nothing new should be taken."""

    @property
    def log_stalled(self) -> bool:
        """Whether the disk has not taken anything for so long that this node should not lead."""

    def now(self) -> float:
        """Seconds on a clock that never runs back and runs through suspends."""

    def random(self) -> float:
        """Uniform in [0, 1)."""

    def send(self, to: str, group: int, message: Message, barrier: int) -> None:
        """Send once the write-ahead log is durable up to `barrier` (0: at once)."""

    def wake(self, replica: "SafeReplica") -> None:
        """Tick this replica in the present or the next turn."""

    def fatal(self, reason: str) -> None:
        """End the process: going on would risk wrong data. Does not return."""


class _LibraryTransport(Transport):  # type: ignore[misc] # the library is untyped
    """Takes the two messages that the library itself still sends and hands them on, typed."""

    ready = True

    def __init__(self, hand_on: Callable[[str, dict[str, int | str]], None]) -> None:
        super().__init__(None, None, [])
        self._hand_on = hand_on

    def send(self, node: Node, message: dict[str, int | str]) -> bool:
        self._hand_on(node.id, message)
        return True

    def destroy(self) -> None:
        """There is nothing to close."""


class SafeReplica(Library):
    """See the module's text; the public part is `raft.interface.Replica`."""

    def __init__(
        self,
        group: int,
        replicas: Sequence[str],
        machine: StateMachine,
        *,
        journal: Journal,
        shelf: SnapshotShelf,
        surroundings: Surroundings,
    ) -> None:
        config = surroundings.config
        self.group = group
        self.replicas = tuple(replicas)
        self.leader_changes = 0
        self.figures = ReplicaFigures()
        self._machine = machine
        self._log = self.journal = journal
        self._shelf = shelf
        self._around = surroundings
        self._config = config
        self._nodes = {name: Member(name) for name in replicas if name != surroundings.node_id}
        self._quorum = len(replicas) // 2 + 1
        self._timeout_min_s = config.election_timeout_s_min
        self._timeout_spread_s = config.election_timeout_s_max - config.election_timeout_s_min
        self._pre_voters: set[str] | None = None  # set while a pre-vote round is on
        self._voters: set[str] = set()
        self._elected = False  # a pre-vote round was won: the next tick may campaign
        self._transfer_campaign = False  # the leader asked us to campaign
        self._transfer_until = 0.0  # as leader: no proposals until then, leadership is being handed over
        self._heard_leader_s = surroundings.now()  # a restarted member may have promised a lease: it waits, too
        self._leading_since = 0  # index of the no-op of our own term; 0 when not leading
        self._led = False  # listeners were told that we lead
        self._listeners: list[Callable[[bool], None]] = []
        self._progress: dict[str, Progress] = {}
        self._lease = Lease((), 0.0)
        self._round = 0
        self._round_sent = False
        self._reads: deque[tuple[int, int, Callable[[ReadOutcome], None]]] = deque()  # (round, index, done)
        self._installation: Installation | None = None
        self._fenced_at = -1  # the state is wrong unless it is from a snapshot that ends after this index
        super().__init__(
            Member(surroundings.node_id),
            self._nodes.values(),
            journal=journal,
            transport=_LibraryTransport(self.send_for_library),
            election_timeout_s=(config.election_timeout_s_min, config.election_timeout_s_max),
            heartbeat_s=config.heartbeat_s,
            leader_timeout_s=config.leader_timeout_s,
            on_state=self._on_state,
            clock=surroundings.now,
        )
        if self._nodes:
            self._postpone_election()
        shelf.attach(self)
        self.last_applied = shelf.index or journal.base_index
        self._commit_index = self.last_applied
        if journal.last_term > self.current_term:  # a snapshot became durable before the hard state of its term
            self.set_term(journal.last_term, "")

    # --- the public view (raft.interface.Replica) ------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        return self._led

    @property
    def role(self) -> str:
        return _ROLES[self.state]

    @property
    def leader(self) -> str:
        node = self.leader_node
        if node is None or (node.id == self._around.node_id and self.state != LEADER):
            return ""
        return str(node.id)

    @property
    def term(self) -> int:
        return self.current_term

    @property
    def commit_index(self) -> int:
        return self._commit_index

    @property
    def applied_index(self) -> int:
        return self.last_applied

    @property
    def last_index(self) -> int:
        return self._log.last_index

    @property
    def snapshot_index(self) -> int:
        return self._shelf.index

    @property
    def holds_lease(self) -> bool:
        """Whether a read would be answered at once, without asking the others."""
        return self._led and self._lease.valid(self._around.now())

    @property
    def snapshots_taken(self) -> int:
        """Snapshots written since the process started."""
        return self._shelf.taken

    @property
    def snapshots_installed(self) -> int:
        """Snapshots received and installed since the process started."""
        return self._shelf.installed

    @property
    def machine(self) -> StateMachine:
        """The group's state machine."""
        return self._machine

    def on_leadership(self, listener: Callable[[bool], None]) -> None:
        self._listeners.append(listener)

    def age_ms(self) -> int:
        if self._led:
            return 0
        return int((self._around.now() - self._heard_leader_s) * 1000)

    def propose(self, command: bytes, done: Callable[[Outcome], None]) -> None:
        now = self._around.now()
        if not self._led or now < self._transfer_until:
            done(Refused(leader="" if self._led else self.leader))
            return
        full = self.count_queued() >= self._config.queued_commands or self._around.log_backlogged
        if full or len(command) > self._config.command_bytes:
            done(Refused(leader=self.leader, overloaded=True))
            return

        def on_outcome(outcome: object, reason: int) -> None:
            done(outcome if reason == FAIL_REASON.SUCCESS else Refused(leader=self.leader))  # type: ignore[arg-type] # handed through

        self._applyCommand(COMMAND + command, on_outcome)
        self._around.wake(self)

    def read(self, done: Callable[[ReadOutcome], None]) -> None:
        if not self._led:
            done(Refused(leader=self.leader))
        elif self._lease.valid(self._around.now()):
            done(_GRANTED_BY_LEASE)
        elif len(self._reads) >= self._config.waiting_reads:
            done(Refused(leader=self.leader, overloaded=True))
        else:
            if self._round_sent or not self._round:
                self._round += 1
                self._round_sent = False
            self.heartbeat_due = 0.0
            self._reads.append((self._round, self._commit_index, done))
            self._around.wake(self)

    def transfer_leadership(self, to: str) -> bool:
        progress = self._progress.get(to)
        if not self._led or progress is None or progress.match_index != self._log.last_index:
            return False
        self._lease.revoke()
        self._transfer_until = self._around.now() + self._config.transfer_s
        answers: list[int] = []
        self.transferLeadership(self._nodes[to], lambda _result, reason: answers.append(reason))
        return answers == [FAIL_REASON.SUCCESS]

    def fence(self, index: int) -> None:
        self._fenced_at = max(self._fenced_at, index)
        if self.is_fenced:
            self._shelf.stop_writing()
            self._around.wake(self)

    @property
    def is_fenced(self) -> bool:
        return self._fenced_at >= 0 and self._fenced_at >= self._shelf.index

    # --- what the host calls ---------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let timers, commits, applies and new commands have their effect; cheap when there is nothing to do."""
        if self.state == LEADER and (self._around.log_stalled or self.is_fenced):
            self._follow(self.current_term)  # nothing can be committed or rightly answered here; the others can
            self.leader_node = None
        if self.state == FOLLOWER and not self.count_queued() and not self.due(self._around.now()):
            self.apply_committed()  # nearly always all that a follower has to do
            self.compact()
            return
        last = self._log.last_index
        self.run_tick()
        if self.state == LEADER:
            if self._log.last_index > last:
                self._ship_new()
            self._answer_reads()

    def due(self, now: float) -> bool:
        """Whether a timer of this replica has run out, or something that was put off could be done."""
        return now >= (self.heartbeat_due if self.state == LEADER else self.election_deadline) or self._shelf.may_go_on

    @property
    def due_s(self) -> float:
        """When to ask whether this replica is `due`; at once when it waits for something that has no time."""
        if self._shelf.is_put_off:
            return 0.0
        return self.heartbeat_due if self.state == LEADER else self.election_deadline

    def beat(self, now: float, next_s: float) -> tuple[Heartbeat, list[str]] | None:
        """This leader's heartbeat and the peers that can be reached, when it is due and there is no more to say or do.

        The next is due at `next_s`. Nothing is lost by not ticking meanwhile: a leader with a lease need not ask whether a quorum
        answered it lately.
        """
        last = self._log.last_index
        if not self._led or now < self.heartbeat_due or not self._lease.valid(now) or self.last_applied != last:
            return None
        if self._reads or self.is_fenced or self._shelf.is_put_off:
            return None
        reachable: list[str] = []
        connected, nodes = self.connected_peers, self._nodes
        for peer, progress in self._progress.items():
            if nodes[peer] in connected:
                if not progress.is_level(last):
                    return None
                reachable.append(peer)
        self.heartbeat_due = next_s
        return (self.group, self.current_term, last), reachable

    def beat_on(self, now: float, next_s: float) -> bool:
        """Whether to send the same as `beat` returned last, which is due and after which nothing has happened to this replica."""
        if not self._lease.valid(now):
            return False
        self.heartbeat_due = next_s
        return True

    def hear_beat(self, sender: str, term: int, index: int, now: float, durable: int) -> bool:
        """Take a heartbeat of `beats`, when all that it brings is that the leader was heard, in a log that is `durable`.

        Returns:
            Whether it was taken, which promises what an AppendReply does: the term, and the log up to `index`.
        """
        log, leader = self._log, self._nodes.get(sender)
        if leader is None or not self.follows(leader, term, index):
            return False
        if log.last_index != index or log.last_term != term or log.barrier > durable:
            return False
        if self._installation is not None or self._transfer_campaign:
            return False
        self._heard_leader_s = now
        self.election_deadline = now + self._random_timeout()
        return True

    def count_beat(self, sender: str, term: int, sent_s: float, now: float) -> None:
        """Book a follower's answer to a heartbeat of `beat`, if it counts in this term of leadership."""
        node = self._nodes.get(sender)
        if node is not None and self.leads(term):
            self.record_response(node, now)
            self._lease.renewed(sender, sent_s)

    def synced(self, lsn: int) -> None:
        """The write-ahead log is durable up to `lsn`."""
        self._log.synced(lsn)
        if self.state == LEADER and self._may_commit():
            self._around.wake(self)

    def peer_connected(self, peer: str) -> None:
        """Messages can reach `peer` again."""
        self.connected_peers.add(self._nodes[peer])

    def peer_disconnected(self, peer: str) -> None:
        """What was on its way to `peer` may be lost."""
        self.connected_peers.discard(self._nodes[peer])
        if peer in self._progress:
            self._progress[peer].restart()

    def receive(self, sender: str, message: Message) -> None:
        """Handle a message of another member; anyone else is ignored."""
        if sender in self._nodes:
            self._handlers[type(message)](self, sender, message)
            if self._has_work_after(message):
                self._around.wake(self)

    def _has_work_after(self, message: Message) -> bool:
        """Whether a tick may do something now: most replies and heartbeats only bring what is known."""
        if isinstance(message, AppendEntries):
            return self._commit_index > self.last_applied
        if isinstance(message, AppendReply):
            return self.state == LEADER and (bool(self._reads) or self._may_commit())
        return True

    def _may_commit(self) -> bool:
        """Whether, as leader, something more is in enough logs; whether it may be committed the tick finds out."""
        committed = self._commit_index
        if self._log.durable_index <= committed:
            return False
        have = 1
        for progress in self._progress.values():
            have += progress.match_index > committed
        return have >= self._quorum

    def release_old_log(self) -> None:
        """Make it possible to delete old segments of the write-ahead log: rewrite a short tail, else take a snapshot."""
        if self._log.bytes <= self._config.rewrite_bytes or self.is_fenced:
            self._log.rewrite()
        else:
            self._shelf.release_log()
        self._around.wake(self)

    def close(self) -> None:
        """Answer everyone who waits: the process is about to stop."""
        self._fail_waiting()
        self._shelf.cancel()
        self._doDestroy()

    def send_for_library(self, to: str, message: dict[str, int | str]) -> None:
        """The library's own two messages, as typed ones."""
        if message["type"] == "request_vote":
            self._send(
                to,
                RequestVote(
                    term=self.current_term,
                    last_index=self._log.last_index,
                    last_term=self._log.last_term,
                    transfer=self._transfer_campaign,
                ),
            )
        elif message["type"] == "timeout_now":
            self._send(to, TimeoutNow(term=self.current_term))
        else:
            self._around.fatal(f"the Raft library sent a message of its own: {message['type']}")

    # --- elections -------------------------------------------------------------------------------------------------

    def random_election_timeout(self) -> float:
        """What the library asks for when it campaigns: a vote that was split should not cost a whole timeout more."""
        return self._random_timeout() * self._config.retry_share

    def _random_timeout(self) -> float:
        return self._timeout_min_s + self._timeout_spread_s * self._around.random()

    def _postpone_election(self) -> None:
        """A leader was heard, or a vote given: wait a whole election timeout."""
        self.election_deadline = self._around.now() + self._random_timeout()

    def may_campaign(self) -> bool:
        if self._installation_finishing or self._around.log_stalled or self.is_fenced:
            self._postpone_election()
            return False
        if self._nodes and self._is_sticky() and not self._transfer_campaign:  # it would be voting for itself
            self._postpone_election()
            return False
        if self.state == CANDIDATE:
            self._transfer_campaign = False  # it was for one attempt
        if self._elected or self._transfer_campaign or not self._nodes:
            self._elected = False
            self._pre_voters = None
            self._voters = {self._around.node_id}
            self.figures.elections += 1
            return True
        self._start_pre_vote()
        return False

    def _start_pre_vote(self) -> None:
        self.figures.pre_votes += 1
        self.election_deadline = self._around.now() + self.random_election_timeout()
        self.leader_node = None
        self._pre_voters = {self._around.node_id}
        question = PreVote(term=self.current_term + 1, last_index=self._log.last_index, last_term=self._log.last_term)
        for peer in self._nodes:
            self._around.send(peer, self.group, question, 0)

    def _is_sticky(self) -> bool:
        """Whether we may have promised a leader not to elect another one yet."""
        now = self._around.now()
        heard = self._lease.quorum_sent_s(now) if self.state == LEADER else self._heard_leader_s
        return now < heard + self._config.election_timeout_s_min

    def _is_up_to_date(self, last_term: int, last_index: int) -> bool:
        return (last_term, last_index) >= (self._log.last_term, self._log.last_index)

    def _on_pre_vote(self, sender: str, message: PreVote) -> None:
        granted = (
            message.term > self.current_term
            and not self._is_sticky()
            and self._is_up_to_date(message.last_term, message.last_index)
        )
        if granted:  # let it finish before campaigning against it
            own_turn = self._around.now() + self.random_election_timeout()
            self.election_deadline = max(self.election_deadline, own_turn)
        self._send(sender, PreVoteReply(term=self.current_term, asked_term=message.term, granted=granted))

    def _on_pre_vote_reply(self, sender: str, message: PreVoteReply) -> None:
        if message.term > self.current_term:
            self._follow(message.term)
        elif self._pre_voters is not None and message.granted and message.asked_term == self.current_term + 1:
            self._pre_voters.add(sender)
            if len(self._pre_voters) >= self._quorum:
                self._elected = True
                self.election_deadline = 0.0

    def _on_request_vote(self, sender: str, message: RequestVote) -> None:
        if self._is_sticky() and not message.transfer:
            return  # also in our own term: it may have reached us through anyone's reply, without a vote
        if message.term > self.current_term:
            self._follow(message.term)
        granted = (
            message.term == self.current_term
            and self.state == FOLLOWER
            and self.voted_for in ("", sender)
            and self._is_up_to_date(message.last_term, message.last_index)
        )
        if granted and not self.voted_for:
            self.set_term(message.term, sender)
            self._postpone_election()
        self._send(sender, VoteReply(term=self.current_term, granted=granted))

    def _on_vote_reply(self, sender: str, message: VoteReply) -> None:
        if message.term > self.current_term:
            self._follow(message.term)
        elif self.state == CANDIDATE and message.term == self.current_term and message.granted:
            self._voters.add(sender)
            if len(self._voters) >= self._quorum:
                self.become_leader()

    def _on_timeout_now(self, sender: str, message: TimeoutNow) -> None:
        if self._installation is not None or self.is_fenced:
            return
        if message.term == self.current_term and sender == self.leader:
            self._transfer_campaign = True
            self.election_deadline = 0.0

    def _follow(self, term: int) -> None:
        """Be a follower, in `term` if that is newer."""
        self._pre_voters, self._elected, self._transfer_campaign = None, False, False
        self.become_follower(term)

    def _on_state(self, old: int, new: int) -> None:
        self._pre_voters, self._elected = None, False
        if new == LEADER:
            self._drop_installation()
            self._leading_since = self._log.last_index + 1
            self._transfer_until = 0.0
            self._transfer_campaign = False
            length = self._config.election_timeout_s_min * (1 - self._config.lease_drift)
            self._lease = Lease(self._nodes, length)
            self._round, self._round_sent = 0, False
            last = self._log.last_index
            self._progress = {peer: Progress(last, self._config.inflight_bytes) for peer in self._nodes}
            self.leader_changes += 1
            logger.info("group %d: leads in term %d", self.group, self.current_term)
        elif old == LEADER:
            self._heard_leader_s = self._around.now()
            self._progress = {}
            self._shelf.stop_shipping()
            self._leading_since = 0
            logger.info("group %d: leads no more, term %d", self.group, self.current_term)
            self._fail_waiting()

    def _fail_waiting(self) -> None:
        """Leadership ended: whoever waits gets the one outcome that is true."""
        leader = self.leader
        led, self._led = self._led, False
        for done in self.take_queued():
            done(None, FAIL_REASON.NOT_LEADER)
        for _term, done in self.take_all_waiting():
            done(Unknown(leader=leader), FAIL_REASON.SUCCESS)
        reads, self._reads = self._reads, deque()
        for _round, _index, done_reading in reads:
            done_reading(Refused(leader=leader))
        if led:
            self._tell_listeners(leads=False)

    def _tell_listeners(self, *, leads: bool) -> None:
        for listener in self._listeners:
            listener(leads)

    # --- committing and applying -----------------------------------------------------------------------------------

    def cap_commit_index(self, index: int) -> int:
        """A leader counts itself only for what is durable here, and commits only entries of its own term by counting."""
        if index <= self._commit_index:
            return self._commit_index
        if self.state == LEADER and index > self._log.durable_index:
            durable = self._log.durable_index
            own = durable > self._commit_index and self._log.term_at(durable) == self.current_term
            return durable if own else self._commit_index
        return index

    def _checkCommandsToApply(self) -> None:  # noqa: N802 - the library's name
        if self.state == LEADER:
            super()._checkCommandsToApply()
        else:
            for done in self.take_queued():
                done(None, FAIL_REASON.NOT_LEADER)

    def apply_committed(self) -> None:
        if self.last_applied >= self._commit_index or self._installation_finishing:
            return
        deadline = self._around.now() + self._config.apply_s
        for entry in self._log.between(self.last_applied + 1, self._commit_index + 1):
            self._apply(entry)
            if self._around.now() > deadline:
                self._around.wake(self)
                break
        if self.is_fenced:
            return  # it steps down with the next tick
        if self.state == LEADER and not self._led and self.last_applied >= self._leading_since > 0:
            self._led = True
            self._tell_listeners(leads=True)

    def _apply(self, entry: Entry) -> None:
        command, index, term = entry
        self.last_applied = index
        result: object = None
        took_s = 0.0
        if command[:1] == COMMAND:
            began = self._around.now()
            try:
                result = self._machine.apply(index, term, command[1:])
            except Exception as error:
                logger.exception("group %d: the state machine failed at index %d", self.group, index)
                result = error
            took_s = self._around.now() - began
            figures = self.figures
            figures.applied += 1
            figures.applied_bytes += len(command)
            figures.apply_s += took_s
        for waiting_term, done in self.take_waiting(index):
            outcome = Committed(index, term, result, took_s) if waiting_term == term else Unknown(leader=self.leader)
            self._tell(done, outcome)

    def _tell(self, done: Callable[[object, int], None], outcome: Outcome) -> None:
        try:
            done(outcome, FAIL_REASON.SUCCESS)
        except Exception:
            logger.exception("group %d: whoever waited for a command failed to take its outcome", self.group)

    # --- the leader's side of replication --------------------------------------------------------------------------

    def ship_entries(self) -> None:
        """Heartbeat."""
        self.heartbeat_due = self._config.next_heartbeat_s(self._around.now())
        self._round_sent = True
        for peer, progress in self._progress.items():
            if self._nodes[peer] in self.connected_peers:
                progress.probe_again()
                self._ship(peer, progress, heartbeat=True)

    def _ship_new(self) -> None:
        for peer, progress in self._progress.items():
            if self._nodes[peer] in self.connected_peers:
                self._ship(peer, progress, heartbeat=False)

    def _ship(self, peer: str, progress: Progress, *, heartbeat: bool) -> None:
        """Send `peer` what it lacks; with `heartbeat` something in any case."""
        log = self._log
        if progress.next_index <= log.base_index and not self._shelf.index:
            progress.restart(log.base_index + 1)  # everyone has the base of a log that was never compacted
        if progress.next_index <= log.base_index:
            self._shelf.ship(peer, progress, heartbeat=heartbeat)
            return
        while heartbeat or (progress.may_send and progress.next_index <= log.last_index):
            heartbeat = False
            entries: list[Entry] = []
            if progress.may_send and progress.next_index <= log.last_index:
                entries = log.batch(progress.next_index, self._config.batch_bytes, self._config.batch_entries)
            self._send_entries(peer, progress, entries)

    def _send_entries(self, peer: str, progress: Progress, entries: list[Entry]) -> None:
        prev_index = progress.next_index - 1
        message = AppendEntries(
            term=self.current_term,
            prev_index=prev_index,
            prev_term=self._log.term_at(prev_index),
            commit_index=self._commit_index,
            sent_s=self._around.now(),
            round=self._round,
            entries=[LogEntry(term, command) for command, _index, term in entries],
        )
        if entries:
            progress.sent(entries[-1][1], sum(len(entry[0]) for entry in entries))
        self._around.send(peer, self.group, message, 0)

    def _answered(self, sender: str, message: AppendReply | InstallReply) -> Progress | None:
        """Book a follower's answer; None when it does not count in this term of leadership."""
        if message.term > self.current_term:
            self._follow(message.term)
        if self.state != LEADER or message.term != self.current_term:
            return None
        self.record_response(self._nodes[sender], self._around.now())
        self._lease.answered(sender, message.sent_s, message.round)
        return self._progress[sender]

    def _on_append_reply(self, sender: str, message: AppendReply) -> None:
        progress = self._answered(sender, message)
        if progress is None:
            return
        if message.success:
            if progress.shipment is not None:
                self._shelf.shipped(sender, progress)
            progress.matched(message.match_index)
            self.record_match(self._nodes[sender], progress.match_index)
            if progress.next_index <= self._log.last_index:
                self._ship(sender, progress, heartbeat=False)
        elif progress.mismatched(message.prev_index, message.next_index):
            self._ship(sender, progress, heartbeat=False)

    def _on_install_reply(self, sender: str, message: InstallReply) -> None:
        progress = self._answered(sender, message)
        if progress is not None:
            self._shelf.received(sender, progress, message)

    def send_snapshot_piece(self, peer: str, piece: InstallSnapshot) -> None:
        """Send a piece that the shelf cut."""
        self._around.send(peer, self.group, piece, 0)

    @property
    def read_round(self) -> int:
        """The newest ReadIndex round, to be echoed by followers."""
        return self._round

    def _answer_reads(self) -> None:
        if not self._reads:
            return
        confirmed = self._lease.confirmed_round(self._round)
        while self._reads and self._reads[0][0] <= confirmed and self._reads[0][1] <= self.last_applied:
            self._reads.popleft()[2](_GRANTED_BY_ROUND)

    # --- the follower's side ---------------------------------------------------------------------------------------

    def _accept_leader(self, sender: str, term: int) -> bool:
        """A message that only the leader of `term` sends: whether it is not outdated, and if so follow."""
        if term < self.current_term:
            return False
        if self.state == LEADER and term == self.current_term:
            self._around.fatal(f"group {self.group}: two leaders in term {term}")
        transferring = self._transfer_campaign and self.state == FOLLOWER and term == self.current_term
        if not transferring:
            self._follow(term)
            self._postpone_election()
        self.leader_node = self._nodes[sender]
        self._heard_leader_s = self._around.now()
        return True

    def _on_append_entries(self, sender: str, message: AppendEntries) -> None:
        if not self._accept_leader(sender, message.term):
            self._send(sender, self._refusal_by_term())
            return
        if self._installation_finishing or (message.entries and self._takes_no_entries):
            return
        hint = self._mismatch(message)
        if hint is not None:
            self._reply_append(sender, message, match=None, hint=hint)
            return
        self._drop_installation()  # the leader found that entries will do
        verified = self._store(message)
        self._SyncObj__raftCommitIndex = min(message.commit_index, verified)
        self._reply_append(sender, message, match=verified, hint=0)

    @property
    def _takes_no_entries(self) -> bool:
        """A fenced replica's log is never compacted: when it is long, it waits for the leader's next snapshot instead."""
        return self._around.log_backlogged or (self.is_fenced and self._log.bytes >= self._config.fenced_log_bytes)

    def _mismatch(self, message: AppendEntries) -> int | None:
        """Where the leader should try again, or None when the entry before the new ones matches (the paper, 5.3)."""
        log = self._log
        if message.prev_index > log.last_index:
            return log.last_index + 1
        if message.prev_index <= log.base_index or log.term_at(message.prev_index) == message.prev_term:
            return None
        self._refuse_rewriting(message.prev_index)
        return log.first_index_of_term_at(message.prev_index, self._commit_index)

    def _store(self, message: AppendEntries) -> int:
        """Append what is new and return the last index that is now known to equal the leader's."""
        log = self._log
        for index, entry in enumerate(message.entries, message.prev_index + 1):
            if index <= log.last_index:
                if index <= log.base_index or log.term_at(index) == entry.term:
                    continue
                self._refuse_rewriting(index)
                log.truncate_from(index)
            log.add(entry.command, index, entry.term)
        return max(message.prev_index + len(message.entries), log.base_index)

    def _refuse_rewriting(self, index: int) -> None:
        if index <= self._commit_index:
            self._around.fatal(
                f"group {self.group}: the leader contradicts the committed entry {index} (commit {self._commit_index})"
            )

    def _refusal_by_term(self) -> AppendReply:
        """Only tells our term. It echoes neither time, round nor index: the sender may lead again, in that very term."""
        return AppendReply(
            term=self.current_term,
            success=False,
            match_index=0,
            prev_index=0,
            next_index=0,
            sent_s=float("-inf"),
            round=0,
        )

    def _reply_append(self, to: str, message: AppendEntries, *, match: int | None, hint: int) -> None:
        self._send(
            to,
            AppendReply(
                term=self.current_term,
                success=match is not None,
                match_index=match or 0,
                prev_index=message.prev_index,
                next_index=hint,
                sent_s=message.sent_s,
                round=message.round,
            ),
        )

    # --- snapshots -------------------------------------------------------------------------------------------------

    def compact(self) -> None:
        if self._installation is None and not self.is_fenced:
            self._shelf.write_when_due()

    @property
    def _installation_finishing(self) -> bool:
        return self._installation is not None and self._installation.finishing

    def _on_install_snapshot(self, sender: str, message: InstallSnapshot) -> None:
        if not self._accept_leader(sender, message.term):
            self._send(sender, self._refusal_by_term())
            return
        if self._installation_finishing:
            self._send(
                sender, InstallReply(self.current_term, message.index, message.size, message.sent_s, message.round)
            )
            return
        if self._has(message.index, message.index_term):
            # What a snapshot holds is committed. Installing it would drop what follows, which may be acknowledged.
            self._SyncObj__raftCommitIndex = message.index
        if message.index <= self._commit_index:  # we have all of it: the leader may go on with entries
            self._drop_installation()
            match = AppendReply(
                self.current_term,
                True,
                message.index,
                message.index,
                0,
                message.sent_s,
                message.round,
            )
            self._send(sender, match)
            return
        if self._installation is None or not self._installation.continues(message):
            self._drop_installation()
            self._installation = self._shelf.install(message)
        self._installation.take(message, lambda offset: self._answer_piece(sender, message, offset))

    def _answer_piece(self, to: str, piece: InstallSnapshot, offset: int) -> None:
        """Say what is wanted next; perhaps long after the piece came, and then only to a leader that still is one."""
        if piece.term == self.current_term:
            self._send(to, InstallReply(piece.term, piece.index, offset, piece.sent_s, piece.round))
            self._around.wake(self)

    def _has(self, index: int, term: int) -> bool:
        """Whether the log has the entry (`index`, `term`), and so, by log matching, all before it."""
        log = self._log
        return log.base_index <= index <= log.last_index and log.term_at(index) == term

    def _drop_installation(self) -> None:
        if self._installation is not None:
            self._installation.abort()
            self._installation = None

    def installed(self, index: int, term: int) -> None:
        """The machine's state is now that of the snapshot that ends at (`index`, `term`), which is on disk."""
        if self._has(index, term):
            self._around.fatal(f"group {self.group}: a snapshot up to {index} would replace a log that goes on from it")
        self._installation = None
        self._log.reset(index, term)
        self.last_applied = index
        self._commit_index = index
        self._around.wake(self)

    def installation_failed(self) -> None:
        """The snapshot that came in was damaged: ask again from its beginning."""
        self._installation = None

    def _send(self, to: str, message: Message) -> None:
        """Send a promise: not before everything this group has recorded is durable."""
        self._around.send(to, self.group, message, self._log.barrier)

    _handlers: ClassVar[dict[type, Callable[..., None]]] = {
        PreVote: _on_pre_vote,
        PreVoteReply: _on_pre_vote_reply,
        RequestVote: _on_request_vote,
        VoteReply: _on_vote_reply,
        AppendEntries: _on_append_entries,
        AppendReply: _on_append_reply,
        InstallSnapshot: _on_install_snapshot,
        InstallReply: _on_install_reply,
        TimeoutNow: _on_timeout_now,
    }
