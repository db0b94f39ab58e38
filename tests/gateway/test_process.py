"""The gateway as a process: real granian, real RPC, real signals."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from gateway.process import main
from tests.certificates import Authority
from tests.gateway.double import NAME, FakeCluster, until
from tests.gateway.machines import MachineCluster
from tests.gateway.nodes import Nodes
from wire.messages import AwaitLockRequest

START = "import sys; from gateway.process import main; sys.exit(main(sys.argv[1:]))"
Launch = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts gateways; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*flags: str) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CONCORD_")}
        process = subprocess.Popen(
            [sys.executable, "-c", START, "--cluster", NAME, *flags], stderr=subprocess.PIPE, env=environment
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)
        if process.stderr is not None:
            process.stderr.close()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, target: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own; status 0 when nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


async def becomes(status: int, port: int, target: str) -> None:
    """Wait until a target answers with a status."""
    async with asyncio.timeout(20):
        while (await asyncio.to_thread(get, port, target))[0] != status:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


def with_nodes(scenario: Callable[[Nodes], Awaitable[None]], cluster: FakeCluster | None = None) -> None:
    async def main() -> None:
        nodes = Nodes(cluster or FakeCluster())
        await nodes.start()
        try:
            await scenario(nodes)
        finally:
            await nodes.close()

    asyncio.run(main())


def seeds(nodes: Nodes) -> str:
    return ",".join(nodes.cluster.addresses.values())


def test_a_gateway_serves_stops_cleanly_and_starts_again_on_its_port(launch: Launch, port: int) -> None:
    async def scenario(nodes: Nodes) -> None:
        flags = ("--listen", f"127.0.0.1:{port}", "--nodes", seeds(nodes))
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            process = launch(*flags)
            await becomes(200, port, "/readyz")
            assert await asyncio.to_thread(get, port, "/api/v1/kv/x%2Fttl", "PUT", b'{"value":[1.0]}') != (0, b"")
            status, body = await asyncio.to_thread(get, port, "/api/v1/kv/x%2fttl")
            assert (status, body) == (200, b'{"status":"ok","data":{"value":[1.0]}}')
            for target in ("/api/v1/kv//a//", "/api/v1/kv/a/../b", "/api/v1/kv/%00%C3%A9%252F", "/api/v1/kv/*"):
                value = b'{"value":"%s"}' % target.encode()
                assert (await asyncio.to_thread(get, port, target, "PUT", value))[0] == 200
                assert target.encode() in (await asyncio.to_thread(get, port, target))[1]
            process.send_signal(number)
            expected = -signal.SIGKILL if number == signal.SIGKILL else 0
            assert await asyncio.to_thread(process.wait, 20) == expected
            assert get(port, "/livez") == (0, b"")

    with_nodes(scenario)


def test_requests_under_way_are_answered_before_the_process_ends(launch: Launch, port: int) -> None:
    async def scenario(nodes: Nodes) -> None:
        process = launch("--listen", f"127.0.0.1:{port}", "--nodes", seeds(nodes))
        await becomes(200, port, "/readyz")
        nodes.holding = True
        request = asyncio.create_task(asyncio.to_thread(get, port, "/api/v1/kv/a", "PUT", b'{"value":1}'))
        await until(lambda: any(hasattr(call.request, "operation") for call in nodes.held))
        process.terminate()
        await becomes(0, port, "/livez")
        nodes.answer_held()
        assert (await request)[0] == 200
        assert await asyncio.to_thread(process.wait, 20) == 0

    with_nodes(scenario)


def test_who_waits_for_a_lock_is_sent_to_another_gateway_and_does_not_keep_the_process(
    launch: Launch, port: int
) -> None:
    async def scenario(nodes: Nodes) -> None:
        flags = ("--shutdown-grace-s", "300")
        process = launch("--listen", f"127.0.0.1:{port}", "--nodes", seeds(nodes), *flags)
        await becomes(200, port, "/readyz")
        lock, wanted = "/api/v1/locks/l/acquire", b'{"owner":"b","ttl":60,"wait_ms":30000}'
        assert (await asyncio.to_thread(get, port, lock, "POST", b'{"owner":"a","ttl":60}'))[0] == 200
        waiting = asyncio.create_task(asyncio.to_thread(get, port, lock, "POST", wanted))
        await until(lambda: bool(nodes.cluster.requests(AwaitLockRequest)))
        process.terminate()
        status, body = await waiting
        assert (status, b'"CLUSTER_UNAVAILABLE"' in body, b"ask another gateway" in body) == (503, True, True)
        assert await asyncio.to_thread(process.wait, 20) == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()

    with_nodes(scenario, MachineCluster())


def test_requests_that_never_end_do_not_keep_the_process(launch: Launch, port: int) -> None:
    async def scenario(nodes: Nodes) -> None:
        flags = ("--shutdown-grace-s", "0.1", "--timeout-ms", "30000")
        process = launch("--listen", f"127.0.0.1:{port}", "--nodes", seeds(nodes), *flags)
        await becomes(200, port, "/readyz")
        nodes.holding = True
        request = asyncio.create_task(asyncio.to_thread(get, port, "/api/v1/kv/a"))
        await until(lambda: any(getattr(call.request, "keys", None) for call in nodes.held))
        process.terminate()
        assert await asyncio.to_thread(process.wait, 10) == 0
        assert process.stderr is not None
        assert b"callable raised" not in process.stderr.read()
        await request

    with_nodes(scenario)


def test_a_port_in_use_is_refused(launch: Launch, port: int) -> None:
    async def scenario(nodes: Nodes) -> None:
        flags = ("--listen", f"127.0.0.1:{port}", "--nodes", seeds(nodes))
        launch(*flags)
        await becomes(200, port, "/livez")
        second = launch(*flags)
        assert await asyncio.to_thread(second.wait, 20) == 1
        assert second.stderr is not None
        assert b"in use" in second.stderr.read()

    with_nodes(scenario)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--listen", "0.0.0.0:0", "--nodes", "127.0.0.1:1"), "--insecure-http"),
        (("--listen", "0.0.0.0:0", "--nodes", "127.0.0.1:1", "--insecure-http"), "--auth"),
        (("--nodes", "127.0.0.1:1", "--auth", "yes"), "--auth"),
        (("--listen", "nowhere", "--nodes", "127.0.0.1:1"), "listen: not an address"),
        (("--nodes", "127.0.0.1"), "nodes: not an address"),
        (("--nodes", "10.0.0.1:1"), "--insecure"),
        (("--nodes", "127.0.0.1:1", "--tls-cert", "x"), "tls_ca"),
        ((), "--nodes"),
        (("--nodes", "127.0.0.1:1", "--port", "1"), "--port"),
    ],
)
def test_wrong_settings_are_refused_by_name(
    flags: tuple[str, ...], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("CONCORD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("gateway.process.uvloop.run", pytest.fail)
    assert main(["--cluster", NAME, *flags]) == 2
    assert named in capsys.readouterr().err


def test_a_certificate_of_another_cluster_or_none_that_can_be_read_ends_it(launch: Launch, tmp_path: Path) -> None:
    tls = Authority(tmp_path, "authority").issue("concord://green/gateway/g")
    for cert, said in ((tls.cert, f"of cluster 'green', the settings are for cluster '{NAME}'"), ("none", "none")):
        process = launch("--nodes", "127.0.0.1:1", "--tls-cert", cert, "--tls-key", tls.key, "--tls-ca", tls.ca)
        assert process.wait(20) == 1
        assert process.stderr is not None
        last = process.stderr.read().decode().splitlines()[-1]
        assert last.startswith("concord gateway: TLS cannot be used")
        assert said in last


def test_a_process_with_wrong_settings_ends_with_code_2(launch: Launch) -> None:
    process = launch("--port", "1")
    assert process.wait(20) == 2
    assert process.stderr is not None
    assert b"--port" in process.stderr.read()


def test_bodies_over_the_limit_are_answered_before_they_are_sent(launch: Launch, port: int) -> None:
    async def scenario(nodes: Nodes) -> None:
        launch("--listen", f"127.0.0.1:{port}", "--nodes", seeds(nodes))
        await becomes(200, port, "/readyz")
        announced = b"PUT /api/v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n"
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        chunked = b"PUT /api/v1/kv/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 129
        for opening in (announced, chunked):
            answer = await asyncio.to_thread(converse, port, opening)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"BODY_TOO_LARGE" in answer

    with_nodes(scenario)


@pytest.mark.parametrize(
    "framed",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcX",
        b"Content-Length: 30\r\n\r\n" + b'{"value":1}',
    ],
)
def test_a_body_that_is_no_http_or_ends_early_is_the_clients_mistake(launch: Launch, port: int, framed: bytes) -> None:
    async def scenario(nodes: Nodes) -> None:
        launch("--listen", f"127.0.0.1:{port}", "--nodes", seeds(nodes))
        await becomes(200, port, "/readyz")
        opening = b"PUT /api/v1/kv/a HTTP/1.1\r\nHost: x\r\n" + framed
        answer = await asyncio.to_thread(converse, port, opening, ends=framed.startswith(b"Content-Length"))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"INVALID_REQUEST" in answer
        assert b"connection: close" in answer.lower()

    with_nodes(scenario)


def converse(port: int, opening: bytes, *, ends: bool = False) -> bytes:
    """Send bytes, and no more if it `ends`; read what comes until a whole answer was seen or the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(opening)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"}}" not in answer and (more := connection.recv(1 << 16)):
            answer += more
        return answer
