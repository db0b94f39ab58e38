"""The transport of the sync client, on urllib3."""

import contextlib
import http.client
import time
from collections.abc import Iterator, Mapping

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.exceptions import (
    TimeoutError as Urllib3TimeoutError,
)
from urllib3.response import BaseHTTPResponse

from concord._transports import (
    CHUNK_BYTES,
    CONNECT_TIMEOUT_S,
    LIMIT_BODY_BYTES,
    NO_ANSWER,
    NO_HTTP,
    Request,
    Response,
    TransportError,
)

POOL_CONNECTIONS = 64


class Urllib3Stream:
    """An answer that goes on."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        """Its bytes as they come."""
        try:
            while chunk := self._response.read1(CHUNK_BYTES):
                yield chunk
        except (HTTPError, OSError, ValueError) as error:
            raise _failure(error) from error

    def interrupt(self) -> None:
        """Make the thread that reads come to the end."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # it has ended
            self._response.shutdown()

    def close(self) -> None:
        """End it."""
        self._response.close()


class Urllib3Transport:
    """A pool of connections for each gateway; threads may share it."""

    def __init__(self) -> None:
        self._pools = urllib3.PoolManager(num_pools=POOL_CONNECTIONS, maxsize=POOL_CONNECTIONS, retries=False)

    def send(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """One request."""
        deadline = time.monotonic() + timeout_s
        try:
            response = self._open(base_url, request, urllib3.Timeout(total=timeout_s, connect=CONNECT_TIMEOUT_S))
            body = _body(response, deadline)
            response.release_conn()
        except (HTTPError, OSError) as error:
            raise _failure(error) from error
        return Response(response.status, response.headers, body)

    def stream(self, base_url: str, request: Request, silence_s: float) -> Urllib3Stream:
        """Begin an answer that goes on."""
        try:
            timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=silence_s)
            return Urllib3Stream(self._open(base_url, request, timeout))
        except (HTTPError, OSError) as error:
            raise _failure(error) from error

    def close(self) -> None:
        """Close all connections."""
        self._pools.clear()

    def _open(self, base_url: str, request: Request, timeout: urllib3.Timeout) -> BaseHTTPResponse:
        pool = self._pools.connection_from_url(base_url)
        return pool.urlopen(
            request.method,
            request.target,
            body=request.body or None,
            headers=request.headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=timeout,
            preload_content=False,
            decode_content=False,
        )


def _body(response: BaseHTTPResponse, deadline: float) -> bytes:
    """The whole body; the library's time limit is for each read, ours for all of them."""
    body = bytearray()
    while chunk := response.read1(CHUNK_BYTES):
        body += chunk
        if len(body) > LIMIT_BODY_BYTES or time.monotonic() > deadline:
            response.close()
            timed_out = len(body) <= LIMIT_BODY_BYTES
            message = "the answer took too long" if timed_out else "the answer is too large"
            raise TransportError(message, was_sent=True, timed_out=timed_out)
    return bytes(body)


def _failure(error: Exception) -> TransportError:
    """Whether the request may have been heard: only a connection that was never made is sure."""
    was_sent = not isinstance(error, NewConnectionError | ConnectTimeoutError)
    timed_out = isinstance(error, ReadTimeoutError | Urllib3TimeoutError | TimeoutError) and was_sent
    return TransportError(_reason(error), was_sent=was_sent, timed_out=timed_out)


def _reason(error: Exception) -> str:
    """What happened, in a few words; the libraries' own are about their classes."""
    if isinstance(error, ProtocolError) and error.args and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    if isinstance(error, NewConnectionError):
        reason = getattr(error.__cause__, "strerror", None) or str(error)
        return f"the name cannot be resolved: {reason}" if isinstance(error, NameResolutionError) else reason
    if isinstance(error, ConnectTimeoutError):
        return "no connection in time"
    if isinstance(error, Urllib3TimeoutError | TimeoutError):
        return NO_ANSWER
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.BadStatusLine):
        return NO_HTTP
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
