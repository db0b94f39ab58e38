"""Watching over real processes: whatever is killed, each change is told once and in order."""

import http.client
import os
import signal
import time
from pathlib import Path

from tests.e2e.cluster import LocalCluster, client, local_cluster, wait_until
from tests.e2e.test_cluster import is_whole, leader_of
from tests.e2e.watching import Watcher, Writer
from tests.linearizability.watching import STATE, Written, faults, missing

STREAMS = 50


def watchers_at(port: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return next(float(line.split()[1]) for line in lines if line.startswith("concord_gateway_watchers "))


def test_a_watcher_that_is_cut_off_all_the_time_sees_each_change_once_in_order(tmp_path: Path) -> None:
    with local_cluster(tmp_path / "data", "--gateways", "2", "--groups", "4") as cluster:
        cluster.start()
        with client(cluster) as http_client:
            for number in range(3):
                http_client.put(f"w0/{number}", f"first-{number}")
        ports = [
            int(process.address.rpartition(":")[2]) for process in cluster.processes() if process.role == "gateway"
        ]
        writers = [Writer(ports[number % 2], f"w{number + 1}", number) for number in range(3)]
        watchers = [Watcher(ports, "w", seed) for seed in (1, 2)]
        for thread in (*watchers, *writers):
            thread.start()
        try:
            strike(cluster, writers)
        finally:
            for writer in writers:
                writer.stop()
        written = [write for writer in writers for write in writer.written]
        for watcher in watchers:
            check(written, watcher)


def check(written: list[Written], watcher: Watcher) -> None:
    """It has seen all there is, and nothing else."""
    wait_until(lambda: not missing(written, watcher.told), "a watcher has seen all", 30)
    watcher.stop()
    told = [event for event in watcher.told if not event.key.startswith("w0/")]
    assert faults(written, told) == [], watcher.ends
    assert [event.kind for event in watcher.told if event.key.startswith("w0/")].count(STATE) >= 3
    assert not any("resync" in end for end in watcher.ends)
    assert watcher.connections - watcher.begun > 10


def strike(cluster: LocalCluster, writers: list[Writer]) -> None:
    """Kill a leader, end a gateway and kill the other, with writes before and after each."""

    def some_more_are_written() -> None:
        before = sum(len(writer.written) for writer in writers)
        wait_until(lambda: sum(len(writer.written) for writer in writers) > before + 150, "writes go on", 30)

    some_more_are_written()
    leader = leader_of(cluster, 1)
    assert leader is not None
    cluster.kill(leader)
    some_more_are_written()
    wait_until(lambda: is_whole(cluster), "the cluster is whole", 30)
    cluster.kill("gateway1", signal.SIGTERM)
    some_more_are_written()
    cluster.kill("gateway2")
    some_more_are_written()
    wait_until(lambda: all(process.pid for process in cluster.processes()), "the gateways are back", 30)
    some_more_are_written()


def test_streams_that_clients_leave_are_gone_from_the_gateway_and_a_stop_says_goaway(tmp_path: Path) -> None:
    with local_cluster(tmp_path / "data", "--groups", "2") as cluster:
        cluster.start()
        connections = []
        for _ in range(STREAMS):
            connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=10)
            connection.request("GET", "/api/v1/watch")
            answer = connection.getresponse()
            assert answer.readline() == b"retry: 1000\n"
            connections.append((connection, answer))
        assert watchers_at(cluster.port) == STREAMS
        for connection, answer in connections[1:]:
            answer.close()
            connection.close()
        wait_until(lambda: watchers_at(cluster.port) == 1, "those who left are gone")
        connection, answer = connections[0]
        began = time.monotonic()
        os.kill(cluster.pid("gateway1"), signal.SIGTERM)
        rest = answer.read()
        assert rest.endswith(b'event: goaway\ndata: {"reason":"shutdown"}\n\n')
        assert time.monotonic() - began < 10
        connection.close()
