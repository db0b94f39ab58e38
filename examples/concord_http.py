"""What the Python examples share: JSON over HTTP, and events over HTTP, by the standard library alone."""

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import closing
from http import HTTPStatus
from typing import Any, NamedTuple

URL = os.environ.get("CONCORD_URL", "http://127.0.0.1:4000") + "/api/v1"
TOKEN = os.environ.get("CONCORD_TOKEN", "")
TIMEOUT_S = 30  # a stream says something every 10 s


class Answer(NamedTuple):
    """Status, headers (their names in any case) and the decoded body of an answer."""

    status: int
    headers: http.client.HTTPMessage
    body: Any

    @property
    def data(self) -> Any:
        """What a success carries; raises as `check` does."""
        self.check()
        return self.body["data"]

    def check(self) -> None:
        """See that it is a success.

        Raises:
            RuntimeError: it is a refusal; the text says why.
        """
        if self.status != HTTPStatus.OK:
            raise RuntimeError(self.body["error"])


class Event(NamedTuple):
    """One event of a watch; `id` is where to go on after it, None when it does not say."""

    name: str
    data: Any
    id: str | None


def call(method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
    """Ask Concord; `path` begins after /api/v1. Refusals are answers, too: look at the status.

    Raises:
        OSError: no gateway answers.
    """
    try:
        response = _open(method, path, body, headers or {})
    except urllib.error.HTTPError as refusal:
        response = refusal
    with closing(response):
        return Answer(response.status, response.headers, json.load(response))


def events(path: str, last_id: str = "") -> Generator[Event, None, None]:
    """The events of one connection, until it ends or the iterator is closed; `last_id` goes on behind an event.

    Raises:
        OSError, http.client.HTTPException: the connection was lost, or there may be one later.
        RuntimeError: it was refused, and would be again.
    """
    try:
        response = _open("GET", path, None, {"Last-Event-ID": last_id} if last_id else {})
    except urllib.error.HTTPError as refusal:
        if "Retry-After" in refusal.headers:
            raise
        raise RuntimeError(json.load(refusal)["error"]) from None
    with closing(response) as stream:
        fields: dict[str, str] = {}
        for line in stream:
            name, _, value = line.decode().rstrip("\n").partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
            elif fields:
                yield Event(fields.get("event", ""), json.loads(fields.get("data", "null")), fields.get("id"))
                fields = {}


def _open(method: str, path: str, body: object, headers: dict[str, str]) -> Any:
    content = None if body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    if TOKEN:
        sent["Authorization"] = f"Bearer {TOKEN}"
    request = urllib.request.Request(URL + path, content, sent, method=method)  # noqa: S310 - the user's own address
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - see above
