"""What the gateway lets in: how many requests and how many bytes of bodies at once. Over it, the answer is 429, at once."""

import msgspec

from gateway.errors import ApiCode, ApiError


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the HTTP side.

    Attributes:
        body_bytes: largest request body.
        requests_in_flight: requests under way at once.
        body_bytes_in_flight: bytes of their bodies, as announced or as received so far.
        timeout_ms_default: deadline of a request that names none.
        timeout_ms_max: the longest deadline that a request may name.
        query_fields: most parameters in a query.
    """

    body_bytes: int = 8 << 20
    requests_in_flight: int = 2048
    body_bytes_in_flight: int = 128 << 20
    timeout_ms_default: int = 5000
    timeout_ms_max: int = 30_000
    query_fields: int = 16


class Admission:
    """Counts what is under way; nothing waits here."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self.requests = 0
        self.body_bytes = 0

    def enter(self) -> None:
        """A request begins; `leave` must follow.

        Raises:
            ApiError: TOO_MANY_REQUESTS.
        """
        if self.requests >= self._limits.requests_in_flight:
            raise ApiError(ApiCode.TOO_MANY_REQUESTS, "too many requests are under way")
        self.requests += 1

    def leave(self) -> None:
        """A request that entered has ended."""
        self.requests -= 1

    def reserve(self, size: int) -> None:
        """Bytes of a body are about to be held; `release` must follow.

        Raises:
            ApiError: TOO_MANY_REQUESTS.
        """
        if self.body_bytes + size > self._limits.body_bytes_in_flight:
            raise ApiError(ApiCode.TOO_MANY_REQUESTS, "too many bytes of request bodies are under way")
        self.body_bytes += size

    def release(self, size: int) -> None:
        """Bytes that were reserved are free again."""
        self.body_bytes -= size
