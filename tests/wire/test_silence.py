"""A machine that nobody can reach any more: both ends learn that their connection is of no use, and make another.

TCP waits ever longer between two attempts, after a silence of six seconds more than six: without this, members that can
reach each other again would be strangers for as long as they were apart.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import TypeVar

import pytest

from tests.chaos.namespaces import Drop, Inside, Network, why_not
from tests.wire.support import ECHO, TOLD, Text
from wire import Limits, RpcClient, RpcServer
from wire.limits import DEFAULT_LIMITS

T = TypeVar("T")

LIMITS = Limits(dead_peer_s=1.0)
HOST = "alone"
LOOPBACK = "127.0.0.1"
PORT = 5000
PATIENCE_S = 30.0
CATCH_UP_S = 5.0  # what is promised to replicas that can reach each other again


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network(f"concord-silence-{os.getpid()}", [HOST])
    try:
        made.create()
        made.addresses[HOST] = LOOPBACK  # so that what it says to itself can be dropped
        yield made
    finally:
        made.close()


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - nobody tells how many connections a server has
        await asyncio.sleep(0.02)


async def serve(over: Callable[[], bool]) -> None:
    """Answer until it is over: that is, until the connection was lost in the silence and another was made."""
    server = RpcServer(LIMITS)
    server.on(ECHO, lambda call: call.reply(call.request))
    server.on_notification(TOLD, lambda _peer, _message: None)
    await server.start(LOOPBACK, PORT)
    await until(lambda: server.connections == 1)
    await until(lambda: server.connections == 0)
    await until(over)
    await server.close()


async def talk(network: Network) -> str:
    """Speak, lose sight of the server, learn of it, and speak again."""
    client = RpcClient(f"{LOOPBACK}:{PORT}", limits=LIMITS)
    while not client.connected:
        client.notify(TOLD, Text("before"))
        await asyncio.sleep(0.02)
    network.drop("silence", [Drop(HOST, HOST)])
    assert client.notify(TOLD, Text("into the void"))
    await until(lambda: not client.connected)
    network.restore("silence")
    while not client.connected:
        client.notify(TOLD, Text("anybody?"))
        await asyncio.sleep(0.02)
    answer = await client.call(ECHO, Text("after"), PATIENCE_S)
    await client.close()
    return answer.text


def patiently(talking: Coroutine[object, object, T]) -> T:
    """Run to the end, or give up."""
    return asyncio.run(asyncio.wait_for(talking, PATIENCE_S))


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_both_ends_of_a_connection_into_the_void_lose_it_and_the_client_makes_another(network: Network) -> None:
    over, inside = False, Inside(network, HOST, 2)
    try:
        serving = inside.start(lambda: patiently(serve(lambda: over)))
        assert inside.run(lambda: patiently(talk(network))) == "after"
        over = True
        serving.result(PATIENCE_S)
    finally:
        over = True
        inside.close()


def test_what_a_silence_costs_at_most_is_less_than_replicas_are_given_to_catch_up() -> None:
    assert DEFAULT_LIMITS.dead_peer_s + DEFAULT_LIMITS.backoff_s_max < CATCH_UP_S
    assert DEFAULT_LIMITS.connect_timeout_s + DEFAULT_LIMITS.backoff_s_max < CATCH_UP_S
