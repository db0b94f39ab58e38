"""Hosts on a switch: what is dropped does not arrive, what is late arrives late, and nothing is left behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.chaos.delay import SlowCable
from tests.chaos.namespaces import FOLDER, Drop, Network, remove_leftovers, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

PREFIX = "concord-test-"
TIMEOUT_S = 60.0
SERVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("{address}", 5000))
print("ready", flush=True)
while True:
    s.sendto(*s.recvfrom(100))
"""
CLIENT = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout({patience_s})
began, seen = time.monotonic(), []
for number in range({count}):
    s.sendto(str(number).encode(), ("{address}", 5000))
try:
    while len(seen) < {count}:
        seen.append(s.recv(100).decode())
except TimeoutError:
    pass
print(time.monotonic() - began, *seen)
"""


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(f"{PREFIX}{os.getpid()}", ["one", "two"])
    try:
        made.create()
        server = subprocess.Popen(
            [*made.inside("two"), sys.executable, "-c", SERVER.format(address=made.addresses["two"])],
            stdout=subprocess.PIPE,
        )
        with server:
            assert server.stdout is not None
            server.stdout.readline()
            yield made
            server.kill()
    finally:
        made.close()
    assert not list(FOLDER.glob(f"{PREFIX}{os.getpid()}-*"))


def echo(network: Network, count: int, patience_s: float = 20.0) -> tuple[float, list[int]]:
    """Send datagrams from one host to the other: seconds that it took, and which came back, in their order."""
    text = CLIENT.format(address=network.addresses["two"], count=count, patience_s=patience_s)
    words = [*network.inside("one"), sys.executable, "-c", text]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    seconds, *seen = done.stdout.split()
    return float(seconds), [int(number) for number in seen]


def test_what_is_dropped_in_one_direction_does_not_arrive_until_it_is_restored(network: Network) -> None:
    assert echo(network, 5)[1] == [0, 1, 2, 3, 4]
    for drop in (Drop("one", "two"), Drop("two", "one")):
        network.drop("layer", [drop])
        assert echo(network, 5, patience_s=0.3)[1] == []
        network.restore("layer")
        assert len(echo(network, 5)[1]) == 5


def test_a_layer_goes_and_the_others_stay(network: Network) -> None:
    network.drop("all", [Drop("one", "two")])
    network.drop("some", [Drop("one", "two", 50)])
    network.restore("some")
    assert echo(network, 5, patience_s=0.3)[1] == []
    network.restore("all")
    assert len(echo(network, 5)[1]) == 5


def test_a_part_of_the_packets_is_lost(network: Network) -> None:
    network.drop("loss", [Drop("one", "two", 50)])
    assert 20 < len(echo(network, 100, patience_s=1.0)[1]) < 80


def test_a_slow_cable_is_late_in_order_and_then_as_before(network: Network) -> None:
    cable = SlowCable(network, "two")
    cable.create()
    for _ in range(2):
        cable.begin(0.1, 0.1)
        cable.begin(0.1, 0.1)
        cable.end()
        seconds, seen = echo(network, 20)
        assert seconds >= 0.2
        assert len(seen) == 20
        assert all(before < after for before, after in pairwise(seen))
        cable.end()
        assert len(echo(network, 5)[1]) == 5


def test_namespaces_of_a_process_that_was_killed_are_removed() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, used = f"{PREFIX}{ended.pid}-one", f"{PREFIX}{os.getpid()}-one"
    for name in (left, used):
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        remove_leftovers(PREFIX)
        assert not (FOLDER / left).exists()
        assert (FOLDER / used).exists()
    finally:
        subprocess.run(["ip", "netns", "del", used], check=True)
