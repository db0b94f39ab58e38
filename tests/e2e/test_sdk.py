"""Both clients against a real cluster: every operation, and what happens when gateways go away."""

import asyncio
import contextlib
import re
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import concord
from concord import AsyncConcord, Concord, Txn
from concord._coordination import lock_release
from concord._held import Lock
from tests.e2e.cluster import ROOT, LocalCluster, local_cluster, wait_until
from tests.e2e.cluster import Client as Plain
from tests.sdk import contract
from tests.sdk.contract import MANY, Flag


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    flags = ("--gateways", "2", "--groups", "3", "--durability", "os")
    with local_cluster(tmp_path_factory.mktemp("sdk") / "data", *flags) as cluster:
        cluster.start()
        yield cluster


def urls(cluster: LocalCluster) -> list[str]:
    return [f"http://127.0.0.1:{cluster.port + number}" for number in (0, 1)]


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Concord]:
    with Concord(urls(cluster)) as client:
        yield client


@asynccontextmanager
async def connected(cluster: LocalCluster) -> AsyncIterator[AsyncConcord]:
    async with AsyncConcord(urls(cluster)) as client:
        yield client


def test_one_key_sync(client: Concord) -> None:
    contract.one_key(client)
    contract.fences(client)
    contract.refusals(client)


def test_one_key_async(cluster: LocalCluster) -> None:
    async def main() -> None:
        async with connected(cluster) as client:
            assert await client.get("two/a", type=int, default=5) == 5
            revision = await client.put("two/a", Flag(enabled=True, share=0.5), ttl=100)
            assert await client.get("two/a", type=Flag, consistency="stale") == Flag(enabled=True, share=0.5)
            entry = await client.entry("two/a")
            assert entry == concord.Entry("two/a", {"enabled": True, "share": 0.5}, revision, 100)
            assert await client.ttl("two/a") == 100
            assert await client.touch("two/a", 50) > revision
            with pytest.raises(concord.PreconditionFailed):
                await client.put("two/a", 1, if_revision=revision)
            assert await client.delete("two/a") is True
            with pytest.raises(concord.NotFound):
                await client.touch("two/a", 1)
            await client.put("two/b", b"\x00\xff")
            assert await client.get("two/b", type=bytes) == b"\x00\xff"
            assert await client.increment("two/n", 5, initial=10) == 15
            for key in (".", "..", "bulk", "two/x/ttl", "two/ä ?#%"):
                await client.put(key, key)
                await client.touch(key, 100)
                assert await client.get(key) == key
                await client.delete(key)

    asyncio.run(main())


def test_many_keys_sync(client: Concord) -> None:
    contract.many_keys(client)


def test_many_keys_async(cluster: LocalCluster) -> None:
    async def main() -> None:
        async with connected(cluster) as client:
            items: dict[str, object] = {f"lots/{number:05}": number for number in range(MANY)}
            (await client.put_many(items)).check()
            assert (await client.get_many(items)).check().values == items
            assert [key async for key in client.keys("lots/")] == sorted(items)
            assert {entry.key: entry.value async for entry in client.scan("lots/", type=int)} == items
            (await client.touch_many(items, 100)).check()
            (await client.delete_many(items)).check()
            assert [key async for key in client.keys("lots/")] == []

    asyncio.run(main())


def test_transactions(client: Concord, cluster: LocalCluster) -> None:
    contract.transactions(client)
    txn = Txn().if_exists("{t}a", exists=False)
    txn.otherwise.get("{t}a").delete("{t}none")

    async def again() -> concord.TxnResult:
        async with connected(cluster) as other:
            return await other.commit(txn)

    result = asyncio.run(again())
    assert (result.succeeded, [one.value for one in result.results]) == (False, [1, None])


def test_threads_share_a_client_and_a_killed_gateway_costs_no_increment(client: Concord, cluster: LocalCluster) -> None:
    def count() -> None:
        for _ in range(60):
            client.increment("shared/n", timeout=30)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    cluster.kill("gateway1")
    for thread in threads:
        thread.join()
    assert client.get("shared/n", type=int) == 480
    wait_until(lambda: all(process.pid for process in cluster.processes()), "the gateway is back", 30)


def steal(client: Concord, lock: Lock) -> None:
    """Give the lock away behind its holder's back."""
    client._driver.run(lock_release(lock.name, lock.owner, lock.fence))


def test_a_lock_is_exclusive_fenced_and_given_back(client: Concord) -> None:
    contract.locks(client)


async def lose_async(client: AsyncConcord) -> None:
    async with client.lock("lost", ttl=1) as lock:
        await client._driver.run(lock_release(lock.name, lock.owner, lock.fence))
        await asyncio.sleep(20)


def test_the_body_is_told_when_the_lock_is_lost(client: Concord, cluster: LocalCluster) -> None:
    def lose() -> None:
        with client.lock("lost", ttl=1) as lock:
            steal(client, lock)
            assert lock.lost.wait(20)
            with pytest.raises(concord.LockLost):
                lock.check()

    with pytest.raises(concord.LockLost):
        lose()

    async def main() -> None:
        async with connected(cluster) as other:
            with pytest.raises(concord.LockLost):
                await lose_async(other)
            async with other.lock("lost", wait=0) as lock:
                assert lock.fence > 0

    asyncio.run(main())


def test_limits_and_services(client: Concord, cluster: LocalCluster) -> None:
    limiter = client.limiter("calls", 2, 3600, algorithm="gcra")
    assert [limiter.acquire().allowed for _ in range(3)] == [True, True, False]
    with pytest.raises(concord.Timeout):
        limiter.wait(wait=0.1)
    assert client.limiter("often", 1, 1, algorithm="gcra").wait(wait=5).allowed
    service = client.service("web")
    with service.register("one", "10.0.0.1", 8080, metadata={"zone": "a"}, ttl=2):
        (found,) = service.instances()
        assert (found.instance, found.address, found.port, found.metadata) == ("one", "10.0.0.1", 8080, {"zone": "a"})
        client.delete("services/web/one")
        wait_until(lambda: len(service.instances()) == 1, "the heartbeat registers it again")
    assert service.instances() == []

    async def main() -> None:
        async with connected(cluster) as other:
            assert not (await other.limiter("calls", 2, 3600, algorithm="gcra").acquire()).allowed
            async with other.service("web").register("two", "10.0.0.2", 80):
                assert [one.instance for one in await other.service("web").instances()] == ["two"]
            assert await other.service("web").instances() == []

    asyncio.run(main())


def are_back(cluster: LocalCluster, restarts: int) -> bool:
    """Whether so many processes were started again, and both gateways answer."""
    if sum(process.restarts for process in cluster.processes()) < restarts:
        return False
    for number in (0, 1):
        with contextlib.closing(Plain(cluster.port + number)) as plain:
            try:
                plain.send("GET", "/livez")
            except ConnectionError:
                return False
    return True


def test_a_watch_goes_on_when_its_gateway_is_restarted(client: Concord, cluster: LocalCluster) -> None:
    """Both gateways are restarted in turn, so that the stream, wherever it is, has to move."""
    client.put("seen/0", 0)
    with client.watch("seen/", type=int) as watch:
        assert next(watch).kind == "state"
        assert next(watch).kind == "synced"
        for number in range(1, 5):
            restarts = sum(process.restarts for process in cluster.processes()) + number % 2
            if number % 2:
                cluster.kill(f"gateway{number // 2 + 1}", signal.SIGTERM if number == 1 else signal.SIGKILL)
            client.put(f"seen/{number}", number, timeout=30)
            event = next(watch)
            assert (event.kind, event.key, event.value) == ("put", f"seen/{number}", number)
            wait_until(lambda restarts=restarts: are_back(cluster, restarts), "the gateways are back", 60)  # type: ignore[misc] # bound early
        client.delete("seen/4", timeout=30)
        event = next(watch)
        assert event.kind == "delete"
    with client.watch("seen/", after=event.id) as watch:
        assert next(watch).kind == "synced"

    async def main() -> list[concord.Event[int]]:
        async with connected(cluster) as other, other.watch("seen/", type=int) as events:
            told: list[concord.Event[int]] = []
            async for event in events:
                told.append(event)
                if event.kind == "synced":
                    await other.put("seen/9", 9)
                if event.kind == "put":
                    return told
            return []

    assert [event.kind for event in asyncio.run(main())] == ["state"] * 4 + ["synced", "put"]


def test_a_watch_that_is_closed_by_another_thread_ends(client: Concord) -> None:
    watch = client.watch("quiet/")
    assert next(watch).kind == "synced"
    rest: list[object] = []
    reader = threading.Thread(target=lambda: rest.extend(watch))
    reader.start()
    watch.close()
    reader.join(10)
    assert not reader.is_alive()
    assert rest == []


def test_flags_and_sessions(client: Concord, cluster: LocalCluster) -> None:
    client.put("flags/dark", {"enabled": True, "share": 0.5})
    client.put("flags/old", 1)
    with client.flags() as flags:
        assert flags.get("dark", Flag(enabled=False, share=0.0), type=Flag) == Flag(enabled=True, share=0.5)
        client.delete("flags/old")
        client.put("flags/new", True)
        wait_until(lambda: flags.get("new", False) and flags.get("old") is None, "the changes are known")
        assert flags.age_s < 20
        with pytest.raises(concord.InvalidValue):
            flags.get("new", Flag(enabled=False, share=0.0), type=Flag)
    sessions = client.sessions(ttl=100)
    session = sessions.create({"user": "ada"})
    assert sessions.load(session) == {"user": "ada"}
    assert sessions.touch(session)

    async def main() -> None:
        async with connected(cluster) as other, other.flags() as flags:
            assert flags.get("new", False) is True
            assert flags.get("none", 3) == 3
            store = other.sessions()
            assert await store.load(session) == {"user": "ada"}
            await store.delete(session)
            assert await store.touch(session) is False
            assert await store.load(await store.create([1])) == [1]

    asyncio.run(main())
    assert sessions.load(session) is None


PAGES = (
    "README.md",
    "docs/sdk.md",
    "docs/watch.md",
    *(f"docs/howto/{path.name}" for path in sorted((ROOT / "docs/howto").iterdir())),
)


@pytest.mark.parametrize("name", PAGES)
def test_the_python_of_a_page_is_true(
    cluster: LocalCluster, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / name).read_text().replace("http://127.0.0.1:4000", cluster.url)
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict[str, object] = {"__name__": "tour"}
    try:
        for block in blocks:
            exec(compile(block, name, "exec"), names)  # noqa: S102 - our own page
    finally:
        if isinstance(client := names.get("client"), Concord):
            client.close()
