"""HTTP with a bound on time and size, for the commands of the command line. No proxies: it asks what it is told to."""

import http.client
import socket
from collections.abc import Sequence
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from concord.cli.console import CliError
from concord.cli.exits import DENIED, FAILED, UNAVAILABLE, UNKNOWN, UNREACHABLE, USAGE
from concord.cli.gateways import NO_GATEWAY, TOKEN_VARIABLE, check_url, urls_of

LIMIT_BODY_BYTES = 16 << 20
LIVENESS_PATH = "/health"
ASKS_FOR_NO_TOKENS = "asks for no tokens"
"""In the answer of a gateway that manages none: another token would not help."""

T = TypeVar("T", bound=msgspec.Struct)


class Answer(msgspec.Struct, frozen=True):
    """Status code and body; `date` is the header of this name, "" when there was none."""

    status: int
    body: bytes
    date: str = ""


class _Error(msgspec.Struct, frozen=True):
    message: str
    code: str = ""
    applied: Literal[False, "unknown"] = False
    retryable: bool = False


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
    check_url(url)
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    if not token.isascii() or not token.isprintable():
        raise CliError("the token has characters that no token has", "check CONCORD_TOKEN", exit_code=USAGE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
        connection.connect()
    except (OSError, UnicodeError, http.client.InvalidURL) as error:
        raise CliError(f"nobody answers at {url}: {_reason(error)}", "is it up? concord up", UNREACHABLE) from error
    response = None
    try:
        connection.request(method, parts.path.rstrip("/") + path, body or None, headers)
        response = connection.getresponse()
        body = response.read(LIMIT_BODY_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise _lost(url, error, is_write=method != "GET", has_begun=response is not None) from error
    finally:
        connection.close()
    if len(body) > LIMIT_BODY_BYTES:
        raise CliError(f"{url} sent over {LIMIT_BODY_BYTES} bytes", exit_code=UNREACHABLE)
    return Answer(response.status, body, response.headers.get("date", ""))


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name cannot be resolved: {error.strerror}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _lost(url: str, error: Exception, *, is_write: bool, has_begun: bool) -> CliError:
    """The error for a connection that was made and brought no whole answer."""
    speaks_else = isinstance(error, http.client.BadStatusLine) and not isinstance(error, http.client.RemoteDisconnected)
    if has_begun:
        message, hint = f"the answer of {url} broke off: {_reason(error)}", "try again"
    elif speaks_else:
        message, hint = f"{url} is no gateway: what answers there speaks no HTTP", NO_GATEWAY
    elif isinstance(error, TimeoutError):
        message, hint = f"connections are taken at {url}, but nobody speaks HTTP there", NO_GATEWAY
    else:
        message, hint = f"nobody answers at {url}: {_reason(error)}", NO_GATEWAY
    if is_write and not speaks_else:
        return CliError(message, "it may have been applied: look before you do it again", UNKNOWN)
    return CliError(message, hint, UNREACHABLE)


def error_message(body: bytes) -> str:
    """The message of an error body of the API, or the beginning of whatever it is."""
    return _error(body).message


def _error(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error
    except msgspec.DecodeError:
        return _Error(body[:200].decode(errors="replace"))


def first_alive(urls: Sequence[str], timeout_s: float) -> str:
    """The first gateway that answers.

    Raises:
        CliError: none does.
    """
    unreachable = CliError("no URL of a gateway is given", "check --url", USAGE)
    for url in urls:
        try:
            get(url, LIVENESS_PATH, timeout_s)
        except CliError as error:
            unreachable = error
        else:
            return url
    raise unreachable


def ask(method: str, url: str, path: str, kind: type[T], timeout_s: float, *, body: bytes = b"", token: str = "") -> T:
    """What a gateway answers, `url` being one or several with commas between them: then the first that answers at all.

    Raises:
        CliError: nobody answers in time, or the answer is an error or not understood.
    """
    urls = urls_of(url)
    one = urls[0] if len(urls) == 1 else first_alive(urls, timeout_s)
    answer = send(method, one, path, timeout_s, body=body, token=token)
    if answer.status != 200:
        raise refused(one, answer)
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise CliError(
            f"{one} is not a Concord gateway of this version: {error}", "check --url", UNREACHABLE
        ) from error


def refused(url: str, answer: Answer) -> CliError:
    """The error for an answer that is no success."""
    code, hint = FAILED, ""
    error = _error(answer.body)
    if answer.status in {401, 403}:
        code, hint = DENIED, f"set {TOKEN_VARIABLE} to a token that may do this"
        if ASKS_FOR_NO_TOKENS in error.message:
            hint = ""
    elif answer.status in {429, 503, 504}:
        code, hint = UNAVAILABLE, "try again in a moment"
    if error.applied == "unknown":
        code, hint = UNKNOWN, "it may have been applied: look before you do it again"
    made = CliError(f"{url} answered {answer.status}: {error.message}", hint, code, error.code)
    made.applied, made.retryable = error.applied, error.retryable or made.retryable
    return made
