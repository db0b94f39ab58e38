"""Something that is held for a time and renewed: when to renew it, and until when it is sure. Pure."""

RENEWALS = 3  # within one time to live, so that two may fail
PAUSE_S_MIN = 0.05


class Lease:
    """Counts from the sending of what renewed it, because the server began to count no sooner than that.

    Args:
        ttl_s: for how long it is held.
        sent_at: when the request that got it was sent; monotonic, in seconds.
    """

    def __init__(self, ttl_s: float, sent_at: float) -> None:
        self.ttl_s = ttl_s
        self.renewed(sent_at)

    def renewed(self, sent_at: float) -> None:
        """It was renewed by a request that was sent then."""
        self.sure_until = sent_at + self.ttl_s
        self._renew_at = sent_at + self.ttl_s / RENEWALS

    def failed(self, now: float) -> None:
        """It could not be renewed; nobody said that it is lost."""
        self._renew_at = now + max(PAUSE_S_MIN, min(1.0, (self.sure_until - now) / RENEWALS))

    def is_over(self, now: float) -> bool:
        """Whether it may be another's."""
        return now >= self.sure_until

    def pause_s(self, now: float) -> float:
        """How long to wait before it is to be renewed, or is over."""
        return max(0.0, min(self._renew_at, self.sure_until) - now)

    def left_s(self, now: float) -> float:
        """The time that a renewal may take: half of what is left, so that a gateway that says nothing leaves time for another."""
        return max(0.001, (self.sure_until - now) / 2)


class Heartbeat(Lease):
    """What is simply taken anew when its time was over: it is never lost, however long nobody could renew it."""

    def failed(self, now: float) -> None:
        """The beat after one that failed comes sooner, but not in haste when there is no more to lose."""
        self._renew_at = now + min(1.0, self.ttl_s / RENEWALS**2)

    def is_over(self, now: float) -> bool:  # noqa: ARG002 - whatever the time is
        """Never."""
        return False

    def pause_s(self, now: float) -> float:
        """How long to wait before the next beat."""
        return max(0.0, self._renew_at - now)

    def left_s(self, now: float) -> float:
        """The time that a beat may take."""
        return max(self.ttl_s / RENEWALS, super().left_s(now))
