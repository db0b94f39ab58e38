"""A gateway's table of tokens: kept fresh, and honest about how fresh it is."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from placement.leader import LeaderCaller, LeaderGuess
from placement.tokens.watcher import TokenPace, TokenWatcher
from tests.placement.fakes import Network, Sent, Time, node
from tests.placement.token_rows import KEY, row
from wire.errors import Applied, Code, Failure, RpcError
from wire.methods import CREATE_TOKEN, REVOKE_TOKEN
from wire.token_messages import CreateTokenRequest, RevokeTokenRequest, TokenReply, TokenStatus, TokenTable

SEEDS = ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]
NODES = [node(number) for number in (1, 2, 3)]


def table(revision: int) -> TokenTable:
    return TokenTable(revision, KEY, [row(number) for number in range(revision)])


class Stage:
    def __init__(self) -> None:
        self.time = Time()
        self.network = Network()
        rng = random.Random(1)
        self.pauses: list[float] = []
        guess = LeaderGuess(SEEDS, lambda: {node.id: node.address for node in NODES}, rng)
        self.watcher = TokenWatcher(
            guess, self.network.connect, rng, pace=TokenPace(), clock=self.time.clock, sleep=self.sleep
        )
        self.caller = LeaderCaller(guess, self.network.connect, rng, clock=self.time.clock, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time.advance(seconds)
        await asyncio.sleep(0)

    async def poll(self) -> Sent:
        return await self.network.next("watch_tokens")

    async def call(self) -> Sent:
        return await self.network.next("revoke_token")


def run(scenario: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        stage = Stage()
        stage.watcher.start()
        try:
            await scenario(stage)
        finally:
            await stage.watcher.close()

    asyncio.run(main())


def test_every_poll_says_who_asks_so_that_a_revocation_can_wait_for_it() -> None:
    async def scenario(stage: Stage) -> None:
        first = await stage.poll()
        first.answer.set_result(table(2))
        second = await stage.poll()
        assert first.request.watcher == second.request.watcher != 0

    run(scenario)


def test_the_newest_table_is_taken_and_its_age_counts_from_when_it_was_asked_for() -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.watcher.age_s == float("inf")
        first = await stage.poll()
        assert first.request.revision == 0
        stage.time.advance(0.3)
        first.answer.set_result(table(2))
        second = await stage.poll()
        assert stage.watcher.table == table(2)
        assert set(stage.watcher.index.by_id) == {row(0).id, row(1).id}
        assert stage.watcher.age_s == pytest.approx(0.3)
        assert second.request.revision == 2
        stage.time.advance(0.4)
        second.answer.set_result(table(2))
        await stage.poll()
        assert stage.watcher.age_s == pytest.approx(0.4)
        assert stage.pauses == []

    run(scenario)


def test_a_named_leader_is_followed_and_others_are_tried_in_turn() -> None:
    async def scenario(stage: Stage) -> None:
        (await stage.poll()).fail(Code.NOT_LEADER, leader="n2")
        sent = await stage.poll()
        assert sent.address == NODES[1].address
        asked = [sent.address]
        for _ in range(3):
            sent.fail(Code.UNAVAILABLE)
            sent = await stage.poll()
            asked.append(sent.address)
        assert set(asked) == set(SEEDS)
        assert asked[3] == asked[0]
        assert all(pause > 0 for pause in stage.pauses)
        assert stage.watcher.age_s == float("inf")

    run(scenario)


def test_without_placement_the_table_stays_and_grows_old() -> None:
    async def scenario(stage: Stage) -> None:
        (await stage.poll()).answer.set_result(table(1))
        began = stage.time.now
        for _ in range(20):
            (await stage.poll()).fail(Code.UNAVAILABLE)
        assert stage.watcher.table == table(1)
        assert stage.watcher.age_s == pytest.approx(stage.time.now - began)
        assert stage.watcher.age_s > 1

    run(scenario)


def test_an_older_table_is_not_taken_and_confirms_nothing() -> None:
    async def scenario(stage: Stage) -> None:
        (await stage.poll()).answer.set_result(table(3))
        poll = await stage.poll()
        stage.time.advance(5)
        poll.answer.set_result(table(2))
        await stage.poll()
        assert stage.watcher.table == table(3)
        assert stage.watcher.age_s >= 5

    run(scenario)


def test_hasty_answers_do_not_make_it_ask_without_a_pause() -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(5):
            (await stage.poll()).answer.set_result(table(0))
        await stage.poll()
        assert len(stage.pauses) == 5

    run(scenario)


def test_one_can_wait_for_a_revision() -> None:
    async def scenario(stage: Stage) -> None:
        waiting = asyncio.ensure_future(stage.watcher.reached(2))
        for revision in (1, 2):
            assert not waiting.done()
            (await stage.poll()).answer.set_result(table(revision))
        await stage.poll()
        await waiting
        await stage.watcher.reached(2)

    run(scenario)


def ask(stage: Stage) -> "asyncio.Future[tuple[TokenReply, bool]]":
    return asyncio.ensure_future(stage.caller.call(REVOKE_TOKEN, RevokeTokenRequest("a"), stage.time.now + 5))


def test_a_call_is_repeated_until_the_leader_answers_and_says_whether_it_may_have_been_done_before() -> None:
    async def scenario(stage: Stage) -> None:
        for leader, lost in ((NODES[2], False), (NODES[1], True)):
            answer = ask(stage)
            (await stage.call()).fail(Code.NOT_LEADER, leader=leader.id)
            sent = await stage.call()
            assert sent.address == leader.address
            if lost:
                failure = Failure(Code.TIMEOUT, "no answer", Applied.UNKNOWN)
                sent.answer.set_exception(RpcError(failure))
                sent = await stage.call()
            sent.answer.set_result(TokenReply(TokenStatus.OK))
            assert await answer == (TokenReply(TokenStatus.OK), lost)

    run(scenario)


def test_without_an_answer_until_the_deadline_a_call_is_unknown_only_if_it_may_have_been_done() -> None:
    async def scenario(stage: Stage) -> None:
        for applied, code in ((Applied.NO, Code.UNAVAILABLE), (Applied.UNKNOWN, Code.UNKNOWN)):
            answer = ask(stage)
            while not answer.done():
                (await stage.call()).answer.set_exception(RpcError(Failure(Code.UNAVAILABLE, "no", applied)))
                stage.time.advance(1)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            with pytest.raises(RpcError) as caught:
                await answer
            assert (caught.value.failure.code, caught.value.failure.applied) == (code, applied)

    run(scenario)


def test_a_refusal_is_told_at_once() -> None:
    async def scenario(stage: Stage) -> None:
        request = CreateTokenRequest("a", "n", [], b"")
        answer = asyncio.ensure_future(stage.caller.call(CREATE_TOKEN, request, stage.time.now + 5))
        (await stage.network.next("create_token")).fail(Code.INVALID)
        with pytest.raises(RpcError):
            await answer

    run(scenario)
