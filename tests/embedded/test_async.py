"""The store for asyncio: what the sync one does, with tasks for threads."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import concord
from concord import AsyncEmbedded, StoreFailed, Txn
from tests.gateway.double import until


def run(folder: Path | None, scenario: Callable[[AsyncEmbedded], Awaitable[None]]) -> None:
    async def main() -> None:
        durability = concord.open_async(durability="memory") if folder is None else concord.open_async(folder)
        async with await durability as db:
            await scenario(db)

    asyncio.run(main())


def test_keys(tmp_path: Path) -> None:
    async def scenario(db: AsyncEmbedded) -> None:
        revision = await db.put("a", {"x": 1}, ttl=100)
        assert await db.get("a") == {"x": 1}
        assert await db.entry("a") == concord.Entry("a", {"x": 1}, revision, 100)
        assert await db.get("none", type=int, default=5) == 5
        assert await db.ttl("a") == 100
        with pytest.raises(concord.PreconditionFailed):
            await db.put("a", 1, if_revision=revision + 1)
        with pytest.raises(concord.InvalidRequest):
            await db.get("")
        assert await asyncio.gather(*(db.increment("n") for _ in range(50))) is not None
        assert await db.get("n", type=int) == 50
        items: dict[str, object] = {f"m/{number:04}": number for number in range(1_100)}
        (await db.put_many(items)).check()
        assert (await db.get_many(items)).check().values == items
        assert [key async for key in db.keys("m/")] == list(items)
        (await db.touch_many(items, 100)).check()
        (await db.delete_many(items)).check()
        assert [entry async for entry in db.scan("m/")] == []
        txn = Txn().if_exists("{t}a", exists=False)
        txn.then.put("{t}a", 1)
        assert (await db.commit(txn)).succeeded
        assert await db.delete("a")

    run(tmp_path, scenario)
    with concord.open(tmp_path) as db:
        assert db.get("n") == 50


def test_locks_limits_services_flags_sessions_and_watches() -> None:
    async def scenario(db: AsyncEmbedded) -> None:
        inside: list[int] = []

        async def enter() -> None:
            async with db.lock("l") as lock:
                inside.append(lock.fence)
                assert len(inside) % 2 == 1
                await asyncio.sleep(0)
                inside.append(lock.fence)

        await asyncio.gather(*(enter() for _ in range(6)))
        assert inside == sorted(inside)
        assert (await db.limiter("m", 1, 60).acquire()).allowed
        async with db.service("web").register("one", "10.0.0.1", 80):
            assert [one.instance for one in await db.service("web").instances()] == ["one"]
        session = await db.sessions().create({"user": "ada"})
        assert await db.sessions().load(session) == {"user": "ada"}
        await db.put("flags/a", 1)
        async with db.flags() as flags:
            assert flags.get("a") == 1
        async with db.watch("w/") as watch:
            assert (await anext(watch)).kind == "synced"
            await db.put("w/a", 1)
            event = await anext(watch)
            assert (event.kind, event.key, event.value) == ("put", "w/a", 1)

    run(None, scenario)


def test_who_waits_for_a_lock_hears_at_once_of_a_store_that_fails() -> None:
    async def scenario(db: AsyncEmbedded) -> None:
        engine = db._store._engine  # type: ignore[attr-defined] # the local store has one

        async def enter() -> None:
            async with db.lock("l", ttl=60, wait=60):
                raise AssertionError("another has it")

        held = db.lock("l", ttl=60)
        await held.__aenter__()
        waiting = asyncio.create_task(enter())
        await until(lambda: bool(engine._lock_waits))
        engine.fail(OSError("the disk is gone"))
        with pytest.raises(StoreFailed):
            await asyncio.wait_for(waiting, 10)

    run(None, scenario)


def test_a_task_that_is_cancelled_while_it_waits_for_a_lock_does_not_keep_it() -> None:
    async def scenario(db: AsyncEmbedded) -> None:
        async def enter() -> None:
            async with db.lock("l", ttl=60):
                raise AssertionError("it was cancelled")

        async with db.lock("l"):
            waiting = asyncio.create_task(enter())
            await until(lambda: bool(db._store._engine._lock_waits))  # type: ignore[attr-defined] # the local store has one
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with db.lock("l", wait=10) as lock:
            assert lock.fence

    run(None, scenario)
