"""How long to pause after failures in a row: doubling, capped, and jittered so that a crowd does not return as one."""

import random


class Backoff:
    """Counts failures in a row.

    Args:
        first_s: upper bound of the pause after the first failure.
        cap_s: upper bound of every pause.
        rng: source of the jitter; the pause is between half its bound and the bound.
    """

    def __init__(self, first_s: float, cap_s: float, rng: random.Random) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._rng = rng
        self._bound_s = first_s

    def reset(self) -> None:
        """Something succeeded."""
        self._bound_s = self._first_s

    def next_s(self) -> float:
        """Something failed: the seconds to pause now."""
        bound_s = self._bound_s
        self._bound_s = min(2 * bound_s, self._cap_s)
        return bound_s * self._rng.uniform(0.5, 1.0)
