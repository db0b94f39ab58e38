"""Both clients against a real cluster: every operation, and what happens when gateways go away."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest

import concord
from concord import AsyncConcord, Concord, Txn
from tests.e2e.cluster import LocalCluster, local_cluster

MANY = 1200


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


class Flag(msgspec.Struct):
    enabled: bool
    share: float


def test_one_key_sync(client: Concord) -> None:
    assert client.get("one/a") is None
    assert client.get("one/a", type=int, default=5) == 5
    revision = client.put("one/a", Flag(enabled=True, share=0.5), ttl=100)
    assert client.get("one/a", type=Flag) == Flag(enabled=True, share=0.5)
    assert client.entry("one/a") == concord.Entry("one/a", {"enabled": True, "share": 0.5}, revision, 100)
    assert client.ttl("one/a") == 100
    assert client.touch("one/a", 50) > revision
    with pytest.raises(concord.PreconditionFailed):
        client.put("one/a", 1, if_revision=revision)
    with pytest.raises(concord.PreconditionFailed):
        client.put("one/a", 1, if_absent=True)
    client.put("one/a", None, if_value={"share": 0.5, "enabled": True})
    entry = client.entry("one/a")
    assert entry is not None
    assert entry.value is None
    assert client.delete("one/a", if_revision=entry.revision) is True
    assert client.delete("one/a") is False
    with pytest.raises(concord.NotFound):
        client.touch("one/a", 1)
    with pytest.raises(concord.NotFound):
        client.ttl("one/a")
    client.put("one/b", b"\x00\xff", ttl=9, content_type="image/png", if_absent=True)
    assert client.get("one/b", type=bytes) == b"\x00\xff"
    assert client.get("one/b") == b"\x00\xff"
    assert [client.increment("one/n", 5, initial=10, max=20) for _ in range(2)] == [15, 20]
    with pytest.raises(concord.Conflict):
        client.increment("one/n", max=20)
    for key in (".", "..", "bulk", "one/x/ttl", "one/ä ?#%"):
        client.put(key, key)
        client.touch(key, 100)
        assert client.get(key, consistency="stale") == key
        client.delete(key)


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
    items: dict[str, object] = {f"many/{number:05}": number for number in range(MANY)} | {"many/raw": b"\x01"}
    assert sorted(client.put_many(items).check().done) == sorted(items)
    found = client.get_many([*items, "many/none"], consistency="stale").check()
    assert found.values == items
    assert found.missing == ["many/none"]
    assert list(client.keys("many/")) == sorted(items)
    assert {entry.key: entry.value for entry in client.scan("many/")} == items
    touched = client.touch_many([*items, "many/none"], 100)
    assert len(touched.done) == len(items)
    assert isinstance(touched.errors["many/none"], concord.NotFound)
    client.delete_many(items).check()
    assert list(client.keys("many/")) == []
    assert client.get_many([]).entries == {}


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
    txn = Txn().if_exists("{t}a", exists=False)
    txn.then.put("{t}a", 1).increment("{t}n", 2, initial=3)
    txn.otherwise.get("{t}a").delete("{t}none")
    done = client.commit(txn)
    assert (done.succeeded, [one.value for one in done.results]) == (True, [None, 5])

    async def again() -> concord.TxnResult:
        async with connected(cluster) as other:
            return await other.commit(txn)

    result = asyncio.run(again())
    assert (result.succeeded, [one.value for one in result.results]) == (False, [1, None])
    crossing = Txn()
    crossing.then.put("{t}a", 1).put("{u}a", 1)
    with pytest.raises(concord.CrossGroup):
        client.commit(crossing)


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
