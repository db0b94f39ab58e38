"""How many wrong tokens each address has sent lately. Pure: the time is handed in.

Each address may be wrong `burst` times at once and then once every `interval_s` (GCRA, a leaky bucket kept as one number: the
moment at which it would be empty). Good tokens are never asked about here, so that nobody locks out others behind the same
proxy. A token has 256 random bits; what this protects is the processor and the log, not the secret.
"""

from collections import OrderedDict

ENTRIES_MAX = 4096


class FailedLogins:
    """Counts down by itself.

    Args:
        burst: wrong tokens at once.
        interval_s: between two further ones.
        entries_max: addresses that are remembered; over it the one that was wrong the longest ago is forgotten.
    """

    def __init__(self, burst: int, interval_s: float, entries_max: int = ENTRIES_MAX) -> None:
        self._depth_s = burst * interval_s
        self._interval_s = interval_s
        self._entries_max = entries_max
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._empty_at)

    def failed(self, name: str, now: float) -> float:
        """A wrong token came from an address at `now`, in seconds.

        Returns:
            0 when it is within what is allowed, else the seconds until it would be; what is over is not counted.
        """
        self._forget(now)
        empty_at = max(now, self._empty_at.get(name, now)) + self._interval_s
        wait_s = empty_at - self._depth_s - now
        if wait_s > 1e-9:
            return wait_s
        self._empty_at[name] = empty_at
        self._empty_at.move_to_end(name)
        if len(self._empty_at) > self._entries_max:
            self._empty_at.popitem(last=False)
        return 0.0

    def _forget(self, now: float) -> None:
        """Let go of up to two that have nothing left to wait for: one more than a failure adds."""
        for _ in range(2):
            if not self._empty_at:
                return
            oldest = next(iter(self._empty_at))
            if self._empty_at[oldest] > now:
                return
            del self._empty_at[oldest]
