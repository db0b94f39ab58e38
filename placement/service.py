"""The server side of placement, on the nodes that host a replica of its group.

Only the leader answers; the others name it. A node's registration goes through the log when it changes something. What
nodes report in heartbeats stays in the leader's memory, and a regular tick asks the planner what to do: groups are
created through the log, leadership transfers are handed out in the answers to heartbeats.
"""

import logging
from typing import assert_never

import msgspec

from placement.commands import Accepted, Bootstrap, RegisterNode, Rejected, encode_command
from placement.failures import failure_of, not_leader
from placement.machine import PlacementMachine
from placement.planner import CreateGroups, Decision, Goals, Idle, Operator, Reason, TransferLeader, View, decide
from placement.roster import Roster
from placement.transfers import Transfers
from process.clock import CallLater, Clock, Timer, loop_call_later, loop_time
from raft.interface import Committed, Outcome, ReadGranted, ReadOutcome, Refused, Replica, Unknown
from wire.errors import Code, Failure
from wire.messages import HeartbeatReply, HeartbeatRequest, NodeInfo, RegisterReply, RegisterRequest
from wire.rpc import Call, Peer

logger = logging.getLogger(__name__)


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times of a PlacementService, in seconds.

    Attributes:
        tick_s: how often the planner is asked.
        down_after_s: a node that was not heard for longer counts as down.
        transfer_s: how long a leadership transfer may take before it is given up.
        retry_after_ms: what an overloaded leader asks of its callers.
    """

    tick_s: float = 0.5
    down_after_s: float = 5.0
    transfer_s: float = 5.0
    retry_after_ms: int = 200


class PlacementService:
    """Serves REGISTER and HEARTBEAT, and carries out what the planner decides while its replica leads.

    Args:
        replica: this node's replica of the placement group.
        machine: the state machine of that replica.
        goals: what the cluster should look like.
        settings: times.
        clock: the event loop's clock, in seconds.
        call_later: the event loop's timer.
    """

    def __init__(
        self,
        replica: Replica,
        machine: PlacementMachine,
        goals: Goals,
        *,
        settings: ServiceSettings = ServiceSettings(),  # noqa: B008 - frozen
        clock: Clock = loop_time,
        call_later: CallLater = loop_call_later,
    ) -> None:
        self._replica = replica
        self._machine = machine
        self._goals = goals
        self._settings = settings
        self._clock = clock
        self._call_later = call_later
        self._roster = Roster(settings.down_after_s)
        self._transfers = Transfers(settings.transfer_s)
        self._decision: Decision = Idle(Reason.NO_LEADERS)
        self._bootstrapping = False
        self._timer: Timer | None = None
        replica.on_leadership(self._on_leadership)

    @property
    def decision(self) -> Decision:
        """What the planner said last while this replica led; for status and metrics."""
        return self._decision

    def start(self) -> None:
        """Begin to tick."""
        if self._timer is None:
            self._timer = self._call_later(self._settings.tick_s, self._tick)

    def close(self) -> None:
        """Stop to tick."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- what nodes ask -------------------------------------------------------------------------------------------

    def register(self, call: Call[RegisterRequest, RegisterReply]) -> None:
        """Serve REGISTER: answered with the map once the node is in it; INVALID when it can never be."""
        if not self._replica.is_leader:
            call.fail(not_leader(self._replica.leader))
        elif _is_impostor(call.peer, call.request.node.id):
            call.fail(Failure(Code.INVALID, "The certificate names another node than the request."))
        else:
            self._replica.read(lambda outcome: self._register(call, outcome))

    def heartbeat(self, call: Call[HeartbeatRequest, HeartbeatReply]) -> None:
        """Serve HEARTBEAT: answered with the epoch and advice; INVALID when the node must register first."""
        beat = call.request
        if not self._replica.is_leader:
            call.fail(not_leader(self._replica.leader))
        elif _is_impostor(call.peer, beat.node) or not self._is_registered(beat):
            call.fail(Failure(Code.INVALID, "This node is not registered under that id."))
        else:
            groups = {group.id for group in self._machine.map.groups}
            self._roster.heard(beat.node, [each for each in beat.groups if each.group in groups], self._clock())
            call.reply(HeartbeatReply(self._machine.map.epoch, self._transfers.advice_for(beat.node)))

    def _is_registered(self, beat: HeartbeatRequest) -> bool:
        known = self._machine.node(beat.node)
        return known is not None and known.incarnation == beat.incarnation

    def _register(self, call: Call[RegisterRequest, RegisterReply], outcome: ReadOutcome) -> None:
        node = call.request.node
        if not isinstance(outcome, ReadGranted):
            call.fail(self._failure(outcome))
        elif self._machine.node(node.id) == node:
            self._welcome(call, node)
        elif rejected := self._machine.refusal(node):  # spares the log; the machine itself decides
            call.fail(Failure(Code.INVALID, rejected.message))
        else:
            self._replica.propose(encode_command(RegisterNode(node)), lambda outcome: self._registered(call, outcome))

    def _registered(self, call: Call[RegisterRequest, RegisterReply], outcome: Outcome) -> None:
        if not isinstance(outcome, Committed):
            call.fail(self._failure(outcome))
        elif isinstance(outcome.result, Rejected):
            call.fail(Failure(Code.INVALID, outcome.result.message))
        else:
            self._welcome(call, call.request.node)

    def _welcome(self, call: Call[RegisterRequest, RegisterReply], node: NodeInfo) -> None:
        self._roster.joined(node.id, self._clock())
        call.reply(RegisterReply(self._machine.map))

    def _failure(self, outcome: Refused | Unknown) -> Failure:
        return failure_of(outcome, self._settings.retry_after_ms)

    # --- what the planner decides ---------------------------------------------------------------------------------

    def _on_leadership(self, leads: bool) -> None:  # noqa: FBT001 - the listener that raft asks for
        del leads  # on both edges: what was heard in an earlier term of leadership is worth nothing
        self._roster.clear()
        self._transfers.clear()

    def _tick(self) -> None:
        self._timer = self._call_later(self._settings.tick_s, self._tick)
        if not self._replica.is_leader:
            return
        decision = decide(self._view(self._clock()))
        if decision != self._decision:
            logger.info("placement: %s", _describe(decision))
        self._decision = decision
        if not isinstance(decision, Idle):
            for operator in decision.operators:
                self._carry_out(operator)

    def _view(self, now: float) -> View:
        leaders = self._roster.leaders(now)
        expired = self._transfers.settle(leaders, now)
        for group in expired:
            self._roster.touch(group, now)
        return View(
            map=self._machine.map,
            alive=self._roster.alive(now),
            leaders=self._roster.leaders(now) if expired else leaders,
            pending=self._transfers.targets(),
            goals=self._goals,
        )

    def _carry_out(self, operator: Operator) -> None:
        for step in operator.steps:
            if isinstance(step, TransferLeader):
                self._transfers.ask(step, self._clock())
            elif isinstance(step, CreateGroups):
                self._create(step)
            else:
                assert_never(step)

    def _create(self, step: CreateGroups) -> None:
        if not self._bootstrapping:
            self._bootstrapping = True
            self._replica.propose(encode_command(Bootstrap(list(step.groups), list(step.slots))), self._created)

    def _created(self, outcome: Outcome) -> None:
        self._bootstrapping = False
        if isinstance(outcome, Committed) and not isinstance(outcome.result, Accepted):
            logger.error("placement: the first groups were rejected: %s", outcome.result)


def _is_impostor(peer: Peer, node: str) -> bool:
    return bool(peer.node) and (peer.role, peer.node) != ("node", node)


def _describe(decision: Decision) -> str:
    if isinstance(decision, Idle):
        return f"nothing to do ({decision.reason.number}): {decision.reason.sentence}"
    return ", ".join(f"{operator.purpose.value} in {len(operator.steps)} steps" for operator in decision.operators)
