"""Traces between processes: 25 bytes, only where both ends know them; and the SDK as the environment says."""

import asyncio
import http.server
import sys
import threading
from typing import ClassVar

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from process.settings import SettingsError
from tests.wire.support import ECHO, Text
from wire import Call, Code, RpcClient, RpcError, RpcServer
from wire.frame import HEADER, HELLO, REQUEST, TRACED_REQUEST, FrameDecoder
from wire.hello import MAGIC, Hello
from wire.otel import set_up
from wire.rpc import encode, not_applied
from wire.tracing import TRACE_BYTES, Tracer, pack, unpack

CONTEXT = trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, trace.TraceFlags(1))


def recording() -> tuple[Tracer, InMemorySpanExporter, TracerProvider]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracer(provider), exporter, provider


def test_a_spans_identity_survives_its_25_bytes() -> None:
    assert len(pack(CONTEXT)) == TRACE_BYTES
    assert unpack(pack(CONTEXT)) == CONTEXT


@pytest.mark.parametrize(
    "origin", [b"", bytes(TRACE_BYTES), pack(CONTEXT)[:-1], pack(CONTEXT) + b"x", bytes(16) + b"x" * 9]
)
def test_bytes_that_name_no_trace_are_ignored(origin: bytes) -> None:
    assert unpack(origin) is None


async def called(
    server_tracer: Tracer | None, client_tracer: Tracer | None, provider: TracerProvider, text: str
) -> str:
    server = RpcServer(tracer=server_tracer)
    unavailable = not_applied(Code.UNAVAILABLE, "no")

    def handle(call: Call[Text, Text]) -> None:
        if call.request.text == "fail":
            call.fail(unavailable)
        else:
            call.reply(call.request)

    server.on(ECHO, handle)
    await server.start("127.0.0.1", 0)
    client = RpcClient(server.address, tracer=client_tracer)
    with provider.get_tracer("test").start_as_current_span("test"):
        try:
            return (await client.call(ECHO, Text(text), 5.0)).text
        except RpcError as error:
            return error.failure.code.value
        finally:
            await client.close()
            await server.close()


def test_an_attempt_and_its_serving_are_two_spans_and_say_how_it_ended() -> None:
    tracer, exporter, provider = recording()
    assert asyncio.run(called(tracer, tracer, provider, "fail")) == "UNAVAILABLE"
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"test", "rpc echo", "serve echo"}
    for name, parent in (("rpc echo", "test"), ("serve echo", "rpc echo")):
        assert spans[name].parent.span_id == spans[parent].context.span_id  # type: ignore[union-attr]
        assert (spans[name].attributes or {})["error.type"] == "UNAVAILABLE"
        assert (spans[name].attributes or {})["concord.applied"] == "no"


def test_a_call_outside_of_any_span_is_not_traced_and_a_server_that_does_not_trace_answers_all_the_same() -> None:
    tracer, exporter, provider = recording()
    assert asyncio.run(called(tracer, None, provider, "a")) == "a"
    assert asyncio.run(called(None, tracer, provider, "a")) == "a"
    names = [span.name for span in exporter.get_finished_spans()]
    assert names.count("serve echo") == 0
    assert names.count("rpc echo") == 1


@pytest.mark.parametrize(("version", "kind"), [(1, REQUEST), (2, TRACED_REQUEST)])
def test_a_server_of_the_first_version_is_sent_no_traced_frame(version: int, kind: int) -> None:
    tracer, _, provider = recording()

    async def scenario() -> tuple[int, bytes]:
        frames: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        async def old_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            decoder = FrameDecoder(1 << 20)
            hello = encode(Hello(1, version))
            writer.write(HEADER.pack(len(hello), HELLO, 0, MAGIC, 0) + hello)
            while not frames.done():
                for frame in decoder.receive(await reader.read(1 << 16)):
                    if frame.kind != HELLO and not frames.done():
                        frames.set_result((frame.kind, bytes(frame.payload)))
            writer.close()

        server = await asyncio.start_server(old_server, "127.0.0.1", 0)
        client = RpcClient(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", tracer=tracer)
        with provider.get_tracer("test").start_as_current_span("test"):
            answer = client.call(ECHO, Text("x"), 5.0)
        seen = await asyncio.wait_for(frames, 5)
        answer.cancel()
        await client.close()
        server.close()
        return seen

    found, payload = asyncio.run(scenario())
    assert found == kind
    assert payload.endswith(encode(Text("x")))
    assert len(payload) == len(encode(Text("x"))) + (TRACE_BYTES if kind == TRACED_REQUEST else 0)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what is exported."""

    got: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        self.got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_otel_sends_to_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, bytes]] = []
    monkeypatch.setattr(Collector, "got", got)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        otel = set_up("node", "n1", {})
        otel.tracer.request("GET", b"").end()
        otel.close()
        server.shutdown()
    assert [path for path, _ in got] == ["/v1/traces"]
    assert all(said in got[0][1] for said in (b"concord-node", b"n1", b"GET"))


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        set_up("node", "n1", environ)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"install concord\[otel\]"):
        set_up("gateway", "g", {})
