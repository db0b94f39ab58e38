"""What a client with `tracing=` leaves behind, and that one without leaves nothing."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import concord
from concord import AsyncConcord, Concord, Retry
from concord._core import Heard
from concord._spans import route_of
from concord._transports import AsyncStream, Request, Response, Stream, TransportError
from tests.sdk.fake import LOST, ok, refused

HIDDEN = "never-in-a-span"
PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
SAMPLED = 1


class Wire:
    """Answers requests with what it was given, and notes them with the span that was current."""

    def __init__(self, *answers: Heard) -> None:
        self.requests: list[Request] = []
        self.current: list[int] = []
        self._answers = iter(answers)

    def send(self, _: str, request: Request, __: float) -> Response:
        self.requests.append(request)
        self.current.append(trace.get_current_span().get_span_context().span_id)
        answer = next(self._answers)
        if isinstance(answer, TransportError):
            raise answer
        assert answer is not None
        return answer

    def stream(self, base_url: str, request: Request, silence_s: float) -> Stream:
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""


class AsyncWire:
    """The same, but an answer of None never comes."""

    def __init__(self, *answers: Heard) -> None:
        self.wire = Wire(*answers)
        self.asked = asyncio.Event()

    async def send(self, url: str, request: Request, timeout_s: float) -> Response:
        self.asked.set()
        try:
            return self.wire.send(url, request, timeout_s)
        except AssertionError:
            await asyncio.Event().wait()
            raise

    async def stream(self, base_url: str, request: Request, silence_s: float) -> AsyncStream:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


class Recorded:
    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def only(self) -> ReadableSpan:
        (span,) = self.spans()
        return span


def test_a_call_is_one_span_that_the_gateway_goes_on_with() -> None:
    recorded, wire = Recorded(), Wire(ok({"revision": 7}))
    with Concord("http://gw:4001", token=HIDDEN, transport=wire, tracing=recorded.provider) as client:
        client.put(HIDDEN, HIDDEN)
    span = recorded.only()
    assert (span.name, span.kind) == ("put kv", trace.SpanKind.CLIENT)
    assert dict(span.attributes or {}) == {
        "db.system.name": "concord", "db.operation.name": "put", "db.collection.name": "kv", "http.request.method": "PUT",
        "http.response.status_code": 200, "db.response.status_code": "200", "server.address": "gw", "server.port": 4001,
    }  # fmt: skip
    assert span.status.is_unset
    told = PARENT.fullmatch(wire.requests[0].headers["traceparent"])
    assert told is not None
    assert (int(told[1], 16), int(told[2], 16)) == (span.context.trace_id, span.context.span_id)
    assert int(told[3], 16) & SAMPLED
    assert wire.current == [span.context.span_id]
    assert HIDDEN not in span.to_json()


def test_a_span_of_the_program_is_its_parent_and_is_current_again_afterwards() -> None:
    recorded, wire = Recorded(), Wire(ok({"value": 1, "revision": 7}))
    tracer = recorded.provider.get_tracer("program")
    with Concord(transport=wire, tracing=recorded.provider) as client, tracer.start_as_current_span("outer") as outer:
        assert client.get("k") == 1
        assert trace.get_current_span() is outer
    inner, _ = recorded.spans()
    assert inner.parent is not None
    assert inner.parent.span_id == outer.get_span_context().span_id


def test_attempts_after_the_first_are_events_of_the_same_span() -> None:
    recorded, wire = Recorded(), Wire(LOST, LOST, ok({"value": 8}))
    retry = Retry(wait_s_first=0.0)
    with Concord(transport=wire, tracing=recorded.provider, retry=retry, timeout=9.0) as client:
        client.increment("k")
    span = recorded.only()
    assert [event.name for event in span.events] == ["no answer", "retry", "no answer", "retry"]
    assert [(event.attributes or {}).get("http.request.resend_count") for event in span.events] == [None, 1, None, 2]
    assert len({request.headers["traceparent"] for request in wire.requests}) == 1
    assert len({request.headers["idempotency-key"] for request in wire.requests}) == 1
    assert span.status.is_unset


def test_a_failure_says_its_code_and_whether_it_may_have_been_applied() -> None:
    recorded, wire = Recorded(), Wire(LOST, refused(403, "FORBIDDEN"))
    retry = Retry(attempts_max=1)
    with Concord(transport=wire, tracing=recorded.provider, retry=retry) as client:
        with pytest.raises(concord.UnknownOutcome):
            client.delete(HIDDEN)
        with pytest.raises(concord.Forbidden):
            client.delete(HIDDEN)
    told = [(span.attributes or {}) for span in recorded.spans()]
    assert [one["error.type"] for one in told] == ["UNKNOWN", "FORBIDDEN"]
    assert [one["concord.applied"] for one in told] == ["unknown", "false"]
    assert not any(span.status.is_ok or span.status.is_unset for span in recorded.spans())
    assert HIDDEN not in "".join(span.to_json() for span in recorded.spans())


def test_asyncio_has_the_same_and_a_cancelled_call_ends_its_span() -> None:
    recorded = Recorded()

    async def main() -> None:
        wire = AsyncWire(ok({"data": 1}), None)
        async with AsyncConcord(transport=wire, tracing=recorded.provider) as client:
            await client.put("k", 1)
            wire.asked.clear()
            task = asyncio.create_task(client.put("k", 1))
            await wire.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    done, cancelled = recorded.spans()
    assert "error.type" not in (done.attributes or {})
    assert (cancelled.attributes or {})["error.type"] == "cancelled"


def test_many_keys_are_a_span_a_request_with_their_number() -> None:
    recorded = Recorded()
    keys = [f"k{number}" for number in range(3)]
    wire = Wire(ok([{"key": key, "status": "ok"} for key in keys]))
    with Concord(transport=wire, tracing=recorded.provider) as client:
        client.put_many(dict.fromkeys(keys, 1)).check()
    span = recorded.only()
    assert span.name == "bulk kv"
    assert (span.attributes or {})["db.operation.batch.size"] == 3


def test_what_the_sampler_leaves_out_is_told_on_as_left_out() -> None:
    recorded, wire = Recorded(sampler=ALWAYS_OFF), Wire(ok({"value": 1}))
    with Concord(transport=wire, tracing=recorded.provider) as client:
        client.get("k")
    assert recorded.spans() == ()
    told = PARENT.fullmatch(wire.requests[0].headers["traceparent"])
    assert told is not None
    assert not int(told[3], 16) & SAMPLED


def test_without_tracing_nothing_is_said() -> None:
    wire = Wire(ok({"value": 1}), ok({"value": 1}))
    recorded = Recorded()
    with Concord(transport=wire) as client, recorded.provider.get_tracer("p").start_as_current_span("outer"):
        client.get("k")
    assert "traceparent" not in wire.requests[0].headers
    with Concord(transport=wire, tracing=True) as client:  # and nobody has set up a provider
        client.get("k")
    assert "traceparent" not in wire.requests[1].headers


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/api/v1/kv/a%2Fb?x=y", ("kv", "")),
        ("/api/v1/kv/%62ulk", ("kv", "")),
        ("/api/v1/kv/a/touch", ("kv", "touch")),
        ("/api/v1/kv?prefix=secret", ("kv", "")),
        ("/api/v1/kv/bulk", ("kv", "bulk")),
        ("/api/v1/kv/bulk/get?consistency=stale", ("kv", "bulk_get")),
        ("/api/v1/locks/secret/acquire", ("locks", "acquire")),
        ("/api/v1/services/secret", ("services", "")),
        ("/api/v1/services/secret/secret", ("services", "")),
        ("/api/v1/services/secret/secret/touch", ("services", "touch")),
        ("/api/v1/txn", ("txn", "")),
    ],
)
def test_a_route_is_told_without_its_names(target: str, route: tuple[str, str]) -> None:
    assert route_of(target) == route
