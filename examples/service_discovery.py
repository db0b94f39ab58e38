"""Service discovery: an instance is listed as long as its heart beats, and leaves at once when it stops in order.

python examples/service_discovery.py
"""

import threading
import time
from types import TracebackType
from typing import Self

from concord_http import call

TTL_S = 3  # after how long without a heartbeat an instance counts as dead


class Instance:
    """An instance that is registered while the `with` block runs."""

    def __init__(self, service: str, name: str, address: str, port: int) -> None:
        self._path = f"/services/{service}/{name}"
        self._place = {"address": address, "port": port, "metadata": {"version": "1.4"}, "ttl": TTL_S}
        self._stopping = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        call("PUT", self._path, self._place).check()
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.crash()
        call("DELETE", self._path)

    def crash(self) -> None:
        """Let the heart stop, as it does when a process dies."""
        self._stopping.set()
        self._heart.join()

    def _beat(self) -> None:
        """Three times in a life, so that one lost request does no harm."""
        while not self._stopping.wait(TTL_S / 3):
            try:
                if call("POST", self._path + "/touch", {"ttl": TTL_S}).status == 404:
                    call("PUT", self._path, self._place)  # we were cut off for too long: come back
            except OSError:
                continue  # the next beat tries again


def living(service: str) -> list[str]:
    """Where the living instances of a service can be reached."""
    found = call("GET", f"/services/{service}")
    return [f"{one['instance']} at {one['address']}:{one['port']}" for one in found.data]


def main() -> None:
    """Register two instances, let one crash, and stop the other in order."""
    with Instance("web", "a", "10.0.0.1", 8080), Instance("web", "b", "10.0.0.2", 8080) as doomed:
        time.sleep(1.2 * TTL_S)
        print("both live:", ", ".join(living("web")))
        doomed.crash()
        while len(living("web")) > 1:
            time.sleep(0.1)
        print("b crashed:", ", ".join(living("web")))
    print("a has left:", ", ".join(living("web")) or "nobody")


if __name__ == "__main__":
    main()
