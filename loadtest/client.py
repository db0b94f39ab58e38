"""One HTTP connection that is kept open: for loading, checking and probing, where `wrk` cannot look at answers."""

import http.client
from collections.abc import Iterator

import msgspec

from loadtest.dialects import Request

STREAM_BYTES = 64 << 10


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpClient:
    """A connection to `host:port`; opens it again when the other side closed it."""

    def __init__(self, address: str, timeout_s: float = 10.0) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=timeout_s)

    def send(self, request: Request) -> Answer:
        """Send a request and wait for the answer.

        Raises:
            OSError: the connection failed, or nothing came in time (TimeoutError).
        """
        headers = dict(request.headers) | ({"Content-Type": "application/json"} if request.body else {})
        try:
            self._connection.request(request.method, request.path, request.body or None, headers)
            response = self._connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if isinstance(error, OSError):
                raise
            raise ConnectionError(str(error) or type(error).__name__) from error

    def stream(self, request: Request) -> Iterator[bytes]:
        """Send a request and give the body of a success as it comes, until its end.

        Raises:
            OSError: the connection failed, the answer is no success, or nothing came for `timeout_s` (TimeoutError).
        """
        try:
            self._connection.request(request.method, request.path, request.body or None)
            response = self._connection.getresponse()
            if response.status != 200:
                raise ConnectionError(f"{response.status} {response.read(200).decode(errors='replace')}")
            while chunk := response.read1(STREAM_BYTES):
                yield chunk
        except http.client.HTTPException as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()
