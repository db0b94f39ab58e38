"""What the HTTP server answers by itself, before the gateway sees a request: as docs/errors.md says, with no body."""

import socket
from contextlib import suppress

import pytest

from gateway.errors import HTTP_SERVER_ANSWERS
from tests.e2e.guarded import Guarded

HOST = b"Host: gateway\r\n"
OPEN = b"GET /livez HTTP/1.1\r\n"
END = b"Connection: close\r\n\r\n"
TARGET_BYTES, HEADERS = 65_534, 100

MALFORMED = [
    (b"nonsense\r\n\r\n", 400),
    (b"GET /livez HTTP/2.0\r\n" + HOST + END, 400),
    (b"GET /a b HTTP/1.1\r\n" + HOST + END, 400),
    (OPEN + b"no header\r\n" + END, 400),
    (b"POST /livez HTTP/1.1\r\n" + HOST + b"Content-Length: many\r\n" + END, 400),
    (b"POST /livez HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n" + END, 400),
    (b"POST /livez HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: none\r\n" + END, 400),
    (b"GET /" + b"a" * TARGET_BYTES + b" HTTP/1.1\r\n" + HOST + END, 414),
    (OPEN + HOST + b"X: y\r\n" * (HEADERS - 1) + END, 431),
    (OPEN + HOST + b"X: " + b"y" * (1 << 20) + b"\r\n" + END, 431),
]


def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, and body of the answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with suppress(ConnectionError):  # it is answered before all of it was sent
            connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, body


@pytest.mark.parametrize(("request_", "status"), MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_malformed_or_overlong_gets_a_bare_status_and_the_connection_ends(
    guarded: Guarded, request_: bytes, status: int
) -> None:
    answered, headers, body = ask(guarded.cluster.port, request_)
    assert (answered, body) == (status, b"")
    assert set(headers) == {"connection", "content-length", "date"}
    assert (headers["connection"], headers["content-length"]) == ("close", "0")
    assert status in HTTP_SERVER_ANSWERS


def test_what_is_as_long_as_may_be_reaches_the_gateway(guarded: Guarded) -> None:
    longest = b"GET /" + b"a" * (TARGET_BYTES - 1) + b" HTTP/1.1\r\n" + HOST + END
    most = OPEN + HOST + b"X: y\r\n" * (HEADERS - 2) + END
    large = OPEN + HOST + b"X: " + b"y" * (400 << 10) + b"\r\n" + END
    for request, status in ((longest, 404), (most, 200), (large, 200)):
        answered, headers, body = ask(guarded.cluster.port, request)
        assert answered == status
        assert headers["content-type"] == "application/json"
        assert body.startswith(b'{"status":')
