"""Real processes compare their states, and one that was found wrong stays fenced over a restart while the others serve."""

from pathlib import Path
from typing import Any

from tests.e2e.cluster import Client, LocalCluster, client, local_cluster, wait_until

KEYS = [f"%7Bone-group%7D/{number}" for number in range(5)]
MARK = '{"index": 1000000, "reason": "a test says so"}'


def write(http: Client, rounds: int = 6) -> int:
    """Write each key so often; the number of their group."""
    for number in range(rounds):
        for key in KEYS:
            assert http.put(key, number).status == 200
    return int(http.get(KEYS[0]).headers["x-concord-group"])


def row(cluster: LocalCluster, group: int) -> dict[str, Any]:
    """What the status says of a group; nothing while no node answers."""
    with client(cluster) as http:
        groups = http.send("GET", "/status").json().get("data", {}).get("groups", [])
    return next((row for row in groups if row["id"] == group), {})


def test_states_are_compared_and_a_replica_found_wrong_stays_fenced(tmp_path: Path) -> None:
    with local_cluster(tmp_path / "data", environ={"CONCORD_CHECKSUM_ENTRIES": "15"}) as cluster:
        cluster.start()
        with client(cluster) as http:
            group = write(http)
        wait_until(lambda: row(cluster, group)["checked_index"] >= 15, "the states were compared")
        assert (row(cluster, group)["diverged"], row(cluster, group)["fenced"]) == (False, [])
        assert cluster.stop() == 0
        (cluster.data_dir / "n2" / f"fenced-{group}.json").write_text(MARK)
        cluster.start()
        wait_until(lambda: row(cluster, group).get("leader") in {"n1", "n3"}, "another one leads")
        with client(cluster) as http:
            write(http)
            assert http.get(KEYS[0]).data["value"] == 5
        assert row(cluster, group)["fenced"] == ["n2"]
        assert "the state of this replica is WRONG" in (cluster.data_dir / "logs" / "n2.log").read_text()
        status = cluster.command("status", "--url", cluster.url)
        assert status.returncode == 1
        assert "n2 (fenced)" in status.stdout
