"""How the same operation is said to each system over HTTP, and how its success is recognized. Pure."""

import base64
import enum
from collections.abc import Sequence
from typing import Protocol

import msgspec

Item = tuple[str, str]
"""A key and its value; both are ASCII."""


class Operation(enum.Enum):
    """What is measured."""

    PUT = "put"
    GET = "get"
    BULK = "bulk"
    MIX = "mix"


class Request(msgspec.Struct, frozen=True):
    """An HTTP request; a body is JSON; `headers` are those besides the ones that a body needs."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def encoded(self, host: str) -> bytes:
        """The request as it goes over a connection that is kept open (RFC 9112)."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {text}" for name, text in self.headers]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Expectation(msgspec.Struct, frozen=True):
    """A text that the body of a successful answer holds exactly `count` times, and that of a failure does not."""

    text: str
    count: int

    def holds(self, body: bytes) -> bool:
        """Whether the body is as expected."""
        return body.count(self.text.encode()) == self.count


class Dialect(Protocol):
    """One system's HTTP interface."""

    def put(self, key: str, value: str) -> Request:
        """Set one key."""

    def get(self, key: str) -> Request:
        """Read one key, linearizably."""

    def bulk(self, items: Sequence[Item]) -> Request:
        """Set many keys with one request."""

    def expectation(self, operation: Operation, items: int) -> Expectation:
        """How success looks."""

    def value(self, body: bytes) -> str:
        """The value in the answer to `get`."""


class ConcordDialect:
    """Concord's gateway; reads are linearizable unless asked otherwise. With a token every request carries it."""

    def __init__(self, token: str = "") -> None:
        self._headers = (("Authorization", f"Bearer {token}"),) if token else ()

    def put(self, key: str, value: str) -> Request:
        """Set one key."""
        return Request("PUT", f"/api/v1/kv/{key}", msgspec.json.encode({"value": value}), self._headers)

    def get(self, key: str) -> Request:
        """Read one key, linearizably."""
        return Request("GET", f"/api/v1/kv/{key}", headers=self._headers)

    def bulk(self, items: Sequence[Item]) -> Request:
        """Set many keys, each with an outcome of its own."""
        operations = [{"key": key, "value": value} for key, value in items]
        return Request("POST", "/api/v1/kv/bulk", msgspec.json.encode({"operations": operations}), self._headers)

    def expectation(self, operation: Operation, items: int) -> Expectation:
        """How success looks: a bulk answer has one status for itself and one for each item."""
        if operation is Operation.GET:
            return Expectation('"data":{"value":"', 1)
        return Expectation('"status":"ok"', items + 1 if operation is Operation.BULK else 1)

    def value(self, body: bytes) -> str:
        """The value in the answer to `get`."""
        return str(msgspec.json.decode(body)["data"]["value"])


class EtcdDialect:
    """The JSON gateway that etcd serves beside gRPC; a range without `serializable` is linearizable."""

    def put(self, key: str, value: str) -> Request:
        """Set one key."""
        return Request("POST", "/v3/kv/put", msgspec.json.encode({"key": _base64(key), "value": _base64(value)}))

    def get(self, key: str) -> Request:
        """Read one key, linearizably."""
        return Request("POST", "/v3/kv/range", msgspec.json.encode({"key": _base64(key)}))

    def bulk(self, items: Sequence[Item]) -> Request:
        """Set many keys in one transaction, which is how etcd does it; at most 128 unless `--max-txn-ops` says more."""
        puts = [{"request_put": {"key": _base64(key), "value": _base64(value)}} for key, value in items]
        return Request("POST", "/v3/kv/txn", msgspec.json.encode({"success": puts}))

    def expectation(self, operation: Operation, items: int) -> Expectation:
        """How success looks."""
        return {
            Operation.PUT: Expectation('"header":{', 1),
            Operation.GET: Expectation('"count":"1"', 1),
            Operation.BULK: Expectation('"response_put"', items),
            Operation.MIX: Expectation('"header":{', 1),
        }[operation]

    def value(self, body: bytes) -> str:
        """The value in the answer to `get`."""
        return base64.b64decode(msgspec.json.decode(body)["kvs"][0]["value"]).decode()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
