"""The server side of tokens, on the nodes: placement's leader gives the table out and takes changes, others name it.

A change that takes rights away is answered when everybody who polls has it (see holders.py). The table goes to gateways and
nodes, a change comes from gateways, the first token from an administrator: by the role in the certificate. Without TLS there
are no roles, and whoever reaches the port owns the cluster anyway.
"""

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from placement.commands import (
    BootstrapTokens,
    CreateToken,
    Rejected,
    Rejection,
    RevokeToken,
    RotateToken,
    TokenCommand,
    TokensChanged,
    encode_command,
)
from placement.failures import failure_of, not_leader
from placement.tokens.book import TokenBook
from placement.tokens.holders import Holders
from placement.tokens.scopes import EVERYTHING
from process.clock import CallLater, Clock, Timer, loop_call_later, loop_time
from raft.interface import Committed, Outcome, ReadGranted, ReadOutcome, Replica
from wire.errors import Applied, Code, Failure
from wire.methods import BOOTSTRAP_TOKENS, CREATE_TOKEN, REVOKE_TOKEN, ROTATE_TOKEN, WATCH_TOKENS
from wire.rpc import Call, Method
from wire.tls import Role
from wire.token_messages import (
    LIMIT_OVERLAP_MS,
    BootstrapTokensRequest,
    CreateTokenRequest,
    RevokeTokenRequest,
    RotateTokenRequest,
    Token,
    TokenReply,
    TokenStatus,
    TokenTable,
    WatchTokensRequest,
)

logger = logging.getLogger(__name__)

WAIT_MAX_S = 10.0
WAITERS_MAX = 1024
HELD_MAX = 1024
HELD_LOOK_S = 0.1  # how often those who were not heard of are looked for
RETRY_AFTER_MS = 200

_STATUS = {
    Rejection.INVALID_TOKEN: TokenStatus.INVALID,
    Rejection.NO_SUCH_TOKEN: TokenStatus.NOT_FOUND,
    Rejection.TOO_MANY_TOKENS: TokenStatus.TOO_MANY,
}  # all others: CONFLICT

_TAKES_RIGHTS = (RevokeToken, RotateToken)

Change: TypeAlias = Call[Any, TokenReply]
Watch: TypeAlias = Call[WatchTokensRequest, TokenTable]


class _Waiter(msgspec.Struct, frozen=True):
    call: Watch
    timer: Timer


class _Held(msgspec.Struct, frozen=True):
    """An answer that waits until everybody has the table of its revision."""

    call: Change
    reply: TokenReply


class TokenService:
    """Serves the methods about tokens at one replica of the placement group.

    Args:
        replica: this node's replica.
        book: the tokens in its state machine.
        clock: the event loop's clock, in seconds.
        call_later: the event loop's timer.
        now_ms: Unix time in ms; what tokens' times are taken from.
    """

    def __init__(
        self,
        replica: Replica,
        book: TokenBook,
        *,
        clock: Clock = loop_time,
        call_later: CallLater = loop_call_later,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._replica = replica
        self._book = book
        self._clock = clock
        self._call_later = call_later
        self._now_ms = now_ms
        self._waiters: dict[int, _Waiter] = {}
        self._tickets = itertools.count()
        self._flush: Timer | None = None
        self._holders = Holders()
        self._held: list[_Held] = []
        self._look: Timer | None = None
        replica.on_leadership(self._on_leadership)
        book.subscribe(self._changed)

    @property
    def waiting(self) -> int:
        """How many wait for a newer table."""
        return len(self._waiters)

    def watch(self, call: Watch) -> None:
        """Serve WATCH_TOKENS."""
        if not self._may(call, Role.GATEWAY, Role.NODE):
            return
        request, now = call.request, self._clock()
        self._holders.polled(request.watcher, request.revision, now)
        if self._held:
            self._look_at_held()
        wait_s = min(request.wait_ms / 1000, WAIT_MAX_S, call.deadline - now)
        if self._book.table.revision > request.revision or wait_s <= 0 or len(self._waiters) >= WAITERS_MAX:
            self._give_out(call)
            return
        ticket = next(self._tickets)
        timer = self._call_later(wait_s, lambda: self._release(ticket))
        self._waiters[ticket] = _Waiter(call, timer)

    def create(self, call: Call[CreateTokenRequest, TokenReply]) -> None:
        """Serve CREATE_TOKEN."""
        if self._may(call, Role.GATEWAY):
            asked, now_ms = call.request, self._now_ms()
            expires_ms = now_ms + asked.lifetime_ms if asked.lifetime_ms else 0
            self._propose(call, CreateToken(Token(asked.id, asked.name, asked.scopes, asked.hash, now_ms, expires_ms)))

    def bootstrap(self, call: Call[BootstrapTokensRequest, TokenReply]) -> None:
        """Serve BOOTSTRAP_TOKENS."""
        if self._may(call, Role.ADMIN):
            asked = call.request
            token = Token(asked.id, asked.name, [EVERYTHING], asked.hash, self._now_ms())
            self._propose(call, BootstrapTokens(asked.key, token))

    def revoke(self, call: Call[RevokeTokenRequest, TokenReply]) -> None:
        """Serve REVOKE_TOKEN."""
        if self._may(call, Role.GATEWAY):
            self._propose(call, RevokeToken(call.request.id))

    def rotate(self, call: Call[RotateTokenRequest, TokenReply]) -> None:
        """Serve ROTATE_TOKEN."""
        if self._may(call, Role.GATEWAY):
            asked, now_ms = call.request, self._now_ms()
            overlap_ms = min(max(asked.overlap_ms, 0), LIMIT_OVERLAP_MS)
            self._propose(call, RotateToken(asked.id, asked.hash, now_ms, now_ms + overlap_ms))

    def _may(self, call: Call[Any, Any], *roles: Role) -> bool:
        """Whether the call is to be served here; answers it when not."""
        if call.peer.role and call.peer.role not in roles:
            call.fail(Failure(Code.INVALID, f"The certificate is for a {call.peer.role}, which may not ask this."))
        elif not self._replica.is_leader:
            call.fail(not_leader(self._replica.leader))
        else:
            return True
        return False

    # --- giving the table out -------------------------------------------------------------------------------------

    def _changed(self) -> None:
        """Answer everyone on the next turn of the loop: the machine is in the middle of applying an entry."""
        if self._flush is None and self._waiters:
            self._flush = self._call_later(0.0, self._release_all)

    def _on_leadership(self, leads: bool) -> None:  # noqa: FBT001 - the listener that raft asks for
        if leads:
            self._holders.begin(self._clock())
        self._release_all()  # on both edges: whoever waits must hear at once that it has to ask somebody else

    def _release_all(self) -> None:
        self._flush = None
        for ticket in list(self._waiters):
            self._release(ticket)

    def _release(self, ticket: int) -> None:
        waiter = self._waiters.pop(ticket, None)
        if waiter is not None:
            waiter.timer.cancel()
            self._give_out(waiter.call)

    def _give_out(self, call: Watch) -> None:
        """Answer with the table once it is certain that nobody else leads and has changed it."""

        def granted(outcome: ReadOutcome) -> None:
            if isinstance(outcome, ReadGranted):
                call.reply(self._book.table)
            else:
                call.fail(failure_of(outcome, RETRY_AFTER_MS))

        self._replica.read(granted)

    # --- changes --------------------------------------------------------------------------------------------------

    def _propose(self, call: Change, command: TokenCommand) -> None:
        self._replica.propose(encode_command(command), lambda outcome: self._decided(call, command, outcome))

    def _decided(self, call: Change, command: TokenCommand, outcome: Outcome) -> None:
        if not isinstance(outcome, Committed):
            call.fail(failure_of(outcome, RETRY_AFTER_MS))
        elif isinstance(outcome.result, TokensChanged):
            token = msgspec.structs.replace(outcome.result.token, hash=b"", old_hash=b"")
            logger.info("placement: %s: token %s", type(command).__name__, token.id)
            self._answer(call, command, TokenReply(TokenStatus.OK, outcome.result.revision, token=token))
        elif isinstance(outcome.result, Rejected):
            status = _STATUS.get(outcome.result.rejection, TokenStatus.CONFLICT)
            self._answer(call, command, TokenReply(status, self._book.table.revision, outcome.result.message))
        else:
            call.fail(Failure(Code.INTERNAL, "The placement group answered with something else."))

    def _answer(self, call: Change, command: TokenCommand, reply: TokenReply) -> None:
        """Answer a change, one that takes rights away when everybody has it; so, too, that there is no such token any more."""
        if not isinstance(command, _TAKES_RIGHTS) or reply.status not in {TokenStatus.OK, TokenStatus.NOT_FOUND}:
            call.reply(reply)
        elif len(self._held) >= HELD_MAX:
            call.fail(Failure(Code.UNKNOWN, "Too many changes of tokens are under way.", Applied.UNKNOWN))
        else:
            self._held.append(_Held(call, reply))
            self._look_at_held()

    def _look_at_held(self) -> None:
        now, still = self._clock(), []
        for held in self._held:
            if self._holders.all_have(held.reply.revision, now):
                held.call.reply(held.reply)
            elif held.call.is_open and held.call.deadline > now:
                still.append(held)
        self._held = still
        if self._held and self._look is None:
            self._look = self._call_later(HELD_LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._look = None
        self._look_at_held()


class Server(Protocol):
    """The part of `wire.RpcServer` that takes handlers."""

    def on(self, method: Method[Any, Any], handler: Callable[[Call[Any, Any]], None]) -> None:
        """Serve a method."""


def serve_tokens(server: Server, service: TokenService | None, members: Sequence[str]) -> None:
    """Serve the methods about tokens; a node without a replica of placement (`service` None) names a member that has."""
    turns = itertools.cycle(members)

    def refer(call: Call[Any, Any]) -> None:
        call.fail(not_leader(next(turns)))

    server.on(WATCH_TOKENS, service.watch if service else refer)
    server.on(CREATE_TOKEN, service.create if service else refer)
    server.on(BOOTSTRAP_TOKENS, service.bootstrap if service else refer)
    server.on(REVOKE_TOKEN, service.revoke if service else refer)
    server.on(ROTATE_TOKEN, service.rotate if service else refer)
