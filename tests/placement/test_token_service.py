"""Placement's leader gives the tokens out and takes changes of them."""

from collections.abc import Callable
from typing import Any

import pytest

from placement.machine import PlacementMachine
from placement.tokens.holders import PATIENCE_S, Holders
from placement.tokens.service import TokenService, serve_tokens
from placement.tokens.watcher import TokenPace
from raft.interface import Outcome, Unknown
from tests.placement.fakes import Desk, Time, call_of
from tests.placement.replicas import FakeReplica, refused
from tests.placement.token_rows import KEY, hash_of, id_of, row, secret_of
from wire.errors import Applied, Code
from wire.rpc import Call, Method, Peer
from wire.token_messages import (
    BootstrapTokensRequest,
    CreateTokenRequest,
    RevokeTokenRequest,
    RotateTokenRequest,
    TokenReply,
    TokenScope,
    TokenStatus,
    WatchTokensRequest,
)

BOOTSTRAP = BootstrapTokensRequest(KEY, id_of(0), "root", hash_of(secret_of(0)))
CREATE = CreateTokenRequest(id_of(1), "app", [TokenScope(b"app/", 3)], hash_of(secret_of(1)), 60_000)


def peer(role: str) -> Peer:
    return Peer("x", "c", role)


class Stage:
    """A placement leader whose wall clock says 1,000,000 ms."""

    def __init__(self, *, begun: bool = True) -> None:
        self.time = Time()
        self.machine = PlacementMachine("c", lambda _: None)
        self.replica = FakeReplica(self.machine)
        self.service = TokenService(
            self.replica,
            self.machine.tokens,
            clock=self.time.clock,
            call_later=self.time.call_later,
            now_ms=lambda: 1_000_000,
        )
        if begun:
            self.ask(self.service.bootstrap, BOOTSTRAP)

    def ask(self, method: Callable[[Call[Any, Any]], None], request: object, who: Peer = Peer()) -> Desk:  # noqa: B008 - frozen
        call, desk = call_of(request, peer=who)
        method(call)
        return desk

    def change(self, method: Callable[[Call[Any, Any]], None], request: object) -> TokenReply:
        (reply,) = self.ask(method, request).replies
        assert isinstance(reply, TokenReply)
        return reply


def test_changes_are_answered_with_the_token_and_never_with_a_hash() -> None:
    stage = Stage(begun=False)
    first = stage.change(stage.service.bootstrap, BOOTSTRAP)
    created = stage.change(stage.service.create, CREATE)
    rotated = stage.change(stage.service.rotate, RotateTokenRequest(id_of(1), hash_of(secret_of(1, 1)), 5000))
    revoked = stage.change(stage.service.revoke, RevokeTokenRequest(id_of(1)))
    assert [reply.status for reply in (first, created, rotated, revoked)] == [TokenStatus.OK] * 4
    assert [reply.revision for reply in (first, created, rotated, revoked)] == [1, 2, 3, 4]
    for reply in (first, created, rotated, revoked):
        assert reply.token is not None
        assert reply.token.hash == reply.token.old_hash == b""
    assert created.token is not None
    assert (created.token.created_ms, created.token.expires_ms) == (1_000_000, 1_060_000)
    assert rotated.token is not None
    assert (rotated.token.rotated_ms, rotated.token.old_until_ms) == (1_000_000, 1_005_000)


def test_a_change_that_cannot_be_says_why() -> None:
    stage = Stage()
    service = stage.service
    outcomes = [
        stage.change(service.bootstrap, BootstrapTokensRequest(KEY, id_of(7), "x", b"h" * 32)),
        stage.change(service.revoke, RevokeTokenRequest(id_of(9))),
        stage.change(service.rotate, RotateTokenRequest(id_of(9), b"h" * 32)),
        stage.change(service.revoke, RevokeTokenRequest(id_of(0))),
        stage.change(service.create, CreateTokenRequest("bad", "x", [], b"")),
    ]
    assert [each.status for each in outcomes] == [
        TokenStatus.CONFLICT,
        TokenStatus.NOT_FOUND,
        TokenStatus.NOT_FOUND,
        TokenStatus.CONFLICT,
        TokenStatus.INVALID,
    ]
    assert all(each.message for each in outcomes)


@pytest.mark.parametrize(
    ("outcome", "code", "applied"),
    [
        (refused("n2"), Code.NOT_LEADER, Applied.NO),
        (refused(), Code.UNAVAILABLE, Applied.NO),
        (refused(overloaded=True), Code.OVERLOADED, Applied.NO),
        (Unknown("n2"), Code.UNKNOWN, Applied.UNKNOWN),
    ],
)
def test_a_change_that_was_not_committed_says_whether_it_may_yet_be(
    outcome: Outcome, code: Code, applied: Applied
) -> None:
    stage = Stage()
    stage.replica.outcome = outcome
    (failure,) = stage.ask(stage.service.create, CREATE).failures
    assert (failure.code, failure.applied) == (code, applied)


def test_each_method_is_for_the_roles_that_need_it() -> None:
    stage = Stage()
    service = stage.service
    allowed: dict[str, tuple[Callable[[Call[Any, Any]], None], object]] = {
        "watch": (service.watch, WatchTokensRequest(0, 0)),
        "create": (service.create, CREATE),
        "rotate": (service.rotate, RotateTokenRequest(id_of(1), b"h" * 32)),
        "revoke": (service.revoke, RevokeTokenRequest(id_of(1))),
        "bootstrap": (service.bootstrap, BOOTSTRAP),
    }
    served = {
        (name, role)
        for name, (method, request) in allowed.items()
        for role in ("gateway", "node", "admin", "")
        if stage.ask(method, request, peer(role)).replies
    }
    everyone = {(name, "") for name in allowed}  # no TLS: loopback only
    assert served == everyone | {
        ("watch", "gateway"),
        ("watch", "node"),
        ("create", "gateway"),
        ("rotate", "gateway"),
        ("revoke", "gateway"),
        ("bootstrap", "admin"),
    }
    (failure,) = stage.ask(service.watch, WatchTokensRequest(0, 0), peer("admin")).failures
    assert failure.code is Code.INVALID


def test_only_the_leader_answers() -> None:
    stage = Stage()
    stage.replica.is_leader = False
    for method, request in ((stage.service.watch, WatchTokensRequest(0, 0)), (stage.service.create, CREATE)):
        (failure,) = stage.ask(method, request).failures
        assert (failure.code, failure.leader) == (Code.NOT_LEADER, "n1")


def test_a_watcher_is_answered_when_the_tokens_change_or_its_time_is_over() -> None:
    stage = Stage()
    watch = stage.service.watch
    news = stage.ask(watch, WatchTokensRequest(0, 400))
    assert news.replies == [stage.machine.tokens.table]
    waiting, patient = stage.ask(watch, WatchTokensRequest(1, 400)), stage.ask(watch, WatchTokensRequest(1, 60_000))
    stage.time.advance(0.3)
    assert waiting.replies == patient.replies == []
    stage.time.advance(0.2)
    assert waiting.replies == [stage.machine.tokens.table]
    stage.change(stage.service.create, CREATE)
    stage.time.advance(0)
    assert [table.revision for table in patient.replies] == [2]
    assert stage.service.waiting == 0


def test_no_answer_waits_for_ever_and_not_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placement.tokens.service.WAITERS_MAX", 1)
    stage = Stage()
    patient = stage.ask(stage.service.watch, WatchTokensRequest(1, 1 << 40))
    assert stage.ask(stage.service.watch, WatchTokensRequest(1, 400)).replies
    stage.time.advance(10)
    assert patient.replies


def test_a_table_is_given_out_only_after_the_leader_made_sure_that_it_leads() -> None:
    stage = Stage()
    waiting = stage.ask(stage.service.watch, WatchTokensRequest(1, 400))
    stage.replica.read_outcome = refused("n2")
    stage.time.advance(0.5)
    assert waiting.replies == []
    assert [failure.code for failure in waiting.failures] == [Code.NOT_LEADER]


def test_who_waits_hears_at_once_that_leadership_is_lost() -> None:
    stage = Stage()
    waiting = stage.ask(stage.service.watch, WatchTokensRequest(1, 400))
    stage.replica.read_outcome = refused("n2")
    stage.replica.lead(leads=False)
    assert [failure.leader for failure in waiting.failures] == ["n2"]


REVOKE = RevokeTokenRequest(id_of(1))
ROTATE = RotateTokenRequest(id_of(1), hash_of(secret_of(1, 1)), 0)


@pytest.mark.parametrize("request_", [REVOKE, ROTATE])
def test_what_takes_rights_away_is_answered_when_everybody_who_polls_has_it(request_: object) -> None:
    stage = Stage()
    method = stage.service.revoke if request_ is REVOKE else stage.service.rotate
    stage.change(stage.service.create, CREATE)
    for gateway in (1, 2):
        stage.ask(stage.service.watch, WatchTokensRequest(2, 400, gateway))
    waiting = stage.ask(method, request_)
    stage.time.advance(0)
    stage.ask(stage.service.watch, WatchTokensRequest(3, 400, 1))
    stage.ask(stage.service.watch, WatchTokensRequest(2, 0, 2))  # sent before it was told
    assert not waiting.replies
    stage.ask(stage.service.watch, WatchTokensRequest(3, 400, 2))
    assert [reply.status for reply in waiting.replies] == [TokenStatus.OK]


def test_a_repeated_revocation_waits_like_the_first() -> None:
    stage = Stage()
    stage.change(stage.service.create, CREATE)
    stage.ask(stage.service.watch, WatchTokensRequest(2, 400, 1))
    first, second = stage.ask(stage.service.revoke, REVOKE), stage.ask(stage.service.revoke, REVOKE)
    assert not first.replies + second.replies
    stage.ask(stage.service.watch, WatchTokensRequest(3, 400, 1))
    assert [reply.status for reply in first.replies + second.replies] == [TokenStatus.OK, TokenStatus.NOT_FOUND]


def test_a_gateway_that_is_not_heard_of_any_more_is_not_waited_for() -> None:
    stage = Stage()
    stage.change(stage.service.create, CREATE)
    stage.ask(stage.service.watch, WatchTokensRequest(2, 400, 1))
    waiting = stage.ask(stage.service.revoke, REVOKE)
    stage.time.advance(PATIENCE_S - 0.2)
    assert not waiting.replies
    stage.time.advance(0.4)
    assert waiting.replies


def test_a_new_leader_first_lets_everybody_find_it() -> None:
    stage = Stage()
    stage.change(stage.service.create, CREATE)
    stage.replica.lead(leads=True)
    waiting = stage.ask(stage.service.revoke, REVOKE)
    stage.ask(stage.service.watch, WatchTokensRequest(3, 400, 1))
    stage.time.advance(PATIENCE_S - 0.2)
    assert not waiting.replies
    stage.ask(stage.service.watch, WatchTokensRequest(3, 400, 1))
    stage.time.advance(0.4)
    assert waiting.replies


def test_a_living_gateway_polls_or_finds_another_leader_before_it_counts_as_gone() -> None:
    pace = TokenPace()
    assert pace.wait_s + pace.slack_s + pace.pause_max_s < PATIENCE_S


def test_nothing_is_held_for_a_caller_that_has_given_up() -> None:
    stage = Stage()
    stage.change(stage.service.create, CREATE)
    call, desk = call_of(REVOKE, stage.time.now + 0.5)
    for _ in range(3):
        stage.ask(stage.service.watch, WatchTokensRequest(2, 400, 1))
    stage.service.revoke(call)
    stage.time.advance(0.7)
    stage.ask(stage.service.watch, WatchTokensRequest(3, 400, 1))
    stage.time.advance(10)
    assert not desk.replies


def test_not_too_many_answers_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placement.tokens.service.HELD_MAX", 1)
    stage = Stage()
    stage.change(stage.service.create, CREATE)
    stage.ask(stage.service.watch, WatchTokensRequest(2, 400, 1))
    stage.ask(stage.service.revoke, REVOKE)
    (failure,) = stage.ask(stage.service.revoke, REVOKE).failures
    assert (failure.code, failure.applied) == (Code.UNKNOWN, Applied.UNKNOWN)


def test_of_very_many_gateways_the_latest_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placement.tokens.holders.LIMIT_HOLDERS", 2)
    holders = Holders()
    for gateway in (1, 2, 3):
        holders.polled(gateway, gateway, 0.0)
    assert [holders.all_have(revision, 1.0) for revision in (2, 3)] == [True, False]


def test_a_node_without_placement_names_its_members_in_turn() -> None:
    handlers: dict[int, Callable[[Call[Any, Any]], None]] = {}

    class Server:
        def on(self, method: Method[Any, Any], handler: Callable[[Call[Any, Any]], None]) -> None:
            handlers[method.number] = handler

    serve_tokens(Server(), None, ["n1", "n2"])
    assert len(handlers) == 5
    named = []
    for handler in handlers.values():
        call, desk = call_of(WatchTokensRequest(0, 0))
        handler(call)
        named += [failure.leader for failure in desk.failures]
    assert named == ["n1", "n2", "n1", "n2", "n1"]


def test_repeating_the_same_row_needs_no_second_token() -> None:
    stage = Stage()
    assert stage.change(stage.service.create, CREATE) == stage.change(stage.service.create, CREATE)
    assert [token.id for token in stage.machine.tokens.table.tokens] == [row(0).id, row(1).id]
