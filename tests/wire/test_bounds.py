"""Every buffer has an end, and reaching it harms nobody else."""

import asyncio
import itertools
import resource
import socket
from contextlib import AsyncExitStack

import pytest

from tests.wire.support import (
    ECHO,
    KEEP,
    TOLD,
    RawPeer,
    Run,
    Text,
    failure_of,
    frame,
    hello,
    pair,
    raw_client,
    raw_server,
    request,
    until,
)
from wire import Applied, Call, Code, Limits, RpcClient
from wire.frame import REPLY, REQUEST
from wire.rpc import MethodFigures, decode_failure, encode
from wire.serving import ServerConnection

HURRIED = Limits(turn_s=1e-9)
"""A turn has time for one frame."""


def test_a_call_over_the_in_flight_limit_is_overloaded_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with pair(client_limits=Limits(in_flight_max=3)) as it:
            calls = [it.keep(str(n)) for n in range(3)]
            refused = it.keep("one more")
            assert refused.done()
            failure = await failure_of(refused)
            assert (failure.code, failure.applied) == (Code.OVERLOADED, Applied.NO)
            assert failure.retry_after_ms > 0
            await until(lambda: len(it.kept) == 3)
            for call in it.kept:
                call.reply(Text(""))
            await asyncio.gather(*calls)
            assert (await it.echo("room again")).text == "room again"

    run(scenario())


def test_a_call_over_the_send_buffer_is_overloaded_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with pair(client_limits=Limits(send_buffer_bytes_max=10_000)) as it:
            first = it.client.call(ECHO, Text("", bytes(8000)), 10)
            refused = it.client.call(ECHO, Text("", bytes(8000)), 10)
            assert refused.done()
            assert (await failure_of(refused)).code is Code.OVERLOADED
            assert len((await first).data) == 8000
            assert (await it.echo("room again")).text == "room again"

    run(scenario())


def test_a_server_that_stops_reading_bounds_the_client(run: Run) -> None:
    """What does not fit is refused, what waits unsent was not applied, and notifications are dropped."""
    wake = asyncio.Event()

    async def deaf(peer: RawPeer) -> None:
        peer.send(hello())
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined] # asyncio's transport has it
        await wake.wait()

    async def scenario() -> None:
        limits = Limits(send_buffer_bytes_max=1 << 20, write_high_water_bytes=1 << 16)
        async with raw_server(deaf) as address:
            client = RpcClient(address, limits=limits)
            client.notify(TOLD, Text(""))
            await until(lambda: client.connected)
            calls = []
            for _ in range(2000):
                calls.append(client.call(KEEP, Text("", bytes(1 << 16)), 0.5))
                await asyncio.sleep(0)
                if calls[-1].done():
                    break
            assert (await failure_of(calls.pop())).code is Code.OVERLOADED
            assert client.buffered_bytes < 3 << 20
            assert client.notify(TOLD, Text("", bytes(1 << 16))) is False
            last = await failure_of(calls[-1])
            assert (last.code, last.applied) == (Code.TIMEOUT, Applied.NO)
            first = await failure_of(calls[0])
            assert (first.code, first.applied) == (Code.TIMEOUT, Applied.UNKNOWN)
            wake.set()
            await asyncio.gather(*calls, return_exceptions=True)
            await client.close()

    run(scenario())


def test_calls_that_wait_for_a_slow_server_were_not_applied_when_the_connection_is_lost(run: Run) -> None:
    wake = asyncio.Event()

    async def deaf(peer: RawPeer) -> None:
        peer.send(hello())
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined] # the loops' transports have it
        await wake.wait()

    async def scenario() -> None:
        async with raw_server(deaf) as address:
            client = RpcClient(address, limits=Limits(write_high_water_bytes=1 << 16))
            client.notify(TOLD, Text(""))
            await until(lambda: client.connected)
            link = client._link
            assert link is not None
            calls = []
            while link.writable:
                calls.append(client.call(KEEP, Text("", bytes(1 << 18)), 30))
                await asyncio.sleep(0)
            calls.append(client.call(KEEP, Text("it waits"), 30))
            wake.set()
            first, last = await failure_of(calls[0]), await failure_of(calls[-1])
            assert (first.code, first.applied) == (Code.UNKNOWN, Applied.UNKNOWN)
            assert (last.code, last.applied) == (Code.UNAVAILABLE, Applied.NO)
            await asyncio.gather(*calls, return_exceptions=True)
            await client.close()

    run(scenario())


@pytest.mark.parametrize("limits", [Limits(open_calls_max=5), Limits(open_bytes_max=35)], ids=["calls", "bytes"])
def test_a_server_takes_no_more_than_it_may_have_open_and_goes_on_in_order(run: Run, limits: Limits) -> None:
    async def scenario() -> None:
        async with pair(limits) as it, raw_client(it.server.address) as peer, raw_client(it.server.address) as other:
            await peer.greet()
            await other.greet()
            for n in range(1, 101):
                peer.send(request(n, f"{n:03}"))
            await until(lambda: it.kept)
            other.send(request(1, "another connection", ECHO))
            answer = await other.receive()
            assert answer is not None
            assert answer.kind == REPLY
            most = 0
            for n in range(100):
                await until(lambda n=n: len(it.kept) > n)  # type: ignore[misc] # mypy cannot infer a default of a lambda
                most = max(most, len(it.kept) - n)
                assert it.kept[n].request.text == f"{n + 1:03}"
                it.kept[n].reply(Text(""))
                answer = await peer.receive()
                assert answer is not None
                assert answer.correlation == n + 1
            assert most == 5

    run(scenario())


def test_a_call_that_waited_too_long_to_be_looked_at_is_not_applied(run: Run) -> None:
    async def scenario() -> None:
        async with pair(Limits(open_calls_max=1)) as it, raw_client(it.server.address) as peer:
            await peer.greet()
            peer.send(request(1, "first", budget_ms=60), request(2, "second", budget_ms=20))
            first, second = await peer.receive(), await peer.receive()
            assert first is not None
            assert second is not None
            assert decode_failure(first.payload).applied is Applied.UNKNOWN
            assert decode_failure(second.payload).applied is Applied.NO
            assert [call.request.text for call in it.kept] == ["first"]

    run(scenario())


def test_a_slow_reader_is_not_served_faster_than_it_reads_and_gets_everything_in_the_end(run: Run) -> None:
    served: list[int] = []

    def big(call: Call[Text, Text]) -> None:
        served.append(call.correlation)
        call.reply(Text("", bytes(1 << 16)))

    async def scenario() -> None:
        limits = Limits(write_high_water_bytes=1 << 16)
        async with pair(limits) as it, raw_client(it.server.address) as peer:
            it.server._service.methods[KEEP.number] = (KEEP, big, MethodFigures())
            await peer.greet()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined] # the loops' transports have it
            total = 2000
            for n in range(1, total + 1):
                peer.send(request(n))
            (connection,) = it.server._service.connections
            assert isinstance(connection, ServerConnection)
            await until(lambda: not connection.writable)
            assert len(served) < total
            assert connection.buffered_bytes < 1 << 20
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined] # as above
            for n in range(1, total + 1):
                answer = await peer.receive()
                assert answer is not None
                assert answer.correlation == n

    run(scenario())


def test_a_reader_that_takes_nothing_is_cut_off(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(write_high_water_bytes=1 << 16, stall_timeout_s=0.05)
        async with pair(limits) as it, raw_client(it.server.address) as peer:
            it.server._service.methods[KEEP.number] = (
                KEEP,
                lambda call: call.reply(Text("", bytes(1 << 20))),
                MethodFigures(),
            )
            await peer.greet()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined] # the loops' transports have it
            for n in range(1, 50):
                peer.send(request(n))
            await until(lambda: it.server.connections == 0)

    run(scenario())


def test_a_reply_that_does_not_fit_into_the_send_buffer_leaves_the_outcome_unknown(run: Run) -> None:
    async def scenario() -> None:
        async with pair(Limits(send_buffer_bytes_max=10_000)) as it:
            first, second = it.keep("1"), it.keep("2")
            await until(lambda: len(it.kept) == 2)
            for call in it.kept:
                call.reply(Text("", bytes(8000)))
            assert len((await first).data) == 8000
            failure = await failure_of(second)
            assert (failure.code, failure.applied) == (Code.UNKNOWN, Applied.UNKNOWN)

    run(scenario())


def test_a_connection_over_the_limit_is_closed_and_there_is_room_again_later(run: Run) -> None:
    async def scenario() -> None:
        async with pair(Limits(connections_max=2)) as it:
            async with raw_client(it.server.address) as first, raw_client(it.server.address) as second:
                await first.greet()
                await second.greet()
                async with raw_client(it.server.address) as third:
                    assert await third.receive() is None
                assert it.server.connections == 2
            await until(lambda: it.server.connections == 0)
            assert (await it.echo("room again")).text == "room again"

    run(scenario())


def test_a_connection_that_never_greets_is_cut_off(run: Run) -> None:
    async def scenario() -> None:
        async with pair(Limits(handshake_timeout_s=0.3)) as it, raw_client(it.server.address) as peer:
            peer.send(hello()[:10])
            assert await peer.receive() is None
            assert (await it.echo("alive")).text == "alive"

    run(scenario())


def test_a_greeted_connection_may_be_idle(run: Run) -> None:
    async def scenario() -> None:
        async with pair(Limits(handshake_timeout_s=0.3)) as it, raw_client(it.server.address) as idle:
            await idle.greet()
            async with raw_client(it.server.address) as cut:
                assert await cut.receive() is None
            idle.send(request(1, "x", ECHO))
            answer = await idle.receive()
            assert answer is not None
            assert answer.kind == REPLY

    run(scenario())


def test_the_oldest_newcomer_makes_room_for_one_too_many(run: Run) -> None:
    async def scenario() -> None:
        async with (
            pair(Limits(handshakes_max=2, handshake_timeout_s=30)) as it,
            raw_client(it.server.address) as first,
            raw_client(it.server.address) as second,
        ):
            await until(lambda: it.server.connections == 2)
            assert (await it.echo("there is room")).text == "there is room"
            assert await first.receive() is None
            await second.greet()
            assert it.server.connections == 2

    run(scenario())


@pytest.mark.parametrize("limits", [Limits(held_bytes_max=100_000), Limits(held_bytes_max=50_000)], ids=["sum", "each"])
def test_of_peers_with_half_a_frame_too_many_the_one_that_began_first_is_cut_off(run: Run, limits: Limits) -> None:
    whole = frame(REQUEST, encode(Text("", bytes(80_000))), ECHO.number, 1, 10_000)

    async def scenario() -> None:
        async with pair(limits) as it, raw_client(it.server.address) as first, raw_client(it.server.address) as second:
            await first.greet()
            await second.greet()
            holdings = it.server._service.holdings
            first.send(whole[:70_000])
            await until(lambda: holdings.total == 70_000)
            second.send(whole[:60_000])
            assert await first.receive() is None
            await until(lambda: holdings.total == 60_000)
            second.send(whole[60_000:])
            answer = await second.receive()
            assert answer is not None
            assert answer.kind == REPLY
            await until(lambda: holdings.total == 0)

    run(scenario())


def test_of_peers_that_do_not_read_too_many_the_one_that_began_first_is_cut_off(run: Run) -> None:
    async def scenario() -> None:
        limits = Limits(write_high_water_bytes=1 << 16, held_bytes_max=12 << 20)
        async with pair(limits) as it, raw_client(it.server.address) as first, raw_client(it.server.address) as second:
            it.server._service.methods[KEEP.number] = (
                KEEP,
                lambda call: call.reply(Text("", bytes(14 << 20))),
                MethodFigures(),
            )
            for deaf in (first, second):
                await deaf.greet()
                deaf.writer.transport.pause_reading()  # type: ignore[attr-defined] # the loops' transports have it
            first.send(request(1))
            await until(lambda: it.server._service.holdings.total > 1 << 20)
            second.send(request(1))
            await until(lambda: it.server.connections == 1)
            assert (await it.echo("alive")).text == "alive"

    run(scenario())


def test_thousands_of_requests_of_one_peer_do_not_hold_up_the_one_of_another(run: Run) -> None:
    heard: list[str] = []

    def hear(call: Call[Text, Text]) -> None:
        heard.append(call.request.text)
        call.reply(call.request)

    async def scenario() -> None:
        async with pair(HURRIED) as it, raw_client(it.server.address) as many, raw_client(it.server.address) as one:
            it.server._service.methods[KEEP.number] = (KEEP, hear, MethodFigures())
            await many.greet()
            await one.greet()
            many.send(*[request(n, str(n)) for n in range(1, 1501)])
            one.send(request(1, "one"))
            await until(lambda: len(heard) == 1501)
            assert heard.index("one") < 100
            heard.remove("one")
            assert heard == [str(n) for n in range(1, 1501)]

    run(scenario())


def test_thousands_of_requests_of_many_peers_do_not_hold_up_the_loop(run: Run) -> None:
    """None of its turns looks at more than one frame of each peer when there is time for one only."""
    peers, each = 20, 200
    served = 0
    seen = [0]

    def count(call: Call[Text, Text]) -> None:
        nonlocal served
        served += 1
        call.reply(call.request)

    def look() -> None:
        seen.append(served)
        if served < peers * each:
            asyncio.get_running_loop().call_soon(look)

    async def scenario() -> None:
        async with pair(HURRIED) as it, AsyncExitStack() as stack:
            it.server._service.methods[KEEP.number] = (KEEP, count, MethodFigures())
            many = [await stack.enter_async_context(raw_client(it.server.address)) for _ in range(peers)]
            for peer in many:
                await peer.greet()
            look()
            for peer in many:
                peer.send(*[request(n) for n in range(1, each + 1)])
            await until(lambda: served == peers * each)
            assert max(after - before for before, after in itertools.pairwise(seen)) <= peers + 1

    run(scenario())


def test_frames_that_wait_for_their_turn_count_as_held_until_they_are_looked_at(run: Run) -> None:
    held: list[int] = []  # when each request was looked at

    async def scenario() -> None:
        async with pair(HURRIED) as it, raw_client(it.server.address) as peer:
            holdings = it.server._service.holdings

            def hear(call: Call[Text, Text]) -> None:
                held.append(holdings.total)
                call.reply(call.request)

            it.server._service.methods[KEEP.number] = (KEEP, hear, MethodFigures())
            await peer.greet()
            peer.send(*[request(n) for n in range(1, 201)])
            await until(lambda: len(held) == 200)
            assert max(held) > 0
            await until(lambda: holdings.total == 0)

    run(scenario())


def test_running_out_of_descriptors_does_not_kill_the_listener(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with pair() as it:
            host, _, port = it.server.address.rpartition(":")
            with socket.socket() as sock:
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                lowest_free = sock.fileno() + 1
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
                try:
                    sock.connect((host, int(port)))
                    await until(lambda: "cannot accept" in caplog.text)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                assert (await it.echo("alive")).text == "alive"

    run(scenario())


def test_what_is_sent_in_one_turn_leaves_in_one_write(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            await it.echo("connected")
            link = it.client._link
            assert link is not None
            transport = link._transport
            assert transport is not None
            write = transport.write
            writes: list[int] = []

            class Counting:
                def write(self, data: bytes) -> None:
                    writes.append(len(data))
                    write(data)

                def __getattr__(self, name: str) -> object:
                    return getattr(transport, name)

            link._transport = Counting()  # type: ignore[assignment] # stands in for the transport
            await asyncio.gather(*[it.echo(str(n)) for n in range(100)])
            assert len(writes) == 1

    run(scenario())
