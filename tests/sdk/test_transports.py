"""What both transports make of servers that misbehave: whether a request may have been heard decides what a write means."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

import pytest

from concord import _aiohttp, _urllib3
from concord._aiohttp import AiohttpTransport
from concord._transports import Request, Response, TransportError
from concord._urllib3 import Urllib3Transport

Sender: TypeAlias = Callable[[str, Request, float], Response]
Behaviour: TypeAlias = Callable[[socket.socket], None]
GET = Request("GET", "/x%2Fy?a=%62", {"x-a": "1"})


def with_urllib3(url: str, request: Request, timeout_s: float) -> Response:
    transport = Urllib3Transport()
    try:
        return transport.send(url, request, timeout_s)
    finally:
        transport.close()


def with_aiohttp(url: str, request: Request, timeout_s: float) -> Response:
    async def main() -> Response:
        transport = AiohttpTransport()
        try:
            return await transport.send(url, request, timeout_s)
        finally:
            await transport.close()

    return asyncio.run(main())


@pytest.fixture(params=[with_urllib3, with_aiohttp])
def send(request: pytest.FixtureRequest) -> Sender:
    sender: Sender = request.param
    return sender


@contextmanager
def server(behave: Behaviour) -> Iterator[str]:
    """Reads the head of one request and then behaves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # the listener was shut down
                while True:  # aiohttp repeats what RFC 9110 calls idempotent by itself, once
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        behave(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def head(connection: socket.socket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text and (chunk := connection.recv(65_536)):
        text += chunk
    return text


def answering(text: bytes, heard: list[bytes] | None = None) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        request = head(connection)
        if heard is not None:
            heard.append(request)
        connection.sendall(text)

    return behave


def silent(connection: socket.socket) -> None:
    head(connection)
    while connection.recv(65_536):
        pass


def dripping(connection: socket.socket) -> None:
    head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x")
        time.sleep(0.02)


def test_a_request_arrives_as_it_was_made_and_its_answer_as_it_was_given(send: Sender) -> None:
    heard: list[bytes] = []
    text = b'HTTP/1.1 302 Found\r\nETag: "7"\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nhi'
    with server(answering(text, heard)) as url:
        answer = send(url, GET, 5.0)
    assert (answer.status, answer.headers.get("etag"), answer.body) == (302, '"7"', b"hi")
    assert heard[0].startswith(b"GET /x%2Fy?a=%62 HTTP/1.1\r\n")
    assert b"x-a: 1\r\n" in heard[0]


def test_a_connection_that_was_never_made_was_not_heard(send: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError) as raised:
        send(f"http://127.0.0.1:{port}", GET, 5.0)
    assert (raised.value.was_sent, raised.value.timed_out) == (False, False)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf",
    ],
)
def test_an_answer_that_is_not_whole_may_have_been_heard(send: Sender, text: bytes) -> None:
    with server(answering(text)) as url, pytest.raises(TransportError) as raised:
        send(url, GET, 5.0)
    assert (raised.value.was_sent, raised.value.timed_out) == (True, False)


def test_a_gateway_that_takes_a_write_and_dies_may_have_heard_it(send: Sender) -> None:
    """Even when the library repeats it by itself and finds nobody there."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        head(connection)
        listener.close()
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(TransportError) as raised:
        send(url, Request("PUT", "/x", {"content-type": "application/json"}, b"{}"), 5.0)
    thread.join()
    assert raised.value.was_sent


@pytest.mark.parametrize("behave", [silent, dripping])
def test_an_answer_that_does_not_come_in_time_may_have_been_heard(send: Sender, behave: Behaviour) -> None:
    with server(behave) as url, pytest.raises(TransportError) as raised:
        send(url, GET, 0.15)
    assert (raised.value.was_sent, raised.value.timed_out) == (True, True)


def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch, send: Sender) -> None:
    for module in (_urllib3, _aiohttp):
        monkeypatch.setattr(module, "LIMIT_BODY_BYTES", 3)
    with server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlong")) as url, pytest.raises(TransportError):
        send(url, GET, 5.0)
