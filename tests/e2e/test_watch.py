"""Watching over real processes: whatever is killed, each change is told once and in order."""

import asyncio
import http.client
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.watchers import KEYS, crowd, cut_off, faults
from tests.e2e.cluster import LocalCluster, client, local_cluster, wait_until
from tests.e2e.test_cluster import is_whole, leader_of
from tests.e2e.watching import Watcher, Writer
from tests.linearizability.watching import DELETE, PUT, STATE, Told, Written, missing
from tests.linearizability.watching import faults as faults_of_watcher

STREAMS = 50


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster that nobody strikes; its gateway may be ended by the last test that uses it."""
    with local_cluster(tmp_path_factory.mktemp("watch") / "data", "--groups", "2") as cluster:
        cluster.start()
        yield cluster


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
    assert faults_of_watcher(written, told) == [], watcher.ends
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


def test_a_crowd_is_told_everything_and_one_who_is_cut_off_at_random_bytes_goes_on(calm: LocalCluster) -> None:
    """A small share of `python -m tests.chaos.watchers`."""
    figures, wrong = asyncio.run(crowd(calm.port, calm.pid("gateway1"), "crowd/", 100, 20))
    assert (wrong, figures["events told"]) == ([], 2000)
    assert cut_off([calm.port], "cut/", 4000, 20, 1)[1] == []


def test_what_a_watcher_was_told_twice_or_not_or_in_another_order_is_found() -> None:
    told = [Told(f"k/{number % KEYS}", PUT, number, str(number)) for number in range(2 * KEYS)]
    assert faults(told, 2 * KEYS, KEYS) == []
    for spoilt in (told[:-1], [*told, told[-1]], told[::-1], [*told, Told("k/0", DELETE, 9)]):
        assert faults(spoilt, 2 * KEYS, KEYS)


def test_streams_that_clients_leave_are_gone_from_the_gateway_and_a_stop_says_goaway(calm: LocalCluster) -> None:
    wait_until(lambda: watchers_at(calm.port) == 0, "nobody watches")
    connections = []
    for _ in range(STREAMS):
        connection = http.client.HTTPConnection("127.0.0.1", calm.port, timeout=10)
        connection.request("GET", "/api/v1/watch")
        answer = connection.getresponse()
        assert answer.readline() == b"retry: 1000\n"
        connections.append((connection, answer))
    assert watchers_at(calm.port) == STREAMS
    for connection, answer in connections[1:]:
        answer.close()
        connection.close()
    wait_until(lambda: watchers_at(calm.port) == 1, "those who left are gone")
    connection, answer = connections[0]
    began = time.monotonic()
    os.kill(calm.pid("gateway1"), signal.SIGTERM)
    rest = answer.read()
    assert rest.endswith(b'event: goaway\ndata: {"reason":"shutdown"}\n\n')
    assert time.monotonic() - began < 10
    connection.close()
