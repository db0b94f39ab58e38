import asyncio

import msgspec
import pytest

from tests.wire.support import (
    ECHO,
    TOLD,
    Fixture,
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
from wire import Applied, Call, Code, Failure, Limits, Method, Notification, Peer, RpcClient, RpcServer
from wire.frame import BUDGET_MS_MAX, FAILURE, GOODBYE, REPLY
from wire.hello import Goodbye
from wire.messages import ItemResult, OperationId, Put, PutItem, Status, WriteReply, WriteRequest
from wire.methods import WRITE
from wire.rpc import decode_failure, encode


def test_a_typed_request_gets_its_typed_reply(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            asked: list[WriteRequest] = []

            def write(call: Call[WriteRequest, WriteReply]) -> None:
                asked.append(call.request)
                call.reply(WriteReply([ItemResult(Status.OK, 12)], 12))

            it.server.on(WRITE, write)
            message = WriteRequest(3, OperationId(1, 2, 1), Put([PutItem("key", b"value")]))
            assert await it.client.call(WRITE, message, 10) == WriteReply([ItemResult(Status.OK, 12)], 12)
            assert asked == [message]

    run(scenario())


def test_many_calls_share_one_connection_and_replies_may_come_out_of_order(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            calls = [it.keep(str(n)) for n in range(500)]
            await until(lambda: len(it.kept) == 500)
            assert [call.request.text for call in it.kept] == [str(n) for n in range(500)]
            for call in reversed(it.kept):
                call.reply(Text(f"answer to {call.request.text}"))
            assert [reply.text for reply in await asyncio.gather(*calls)] == [f"answer to {n}" for n in range(500)]
            assert it.server.connections == 1

    run(scenario())


def test_a_message_of_many_reads_arrives_whole(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            data = bytes(range(256)) * (8 << 12)
            reply = await it.client.call(ECHO, Text("big", data), 30)
            assert reply.data == data

    run(scenario())


def test_the_servers_failure_reaches_the_caller_with_all_it_says(run: Run) -> None:
    failure = Failure(Code.NOT_LEADER, "ask another", Applied.NO, "n2", 17, 250)

    async def scenario() -> None:
        async with pair() as it:
            call = it.keep("x")
            await until(lambda: it.kept)
            it.kept[0].fail(failure)
            assert await failure_of(call) == failure

    run(scenario())


def test_only_the_first_answer_of_a_handler_counts(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            call = it.keep("x")
            await until(lambda: it.kept)
            it.kept[0].reply(Text("first"))
            it.kept[0].reply(Text("second"))
            it.kept[0].fail(Failure(Code.INTERNAL, "third"))
            assert (await call).text == "first"
            assert (await it.echo("next")).text == "next"

    run(scenario())


def test_a_handler_that_raises_is_an_internal_failure_and_the_server_lives_on(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    boom = Method(2000, "boom", Text, Text)

    def explode(call: Call[Text, Text]) -> None:
        raise LookupError(call.request.text)

    async def scenario() -> None:
        async with pair() as it:
            it.server.on(boom, explode)
            failure = await failure_of(it.client.call(boom, Text("secret"), 10))
            assert (failure.code, failure.applied) == (Code.INTERNAL, Applied.UNKNOWN)
            assert "secret" not in failure.message
            assert (await it.echo("alive")).text == "alive"

    run(scenario())
    assert "LookupError" in caplog.text


def test_a_payload_that_is_not_the_message_is_invalid_and_nothing_else_breaks(run: Run) -> None:
    wrong = Method(ECHO.number, "echo", int, Text)

    async def scenario() -> None:
        async with pair() as it:
            failure = await failure_of(it.client.call(wrong, 5, 10))
            assert (failure.code, failure.applied) == (Code.INVALID, Applied.NO)
            assert (await it.echo("alive")).text == "alive"

    run(scenario())


@pytest.mark.parametrize("payload", [b"", b"\x92\xa1", b"\x91\xa1\xff", b"\x93\xa1x\xc4\x00" + b"\x91" * 100_000])
def test_no_payload_makes_the_server_stumble(payload: bytes) -> None:
    raw = Method(ECHO.number, "echo", msgspec.Raw, Text)

    async def scenario() -> None:
        async with pair() as it:
            failure = await failure_of(it.client.call(raw, msgspec.Raw(payload), 10))
            assert failure.code is Code.INVALID
            assert (await it.echo("alive")).text == "alive"

    asyncio.run(scenario())


def test_a_method_that_the_server_does_not_have_is_not_the_callers_mistake(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            failure = await failure_of(it.client.call(Method(9999, "none", Text, Text), Text("x"), 10))
            assert (failure.code, failure.applied) == (Code.UNAVAILABLE, Applied.NO)

    run(scenario())


def test_a_reply_that_cannot_be_read_is_an_internal_failure_of_that_call_only(run: Run) -> None:
    misread = Method(ECHO.number, "echo", Text, int)

    async def scenario() -> None:
        async with pair() as it:
            failure = await failure_of(it.client.call(misread, Text("x"), 10))
            assert (failure.code, failure.applied) == (Code.INTERNAL, Applied.UNKNOWN)
            assert (await it.echo("alive")).text == "alive"

    run(scenario())


def test_a_reply_that_cannot_be_encoded_is_an_internal_failure(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    odd = Method(2000, "odd", Text, object)

    async def scenario() -> None:
        async with pair() as it:
            it.server.on(odd, lambda call: call.reply(object()))
            assert (await failure_of(it.client.call(odd, Text("x"), 10))).code is Code.INTERNAL
            assert (await it.echo("alive")).text == "alive"

    run(scenario())
    assert "cannot encode" in caplog.text


def test_a_request_over_the_frame_limit_never_leaves_and_a_reply_over_it_is_replaced(run: Run) -> None:
    limits = Limits(frame_bytes_max=10_000)

    async def scenario() -> None:
        async with pair(limits) as it:
            failure = await failure_of(it.client.call(ECHO, Text("x", bytes(10_000)), 10))
            assert (failure.code, failure.applied) == (Code.INVALID, Applied.NO)
            call = it.keep("x")
            await until(lambda: it.kept)
            it.kept[0].reply(Text("x", bytes(10_000)))
            failure = await failure_of(call)
            assert (failure.code, failure.applied) == (Code.TOO_LARGE, Applied.UNKNOWN)
            assert (await it.echo("alive")).text == "alive"

    run(scenario())


# --- deadlines


def test_a_call_without_an_answer_times_out_and_may_have_been_applied(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            await it.echo("connected")
            failure = await failure_of(it.keep("x", timeout_s=0.05))
            assert (failure.code, failure.applied) == (Code.TIMEOUT, Applied.UNKNOWN)
            await until(lambda: it.kept)
            it.kept[0].reply(Text("too late"))
            assert (await it.echo("alive")).text == "alive"
            assert it.client.in_flight == 0

    run(scenario())


def test_a_short_deadline_after_a_long_one_is_kept(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            long = it.keep("long", timeout_s=30)
            assert (await failure_of(it.keep("short", timeout_s=0.05))).code is Code.TIMEOUT
            assert (await failure_of(it.keep("again", timeout_s=0.05))).code is Code.TIMEOUT
            assert not long.done()
            it.kept[0].reply(Text("late but in time"))
            assert (await long).text == "late but in time"

    run(scenario())


def test_the_deadline_travels_with_the_call(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            before = asyncio.get_running_loop().time()
            call = it.keep("x", timeout_s=7)
            await until(lambda: it.kept)
            after = asyncio.get_running_loop().time()
            assert before + 6.9 <= it.kept[0].deadline <= after + 7
            it.kept[0].reply(Text("y"))
            await call

    run(scenario())


def test_a_timeout_over_the_limit_is_cut_to_it(run: Run) -> None:
    async def scenario() -> None:
        async with pair(Limits(call_timeout_s_max=0.05)) as it:
            assert (await failure_of(it.keep("x", timeout_s=1e12))).code is Code.TIMEOUT

    run(scenario())


def test_a_call_that_arrives_expired_is_answered_without_the_handler(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it, raw_client(it.server.address) as peer:
            await peer.greet()
            peer.send(request(1, budget_ms=0))
            answer = await peer.receive()
            assert answer is not None
            assert answer.kind == FAILURE
            failure = decode_failure(answer.payload)
            assert (failure.code, failure.applied) == (Code.TIMEOUT, Applied.NO)
            assert not it.kept

    run(scenario())


def test_the_server_forgets_a_call_that_its_handler_forgot(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it, raw_client(it.server.address) as peer:
            await peer.greet()
            peer.send(request(1, budget_ms=20))
            answer = await peer.receive()
            assert answer is not None
            failure = decode_failure(answer.payload)
            assert (failure.code, failure.applied) == (Code.TIMEOUT, Applied.UNKNOWN)
            it.kept[0].reply(Text("ignored"))

    run(scenario())


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_a_deadline_in_the_past_fails_at_once(timeout_s: float) -> None:
    async def scenario() -> None:
        async with pair() as it:
            call = it.echo("x", timeout_s)
            assert call.done()
            failure = await failure_of(call)
            assert (failure.code, failure.applied) == (Code.TIMEOUT, Applied.NO)

    asyncio.run(scenario())


async def _silent(peer: RawPeer) -> None:
    await peer.receive()
    await peer.receive()


def test_a_call_that_timed_out_before_it_left_was_not_applied_and_is_never_sent(run: Run) -> None:
    seen: list[int] = []
    greet_now = asyncio.Event()

    async def late(peer: RawPeer) -> None:
        await greet_now.wait()
        peer.send(hello())
        await peer.receive()
        while (frame := await peer.receive()) is not None:
            seen.append(frame.correlation)

    async def scenario() -> None:
        async with raw_server(late) as address:
            client = RpcClient(address)
            failure = await failure_of(client.call(ECHO, Text("first"), 0.05))
            assert (failure.code, failure.applied) == (Code.TIMEOUT, Applied.NO)
            second = client.call(ECHO, Text("second"), 10)
            greet_now.set()
            await until(lambda: seen)
            assert seen == [2]
            await client.close()
            assert (await failure_of(second)).code is Code.UNKNOWN

    run(scenario())


# --- losing and finding the server


def test_a_server_that_is_not_there_fails_calls_as_not_applied_and_soon_after_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            await it.server.close(0)
            failure = await failure_of(it.echo("x"))
            assert (failure.code, failure.applied) == (Code.UNAVAILABLE, Applied.NO)
            assert failure.retry_after_ms > 0
            again = it.echo("x")
            assert again.done()
            assert (await failure_of(again)).code is Code.UNAVAILABLE

    run(scenario())


def test_a_server_that_never_greets_is_given_up(run: Run) -> None:
    async def scenario() -> None:
        async with raw_server(_silent) as address:
            client = RpcClient(address, limits=Limits(connect_timeout_s=0.05))
            failure = await failure_of(client.call(ECHO, Text("x"), 10))
            assert (failure.code, failure.applied) == (Code.UNAVAILABLE, Applied.NO)
            await client.close()

    run(scenario())


def test_a_connection_lost_after_the_call_left_leaves_its_outcome_unknown(run: Run) -> None:
    async def hang_up(peer: RawPeer) -> None:
        await peer.greet()
        await peer.receive()

    async def scenario() -> None:
        async with raw_server(hang_up) as address:
            client = RpcClient(address)
            failure = await failure_of(client.call(ECHO, Text("x"), 10))
            assert (failure.code, failure.applied) == (Code.UNKNOWN, Applied.UNKNOWN)
            await client.close()

    run(scenario())


def test_the_client_finds_the_server_again_after_a_restart(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            states: list[bool] = []
            it.client.on_state(states.append)
            await it.echo("one")
            port = int(it.server.address.rpartition(":")[2])
            await it.server.close(0)
            await until(lambda: not it.client.connected)
            second = RpcServer()
            second.on(ECHO, lambda call: call.reply(Text("second server")))
            await second.start("127.0.0.1", port)
            assert (await it.echo("two")).text == "second server"
            assert states == [True, False, True]
            await second.close()

    run(scenario())


def test_calls_that_the_server_says_it_has_not_taken_were_not_applied(run: Run) -> None:
    async def leave(peer: RawPeer) -> None:
        await peer.greet()
        await peer.receive()
        await peer.receive()
        peer.send(encode_goodbye(taken=1))
        await peer.receive()

    async def scenario() -> None:
        async with raw_server(leave) as address:
            client = RpcClient(address)
            first, second = client.call(ECHO, Text("1"), 10), client.call(ECHO, Text("2"), 10)
            assert (await failure_of(first)).code is Code.UNKNOWN
            failure = await failure_of(second)
            assert (failure.code, failure.applied) == (Code.UNAVAILABLE, Applied.NO)
            await client.close()

    run(scenario())


def encode_goodbye(taken: int) -> bytes:
    return frame(GOODBYE, encode(Goodbye("leaving")), correlation=taken)


def test_a_call_made_on_the_word_that_the_server_leaves_gets_a_new_connection(run: Run) -> None:
    visits: list[int] = []

    async def leave_once(peer: RawPeer) -> None:
        visits.append(len(visits))
        await peer.greet()
        asked = await peer.receive()
        assert asked is not None
        if len(visits) == 1:
            peer.send(encode_goodbye(taken=asked.correlation))
        else:
            payload = encode(Text("second visit"))
            peer.send(frame(REPLY, payload, correlation=asked.correlation))
        await peer.receive()

    async def scenario() -> None:
        async with raw_server(leave_once) as address:
            client = RpcClient(address)
            again: list[asyncio.Future[Text]] = []

            def on_state(connected: bool) -> None:  # noqa: FBT001 - the signature of a listener
                if not connected and not again:
                    again.append(client.call(ECHO, Text("again"), 10))

            client.on_state(on_state)
            assert (await failure_of(client.call(ECHO, Text("first"), 10))).code is Code.UNKNOWN
            assert (await again[0]).text == "second visit"
            await client.close()

    run(scenario())


# --- closing


def test_closing_a_server_lets_open_calls_finish_and_takes_no_new_ones(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            first = it.keep("open")
            await until(lambda: it.kept)
            closing = asyncio.ensure_future(it.server.close(10))
            await until(lambda: it.server._service.draining)
            failure = await failure_of(it.echo("too late"))
            assert (failure.code, failure.applied) == (Code.UNAVAILABLE, Applied.NO)
            assert not closing.done()
            it.kept[0].reply(Text("finished"))
            assert (await first).text == "finished"
            await closing
            assert it.server.connections == 0
            await until(lambda: not it.client.connected)

    run(scenario())


def test_a_call_still_open_after_the_grace_has_an_unknown_outcome(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            call = it.keep("open")
            await until(lambda: it.kept)
            await it.server.close(0.02)
            assert (await failure_of(call)).code is Code.UNKNOWN
            it.kept[0].reply(Text("nobody hears this"))

    run(scenario())


def test_closing_a_client_ends_its_calls_and_it_stays_closed(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            call = it.keep("open")
            await until(lambda: it.kept)
            await it.client.close()
            assert (await failure_of(call)).code is Code.UNKNOWN
            assert (await failure_of(it.echo("x"))).code is Code.UNAVAILABLE
            assert it.client.notify(TOLD, Text("x")) is False
            await it.client.close()

    run(scenario())


def test_closing_a_client_that_connects_ends_its_calls_as_not_applied(run: Run) -> None:
    async def scenario() -> None:
        async with raw_server(_silent) as address:
            client = RpcClient(address)
            call = client.call(ECHO, Text("x"), 10)
            await client.close()
            assert (await failure_of(call)).code is Code.UNAVAILABLE

    run(scenario())


def test_a_call_that_its_caller_gave_up_harms_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            call = it.keep("x")
            await until(lambda: it.kept)
            call.cancel()
            it.kept[0].reply(Text("y"))
            assert (await it.echo("alive")).text == "alive"

    run(scenario())


# --- notifications


async def _connected(it: Fixture) -> None:
    it.client.notify(TOLD, Text("begins to connect"))
    await until(lambda: it.client.connected)


def test_a_notification_is_dropped_without_a_connection_but_begins_one(run: Run) -> None:
    async def scenario() -> None:
        async with pair() as it:
            assert it.client.notify(TOLD, Text("lost")) is False
            await until(lambda: it.client.connected)
            assert it.client.notify(TOLD, Text("heard")) is True
            await until(lambda: it.told)
            assert it.told == ["heard"]

    run(scenario())


def test_calls_and_notifications_keep_their_order(run: Run) -> None:
    note = Method(2000, "note", Text, Text)
    told = Notification(2000, "told", Text)
    order: list[str] = []

    def take_note(call: Call[Text, Text]) -> None:
        order.append(call.request.text)
        call.reply(Text(""))

    async def scenario() -> None:
        async with pair() as it:
            await _connected(it)
            it.server.on(note, take_note)
            it.server.on_notification(told, lambda _, message: order.append(message.text))
            it.client.notify(told, Text("1"))
            call = it.client.call(note, Text("2"), 10)
            it.client.notify(told, Text("3"))
            await call
            await until(lambda: len(order) == 3)
            assert order == ["1", "2", "3"]

    run(scenario())


def test_a_bad_notification_or_a_raising_handler_harms_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    misfit = Notification(TOLD.number, "told", int)
    boom = Notification(2000, "boom", Text)
    unknown = Notification(2001, "unknown", Text)

    def explode(_: Peer, message: Text) -> None:
        raise LookupError(message.text)

    async def scenario() -> None:
        async with pair() as it:
            it.server.on_notification(boom, explode)
            await _connected(it)
            assert it.client.notify(misfit, 5)
            assert it.client.notify(boom, Text("x"))
            assert it.client.notify(unknown, Text("x"))
            assert (await it.echo("alive")).text == "alive"
            assert it.told == []

    run(scenario())
    assert "LookupError" in caplog.text


def test_a_notification_over_the_frame_limit_is_a_defect_of_the_sender(run: Run) -> None:
    async def scenario() -> None:
        async with pair(Limits(frame_bytes_max=1000)) as it:
            await _connected(it)
            with pytest.raises(ValueError, match="told"):
                it.client.notify(TOLD, Text("x", bytes(1000)))

    run(scenario())


# --- the door


def test_a_number_has_one_handler() -> None:
    server = RpcServer()
    server.on(ECHO, lambda call: call.reply(call.request))
    with pytest.raises(ValueError, match="1000"):
        server.on(Method(ECHO.number, "other", Text, Text), lambda call: call.reply(call.request))


@pytest.mark.parametrize("number", [0, -1, 65536])
def test_a_number_fits_its_field(number: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.65535"):
        Method(number, "odd", Text, Text)


@pytest.mark.parametrize("address", ["", "host", ":1", "host:", "host:x", "host:65536", "host:-1", "host:¹"])
def test_a_client_wants_host_and_port(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        RpcClient(address)


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_is_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_a_call_may_not_take_longer_than_a_frame_can_tell() -> None:
    assert Limits(call_timeout_s_max=BUDGET_MS_MAX / 1000).call_timeout_s_max * 1000 == BUDGET_MS_MAX
    with pytest.raises(ValueError, match=f"call_timeout_s_max: .* {BUDGET_MS_MAX} ms"):
        Limits(call_timeout_s_max=BUDGET_MS_MAX / 1000 + 1)
