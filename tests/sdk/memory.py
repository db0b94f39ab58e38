"""A gateway in memory, as the transport of a client: what the command line needs of one, without processes."""

import base64
import itertools
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from concord._transports import Request, Response, TransportError
from tests.sdk.fake import ok, refused

Heard = Response | TransportError


class Kept(msgspec.Struct):
    value: bytes
    revision: int
    content_type: str = ""
    ttl: int | None = None

    def members(self) -> dict[str, Any]:
        beside = {"revision": self.revision} | ({} if self.ttl is None else {"ttl": self.ttl})
        if not self.content_type:
            return beside | {"value": msgspec.Raw(self.value)}
        text = base64.b64encode(self.value).decode()
        return beside | {"value": text, "encoding": "base64", "content_type": self.content_type}


class MemoryStream:
    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        yield from self._chunks
        message = "the gateway is gone"
        raise TransportError(message, was_sent=True)

    def interrupt(self) -> None:
        """It never waits."""

    def close(self) -> None:
        """It has nothing."""


class Memory:
    """`answers` come first, whatever is asked; `page` bounds a listing; `streams` are those of the next watches."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.asked: list[Request] = []
        self.answers: list[Heard] = []
        self.streams: list[list[bytes]] = []
        self.page = 1000
        self.holder: str | None = None
        self._revisions = itertools.count(1)

    def put(self, key: str, value: bytes, content_type: str = "", ttl: int | None = None) -> int:
        made = Kept(value, next(self._revisions), content_type, ttl)
        self.kept[key] = made
        return made.revision

    def close(self) -> None:
        """Nothing is open."""

    def stream(self, _base_url: str, request: Request, _silence_s: float) -> MemoryStream:
        self.asked.append(request)
        return MemoryStream(self.streams.pop(0))

    def send(self, _base_url: str, request: Request, _timeout_s: float) -> Response:
        self.asked.append(request)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, TransportError):
                raise answer
            return answer
        parts = urlsplit(request.target)
        where = parts.path.removeprefix("/api/v1/").split("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if where[0] == "locks":
            return self._lock(where[2], msgspec.json.decode(request.body))
        if where == ["kv"]:
            return self._list(query)
        if where[1] == "bulk":
            return self._bulk(where[2:], msgspec.json.decode(request.body))
        return self._one(request, unquote(where[1]), where[2:], query)

    def _one(self, request: Request, key: str, rest: list[str], query: dict[str, str]) -> Response:
        is_json = request.headers.get("content-type") == "application/json"
        body = msgspec.json.decode(request.body, type=dict[str, msgspec.Raw]) if is_json else {}
        told = {name: msgspec.json.decode(value) for name, value in body.items() if name != "value"}
        found = self.kept.get(key)
        expected = told.get("if_revision")
        if "if_value" in told and (not found or msgspec.json.decode(found.value) != told["if_value"]):
            return refused(412, "PRECONDITION_FAILED")
        if (told.get("if_absent") and found) or (expected is not None and expected != (found.revision if found else 0)):
            return refused(412, "PRECONDITION_FAILED")
        if request.method == "PUT":
            ttl = told.get("ttl") or (int(query["ttl"]) if "ttl" in query else None)
            value = bytes(body["value"]) if is_json else request.body
            return ok({"revision": self.put(key, value, "" if is_json else request.headers["content-type"], ttl)})
        if request.method == "DELETE":
            return ok({"deleted": self.kept.pop(key, None) is not None})
        return self._of_what_is_there(key, rest, told)

    def _of_what_is_there(self, key: str, rest: list[str], told: dict[str, Any]) -> Response:
        found = self.kept.get(key)
        if rest == ["increment"]:
            number = msgspec.json.decode(found.value if found else b"%d" % told["initial"])
            if not isinstance(number, int):
                return refused(409, "CONFLICT")
            self.put(key, b"%d" % (number + told["by"]))
            return ok({"value": number + told["by"]})
        if found is None:
            return refused(404, "NOT_FOUND")
        if rest == ["touch"]:
            revision = self.put(key, found.value, found.content_type, told["ttl"])
            return ok({"ttl": told["ttl"]}, etag=f'"{revision}"')
        return ok({"ttl": found.ttl} if rest == ["ttl"] else found.members())

    def _list(self, query: dict[str, str]) -> Response:
        keys = sorted(key for key in self.kept if key.startswith(query["prefix"]) and key > query.get("cursor", ""))
        some = keys[: min(self.page, int(query["limit"]))]
        rows = [{"key": key} | self.kept[key].members() for key in some] if "values" in query else some
        body = {"data": rows, "cursor": some[-1] if len(some) < len(keys) else ""}
        return Response(200, {}, msgspec.json.encode(body))

    def _bulk(self, rest: list[str], body: dict[str, Any]) -> Response:
        if rest == ["delete"]:
            for key in body["keys"]:
                self.kept.pop(key, None)
            return ok([{"key": key, "status": "ok"} for key in body["keys"]])
        return ok([self._bulk_put(one) for one in body["operations"]])

    def _bulk_put(self, one: dict[str, Any]) -> dict[str, str]:
        if one["value"] == "too large":
            return {"key": one["key"], "status": "error", "error": "VALUE_TOO_LARGE"}
        self.put(one["key"], msgspec.json.encode(one["value"]), "", one.get("ttl"))
        return {"key": one["key"], "status": "ok"}

    def _lock(self, what: str, body: dict[str, Any]) -> Response:
        free = self.holder in {None, body["owner"]}
        if what == "acquire" and free:
            self.holder = body["owner"]
            return ok({"fence": next(self._revisions), "ttl": body["ttl"]})
        if what == "renew" and self.holder == body["owner"]:
            return ok({"fence": body["fence"], "ttl": body["ttl"]})
        if what == "release" and self.holder == body["owner"]:
            self.holder = None
            return ok({"released": True})
        return refused(409, "CONFLICT")
