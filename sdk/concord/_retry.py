"""When to try again. Pure: the caller brings the failure, the time that is left and the random number."""

import msgspec

from concord._errors import ConcordError, ConnectionFailed, TooManyRequests, Unavailable

RETRY_AFTER_SPREAD = 0.25


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """How a client retries.

    Attributes:
        attempts_max: at most so many attempts of one call; 1 never retries, None leaves it to the call's `timeout`.
        wait_s_first: upper bound of the first wait; it doubles from one to the next.
        wait_s_max: upper bound of all waits, but those that a server asks for.
    """

    attempts_max: int | None = None
    wait_s_first: float = 0.05
    wait_s_max: float = 2.0

    def wait_s(self, attempt: int, error: ConcordError, left_s: float, spare: int, draw: float) -> float | None:
        """How long to wait before the next attempt; None to give up.

        Args:
            attempt: how many attempts there were, from 1.
            error: how the last one failed.
            left_s: until the deadline.
            spare: how many other gateways were not asked yet.
            draw: a random number in 0..1.
        """
        if not error.retryable or (self.attempts_max is not None and attempt >= self.attempts_max):
            return None
        if isinstance(error, ConnectionFailed) and spare > 0:
            wait_s = 0.0
        elif isinstance(error, TooManyRequests | Unavailable) and error.retry_after_s > 0:
            wait_s = error.retry_after_s * (1 + RETRY_AFTER_SPREAD * draw)
        else:
            wait_s = min(self.wait_s_max, self.wait_s_first * 2 ** min(attempt - 1, 20)) * draw
        return wait_s if wait_s < left_s else None
