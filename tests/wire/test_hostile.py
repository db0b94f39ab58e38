"""Strangers and broken peers lose their connection, and nobody else notices."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.support import ECHO, RawPeer, Run, Text, failure_of, frame, hello, pair, raw_client, raw_server, request
from wire import Applied, Code, Limits, RpcClient
from wire.frame import FAILURE, GOODBYE, HEADER, HELLO, NOTIFICATION, REPLY, REQUEST, encode_header
from wire.hello import MAGIC, read_goodbye
from wire.rpc import encode

QUICK = Limits(goodbye_timeout_s=0.05, handshake_timeout_s=1.0)

STRANGERS = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("160301020001000401fc0303") + bytes(200),
    "zeros": bytes(100),
    "huge": encode_header((1 << 32) - 1, HELLO),
    "hello over its limit": frame(HELLO, bytes(5000), correlation=MAGIC),
    "no hello": request(1),
    "wrong magic": frame(HELLO, encode((1, 1)), correlation=MAGIC + 1),
    "unreadable hello": frame(HELLO, b"\xc1", correlation=MAGIC),
    "other versions": hello(version_min=200, version_max=300),
    "old version": hello(version_min=0, version_max=0),
    "other cluster": hello(cluster="another"),
}

BREACHES = {
    "garbage": b"\xff" * 64,
    "huge length": encode_header((1 << 32) - 1, REQUEST),
    "over the limit": encode_header(16 << 20, REQUEST),
    "unknown kind": frame(77),
    "second hello": hello(),
    "reply to a server": frame(REPLY, correlation=1),
    "failure to a server": frame(FAILURE, correlation=1),
    "number used twice": request(5) + request(5),
    "number goes back": request(5) + request(4),
}


@pytest.mark.parametrize("words", STRANGERS.values(), ids=STRANGERS.keys())
def test_a_stranger_is_refused_and_told_nothing_but_why(words: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with pair(QUICK, cluster="ours") as it, raw_client(it.server.address) as peer:
            peer.send(words)
            last = await peer.receive()
            assert last is not None
            assert last.kind == GOODBYE
            assert read_goodbye(last)
            assert await peer.receive() is None
            assert (await it.echo("alive")).text == "alive"

    asyncio.run(scenario())
    assert "ending the connection" in caplog.text


@pytest.mark.parametrize("words", BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_of_the_protocol_ends_that_connection_only(
    run: Run, words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with pair(QUICK) as it, raw_client(it.server.address) as peer:
            await it.echo("connected")
            await peer.greet()
            peer.send(words, request(1000, "not heard any more", ECHO))
            last = await peer.receive()
            assert last is not None
            assert last.kind == GOODBYE
            assert await peer.receive() is None
            assert (await it.echo("alive")).text == "alive"
            assert it.server.connections == 1

    run(scenario())
    assert "ending the connection" in caplog.text


def test_what_came_before_the_breach_is_answered(run: Run) -> None:
    async def scenario() -> None:
        async with pair(QUICK) as it, raw_client(it.server.address) as peer:
            await peer.greet()
            peer.send(request(1, "x", ECHO), b"\xff" * 64)
            kinds = [received.kind for _ in range(2) if (received := await peer.receive())]
            assert kinds == [REPLY, GOODBYE]

    run(scenario())


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from([REQUEST, NOTIFICATION]), st.integers(0, 1003), st.binary(max_size=60))))
def test_no_frame_with_a_sound_header_ends_a_connection(frames: list[tuple[int, int, bytes]]) -> None:
    async def scenario() -> None:
        async with pair(QUICK) as it, raw_client(it.server.address) as peer:
            await peer.greet()
            for n, (kind, number, payload) in enumerate(frames):
                peer.send(frame(kind, payload, number, n + 1, 1))
            peer.send(request(10_000, "alive", ECHO))
            while (answer := await peer.receive()) is not None and answer.correlation != 10_000:
                pass
            assert answer is not None
            assert answer.kind == REPLY

    asyncio.run(scenario())


def test_a_newer_peer_may_say_more_and_speak_more_versions(run: Run) -> None:
    newer = frame(HELLO, encode((1, 9, "", "", "something new")), correlation=MAGIC)

    async def scenario() -> None:
        async with pair() as it, raw_client(it.server.address) as peer:
            peer.send(newer)
            answer = await peer.receive()
            assert answer is not None
            assert answer.kind == HELLO

    run(scenario())


SERVERS = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "garbage after hello": hello() + b"\xff" * 64,
    "request to a client": hello() + request(1),
    "wrong magic": frame(HELLO, encode((1, 1)), correlation=7),
    "other cluster": hello(cluster="another"),
    "other node": hello(node="n2"),
    "refusal": frame(GOODBYE, encode(("no",))),
}


@pytest.mark.parametrize("words", SERVERS.values(), ids=SERVERS.keys())
def test_a_client_leaves_a_server_that_is_not_the_right_one(run: Run, words: bytes) -> None:
    async def answer(peer: RawPeer) -> None:
        await peer.receive()
        peer.send(words)
        await peer.receive()

    async def scenario() -> None:
        async with raw_server(answer) as address:
            client = RpcClient(address, cluster="ours", expect_node="n1")
            failure = await failure_of(client.call(ECHO, Text("x"), 10))
            assert failure.code in (Code.UNAVAILABLE, Code.UNKNOWN)
            assert (failure.applied is Applied.NO) == (failure.code is Code.UNAVAILABLE)
            assert not client.connected
            await client.close()

    run(scenario())


def test_the_node_that_is_expected_is_talked_to(run: Run) -> None:
    async def scenario() -> None:
        async with pair(cluster="ours", node="n1") as it:
            right = RpcClient(it.server.address, cluster="ours", expect_node="n1")
            assert (await right.call(ECHO, Text("x"), 10)).text == "x"
            wrong = RpcClient(it.server.address, cluster="ours", expect_node="n2")
            assert (await failure_of(wrong.call(ECHO, Text("x"), 10))).code is Code.UNAVAILABLE
            await right.close()
            await wrong.close()

    run(scenario())


def test_a_frame_header_has_its_fixed_size() -> None:
    assert HEADER.size == 19
