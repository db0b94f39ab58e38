"""What the gateway lets in: how many requests, and how many bytes for them, of all clients and of each.

Nothing waits here. A client that has too much under way is told 429, and when the gateway is full everybody is told 503, at
once. The bytes are those of bodies, as announced or as received so far, and of answers until they are handed over.
"""

from collections.abc import Callable

import msgspec

from gateway.data_limits import DataLimits
from gateway.errors import ApiCode, ApiError
from gateway.shares import Shares
from gateway.throttle import Throttle


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the HTTP side.

    Attributes:
        body_bytes: largest request body.
        requests_in_flight: requests under way at once.
        requests_per_token: those of one token.
        requests_per_address: those of one client address.
        bytes_in_flight: bytes of bodies and answers under way at once.
        bytes_per_token: those of one token.
        bytes_per_address: those of one client address.
        body_grace_s: how long a body may take however slow it is, in seconds.
        body_bytes_per_s: how fast it must come after that.
        body_s_max: how long it may take at all, in seconds.
        answer_grace_s: how long a client may take nothing of a large answer, in seconds.
        answer_bytes_per_s: how fast it must take it after that.
        failed_logins: wrong tokens that an address may send at once.
        failed_login_interval_s: how often one more after that, in seconds.
        timeout_ms_default: deadline of a request that names none.
        timeout_ms_max: the longest deadline that a request may name.
        query_fields: most parameters in a query.
        data: how large what is in a request may be.
    """

    body_bytes: int = 8 << 20
    requests_in_flight: int = 2048
    requests_per_token: int = 1024
    requests_per_address: int = 1024
    bytes_in_flight: int = 128 << 20
    bytes_per_token: int = 96 << 20
    bytes_per_address: int = 96 << 20
    body_grace_s: float = 5.0
    body_bytes_per_s: int = 4096
    body_s_max: float = 30.0
    answer_grace_s: float = 10.0
    answer_bytes_per_s: int = 64 << 10
    failed_logins: int = 20
    failed_login_interval_s: float = 1.0
    timeout_ms_default: int = 5000
    timeout_ms_max: int = 30_000
    query_fields: int = 16
    data: DataLimits = DataLimits()


def body_due_s(limits: HttpLimits, received: int) -> float:
    """By when, in seconds from its arrival, a request must have sent more than `received` bytes of its body. Pure."""
    return min(limits.body_s_max, limits.body_grace_s + received / limits.body_bytes_per_s)


def answer_due_s(limits: HttpLimits, taken: int) -> float:
    """By when, in seconds from its first byte, a client must have taken more than `taken` bytes of an answer. Pure."""
    return limits.answer_grace_s + taken / limits.answer_bytes_per_s


class Admission:
    """Counts what is under way; its `throttle` lowers the number of requests while the event loop is late.

    Args:
        limits: what is allowed.
        on_refused: told whose limit a refused request met: gateway, token or address.
    """

    def __init__(self, limits: HttpLimits, on_refused: Callable[[str], object] = lambda _: None) -> None:
        self.requests = 0
        self.bytes = 0
        self.throttle = Throttle(limits.requests_in_flight)
        self._limits = limits
        self._on_refused = on_refused
        self._requests_by_token = Shares(limits.requests_per_token)
        self._requests_by_address = Shares(limits.requests_per_address)
        self._bytes_by_token = Shares(limits.bytes_per_token)
        self._bytes_by_address = Shares(limits.bytes_per_address)

    @property
    def is_full(self) -> bool:
        """Whether nobody can enter."""
        return self.requests >= self.throttle.limit

    @property
    def parties(self) -> int:
        """How many addresses have something under way."""
        return len(self._requests_by_address)

    def enter(self, address: str) -> "Place":
        """A request of an address begins; the place's `leave` must follow.

        Raises:
            ApiError: TOO_MANY_REQUESTS, CLUSTER_UNAVAILABLE.
        """
        if self.is_full:
            raise self._full("requests")
        if not self._requests_by_address.take(address):
            raise self._too_many("address", "requests of this client address")
        self.requests += 1
        return Place(self, address)

    def _enter_token(self, token: str) -> None:
        if not self._requests_by_token.take(token):
            raise self._too_many("token", "requests of this token")

    def _leave(self, address: str, token: str) -> None:
        self.requests -= 1
        self._requests_by_address.give_back(address)
        self._requests_by_token.give_back(token)

    def _reserve(self, address: str, token: str, size: int, *, may_refuse: bool) -> None:
        if may_refuse and self.bytes + size > self._limits.bytes_in_flight:
            raise self._full("bytes")
        # What cannot be refused is counted with the gateway only: the shares never go over their limit.
        if may_refuse:
            if not self._bytes_by_address.take(address, size):
                raise self._too_many("address", "bytes of this client address")
            if not self._bytes_by_token.take(token, size):
                self._bytes_by_address.give_back(address, size)
                raise self._too_many("token", "bytes of this token")
        self.bytes += size

    def _release(self, address: str, token: str, shared: int, unshared: int) -> None:
        self.bytes -= shared + unshared
        self._bytes_by_address.give_back(address, shared)
        self._bytes_by_token.give_back(token, shared)

    def _full(self, what: str) -> ApiError:
        self._on_refused("gateway")
        return ApiError(ApiCode.CLUSTER_UNAVAILABLE, f"the gateway has as many {what} under way as it allows")

    def _too_many(self, party: str, what: str) -> ApiError:
        self._on_refused(party)
        return ApiError(ApiCode.TOO_MANY_REQUESTS, f"too many {what} are under way")


class Place:
    """One request's place among those under way.

    Args:
        admission: where it counts.
        address: whose it is, by address; "" when that is not known.
    """

    __slots__ = ("_admission", "_shared", "_unshared", "address", "token")

    def __init__(self, admission: Admission, address: str) -> None:
        self.address = address
        self.token = ""
        self._admission = admission
        self._shared = 0
        self._unshared = 0

    def name_token(self, token: str) -> None:
        """The request has shown a good token with this id; called once, before any bytes are reserved.

        Raises:
            ApiError: TOO_MANY_REQUESTS.
        """
        self._admission._enter_token(token)  # noqa: SLF001 - two halves of one thing
        self.token = token

    def reserve(self, size: int) -> None:
        """So many bytes more are about to be held.

        Raises:
            ApiError: TOO_MANY_REQUESTS, CLUSTER_UNAVAILABLE.
        """
        self._admission._reserve(self.address, self.token, size, may_refuse=True)  # noqa: SLF001 - see above
        self._shared += size

    def hold(self, size: int) -> None:
        """So many bytes more are held whatever the limits say: the answer to something that was done."""
        self._admission._reserve(self.address, self.token, size, may_refuse=False)  # noqa: SLF001 - see above
        self._unshared += size

    def release(self) -> None:
        """The bytes are free again."""
        if self._shared or self._unshared:
            self._admission._release(self.address, self.token, self._shared, self._unshared)  # noqa: SLF001 - see above
            self._shared = self._unshared = 0

    def leave(self) -> None:
        """The request has ended."""
        self.release()
        self._admission._leave(self.address, self.token)  # noqa: SLF001 - see above
