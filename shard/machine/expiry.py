"""Which keys expire when.

Order matters: a bounded number of keys is removed by each entry, and every replica must remove the same ones, whether
it built its queue from the log or from a snapshot. So the queue is ordered by time and then key, which depends on the
state alone, never on the order in which the keys came.
"""

from shard.machine.ordered import OrderedKeys
from wire.messages import NEVER

_LATE = 1 << 63  # after every cluster time


class ExpiryQueue:
    """Keys by the cluster time at which they expire."""

    def __init__(self) -> None:
        self._queue: OrderedKeys[tuple[int, str]] = OrderedKeys()
        self._earliest_ms = _LATE  # nothing in the queue is due before

    def replace(self, key: str, before_ms: int, after_ms: int) -> None:
        """The key, due at `before_ms`, is now due at `after_ms` (NEVER: it is not in the queue)."""
        if before_ms == after_ms:
            return
        if before_ms != NEVER:
            self._queue.remove((before_ms, key))
        if after_ms != NEVER:
            self._queue.add((after_ms, key))
            self._earliest_ms = min(self._earliest_ms, after_ms)

    def next_ms(self) -> int:
        """A cluster time before which no key is due, mostly the exact one; NEVER when no key expires."""
        return NEVER if self._earliest_ms == _LATE else self._earliest_ms

    def take_due(self, now_ms: int, limit: int) -> list[str]:
        """Take out the keys due at `now_ms`, the earliest first, at most `limit`."""
        if self._earliest_ms > now_ms:
            return []
        due = self._queue.pop_before((now_ms + 1, ""), limit)
        first = self._queue.first()
        self._earliest_ms = _LATE if first is None else first[0]
        return [key for _, key in due]
