"""When a leader may answer reads from its own state (pure).

Two proofs that no newer leader can have committed anything:

- **Lease**: a quorum answered messages that were *sent* less than the shortest election timeout ago. Each of those
  members refuses to vote for that long after hearing from us, so nobody else can be elected yet. The margin
  `drift` covers clocks that tick differently. Clocks run through suspends, so a paused leader finds it expired.
- **ReadIndex round**: a quorum answered a message of a round that began after the read came in (thesis, section 6.4).
"""

from collections.abc import Iterable


class Lease:
    """The answers that a leader got in its present term."""

    def __init__(self, members: Iterable[str], length_s: float) -> None:
        self._length_s = length_s
        self._sent_s = dict.fromkeys(members, float("-inf"))
        self._round = dict.fromkeys(members, 0)
        self._others_needed = (len(self._sent_s) + 1) // 2  # with ourselves a majority of all
        self._valid_until_s = float("-inf")  # as far as it was reckoned: answers only move it on
        self._revoked = False

    def answered(self, member: str, sent_s: float, round_: int) -> None:
        """A member answered a message that was sent at `sent_s` in ReadIndex round `round_`."""
        self._sent_s[member] = max(self._sent_s[member], sent_s)
        self._round[member] = max(self._round[member], round_)

    def renewed(self, member: str, sent_s: float) -> None:
        """A member answered a message that was sent at `sent_s` and is of no ReadIndex round."""
        if sent_s > self._sent_s[member]:  # noqa: PLR1730 - takes half as long as `max`, in the hottest place of an idle node
            self._sent_s[member] = sent_s

    def revoke(self) -> None:
        """Give the lease up for the rest of the term: a member may now be elected without waiting for it to end."""
        self._revoked = True
        self._valid_until_s = float("-inf")

    def valid(self, now_s: float) -> bool:
        """Whether the lease holds."""
        if now_s < self._valid_until_s:
            return True
        if self._revoked:
            return False
        self._valid_until_s = self.quorum_sent_s(now_s) + self._length_s
        return now_s < self._valid_until_s

    def quorum_sent_s(self, now_s: float) -> float:
        """The latest time such that a quorum, we included, answered messages sent at it or after."""
        if not self._others_needed:
            return now_s
        return sorted(self._sent_s.values(), reverse=True)[self._others_needed - 1]

    def confirmed_round(self, current: int) -> int:
        """The newest round that a quorum, we included, has answered."""
        if not self._others_needed:
            return current
        return sorted(self._round.values(), reverse=True)[self._others_needed - 1]
