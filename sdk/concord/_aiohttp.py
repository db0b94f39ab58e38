"""The transport of the asyncio client, on aiohttp (the extra `async`).

After a connection that was closed aiohttp repeats a PUT or a DELETE by itself. When the repeat cannot connect, its error says
nothing of the first, so whether a request may have been heard is noted by a trace (`Attempt`).
"""

from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace

import aiohttp
from yarl import URL

from concord._transports import CHUNK_BYTES, CONNECT_TIMEOUT_S, LIMIT_BODY_BYTES, Request, Response, TransportError

CONNECTIONS_MAX = 64


class Attempt:
    """Whether anything of a request was sent, over all that aiohttp makes of it."""

    def __init__(self) -> None:
        self.was_sent = False


class AiohttpStream:
    """An answer that goes on."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its bytes as they come."""
        try:
            while chunk := await self._response.content.readany():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error, was_sent=True) from error

    async def close(self) -> None:
        """End it."""
        self._response.close()


class AiohttpTransport:
    """A session; made at the first request, because it belongs to the running loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, base_url: str, request: Request, timeout_s: float) -> Response:
        """One request."""
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        attempt = Attempt()
        try:
            async with self._open(base_url, request, timeout, attempt) as response:
                if (response.content_length or 0) > LIMIT_BODY_BYTES:
                    raise TransportError("the answer is too large", was_sent=True)
                return Response(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error, was_sent=attempt.was_sent) from error

    async def stream(self, base_url: str, request: Request, silence_s: float) -> AiohttpStream:
        """Begin an answer that goes on."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=silence_s)
        attempt = Attempt()
        try:
            return AiohttpStream(await self._open(base_url, request, timeout, attempt))
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(error, was_sent=attempt.was_sent) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(
        self, base_url: str, request: Request, timeout: aiohttp.ClientTimeout, attempt: Attempt
    ) -> "aiohttp.client._RequestContextManager":
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trace_configs=[_tracing()],
                read_bufsize=CHUNK_BYTES,
                skip_auto_headers={"accept-encoding", "accept", "content-type", "user-agent"},
            )
        return self._session.request(
            request.method,
            URL(base_url + request.target, encoded=True),
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            timeout=timeout,
            trace_request_ctx=attempt,
        )


def _tracing() -> aiohttp.TraceConfig:
    """Notes in the Attempt that sending has begun."""
    config = aiohttp.TraceConfig()

    async def note(
        _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        context.trace_request_ctx.was_sent = True

    config.on_request_headers_sent.append(note)
    return config


def _failure(error: Exception, *, was_sent: bool) -> TransportError:
    timed_out = isinstance(error, TimeoutError) and was_sent
    return TransportError(f"{type(error).__name__}: {error}", was_sent=was_sent, timed_out=timed_out)
