"""Which gateway to ask. Takes the time as an argument and no decision by itself; threads may share it."""

import random
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

PENALTY_S_FIRST = 0.5
PENALTY_S_MAX = 10.0


class _Endpoint:
    """A gateway, how often in a row it could not be reached, and until when it is passed over."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures = 0
        self.down_until = 0.0


class Endpoints:
    """Goes round the gateways that are well, beginning anywhere, so that many clients spread over all of them.

    Args:
        urls: `http://host:port` or `https://…`, at least one.
        rng: where to begin.
    """

    def __init__(self, urls: Sequence[str], rng: random.Random) -> None:
        self._all = [_Endpoint(checked(url)) for url in urls]
        if not self._all:
            raise ValueError("endpoints: the list is empty")
        self._next = rng.randrange(len(self._all))
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def urls(self) -> list[str]:
        """All of them."""
        return [endpoint.url for endpoint in self._all]

    def choose(self, now: float) -> str:
        """The next one that is well at `now` (seconds of a monotonic clock), or the one that will be soonest."""
        if len(self._all) == 1:
            return self._all[0].url
        with self._lock:
            turned = self._all[self._next :] + self._all[: self._next]
            self._next = (self._next + 1) % len(self._all)
            return min(turned, key=lambda endpoint: max(endpoint.down_until, now)).url

    def failed(self, url: str, now: float) -> None:
        """It could not be reached: pass it over for a while, for longer each time."""
        with self._lock:
            endpoint = self._of(url)
            endpoint.failures += 1
            endpoint.down_until = now + min(PENALTY_S_MAX, PENALTY_S_FIRST * 2 ** min(10, endpoint.failures - 1))

    def answered(self, url: str) -> None:
        """It is well."""
        endpoint = self._of(url)
        if endpoint.failures:
            with self._lock:
                endpoint.failures, endpoint.down_until = 0, 0.0

    def _of(self, url: str) -> _Endpoint:
        return next(endpoint for endpoint in self._all if endpoint.url == url)


def checked(url: str) -> str:
    """The URL without a slash at its end.

    Raises:
        ValueError: it is no base URL of a gateway.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("endpoints: a URL with a user or a password is not supported, only token=")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not a URL like http://127.0.0.1:4000")
    _ = parts.port  # raises ValueError when it is none
    if parts.path.strip("/"):
        raise ValueError(
            f"{url!r}: the path {parts.path} is not supported, a gateway answers at the root of its address"
        )
    return url.rstrip("/")
