"""Figures as text, judged by another's parser, and the small listener that serves them."""

import asyncio

import pytest
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from process import metrics_server
from process.exposition import Family, Figures, Kind, render
from process.histogram import Histogram
from process.listener import InsecureBindError
from process.metrics_server import MetricsServer

ODD = 'a "b" \\ c\nd ü'
COUNTER = Family("concord_x_total", Kind.COUNTER, "Help\nwith \\ two lines.", ("name", "code"))
GAUGE = Family("concord_y", Kind.GAUGE, "No labels.")
HISTOGRAM = Family("concord_z_seconds", Kind.HISTOGRAM, "Durations.", ("name",))


def filled() -> Histogram:
    histogram = Histogram((0.1, 1.0))
    for duration_s in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(duration_s)
    return histogram


def figures() -> Figures:
    return [
        (COUNTER, [((ODD, "OK"), 3), (("", "NO"), 1 << 60)]),
        (GAUGE, [((), True)]),
        (HISTOGRAM, [(("h",), filled())]),
    ]


def test_prometheus_reads_what_is_meant() -> None:
    read = {family.name: family for family in text_string_to_metric_families("".join(render(figures())))}
    assert {name: family.type for name, family in read.items()} == {
        "concord_x": "counter", "concord_y": "gauge", "concord_z_seconds": "histogram",
    }  # fmt: skip
    assert [(sample.labels, sample.value) for sample in read["concord_x"].samples] == [
        ({"name": ODD, "code": "OK"}, 3), ({"name": "", "code": "NO"}, float(1 << 60)),
    ]  # fmt: skip
    assert read["concord_x"].documentation == COUNTER.help
    assert [sample.value for sample in read["concord_y"].samples] == [1.0]
    assert [(sample.name, sample.labels.get("le"), sample.value) for sample in read["concord_z_seconds"].samples] == [
        ("concord_z_seconds_bucket", "0.1", 2), ("concord_z_seconds_bucket", "1.0", 3),
        ("concord_z_seconds_bucket", "+Inf", 4), ("concord_z_seconds_sum", None, 7.65),
        ("concord_z_seconds_count", None, 4),
    ]  # fmt: skip


def test_a_bucket_has_what_is_at_most_its_bound() -> None:
    assert filled().counts == [2, 1, 1]


async def exchange(server: MetricsServer, sent: bytes) -> bytes:
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    received = await reader.read()
    writer.close()
    return received


async def asked(sent: bytes) -> bytes:
    server = MetricsServer(figures)
    await server.start("127.0.0.1", 0, exposed=False)
    try:
        return await exchange(server, sent)
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"GET /metrics?a=b HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../x HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x00\xff\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * (metrics_server.HEAD_BYTES_MAX + 100), b"400"),
    ],
)
def test_the_listener_answers_two_paths_and_refuses_the_rest(sent: bytes, status: bytes) -> None:
    head, _, body = asyncio.run(asked(sent)).partition(b"\r\n\r\n")
    assert head.split(b" ")[:2] == [b"HTTP/1.1", status]
    assert (b"# TYPE concord_x_total counter" in body) == (b"200" in head and b"/metrics" in sent)


def test_connections_are_bounded_and_those_that_say_nothing_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_S_MAX", 0.3)
    monkeypatch.setattr(metrics_server, "CONNECTIONS_MAX", 2)

    async def scenario() -> tuple[bytes, list[bytes]]:
        server = MetricsServer(figures)
        await server.start("127.0.0.1", 0, exposed=False)
        silent = [asyncio.ensure_future(exchange(server, b"GET ")) for _ in range(2)]
        while server.connections < 2:  # noqa: ASYNC110 - the count is a plain value of the code under test
            await asyncio.sleep(0.001)
        refused = await exchange(server, b"")
        cut = [
            reply if isinstance(reply, bytes) else b""
            for reply in await asyncio.gather(*silent, return_exceptions=True)
        ]
        while server.connections:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        served = await exchange(server, b"GET /healthz HTTP/1.1\r\n\r\n")
        await server.close()
        return refused + served, cut

    answered, cut = asyncio.run(scenario())
    assert answered.startswith(b"HTTP/1.1 503 ")
    assert b"HTTP/1.1 200 OK" in answered
    assert cut == [b"", b""]


def test_it_is_not_shown_to_other_machines_unless_told_so() -> None:
    async def scenario() -> None:
        server = MetricsServer(figures)
        with pytest.raises(InsecureBindError):
            await server.start("0.0.0.0", 0, exposed=False)
        await server.start("0.0.0.0", 0, exposed=True)
        await server.close()

    uvloop.run(scenario())
