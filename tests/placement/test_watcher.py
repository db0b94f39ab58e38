import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from placement import MapHolder, MapWatcher
from tests.placement.fakes import Network, Sent, Time, map_of, node
from wire import TlsConfigError
from wire.errors import Code
from wire.rpc import Channel

SEEDS = ["s1:1", "s2:1", "s3:1"]


class Stage:
    """A watcher, its fake servers and its time."""

    def __init__(self, *, follow_nodes: bool = True) -> None:
        self.time = Time()
        self.network = Network()
        self.pauses: list[float] = []
        self.maps = MapHolder("c", clock=self.time.clock, call_later=self.time.call_later)
        self.watcher = MapWatcher(
            self.maps,
            SEEDS,
            self.network.connect,
            rng=random.Random(1),
            follow_nodes=follow_nodes,
            clock=self.time.clock,
            sleep=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def poll(self) -> Sent:
        return await self.network.next("watch_map")

    async def quiet(self) -> Sent:
        """Answer the next poll after its whole wait with the map that is known."""
        sent = await self.poll()
        self.time.advance(3)
        sent.answer.set_result(self.maps.current)
        return sent


def play(scenario: Callable[[Stage], Awaitable[None]], stage: Callable[[], Stage] = Stage) -> None:
    async def scene() -> None:
        made = stage()
        made.watcher.start()
        await scenario(made)
        await made.watcher.close()

    asyncio.run(scene())


def test_what_no_channel_can_be_made_without_is_missed_before_the_start() -> None:
    def refuse(_address: str) -> Channel:
        raise TlsConfigError("no certificate")

    with pytest.raises(TlsConfigError):
        MapWatcher(MapHolder("c"), SEEDS, refuse, rng=random.Random(1))


def test_news_are_published_and_asked_for_at_the_same_server() -> None:
    async def scenario(stage: Stage) -> None:
        first = await stage.poll()
        assert first.request.epoch == 0
        assert stage.watcher.age_s == float("inf")
        first.answer.set_result(map_of(7))
        second = await stage.poll()
        assert (second.address, second.request.epoch) == (first.address, 7)
        assert stage.maps.current == map_of(7)
        assert stage.watcher.age_s == 0
        assert stage.pauses == []

    play(scenario)


def test_the_watcher_moves_on_after_a_quiet_poll_so_that_a_deaf_server_cannot_hold_it() -> None:
    async def scenario(stage: Stage) -> None:
        asked = {(await stage.quiet()).address for _ in SEEDS}
        assert asked == set(SEEDS)
        assert stage.pauses == []

    play(scenario)


def test_a_dead_server_is_left_for_the_next_after_a_pause_that_grows_to_its_cap() -> None:
    async def scenario(stage: Stage) -> None:
        asked = []
        for _ in range(12):
            sent = await stage.poll()
            asked.append(sent.address)
            sent.fail(Code.UNAVAILABLE)
        assert set(asked[:3]) == set(SEEDS)
        await stage.poll()
        assert stage.pauses[0] <= 0.05
        assert 0.5 <= stage.pauses[-1] <= 1.0

    play(scenario)


def test_the_last_map_is_kept_and_its_age_grows_when_nobody_answers() -> None:
    async def scenario(stage: Stage) -> None:
        (await stage.poll()).answer.set_result(map_of(7))
        for _ in range(3):
            sent = await stage.poll()
            stage.time.advance(4)
            sent.fail(Code.TIMEOUT)
        await stage.poll()
        assert stage.watcher.age_s == 12
        assert stage.maps.current == map_of(7)

    play(scenario)


def test_a_server_that_is_behind_or_of_another_cluster_confirms_nothing() -> None:
    async def scenario(stage: Stage) -> None:
        known = map_of(7, node(1))
        (await stage.poll()).answer.set_result(known)
        same_name = map_of(9, node(1, incarnation="other"), node(2))
        for wrong in (map_of(6, node(1)), map_of(8, cluster="other"), same_name):
            sent = await stage.poll()
            stage.time.advance(3)
            sent.answer.set_result(wrong)
        await stage.poll()
        assert stage.watcher.age_s == 9
        assert stage.maps.current == known

    play(scenario)


def test_a_server_that_answers_too_hastily_is_not_asked_in_a_tight_loop() -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(5):
            (await stage.poll()).answer.set_result(map_of(0))
        await stage.poll()
        assert len(stage.pauses) == 5
        assert stage.watcher.age_s == 0

    play(scenario)


def test_the_nodes_of_the_map_are_asked_too() -> None:
    async def scenario(stage: Stage) -> None:
        (await stage.poll()).answer.set_result(map_of(1, node(1), node(2)))
        asked = {(await stage.quiet()).address for _ in range(8)}
        assert asked == {*SEEDS, node(1).address, node(2).address}

    play(scenario)


def test_only_the_seeds_are_asked_when_told_so() -> None:
    async def scenario(stage: Stage) -> None:
        (await stage.poll()).answer.set_result(map_of(1, node(1)))
        assert {(await stage.quiet()).address for _ in range(8)} == set(SEEDS)

    play(scenario, lambda: Stage(follow_nodes=False))


def test_a_rumour_of_a_newer_map_ends_the_poll_and_asks_who_spoke_of_it() -> None:
    async def scenario(stage: Stage) -> None:
        first = await stage.poll()
        stage.watcher.seek(5, "n9:1")
        second = await stage.poll()
        assert first.answer.cancelled()
        assert second.address == "n9:1"
        second.answer.set_result(map_of(5))
        await stage.poll()
        assert stage.maps.current == map_of(5)

    play(scenario)


def test_a_false_rumour_costs_one_poll() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.poll()
        for _ in range(100):
            stage.watcher.seek(5)
            await asyncio.sleep(0)
        await stage.poll()
        assert stage.network.sent.empty()

    play(scenario)


def test_close_ends_the_task_and_may_be_repeated() -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.watcher.start()
        sent = await stage.poll()
        await stage.watcher.close()
        await stage.watcher.close()
        assert sent.answer.cancelled()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())
