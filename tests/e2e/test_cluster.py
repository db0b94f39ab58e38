"""The whole of it over real processes and HTTP: what is acknowledged is kept, whatever is killed or held up."""

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.cluster import Client, LocalCluster, client, local_cluster, wait_until
from tests.e2e.writers import Writers
from wire import RpcClient, RpcError
from wire.messages import ReadRequest
from wire.methods import READ


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """One cluster for the tests that leave it whole."""
    with local_cluster(tmp_path_factory.mktemp("e2e") / "data") as cluster:
        cluster.start()
        yield cluster


@pytest.fixture
def http(cluster: LocalCluster) -> Iterator[Client]:
    with client(cluster) as connected:
        yield connected


def leader_of(cluster: LocalCluster, group: int) -> str | None:
    """The node that leads a group now."""
    with client(cluster) as asking:
        reply = asking.send("GET", "/status")
    leaders = {row["id"]: row["leader"] for row in reply.json().get("data", {}).get("groups", [])}
    leader: str | None = leaders.get(group)
    return leader


def group_of(http: Client, key: str) -> int:
    return int(http.get(key).headers["x-concord-group"])


def is_whole(cluster: LocalCluster) -> bool:
    """Every process is up and every group led."""
    return (
        all(process.pid for process in cluster.processes())
        and cluster.command("status", "--url", cluster.url).returncode == 0
    )


@pytest.mark.parametrize(
    "value", ["text", 0, -1.5, True, None, [], {"a": {"b": [1, "ü", None]}}, "x" * 100_000], ids=str
)
def test_a_value_comes_back_as_it_was_put(http: Client, value: Any) -> None:
    assert http.put("round/trip", value).status == 200
    assert http.get("round/trip").data["value"] == value


@pytest.mark.parametrize("key", ["a", "a/b", "ü/日本", "{tag}x", "%00", "a b", "." * 1024])
def test_any_key_can_be_used(http: Client, key: str) -> None:
    assert http.put(quote(key, safe=""), key).status == 200
    assert http.get(quote(key, safe="")).data["value"] == key


def test_a_time_to_live_is_shown_set_and_ends_with_the_key(http: Client) -> None:
    http.put("mortal", 1, ttl=1000)
    assert 0 < http.get("mortal/ttl").data["ttl"] <= 1000
    assert http.send("POST", "/kv/mortal/touch", {"ttl": 1}).status == 200
    wait_until(lambda: http.get("mortal").status == 404, "the key expires")
    assert http.send("POST", "/kv/mortal/touch", {"ttl": 5}).status == 404


def test_a_deleted_key_is_gone(http: Client) -> None:
    http.put("gone", 1)
    assert http.send("DELETE", "/kv/gone").data["deleted"] is True
    assert http.get("gone").status == 404
    assert http.send("DELETE", "/kv/gone").data["deleted"] is False


def test_bulk_requests_reach_every_group_and_answer_in_order(http: Client) -> None:
    keys = [f"bulk/{i}" for i in range(500)]
    put = http.send("POST", "/kv/bulk", {"operations": [{"key": key, "value": key} for key in keys]})
    assert put.data == [{"key": key, "status": "ok"} for key in keys]
    asked = [*keys[:499], "bulk/none"]
    got = http.send("POST", "/kv/bulk/get", {"keys": asked}).data
    assert list(got) == asked
    assert got["bulk/7"] == {"status": "ok", "value": "bulk/7"}
    assert got["bulk/none"] == {"status": "error", "error": "not_found"}
    assert {group_of(http, key) for key in keys[:100]} == set(range(1, 9))
    deleted = http.send("POST", "/kv/bulk/delete", {"keys": keys})
    assert [item["status"] for item in deleted.data] == ["ok"] * 500


def test_a_listing_goes_through_all_keys_once_and_in_order(http: Client) -> None:
    keys = sorted(f"list/{i:03}" for i in range(300))
    http.send("POST", "/kv/bulk", {"operations": [{"key": key, "value": 1} for key in reversed(keys)]})
    listed: list[str] = []
    query = "?prefix=list/&limit=70"
    while query:
        page = http.send("GET", f"/kv{query}").json()
        listed += page["data"]
        query = f"?prefix=list/&limit=70&cursor={page['cursor']}" if "cursor" in page else ""
    assert listed == keys


def test_killing_any_node_loses_nothing_and_writes_go_on(cluster: LocalCluster) -> None:
    with Writers(cluster) as writers:
        writers.wait_for(50)
        for name in ("n1", "n2", "n3"):
            wait_until(lambda: is_whole(cluster), "the cluster is whole", 60)
            cluster.kill(name)
            writers.wait_for(50)
    writers.check()


def test_a_stopped_leader_serves_no_stale_read_when_it_wakes(cluster: LocalCluster, http: Client) -> None:
    wait_until(lambda: is_whole(cluster), "the cluster is whole", 60)
    http.put("paused", 1)
    group = group_of(http, "paused")
    leader = leader_of(cluster, group)
    assert leader is not None
    (address,) = [process.address for process in cluster.processes() if process.name == leader]

    async def read_when_it_wakes() -> list[bytes]:
        """Reads wait in the stopped leader's socket, so that they are the first it sees when it goes on."""
        channel = RpcClient(address)
        await channel.call(READ, ReadRequest(group, ["paused"]), 5)
        pid = cluster.kill(leader, signal.SIGSTOP)
        try:
            waiting = [channel.call(READ, ReadRequest(group, ["paused"]), 30) for _ in range(20)]
            with ThreadPoolExecutor(1) as executor:
                await asyncio.get_running_loop().run_in_executor(executor, write_two)
        finally:
            os.kill(pid, signal.SIGCONT)
        replies = await asyncio.gather(*waiting, return_exceptions=True)
        await channel.close()
        assert all(isinstance(reply, RpcError) for reply in replies if isinstance(reply, BaseException)), replies
        return [reply.results[0].value for reply in replies if not isinstance(reply, BaseException)]

    def write_two() -> None:
        with client(cluster, 40) as other:
            wait_until(lambda: other.put("paused", 2).status == 200, "the other nodes take over", 30)

    served = asyncio.run(read_when_it_wakes())
    assert b"1" not in served
    assert http.get("paused").data["value"] == 2


def test_killing_everything_loses_nothing(tmp_path: Path) -> None:
    with local_cluster(tmp_path / "data") as cluster:
        cluster.start()
        for round_ in range(3):
            with Writers(cluster, first=round_ * 1_000_000) as writers:
                writers.wait_for(100)
                cluster.kill_everything()
            cluster.start()
            writers.check()
        assert cluster.stop() == 0


def test_a_clean_stop_and_start_keeps_everything(tmp_path: Path) -> None:
    with local_cluster(tmp_path / "data", "--nodes", "5", "--groups", "3") as cluster:
        cluster.start()
        with client(cluster) as http:
            operations = [{"key": f"k{i}", "value": i} for i in range(100)]
            assert http.send("POST", "/kv/bulk", {"operations": operations}).status == 200
        assert cluster.stop(signal.SIGINT) == 0
        cluster.start()
        with client(cluster) as http:
            got = http.send("POST", "/kv/bulk/get", {"keys": [f"k{i}" for i in range(100)]}).data
        assert {key: item["value"] for key, item in got.items()} == {f"k{i}": i for i in range(100)}
