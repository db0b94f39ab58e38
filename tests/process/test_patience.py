"""Parts of tasks that end when their time is up."""

import asyncio

import pytest

from process.patience import Patience


def test_what_takes_too_long_ends_with_a_timeout_and_its_task_goes_on() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        patience = Patience()
        with pytest.raises(TimeoutError), patience.until(loop.time()):
            await loop.create_future()
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        assert not patience._waits
        await asyncio.sleep(0)

    asyncio.run(main())


def test_what_is_done_in_time_is_left_alone() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        patience = Patience()
        with patience.until(loop.time() + 1000):
            await asyncio.sleep(0)
        with patience.until(loop.time() + 0.01) as wait:
            wait.due = loop.time() + 1000
            await asyncio.sleep(0.2)
        assert not patience._waits
        return "done"

    assert asyncio.run(main()) == "done"


def test_each_of_many_ends_by_its_own_time() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        patience, ended = Patience(), list[str]()

        async def part(name: str, lasts_s: float, done: asyncio.Future[None]) -> None:
            try:
                with patience.until(loop.time() + lasts_s):
                    await done
            except TimeoutError:
                name += " late"
            ended.append(name)

        futures = [loop.create_future() for _ in range(3)]
        tasks = [
            asyncio.create_task(part(name, lasts_s, future))
            for name, lasts_s, future in zip(("long", "short", "shorter"), (1000, 0.3, 0.01), futures, strict=True)
        ]
        await asyncio.wait(tasks[1:])
        futures[0].set_result(None)
        await tasks[0]
        return ended

    assert asyncio.run(main()) == ["shorter late", "short late", "long"]


def test_a_cancellation_from_elsewhere_is_no_timeout() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        patience = Patience()

        async def part() -> None:
            with patience.until(loop.time() + 1000):
                await loop.create_future()

        task = asyncio.create_task(part())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_cancellation_that_comes_beside_the_timeout_is_obeyed() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        patience = Patience()

        async def part() -> None:
            with patience.until(loop.time()):
                try:
                    await loop.create_future()
                finally:
                    task.cancel()

        task = asyncio.create_task(part())
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_another_error_stays_itself() -> None:
    async def main() -> None:
        with pytest.raises(KeyError), Patience().until(asyncio.get_running_loop().time() + 1000):
            raise KeyError

    asyncio.run(main())
