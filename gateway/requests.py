"""A request as the handlers see it: a thin view of the ASGI scope, with the body read under limits."""

import asyncio
import sys
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from litestar.types import HTTPScope, Receive

from gateway.access import Access, nobody
from gateway.data_limits import DataLimits
from gateway.errors import ApiCode, ApiError, invalid
from gateway.limits import HttpLimits, Place, body_due_s
from process.patience import Patience, Wait
from wire.messages import Consistency

DISCARD_BYTES = 64 << 10
DISCARD_S = 0.5
TIMEOUT_HEADER = b"x-concord-timeout-ms"

_DISCONNECT_POLL_S = 0.2
_AGE_MS_MAX = 24 * 3600 * 1000
_AS_IT_IS = (b"identity", b"")
_SWITCH = {"": True, "true": True, "1": True, "false": False, "0": False}
_CONSISTENCY = {"linearizable": Consistency.LINEARIZABLE, "stale": Consistency.STALE}


class ClientGoneError(Exception):
    """The client closed its connection before its request was whole: nobody is left to answer."""


class Request:
    """One request: what the handlers need of it.

    `key` is the key in its path and `name` another name in it, "" when the route has none. `access` is what its sender may
    do: handlers whose keys are not in the path give them to `access.check` before they do anything. `place` is where it and
    its bytes are counted, and who its sender is. `has_read`: its body was read to the end.

    Args:
        scope: its ASGI scope; header names are in lower case.
        receive: the ASGI channel that the body comes through.
        limits: what is allowed.
        place: its place among those under way.
        patience: what ends the wait for its body.
        started_at: when it arrived, on the event loop's clock.
    """

    __slots__ = (
        "_contradictory",
        "_headers",
        "_limits",
        "_patience",
        "_receive",
        "_reserved",
        "_scope",
        "access",
        "has_read",
        "key",
        "name",
        "place",
        "started_at",
    )

    def __init__(
        self,
        scope: HTTPScope,
        receive: Receive,
        limits: HttpLimits,
        place: Place,
        *,
        patience: Patience,
        started_at: float,
    ) -> None:
        self.key = ""
        self.name = ""
        self.access: Access = nobody()
        self.place = place
        self.has_read = False
        self.started_at = started_at
        self._headers: dict[bytes, bytes] | None = None
        self._contradictory: Collection[bytes] = ()
        self._scope = scope
        self._receive = receive
        self._limits = limits
        self._patience = patience
        self._reserved = 0

    @property
    def limits(self) -> DataLimits:
        """How large what is in it may be."""
        return self._limits.data

    @property
    def target(self) -> tuple[bytes, bytes, bytes]:
        """Method, undecoded path and query: with the body all that was asked for."""
        return str(self._scope["method"]).encode(), self._scope["raw_path"], self._scope["query_string"]

    def header(self, name: bytes) -> bytes | None:
        """The value of a header that has one; `name` in lower case.

        Raises:
            ApiError: INVALID_REQUEST: it is given twice, and not the same.
        """
        headers = self._headers
        if headers is None:
            headers = self._headers = self._by_name()
        value = headers.get(name)
        if value is not None and name in self._contradictory:
            raise invalid(f"{name.decode()}: the header is given twice, with different values")
        return value

    def first(self, name: bytes) -> bytes | None:
        """The first value of a header that decides about nothing; `name` in lower case."""
        return next((value for found, value in self._scope["headers"] if found == name), None)

    def listed(self, name: bytes) -> list[bytes]:
        """The members of a header that is a list, and may be given more than once; `name` in lower case."""
        given = [value for found, value in self._scope["headers"] if found == name]
        return [member.strip() for member in b",".join(given).split(b",")] if given else []

    def deadline(self) -> float:
        """When the client gives up, on the event loop's clock.

        Raises:
            ApiError: INVALID_REQUEST.
        """
        asked = self.header(TIMEOUT_HEADER)
        if asked is None:
            return self.started_at + self._limits.timeout_ms_default / 1000
        timeout_ms = int(asked) if asked.isdigit() and len(asked) <= 9 else 0
        if not 1 <= timeout_ms <= self._limits.timeout_ms_max:
            raise invalid(f"X-Concord-Timeout-Ms: expected a whole number in 1..{self._limits.timeout_ms_max}")
        return self.started_at + timeout_ms / 1000

    def query(self, *allowed: str) -> Mapping[str, str]:
        """The parameters of the query, each at most once.

        Raises:
            ApiError: INVALID_REQUEST, also for one that is not among `allowed`.
        """
        raw = self._scope["query_string"]
        if not raw:
            return {}
        try:
            pairs = parse_qsl(
                raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=self._limits.query_fields
            )
        except ValueError:
            raise invalid("query: not UTF-8, or too many parameters") from None
        values = dict(pairs)
        for name in values:
            if name not in allowed:
                raise invalid(f"query: unknown parameter {name[:64]}")
        if len(values) != len(pairs):
            raise invalid("query: a parameter is given twice")
        return values

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            ApiError: BODY_TOO_LARGE before more than the limit was read, TOO_MANY_REQUESTS, CLUSTER_UNAVAILABLE,
                REQUEST_TIMEOUT; INVALID_REQUEST when it is encoded or ended before it was whole; UNAUTHORIZED when the
                token was revoked or has expired while it came in.
        """
        length, encoding = self.header(b"content-length"), self.header(b"content-encoding")
        if length is not None and length.isdigit():
            self._hold(int(length) if len(length) <= 18 else sys.maxsize)
        if encoding is not None and encoding.strip().lower() not in _AS_IT_IS:
            raise invalid("content-encoding: only identity is supported, send the body as it is")
        try:
            with self._patience.until(self.started_at + body_due_s(self._limits, 0)) as wait:
                body = await self._read(wait)
        except TimeoutError:
            # The rest of the body would be taken for the next request, so this one is the connection's last.
            raise ApiError(
                ApiCode.REQUEST_TIMEOUT, "the request body did not arrive in time", headers=((b"connection", b"close"),)
            ) from None
        self.access.renew()
        self.started_at = asyncio.get_running_loop().time()  # a slow upload does not eat into the cluster's time
        return body

    async def gone(self) -> None:
        """Return when the client has closed its connection. Only after its body was read."""
        while (await self._receive())["type"] != "http.disconnect":  # noqa: ASYNC110 - the server tells only who asks
            await asyncio.sleep(_DISCONNECT_POLL_S)  # a server may repeat the empty end of the body

    def _by_name(self) -> dict[bytes, bytes]:
        given = list(self._scope["headers"])
        headers = dict(given)
        if len(headers) < len(given):
            self._contradictory = {name for name, value in given if headers[name] != value}
        return headers

    async def _read(self, wait: Wait) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                # Whether the client is gone or sent what is no HTTP is not told; an answer harms neither.
                raise ApiError(
                    ApiCode.INVALID_REQUEST,
                    "body: it ended early or is malformed",
                    headers=((b"connection", b"close"),),
                )
            chunk = message["body"]
            size += len(chunk)
            if size > self._reserved:
                self._hold(size)
            if not message.get("more_body"):
                self.has_read = True
                return b"".join([*chunks, chunk]) if chunks else chunk
            chunks.append(chunk)
            wait.due = self.started_at + body_due_s(self._limits, size)

    def _hold(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise ApiError(ApiCode.BODY_TOO_LARGE, f"body: over {self._limits.body_bytes} bytes")
        self.place.reserve(size - self._reserved)
        self._reserved = size


async def discard_body(scope: HTTPScope, receive: Receive) -> bool:
    """Take a body that nobody wants off the connection, so that it is not in the way of the next request.

    Returns:
        False when it is too large or too slow for that: then the connection has to end with the answer, and must say so.
    """
    announced = b"0"
    for name, value in scope["headers"]:
        if name == b"content-length":
            announced = value
        elif name == b"transfer-encoding":
            return False
    if not announced.isdigit() or len(announced) > 18:
        return False
    size = int(announced)
    if not 0 < size <= DISCARD_BYTES:
        return size == 0
    try:
        async with asyncio.timeout(DISCARD_S):
            while True:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body"):
                    return True
    except TimeoutError:
        return False


def whole_number(values: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    """A parameter that is a whole number in `low..high`; None when it is absent.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    if name not in values:
        return None
    text = values[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and low <= int(text) <= high):
        raise invalid(f"{name}: expected a whole number in {low}..{high}")
    return int(text)


def switch(values: Mapping[str, str], name: str) -> bool:
    """A boolean parameter: absent is false, present without a value is true.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    if name not in values:
        return False
    if values[name] not in _SWITCH:
        raise invalid(f"{name}: expected true or false")
    return _SWITCH[values[name]]


def consistency(values: Mapping[str, str]) -> Consistency:
    """The parameter `consistency`, linearizable unless said otherwise.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    asked = values.get("consistency", "linearizable")
    if asked not in _CONSISTENCY:
        raise invalid("consistency: expected linearizable or stale")
    return _CONSISTENCY[asked]


def max_age_ms(values: Mapping[str, str]) -> int | None:
    """The parameter `max_age_ms`: how old a stale answer may be; None when it is absent.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    return whole_number(values, "max_age_ms", 0, _AGE_MS_MAX)
