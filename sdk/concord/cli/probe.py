"""HTTP with a bound on time and size, for the commands of the command line. No proxies: it asks what it is told to."""

import http.client
from urllib.parse import urlsplit

import msgspec

from concord.cli.console import CliError

LIMIT_BODY_BYTES = 16 << 20
UNREACHABLE_EXIT = 3


class Answer(msgspec.Struct, frozen=True):
    """Status code and body."""

    status: int
    body: bytes


class _Error(msgspec.Struct, frozen=True):
    message: str


class _ErrorBody(msgspec.Struct, frozen=True):
    error: _Error


def get(url: str, path: str, timeout_s: float, token: str = "") -> Answer:
    """GET `path`, as `send` does."""
    return send("GET", url, path, timeout_s, token=token)


def send(method: str, url: str, path: str, timeout_s: float, *, body: bytes = b"", token: str = "") -> Answer:
    """One request for `path` of the server at `url` (`http://host:port` or `https://…`); `token` "" sends none.

    Raises:
        CliError: the URL is none, nobody answers in time, or the answer is over 16 MiB.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CliError(f"{url}: {error}", exit_code=2) from error
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    if parts.scheme not in kinds or not parts.hostname:
        raise CliError(f"{url} is not a URL like http://127.0.0.1:4000", exit_code=2)
    if not token.isascii() or not token.isprintable():
        raise CliError("the token has characters that no token has", "check CONCORD_TOKEN", exit_code=2)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection = kinds[parts.scheme](parts.hostname, port, timeout=timeout_s)
    try:
        connection.request(method, parts.path.rstrip("/") + path, body or None, headers)
        response = connection.getresponse()
        body = response.read(LIMIT_BODY_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CliError(f"nobody answers at {url}: {reason}", "is it up? concord up", UNREACHABLE_EXIT) from error
    finally:
        connection.close()
    if len(body) > LIMIT_BODY_BYTES:
        raise CliError(f"{url} sent over {LIMIT_BODY_BYTES} bytes", exit_code=UNREACHABLE_EXIT)
    return Answer(response.status, body)


def error_message(body: bytes) -> str:
    """The message of an error body of the API, or the beginning of whatever it is."""
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error.message
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
