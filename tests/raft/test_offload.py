"""Brief work is done on the loop while the disk is prompt, everything in the order in which it was handed in."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from raft.offload import DISTRUST, PROMPT_S, SLOW_S, STALL_S, Pace, PromptOffload

MANY = 200  # pieces of work, far more than an average remembers


def pace_after(*times_s: float) -> Pace:
    pace = Pace()
    for took_s in times_s:
        pace.observe(took_s)
    return pace


def test_a_disk_is_prompt_once_it_was_for_a_while_and_not_before() -> None:
    assert not Pace().is_prompt
    assert not pace_after(PROMPT_S / 4).is_prompt
    assert pace_after(*[PROMPT_S / 4] * MANY).is_prompt
    assert not pace_after(*[2 * PROMPT_S] * MANY).is_prompt


def test_one_slow_sync_changes_nothing_and_many_do() -> None:
    assert pace_after(*[PROMPT_S / 4] * MANY, SLOW_S).is_prompt
    assert not pace_after(*[PROMPT_S / 4] * MANY, *[SLOW_S] * 3).is_prompt


def test_after_a_stall_the_disk_has_to_be_prompt_for_long() -> None:
    pace = pace_after(*[PROMPT_S / 4] * MANY, STALL_S)
    for _ in range(DISTRUST - 1):
        pace.observe(PROMPT_S / 4)
        assert not pace.is_prompt
    pace.observe(PROMPT_S / 4)
    assert pace.is_prompt


class Scene:
    """An offload whose clock says that every piece of work takes `took_s`, and who did what."""

    def __init__(self, took_s: float) -> None:
        self.took_s = took_s
        self.done: list[object] = []
        self.threads: list[int] = []
        self._came = asyncio.Event()
        self._now = 0.0
        self.offload = PromptOffload(asyncio.get_running_loop(), "test", clock=self._clock)

    def _clock(self) -> float:
        self._now += self.took_s
        return self._now

    def hand_in(self, name: str, *, brief: bool, error: Exception | None = None) -> None:
        def work() -> str:
            self.threads.append(threading.get_ident())
            if error is not None:
                raise error
            return name

        def come(result: object) -> None:
            self.done.append(result)
            self._came.set()

        self.offload(work, come, brief=brief)

    async def run(self, count: int) -> None:
        """Wait until so many pieces are done."""
        async with asyncio.timeout(30):
            while len(self.done) < count:
                self._came.clear()
                await self._came.wait()

    async def become_prompt(self) -> None:
        before = len(self.done)
        for number in range(MANY):
            self.hand_in(str(number), brief=True)
            await self.run(before + number + 1)
        self.done.clear()
        self.threads.clear()


def on_loop(test: Callable[[Scene], Awaitable[None]], took_s: float = PROMPT_S / 4) -> None:
    async def main() -> None:
        scene = Scene(took_s)
        try:
            await test(scene)
        finally:
            scene.offload.close()

    asyncio.run(main())


def test_brief_work_moves_to_the_loop_when_it_is_prompt() -> None:
    async def test(scene: Scene) -> None:
        scene.hand_in("first", brief=True)
        await scene.run(1)
        assert scene.threads != [threading.get_ident()]
        await scene.become_prompt()
        scene.hand_in("here", brief=True)
        assert scene.done == []  # never before the call returns
        await scene.run(1)
        assert (scene.done, scene.threads) == (["here"], [threading.get_ident()])

    on_loop(test)


def test_work_that_is_not_brief_stays_in_the_thread() -> None:
    async def test(scene: Scene) -> None:
        await scene.become_prompt()
        scene.hand_in("long", brief=False)
        await scene.run(1)
        assert scene.threads != [threading.get_ident()]

    on_loop(test)


@pytest.mark.parametrize("kinds", ["bl", "lb", "bbl", "lbb", "blbl"])
def test_order_is_kept_across_loop_and_thread(kinds: str) -> None:
    async def test(scene: Scene) -> None:
        await scene.become_prompt()
        for number, kind in enumerate(kinds):
            scene.hand_in(f"{number}", brief=kind == "b")
        await scene.run(len(kinds))
        assert scene.done == [f"{number}" for number in range(len(kinds))]

    on_loop(test)


def test_what_work_raises_is_handed_back() -> None:
    async def test(scene: Scene) -> None:
        await scene.become_prompt()
        error = OSError("no space left")
        scene.hand_in("broken", brief=True, error=error)
        await scene.run(1)
        assert scene.done == [error]

    on_loop(test)


def test_a_slow_disk_has_the_thread() -> None:
    async def test(scene: Scene) -> None:
        await scene.become_prompt()
        scene.took_s = STALL_S
        scene.hand_in("stall", brief=True)
        scene.hand_in("next", brief=True)
        await scene.run(2)
        scene.hand_in("then", brief=True)
        await scene.run(3)
        assert scene.threads[0] == threading.get_ident() != scene.threads[2]

    on_loop(test)


def test_closing_finishes_what_was_handed_in() -> None:
    async def main() -> None:
        scene = Scene(PROMPT_S / 4)
        await scene.become_prompt()
        scene.hand_in("last", brief=True)
        scene.offload.close()
        await scene.run(1)
        assert scene.done == ["last"]

    asyncio.run(main())
